import nibabel as nib
import numpy as np
import pytest

from bids_ai.bids.dataset import Selection, scan
from bids_ai.bids.diffusion import gradient_file
from bids_ai.bids.qsiprep import scan_qsiprep
from tests.conftest import write_tree

SERIES = (8, 8, 8, 10)
BVAL = "0 " + " ".join(["1000"] * 9)
DIRECTIONS = np.random.default_rng(0).standard_normal((3, 9))
BVEC = "\n".join(
    "0 " + " ".join(f"{value:.6f}" for value in row) for row in DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=0)
)
TABLE = {".bval": BVAL, ".bvec": BVEC}


def dwi_files(stem: str, shape=SERIES, *, table=True, **sidecar):
    files = {f"{stem}_dwi.nii.gz": shape, f"{stem}_dwi.json": sidecar}
    return files | ({f"{stem}_dwi{kind}": text for kind, text in TABLE.items()} if table else {})


def found(root, *labels, **asked):
    return scan(root, labels or ["01"], Selection(**asked))


def test_a_series_with_its_reverse_encoded_field_map(make_dataset):
    stem = "sub-01/dwi/sub-01_dir-AP"
    root = make_dataset(
        dwi_files(stem, PhaseEncodingDirection="j-", TotalReadoutTime=0.05)
        | {
            "sub-01/anat/sub-01_T1w.nii.gz": (8, 8, 8),
            "sub-01/fmap/sub-01_dir-PA_epi.nii.gz": (8, 8, 8),
            "sub-01/fmap/sub-01_dir-PA_epi.json": {
                "PhaseEncodingDirection": "j",
                "TotalReadoutTime": 0.06,
                "IntendedFor": "bids::sub-01/dwi/sub-01_dir-AP_dwi.nii.gz",
            },
        }
    )
    [entry] = found(root).diffusions
    assert (entry.item, entry.images) == (stem, f"{stem}_space-T1w")
    assert (entry.phase_encoding, entry.readout_time, entry.reverse_readout_time) == ("j-", 0.05, 0.06)
    assert entry.reverse == str(root / "sub-01/fmap/sub-01_dir-PA_epi.nii.gz")
    assert (entry.bval, entry.bvec) == tuple(str(root / f"{stem}_dwi{kind}") for kind in TABLE)
    assert entry.unused == ()


@pytest.mark.parametrize(
    "sidecar",
    [
        {"PhaseEncodingDirection": "j-"},  # the same direction
        {"PhaseEncodingDirection": "i"},  # another axis
        {"PhaseEncodingDirection": "j", "IntendedFor": "sub-01/func/sub-01_task-rest_bold.nii.gz"},
        {"PhaseEncodingDirection": "j", "B0FieldIdentifier": "other"},
        {},
    ],
)
def test_a_field_map_that_is_none_of_this_series_is_named_as_not_used(make_dataset, sidecar):
    root = make_dataset(
        dwi_files("sub-01/dwi/sub-01", PhaseEncodingDirection="j-")
        | {"sub-01/fmap/sub-01_epi.nii.gz": (8, 8, 8), "sub-01/fmap/sub-01_epi.json": sidecar}
    )
    [entry] = found(root).diffusions
    assert entry.reverse is None
    assert entry.unused == ("sub-01_epi.nii.gz",)


def test_a_short_series_of_the_other_direction_is_a_partner_and_no_series(make_dataset):
    root = make_dataset(
        dwi_files("sub-01/dwi/sub-01_dir-AP", PhaseEncodingDirection="j-")
        | dwi_files("sub-01/dwi/sub-01_dir-PA", (8, 8, 8, 2), table=False, PhaseEncodingDirection="j")
    )
    inputs = found(root)
    [entry] = inputs.diffusions
    assert entry.reverse == str(root / "sub-01/dwi/sub-01_dir-PA_dwi.nii.gz")
    assert inputs.skipped == []


def test_without_a_t1w_images_have_no_space(make_dataset):
    [entry] = found(make_dataset(dwi_files("sub-01/dwi/sub-01"))).diffusions
    assert (entry.anat, entry.space, entry.images) == (None, None, "sub-01/dwi/sub-01")


def test_a_series_without_a_gradient_table_is_left_out_and_told(make_dataset):
    inputs = found(make_dataset(dwi_files("sub-01/dwi/sub-01", table=False)))
    assert inputs.diffusions == []
    [entry] = inputs.skipped
    assert (entry.what, entry.fault) == ("sub-01_dwi.nii.gz", True)
    assert "no .bval and .bvec" in entry.reason


def test_a_gradient_table_is_inherited_from_above_and_the_nearest_wins(make_dataset):
    root = make_dataset(
        dwi_files("sub-01/ses-1/dwi/sub-01_ses-1_run-1", table=False)
        | {f"dwi{kind}": text for kind, text in TABLE.items()}
        | {"acq-x_dwi.bval": BVAL, "sub-01/sub-01_dwi.bval": BVAL}
    )
    series = root / "sub-01/ses-1/dwi/sub-01_ses-1_run-1_dwi.nii.gz"
    assert gradient_file(series, ".bval") == root / "sub-01/sub-01_dwi.bval"
    assert gradient_file(series, ".bvec") == root / "dwi.bvec"


