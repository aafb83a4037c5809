import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from dipy.core.gradients import gradient_table
from dipy.io.gradients import read_bvals_bvecs
from dipy.reconst.dti import TensorModel

from bids_ai.simulate import gradients, grids, head, parcels, phantom, warp
from bids_ai.simulate.connectome import individual_connectome
from bids_ai.simulate.dwi_files import write_dwi
from bids_ai.simulate.folder import write_json, write_text
from bids_ai.simulate.patient import Patient
from bids_ai.simulate.plan import SUBJECTS
from bids_ai.simulate.warp import rotation_matrix

STEM = "sub-02/ses-1/dwi/sub-02_ses-1_dir-AP_dwi"
TRUTH = Path("sourcedata/truth")


@pytest.fixture(scope="module")
def dwi_patient(fine_brain, bundle_parcels, bundle_group, laid_bundles):
    """The oblique subject, coarsely imaged."""
    bend = warp.random_warp(np.random.default_rng(3))
    image = phantom.make_phantom(fine_brain, bend, *grids.t1w_grid(3.0, oblique=True), np.random.default_rng(4))
    own = individual_connectome(bundle_group, np.random.default_rng(5))
    names = [str(name) for name in bundle_parcels.nodes["name"]]
    own = own.with_lengths(laid_bundles.lengths_mm(laid_bundles.in_subject(bend), own.n_regions))
    labels = parcels.in_phantom(bundle_parcels, image)
    return Patient(SUBJECTS[1], image, bend, bundle_parcels, labels, names, own, laid_bundles)


@pytest.fixture(scope="module")
def coarse():
    """4 mm and 20 directions."""
    with pytest.MonkeyPatch.context() as patch:
        scheme = gradients.DwiScheme(4.0, ((1000.0, 20),), n_b0=2, echo_spacing_s=0.0006, snr=30.0)
        patch.setitem(gradients.DWI_SIZES, "coarse", scheme)
        yield "coarse"


@pytest.fixture(scope="module")
def written(dwi_patient, coarse, tmp_path_factory):
    root = tmp_path_factory.mktemp("dwi")
    write_json(root / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.10.0", "DatasetType": "raw"})
    write_text(root / "README.md", "A diffusion series of a generated head, to be validated and read again.")
    fibres = write_dwi(root, dwi_patient, 1, size=coarse, session="1")
    return root, fibres


@pytest.fixture(scope="module")
def series(written):
    root, _ = written
    image = nib.load(root / f"{STEM}.nii.gz")
    b_values, vectors = read_bvals_bvecs(str(root / f"{STEM}.bval"), str(root / f"{STEM}.bvec"))
    return image, np.asarray(image.dataobj).astype(float), b_values, vectors


def truth_image(root: Path, name: str) -> np.ndarray:
    return nib.load(root / TRUTH / f"{STEM}_{name}.nii.gz").get_fdata()


def test_validator_finds_no_error(written):
    found = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
    found = found or shutil.which("bids-validator-deno")
    if not found:
        pytest.skip("bids-validator-deno is not installed (extra: validate)")
    call = subprocess.run(
        [found, str(written[0]), "--format", "json"], capture_output=True, text=True, timeout=120, check=False
    )
    issues = json.loads(call.stdout)["issues"]["issues"]
    assert [(i["code"], i.get("location")) for i in issues if i["severity"] == "error"] == []


def test_tensor_points_along_the_bundles(written, series):
    root, _ = written
    image, signal, b_values, vectors = series
    peaks = truth_image(root, "desc-fibres_dwimap").reshape(*image.shape[:3], 3, 3)
    size = np.linalg.norm(peaks, axis=-1)
    single = (size[..., 0] > 0.5) & (size[..., 1] < 0.1)
    assert single.sum() > 50
    fit = TensorModel(gradient_table(b_values, bvecs=vectors)).fit(signal, mask=single)
    axes = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    found = fit.evecs[..., 0][single] * ([-1, 1, 1] if np.linalg.det(axes) > 0 else 1)
    cosine = np.abs(np.sum(found @ axes.T * peaks[..., 0, :][single], axis=-1)) / size[..., 0][single]
    assert np.median(np.rad2deg(np.arccos(np.minimum(cosine, 1)))) < 10
    # Half a voxel of fibres and more: FA well above that of grey matter, MD that of white matter.
    assert np.median(fit.fa[single]) > 0.35
    assert 0.6e-3 < np.median(fit.md[single]) < 0.9e-3


def test_tissues_have_their_contrast(written, series):
    """Fluid bright without weighting and gone with it; grey matter isotropic at its diffusivity."""
    root, fibres = written
    _, signal, b_values, _ = series
    plain, weighted = signal[..., b_values == 0].mean(axis=-1), signal[..., b_values > 0].mean(axis=-1)
    brain = truth_image(root, "desc-brain_mask") > 0
    bright = brain & (plain > np.quantile(plain[brain], 0.99))
    adc = np.log(plain / np.maximum(weighted, 1)) / 1000
    assert np.median(adc[bright]) > 1.8e-3
    assert 0.65e-3 < np.median(adc[brain]) < 1.1e-3
    assert fibres.crowding < 0.5


def test_phase_encoding_pair_is_distorted_in_opposite_ways(written, series):
    root, _ = written
    _, signal, _, _ = series
    reverse = nib.load(root / "sub-02/ses-1/fmap/sub-02_ses-1_dir-PA_epi.nii.gz")
    field = truth_image(root, "desc-field_fieldmap")
    sidecars = [
        json.loads((root / f"{stem}.json").read_text()) for stem in (STEM, "sub-02/ses-1/fmap/sub-02_ses-1_dir-PA_epi")
    ]
    assert [sidecar["PhaseEncodingDirection"] for sidecar in sidecars] == ["j-", "j"]
    assert sidecars[1]["IntendedFor"] == [f"bids::{STEM}.nii.gz"]
    assert sidecars[0]["B0FieldSource"] == sidecars[1]["B0FieldIdentifier"] == sidecars[0]["B0FieldIdentifier"]
    readout = sidecars[0]["TotalReadoutTime"]
    assert readout == pytest.approx(sidecars[0]["EffectiveEchoSpacing"] * (signal.shape[1] - 1))
    # Undone by the true field, the two agree better than as they are.
    brain = truth_image(root, "desc-brain_mask") > 0
    strong = brain & (np.abs(field) > 40)
    pair = [signal[..., 0], np.asarray(reverse.dataobj).astype(float)]
    undone = [_undistorted(volume, sign * field * readout) for volume, sign in zip(pair, (-1, 1), strict=True)]
    apart = [np.abs(first - second)[strong].mean() for first, second in (pair, undone)]
    assert apart[1] < 0.6 * apart[0]


def _undistorted(volume: np.ndarray, shift: np.ndarray) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    at = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in volume.shape], indexing="ij"))
    at[1] += shift
    return map_coordinates(volume, at, order=1, mode="nearest") * (1 + np.gradient(shift, axis=1))


