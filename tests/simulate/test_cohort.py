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

from bids_ai.errors import InputError
from bids_ai.simulate import plan
from bids_ai.simulate.cohort import write_cohort

TRUTH = Path("sourcedata/truth")
RUNS = {
    "sub-01/func/sub-01_task-rest_run-1": 2,
    "sub-01/func/sub-01_task-rest_run-2": 0,
    "sub-02/ses-1/func/sub-02_ses-1_task-rest": 0,
    "sub-02/ses-2/func/sub-02_ses-2_task-rest": 0,
}
ANATOMIES = ["sub-01/anat/sub-01", "sub-02/ses-1/anat/sub-02_ses-1"]


def image(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def validator() -> str:
    found = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
    found = found or shutil.which("bids-validator-deno")
    if not found:
        pytest.skip("bids-validator-deno is not installed (extra: validate)")
    return found


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def coarse(monkeypatch):
    """A size for tests that write whole datasets: 8 mm, 4 frames, 8 regions."""
    monkeypatch.setitem(plan.SIZES, "coarse", plan.Size(8.0, 8.0, 4, 8))
    return {"size": "coarse", "modalities": ("t1w", "bold")}


def errors(root: Path) -> list[tuple[str, str]]:
    """What the validator calls an error."""
    call = subprocess.run(
        [validator(), str(root), "--format", "json"], capture_output=True, text=True, timeout=120, check=False
    )
    issues = json.loads(call.stdout)["issues"]["issues"]
    return [(issue["code"], issue.get("location")) for issue in issues if issue["severity"] == "error"]


def test_validator_finds_no_error(tiny):
    assert errors(tiny) == []


def test_one_subject_has_sessions_and_the_other_none(tiny):
    images = {str(path.relative_to(tiny)) for path in tiny.glob("sub-*/**/*.nii.gz")}
    assert images == {f"{stem}_T1w.nii.gz" for stem in ANATOMIES} | {f"{stem}_bold.nii.gz" for stem in RUNS}
    participants = pd.read_csv(tiny / "participants.tsv", sep="\t")
    assert participants["participant_id"].tolist() == ["sub-01", "sub-02"]


def test_same_seed_same_bytes_for_a_subject_however_many_there_are(tmp_path, coarse):
    both = digest(write_cohort(tmp_path / "a", seed=3, **coarse))
    alone = digest(write_cohort(tmp_path / "b", seed=3, n_subjects=1, **coarse))
    other = digest(write_cohort(tmp_path / "c", seed=4, n_subjects=1, **coarse))
    first = {name: value for name, value in both.items() if "sub-01" in name}
    assert len(first) > 20
    assert first == {name: value for name, value in alone.items() if "sub-01" in name}
    assert alone.keys() == other.keys()
    own = (".nii.gz", "_relmat.tsv", "_timeseries.tsv")
    assert all(alone[name] != other[name] for name in first if name.endswith(own))


def relmat(root: Path, subject: str, stat: str) -> pd.DataFrame:
    path = root / TRUTH / subject / f"{subject}_stat-{stat}_relmat.tsv"
    return pd.read_csv(path, sep="\t", index_col=0, na_values="n/a")


def test_subjects_differ_in_anatomy_and_connectome(tiny):
    masks = [image(tiny / TRUTH / f"{stem}_desc-brain_mask.nii.gz").sum() for stem in ANATOMIES]
    assert masks[0] != masks[1]
    weights = [relmat(tiny, subject, "weight") for subject in ("sub-01", "sub-02")]
    assert weights[0].index.tolist() == weights[0].columns.tolist()
    assert not np.allclose(weights[0], weights[0].T)
    # Most bundles are in both, with weights of their own.
    present = [table.to_numpy() > 0 for table in weights]
    assert 0.8 < (present[0] & present[1]).sum() / (present[0] | present[1]).sum() < 1
    shared = present[0] & present[1]
    assert 0.2 < np.log(weights[0].to_numpy()[shared] / weights[1].to_numpy()[shared]).std() < 0.7


@pytest.mark.parametrize("subject", ["sub-01", "sub-02"])
def test_truth_of_the_connectome(tiny, subject):
    weights, bundle, length, delay, effective = (
        relmat(tiny, subject, stat).to_numpy()
        for stat in ("weight", "bundle", "length", "delay", "effectiveconnectivity")
    )
    np.testing.assert_allclose(bundle, weights + weights.T, rtol=1e-5)
    joined = bundle > 0
    assert np.array_equal(np.isfinite(length), joined)
    # 6 m/s; a bundle is longer than a centimetre and shorter than a head.
    np.testing.assert_allclose(delay[joined], length[joined] / 6000, rtol=1e-4)
    assert 10 < length[joined].min() < length[joined].max() < 250
    off = ~np.eye(len(weights), dtype=bool)
    assert np.isnan(effective[~off]).all()
    assert np.corrcoef(effective[off], weights[off])[0, 1] > 0.7


@pytest.mark.parametrize("stem", ANATOMIES)
def test_anatomical_truth_fits_the_image(tiny, stem):
    t1w = nib.load(tiny / f"{stem}_T1w.nii.gz")
    truth = {name: nib.load(tiny / TRUTH / f"{stem}_{name}.nii.gz") for name in ("desc-brain_mask", "dseg")}
    for part in truth.values():
        np.testing.assert_allclose(part.affine, t1w.affine)
    mask = np.asarray(truth["desc-brain_mask"].dataobj) > 0
    litres = mask.sum() * abs(np.linalg.det(t1w.affine[:3, :3])) / 1e6
    assert 1.2 < litres < 1.8
    described = json.loads((tiny / TRUTH / f"{stem}_anatomy.json").read_text())
    assert described["BrainVolume"] == pytest.approx(litres, rel=0.03)
    tissue, signal = np.asarray(truth["dseg"].dataobj), np.asarray(t1w.dataobj)
    assert ((tissue > 0) == mask).all()
    grey, white, fluid = (np.median(signal[tissue == label]) for label in (1, 2, 3))
    assert white > grey > fluid
    probabilities = nib.load(tiny / TRUTH / f"{stem}_label-GM_probseg.nii.gz").get_fdata()
    assert probabilities.max() == pytest.approx(1.0, abs=0.01)
    assert probabilities[tissue == 1].mean() > 0.6


@pytest.mark.parametrize("stem", RUNS)
def test_motion_truth_belongs_to_the_run(tiny, stem):
    run = nib.load(tiny / f"{stem}_bold.nii.gz")
    motion = pd.read_csv(tiny / TRUTH / f"{stem}_desc-motion_timeseries.tsv", sep="\t")
    assert motion.columns.tolist() == [
        "trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z", "framewise_displacement",
    ]  # fmt: skip
    assert len(motion) == run.shape[3] == plan.SIZES["tiny"].n_frames
    steps = motion.iloc[:, :6].diff().abs() * [1, 1, 1, 50, 50, 50]
    np.testing.assert_allclose(motion.iloc[1:, 6], steps.sum(axis=1).iloc[1:], atol=1e-4)
    assert (motion["framewise_displacement"] > 0.5).any()
    described = json.loads((tiny / TRUTH / f"{stem}_scan.json").read_text())
    assert described["FramesAboveHalfMillimetre"] == np.flatnonzero(motion.iloc[:, 6] > 0.5).tolist()


@pytest.mark.parametrize(("stem", "non_steady"), RUNS.items())
def test_region_truth_belongs_to_the_run(tiny, stem, non_steady):
    run = image(tiny / f"{stem}_bold.nii.gz")[..., 2:].astype(float)
    labels = image(tiny / TRUTH / f"{stem}_desc-parcels_dseg.nii.gz")
    series = pd.read_csv(tiny / TRUTH / f"{stem}_desc-regions_timeseries.tsv", sep="\t").to_numpy()[2:]
    nodes = pd.read_csv(next((tiny / TRUTH).glob("atlas-*_dseg.tsv")), sep="\t")
    assert nodes["index"].tolist() == sorted(set(labels.ravel()) - {0})
    means = np.stack([run[labels == label].mean(axis=0) for label in nodes["index"]], axis=1)
    trend = np.polynomial.legendre.legvander(np.linspace(-1, 1, len(series)), 2)
    means, series = (x - trend @ np.linalg.lstsq(trend, x, rcond=None)[0] for x in (means, series))
    agreement = [np.corrcoef(means[:, r], series[:, r])[0, 1] for r in range(len(nodes))]
    # Motion is not corrected here; with a still head every region is above 0.9 (test_bold).
    assert np.median(agreement) > 0.85
    described = json.loads((tiny / TRUTH / f"{stem}_scan.json").read_text())
    assert described["NumberOfNonSteadyVolumes"] == non_steady


def test_first_volumes_of_one_run_are_not_steady(tiny):
    def excess(stem: str) -> float:
        run = image(tiny / f"{stem}_bold.nii.gz")
        return run[..., 0].mean() / run[..., 5:].mean()

    first, *others = RUNS
    assert excess(first) > 1.3
    assert all(abs(excess(stem) - 1.0) < 0.05 for stem in others)


def test_frames_of_reference_differ(tiny):
    plain = nib.load(tiny / "sub-01/anat/sub-01_T1w.nii.gz").affine
    tilted = nib.load(tiny / "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz").affine
    assert np.count_nonzero(plain[:3, :3]) == 3
    assert nib.aff2axcodes(tilted) == ("P", "S", "R")
    assert nib.affines.obliquity(tilted).max() > np.deg2rad(4)
    run = nib.load(tiny / "sub-02/ses-2/func/sub-02_ses-2_task-rest_bold.nii.gz")
    assert nib.aff2axcodes(run.affine) == ("L", "A", "S")
    assert run.header.get_zooms()[3] == pytest.approx(2.0)


def test_slice_timing_stands_where_slices_were_timed(tiny):
    sidecar = json.loads((tiny / "sub-01/func/sub-01_task-rest_run-1_bold.json").read_text())
    run = nib.load(tiny / "sub-01/func/sub-01_task-rest_run-1_bold.nii.gz")
    assert len(sidecar["SliceTiming"]) == run.shape[2]
    assert 0 <= min(sidecar["SliceTiming"]) < max(sidecar["SliceTiming"]) < 2.0
    assert not list(tiny.glob("sub-02/**/*_bold.json"))
    shared = json.loads((tiny / "task-rest_bold.json").read_text())
    assert (shared["RepetitionTime"], shared["EchoTime"], shared["TaskName"]) == (2.0, 0.03, "rest")


def test_full_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        write_cohort(tmp_path, size="tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_is_written_of_a_cohort_that_is_refused(tmp_path):
    with pytest.raises(InputError, match="tiny, small, full"):
        write_cohort(tmp_path / "ds", size="huge")
    assert not any(tmp_path.iterdir())


@pytest.fixture
def operated(tmp_path, monkeypatch):
    """Sub-01 operated on; at 40 regions the surgeon takes one whole."""
    monkeypatch.setitem(plan.SIZES, "coarse", plan.Size(6.0, 6.0, 12, 40))
    return write_cohort(tmp_path / "ds", n_subjects=2, size="coarse", modalities=("t1w", "bold"), lesion=True)


def test_resected_regions_are_fluid_without_activity(operated):
    anat = operated / TRUTH / "sub-01/anat"
    cavity = image(anat / "sub-01_desc-resection_mask.nii.gz") > 0
    t1w, tissue = image(operated / "sub-01/anat/sub-01_T1w.nii.gz"), image(anat / "sub-01_dseg.nii.gz")
    assert (tissue[cavity] == 3).mean() > 0.95
    # Fluid has a fifth of the signal of white matter.
    assert 0.15 < np.median(t1w[cavity]) / np.median(t1w[tissue == 2]) < 0.3
    described = json.loads((anat / "sub-01_anatomy.json").read_text())
    # What anterior temporal lobectomies leave.
    assert 15 < described["ResectedVolume"] < 60
    lost = described["RegionsResected"]
    assert len(lost) >= 1
    weights = relmat(operated, "sub-01", "weight")
    assert not weights.loc[lost].any(axis=None)
    assert not weights[lost].any(axis=None)
    assert relmat(operated, "sub-01", "effectiveconnectivity")[lost].isna().all(axis=None)
    series = pd.read_csv(
        operated / TRUTH / "sub-01/func/sub-01_task-rest_run-1_desc-regions_timeseries.tsv", sep="\t", na_values="n/a"
    )
    assert series.columns[series.isna().all()].tolist() == lost
    assert not list(operated.glob("sourcedata/truth/sub-02/**/*resection*"))


@pytest.mark.slow
def test_every_modality_together_is_valid(tmp_path, monkeypatch):
    monkeypatch.setitem(plan.SIZES, "tiny", plan.Size(4.0, 8.0, 4, 8))
    lines: list[str] = []
    root = write_cohort(tmp_path / "ds", size="tiny", ragged=True, say=lines.append)
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "sub-01 anatomy", "sub-01 dwi", "sub-01 bold", "sub-01 eeg", "sub-01 ieeg",
        "sub-02 anatomy", "sub-02 bold", "sub-02 eeg", "sub-02 ieeg",
    ]  # fmt: skip
    assert errors(root) == []
    assert (root / "sub-01/dwi/sub-01_dir-AP_dwi.nii.gz").exists()
    assert not list(root.glob("sub-02/**/dwi"))
    assert "sub-02 has no dwi" in (root / "README.md").read_text()
    for stem in ("eeg/sub-02_ses-1_task-rest_eeg.vhdr", "ieeg/sub-02_ses-1_task-spes_ieeg.vhdr"):
        assert (root / "sub-02/ses-1" / stem).exists()


@pytest.mark.slow
@pytest.mark.parametrize("stem", ANATOMIES)
def test_true_transform_takes_the_image_to_the_template(tiny, stem, tmp_path):
    """What ANTs makes of the stored maps: the subject's brain mask falls on the template's, and back."""
    ants = pytest.importorskip("ants")
    from nilearn.datasets import load_mni152_brain_mask

    load_mni152_brain_mask(resolution=2).to_filename(tmp_path / "template.nii.gz")
    template = ants.image_read(str(tmp_path / "template.nii.gz"))
    mask = ants.image_read(str(tiny / TRUTH / f"{stem}_desc-brain_mask.nii.gz"))
    for fixed, moving, name in (
        (template, mask, "from-T1w_to-MNI152NLin2009aSym"),
        (mask, template, "from-MNI152NLin2009aSym_to-T1w"),
    ):
        path = str(tiny / TRUTH / f"{stem}_{name}_mode-image_xfm.nii.gz")
        moved = ants.apply_transforms(fixed, moving, [path], interpolator="linear").numpy() > 0.5
        other = fixed.numpy() > 0.5
        # Masks of 4 mm voxels against 2 mm ones.
        assert 2 * (moved & other).sum() / (moved.sum() + other.sum()) > 0.96


def test_too_many_regions_for_bundles_are_refused_with_what_to_do(tmp_path, coarse, monkeypatch):
    def no_way(*_: object) -> None:
        raise ValueError("Region 3 does not touch the white matter of the template.")

    monkeypatch.setattr("bids_ai.simulate.cohort.make_bundles", no_way)
    with pytest.raises(InputError, match=r"Ask for fewer .* or leave out dwi"):
        write_cohort(tmp_path / "ds", size="coarse", modalities=("t1w", "dwi"))
    assert not any(tmp_path.iterdir())