def test_sessions_are_chosen_and_a_label_that_is_nowhere_is_refused(make_dataset):
    files = {}
    for session in ("a", "b"):
        files |= dwi_files(f"sub-01/ses-{session}/dwi/sub-01_ses-{session}")
    root = make_dataset(files)
    assert [entry.session for entry in found(root).diffusions] == ["a", "b"]
    assert [entry.session for entry in found(root, sessions=["b"]).diffusions] == ["b"]


# ---- QSIPrep


def qsiprep(root, space: str = "ACPC", without: str = ""):
    stem = f"sub-01/ses-1/dwi/sub-01_ses-1_dir-AP_space-{space}_desc"
    infix = f"_space-{space}" if space == "ACPC" else ""
    files = {
        "dataset_description.json": {"Name": "QSIPrep", "BIDSVersion": "1.9.0"},
        f"{stem}-preproc_dwi.nii.gz": SERIES,
        f"{stem}-preproc_dwi.bval": BVAL,
        f"{stem}-preproc_dwi.bvec": BVEC,
        f"{stem}-brain_mask.nii.gz": (8, 8, 8),
        f"sub-01/anat/sub-01{infix}_desc-preproc_T1w.nii.gz": (8, 8, 8),
        f"sub-01/anat/sub-01_from-MNI152NLin2009cAsym_to-{space}_mode-image_xfm.h5": "x",
    }
    return write_tree(root, {name: content for name, content in files.items() if not (without and without in name)})


@pytest.mark.parametrize("space", ["ACPC", "T1w"])
def test_series_of_qsiprep_old_and_new(tmp_path, space):
    root = qsiprep(tmp_path, space)
    [entry], skipped = scan_qsiprep(root, ["01"], Selection())
    assert skipped == []
    assert (entry.engine, entry.session, entry.space) == ("qsiprep", "1", space)
    assert entry.images == f"sub-01/ses-1/dwi/sub-01_ses-1_dir-AP_space-{space}"
    assert entry.t1w is not None
    assert entry.t1w.endswith("_desc-preproc_T1w.nii.gz")
    assert entry.from_template is not None
    assert scan_qsiprep(root, ["01"], Selection(sessions=["2"])) == ([], [])


@pytest.mark.parametrize(
    ("absent", "told"), [(".bval", "b-values"), ("mask", "brain mask"), ("xfm", "transform"), ("T1w.nii", "T1w")]
)
def test_a_series_of_qsiprep_that_lacks_something_is_left_out(tmp_path, absent, told):
    found, [entry] = scan_qsiprep(qsiprep(tmp_path, without=absent), ["01"], Selection())
    assert found == []
    assert told in entry.reason


# ---- checks before the first job


def test_faulty_series_are_left_out_and_a_faulty_partner_is_not_used(make_dataset):
    from bids_ai.cli.diffusion_checks import check_diffusions

    root = make_dataset(
        dwi_files("sub-01/dwi/sub-01", PhaseEncodingDirection="j")
        | dwi_files("sub-02/dwi/sub-02")
        | {
            "sub-01/anat/sub-01_T1w.nii.gz": (8, 8, 8),
            "sub-01/fmap/sub-01_epi.nii.gz": (9, 8, 8),
            "sub-01/fmap/sub-01_epi.json": {"PhaseEncodingDirection": "j-"},
            "sub-02/dwi/sub-02_dwi.bval": "1000 " * 10,
        }
    )
    inputs = found(root, "01", "02")
    kept, lost = check_diffusions(inputs.diffusions, {"sub-01/anat/sub-01"})
    [entry] = kept
    assert entry.reverse is None
    assert "grid" in entry.unused[0]
    assert entry.space == "T1w"
    [told] = lost
    assert "no unweighted volume" in told.reason
    # A T1w that cannot be used does not take the series with it.
    [alone], _ = check_diffusions(inputs.diffusions[:1], set())
    assert (alone.anat, alone.space) == (None, None)


def test_too_few_volumes_are_told_with_their_number(make_dataset):
    from bids_ai.cli.diffusion_checks import check_diffusions

    root = make_dataset(dwi_files("sub-01/dwi/sub-01"))
    [entry] = found(root).diffusions
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8, 5), np.int16), np.eye(4)), entry.source)
    _, [told] = check_diffusions([entry], set())
    assert "it has 5 volumes; at least 7 are needed" in told.reason


def test_a_piece_of_a_head_is_left_out(make_dataset):
    """It went into the first job, and failed there for an empty brain mask."""
    from bids_ai.cli.diffusion_checks import check_diffusions

    root = make_dataset(dwi_files("sub-01/dwi/sub-01"))
    [entry] = found(root).diffusions
    image = nib.load(entry.source)
    nib.save(nib.Nifti1Image(np.zeros((10, 10, 10, image.shape[3]), np.int16), np.diag([2, 2, 2, 1])), entry.source)
    _, [told] = check_diffusions([entry], set())
    assert "field of view of 20 x 20 x 20 mm is a piece of a head" in told.reason