def test_gradients_in_the_file_are_those_of_the_scanner(series, coarse):
    """Not turned with the head: the file does not depend on motion, only on the grid."""
    image, _, b_values, vectors = series
    axes = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    world = vectors * ([-1, 1, 1] if np.linalg.det(axes) > 0 else 1) @ axes.T
    from bids_ai.simulate.plan import stream

    table = gradients.gradient_table(gradients.dwi_scheme(coarse), stream(1, "dwi", coarse, "gradients"))
    np.testing.assert_allclose(b_values, table.b_values)
    np.testing.assert_allclose(world, table.directions, atol=1e-6)


def test_truth_of_the_tractogram(written, dwi_patient):
    root, _ = written
    folder = root / TRUTH / "sub-02/ses-1/dwi"
    strands = nib.streamlines.load(folder / "sub-02_ses-1_space-T1w_tractogram.tck").streamlines
    table = pd.read_csv(folder / "sub-02_ses-1_space-T1w_tractogram.tsv", sep="\t")
    assert len(strands) == len(table)
    assert table["share"].sum() == pytest.approx(1.0, rel=1e-4)
    present = dwi_patient.connectome.bundle_weights
    row_of = {name: row for row, name in enumerate(dwi_patient.names)}
    pairs = table[["first", "second"]].map(row_of.get).to_numpy()
    assert (present[tuple(pairs.T)] > 0).all()
    # The strands of a bundle share its weight.
    share = np.zeros_like(present)
    np.add.at(share, tuple(pairs.T), table["share"].to_numpy())
    ratio = share[share > 0] / present[share > 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)
    # They lie in the subject's white matter.
    at = np.concatenate([strand[5:-5] for strand in strands])
    white = head.sample(dwi_patient.phantom.fractions["WM"], dwi_patient.phantom.affine, at)
    assert (white > 0.5).mean() > 0.9


def test_truth_of_the_motion(written, series):
    root, _ = written
    motion = pd.read_csv(root / TRUTH / f"{STEM}_desc-motion_timeseries.tsv", sep="\t", na_values="n/a")
    assert len(motion) == series[1].shape[-1]
    assert not motion.iloc[0, :6].any()
    described = json.loads((root / TRUTH / f"{STEM}_scan.json").read_text())
    pose = np.array(described["FromT1wToFirstVolume"])
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-6)
    assert 1.0 < described["LargestShift"] < 6.0
    assert rotation_matrix(motion.iloc[-1, 3:6].to_numpy()) == pytest.approx(np.eye(3), abs=0.05)


def test_same_seed_same_bytes(written, dwi_patient, coarse, tmp_path):
    root, _ = written
    write_dwi(tmp_path, dwi_patient, 1, size=coarse, session="1")
    for path in sorted(tmp_path.rglob("*")):
        if path.is_file():
            twin = root / path.relative_to(tmp_path)
            assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(twin.read_bytes()).digest(), path.name
