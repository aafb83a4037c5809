import pytest

from bids_ai.bids.metadata import read_metadata
from bids_ai.errors import InputError


def test_the_nearer_sidecar_wins(make_dataset):
    root = make_dataset(
        {
            "bold.json": {"RepetitionTime": 1, "Manufacturer": "root", "FlipAngle": 10},
            "task-rest_bold.json": {"RepetitionTime": 2, "TaskName": "rest"},
            "task-other_bold.json": {"RepetitionTime": 9},
            "task-rest_sbref.json": {"RepetitionTime": 8},
            "sub-01/sub-01_task-rest_bold.json": {"RepetitionTime": 3, "Manufacturer": "subject"},
            "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_bold.json": {"RepetitionTime": 4},
            "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-2_bold.json": {"RepetitionTime": 7},
            "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_bold.nii.gz": None,
            "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-3_bold.nii.gz": None,
        }
    )
    func = root / "sub-01/ses-1/func"
    assert read_metadata(func / "sub-01_ses-1_task-rest_run-1_bold.nii.gz", root) == {
        "RepetitionTime": 4,
        "Manufacturer": "subject",
        "FlipAngle": 10,
        "TaskName": "rest",
    }
    assert read_metadata(func / "sub-01_ses-1_task-rest_run-3_bold.nii.gz", root)["RepetitionTime"] == 3


def test_in_one_folder_the_more_specific_sidecar_wins(make_dataset):
    root = make_dataset(
        {"task-rest_acq-mb_bold.json": {"RepetitionTime": 0.8}, "task-rest_bold.json": {"RepetitionTime": 2}}
    )
    assert read_metadata(root / "sub-01/func/sub-01_task-rest_acq-mb_bold.nii", root) == {"RepetitionTime": 0.8}
    assert read_metadata(root / "sub-01/func/sub-01_task-rest_bold.nii", root) == {"RepetitionTime": 2}


def test_byte_order_mark_and_other_letters(make_dataset):
    root = make_dataset({"bold.json": b'\xef\xbb\xbf{"InstitutionName": "Universit\xc3\xa4t"}'}, name="Daten é")
    assert read_metadata(root / "sub-01/func/sub-01_task-rest_bold.nii", root) == {"InstitutionName": "Universität"}


@pytest.mark.parametrize("content", ['{"RepetitionTime": 2,}', "", "\x00", b"\xff\xfe{"])
def test_a_broken_sidecar_is_named(make_dataset, content):
    root = make_dataset({"task-rest_bold.json": content})
    with pytest.raises(InputError, match=r"task-rest_bold\.json cannot be read as JSON.*correct or remove it"):
        read_metadata(root / "sub-01/func/sub-01_task-rest_bold.nii.gz", root)


def test_a_sidecar_that_does_not_apply_is_not_read(make_dataset):
    root = make_dataset({"task-other_bold.json": "broken", "sub-02/func/sub-02_task-rest_bold.json": "broken"})
    assert read_metadata(root / "sub-01/func/sub-01_task-rest_bold.nii.gz", root) == {}


def test_a_list_is_no_metadata(make_dataset):
    root = make_dataset({"bold.json": [1, 2]})
    assert read_metadata(root / "sub-01/func/sub-01_task-rest_bold.nii.gz", root) == {}
