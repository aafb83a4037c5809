"""From what QSIPrep leaves to structural connectivity; the folder is made from a generated subject."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy.stats import rankdata

from bids_ai.bids.files import read_json
from bids_ai.bids.gradients import read_gradients
from bids_ai.bids.tables import read_relmat
from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points, sample
from bids_ai.simulate.cohort import write_cohort
from bids_ai.simulate.gradients import fsl_vectors
from tests.conftest import Answer, call_bids_ai

from .conftest import QUICK

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

STEM = "sub-01/dwi/sub-01_dir-AP_space-ACPC"
N = 20
#: Voxels of the images of QSIPrep, mm; axes to the left, back and top, as in all that it writes.
EDGE_MM = 4.0


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "raw"
    return write_cohort(folder, n_subjects=1, seed=2, size="tiny", modalities=("t1w", "dwi"))


def save(values: np.ndarray, affine: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)


def as_lps(source: Path, target: Path) -> Any:
    """Write an image with its axes turned to the left, back and top."""
    image: Any = nib.load(source)
    wanted = nib.orientations.axcodes2ornt("LPS")
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), wanted))
    target.parent.mkdir(parents=True, exist_ok=True)
    nib.save(turned, target)
    return turned


def write_diffusion(dataset: Path, t1w: Any, root: Path) -> None:
    """The series of the scanner in the space of the T1w, by the true position of the head."""
    raw = dataset / "sub-01/dwi/sub-01_dir-AP_dwi.nii.gz"
    hidden = dataset / "sourcedata/truth/sub-01"
    pose = np.array(read_json(hidden / "dwi/sub-01_dir-AP_dwi_scan.json")["FromT1wToFirstVolume"])
    image: Any = nib.load(raw)
    affine = t1w.affine @ np.diag([*(EDGE_MM / nib.affines.voxel_sizes(t1w.affine)), 1.0])
    shape = tuple(int(n) for n in np.array(t1w.shape) * nib.affines.voxel_sizes(t1w.affine) / EDGE_MM)
    points = grid_points(shape, affine).astype(float)
    there = apply_matrix(pose, points).astype(np.float32)
    data = image.get_fdata(dtype=np.float32)
    volumes = [sample(data[..., k], image.affine, there).reshape(shape) for k in range(data.shape[3])]
    save(np.stack(volumes, axis=-1), affine, root / f"{STEM}_desc-preproc_dwi.nii.gz")
    brain: Any = nib.load(hidden / "anat/sub-01_desc-brain_mask.nii.gz")
    mask = sample(brain.get_fdata(dtype=np.float32), brain.affine, points.astype(np.float32)).reshape(shape) > 0.5
    save(mask.astype(np.uint8), affine, root / f"{STEM}_desc-brain_mask.nii.gz")
    table = read_gradients(
        *(raw.with_name(raw.name.replace(".nii.gz", end)) for end in (".bval", ".bvec")), len(volumes)
    )
    vectors = fsl_vectors(table.world(image.affine) @ pose[:3, :3], affine)
    np.savetxt(root / f"{STEM}_desc-preproc_dwi.bvec", vectors.T, fmt="%.6f")
    np.savetxt(root / f"{STEM}_desc-preproc_dwi.bval", table.bvals[None], fmt="%g")


def write_composite(field: Path, path: Path) -> None:
    """Write a displacement field as the composite transform in HDF5 that ITK reads; ANTs has no call for it."""
    import ants
    import h5py

    image = ants.image_read(str(field))
    fixed = np.concatenate([image.shape, image.origin, image.spacing, image.direction.ravel()])
    # x runs fastest, and within a voxel the three numbers of its vector.
    parameters = np.moveaxis(image.numpy(), (0, 1, 2), (2, 1, 0)).ravel()
    with h5py.File(path, "w") as file:
        for number, kind in enumerate(("CompositeTransform_double_3_3", "DisplacementFieldTransform_double_3_3")):
            group = file.create_group(f"TransformGroup/{number}")
            group.create_dataset("TransformType", data=[kind], dtype=h5py.string_dtype("ascii"))
            if number:
                group.create_dataset("TransformFixedParameters", data=fixed.astype(float))
                group.create_dataset("TransformParameters", data=parameters.astype(float))


@pytest.fixture(scope="module")
def qsiprep(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What QSIPrep 1.0 leaves: its names, its orientation, the T1w with its skull, a composite transform."""
    root = tmp_path_factory.mktemp("other tool") / "qsiprep out"
    t1w = as_lps(
        dataset / "sub-01/anat/sub-01_T1w.nii.gz", root / "sub-01/anat/sub-01_space-ACPC_desc-preproc_T1w.nii.gz"
    )
    write_diffusion(dataset, t1w, root)
    [field] = dataset.glob("sourcedata/truth/sub-01/anat/*_from-MNI152NLin2009aSym_to-T1w_mode-image_xfm.nii.gz")
    write_composite(field, root / "sub-01/anat/sub-01_from-MNI152NLin2009cAsym_to-ACPC_mode-image_xfm.h5")
    description = {
        "Name": "QSIPrep output",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "QSIPrep", "Version": "1.0.0"}],
    }
    (root / "dataset_description.json").write_text(json.dumps(description))
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("from QSIPrep")


@pytest.fixture(scope="module")
def finished(qsiprep: Path, folder: Path) -> Answer:
    settings = folder / "few.yaml"
    settings.write_text("structural_connectivity:\n  streamlines: 5000\n")
    places = ["run", "-", folder / "out", "participant", "-w", folder / "work", "-d", f"qsiprep={qsiprep}"]
    answer = call_bids_ai(*places, "--config-file", settings, "--nprocs", 2, *QUICK, timeout=900)
    assert answer.code == 0, answer.text
    return answer


@pytest.fixture(scope="module")
def out(finished: Answer, folder: Path) -> Path:
    return folder / "out"


def test_nothing_is_preprocessed_again(finished, out):
    assert f"report: {out / 'sub-01.html'}" in finished.out
    assert [path.name for path in out.rglob("*_dwi.nii.gz")] == []
    assert "QSIPrep" in (out / "sub-01.html").read_text(encoding="utf-8")


def test_bundles_are_found(out, dataset):
    [path] = out.rglob("*_stat-streamlinecount_relmat.tsv")
    counts, names = read_relmat(path)
    [table] = dataset.glob("sourcedata/truth/sub-01/*_stat-bundle_relmat.tsv")
    truth, true_names = read_relmat(table)
    assert names == true_names
    upper = np.triu_indices(N, 1)
    joined, ranks = np.nan_to_num(truth[upper]) > 0, rankdata(counts[upper])
    # Half by luck; gradients or parcels that are flipped come near that.
    auc = (ranks[joined].mean() - (joined.sum() + 1) / 2) / (~joined).sum()
    assert auc > 0.6
    meta = read_json(path.with_suffix(".json"))
    assert any(source.startswith("bids:qsiprep:sub-01/dwi/") for source in meta["Sources"])
    assert meta["ShareAssigned"] > 0.5


def test_the_validator_finds_no_error(out):
    program = Path(sys.executable).with_name("bids-validator-deno")
    if not program.is_file():
        pytest.skip("bids-validator-deno is not installed (pip install 'bids-ai[test]')")
    done = subprocess.run([program, out, "--format", "json"], capture_output=True, text=True, timeout=120, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
