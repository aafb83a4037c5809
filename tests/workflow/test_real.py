"""The whole job on a real subject, brought to 4 mm so that it fits the test command."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.processing import conform

from bids_ai.bids.files import read_json
from bids_ai.bids.tables import read_relmat, read_timeseries
from tests.conftest import call_bids_ai

from .conftest import QUICK

pytestmark = [pytest.mark.real, pytest.mark.workflow, pytest.mark.slow]

N_FRAMES = 120
ATLAS = "atlas-Schaefer2018_seg-7Networks_scale-100"
STEM = "sub-02/func/sub-02_task-oneback_run-1_space-MNI152NLin2009aSym"


@pytest.fixture(scope="module")
def coarse_dataset(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The studyforrest excerpt with a T1w of 4 mm and every second BOLD slice in plane left out."""
    source = test_data / "bids-studyforrest"
    target = tmp_path_factory.mktemp("real") / "dataset"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.nii.gz"))
    t1w = next((source / "sub-02" / "anat").glob("*_T1w.nii.gz"))
    nib.save(
        conform(nib.load(t1w), out_shape=(64, 72, 72), voxel_size=(4.0, 4.0, 4.0)), target / t1w.relative_to(source)
    )
    bold = next((source / "sub-02" / "func").glob("*_bold.nii.gz"))
    image = nib.load(bold).slicer[::2, ::2, ::1, :N_FRAMES]
    image.header.set_zooms((*image.header.get_zooms()[:3], 2.0))
    nib.save(image, target / bold.relative_to(source))
    return target


@pytest.fixture(scope="module")
def output(coarse_dataset: Path, test_data: Path) -> Path:
    """Outputs of one run with a published atlas."""
    folder = coarse_dataset.parent / "output"
    atlas = test_data / "atlases" / "schaefer2018" / "schaefer100x7MNI.nii.gz"
    options = ["--atlases", atlas, "--sloppy", "--skip-bids-validation", "--nprocs", "2"]
    answer = call_bids_ai("run", coarse_dataset, folder, "participant", *options, timeout=900)
    assert answer.code == 0, answer.text[-3000:]
    return folder


def test_the_brain_has_the_volume_of_a_brain(output: Path) -> None:
    mask = nib.load(output / "sub-02/anat/sub-02_desc-brain_mask.nii.gz")
    litres = np.count_nonzero(mask.get_fdata()) * abs(np.linalg.det(mask.affine[:3, :3])) / 1e6
    # 1.5 l by a head template at full resolution; at 4 mm the rim of a voxel is a tenth of the volume.
    assert 1.2 < litres < 1.8


def test_registration_to_the_template_puts_the_brain_onto_it(output: Path) -> None:
    brain = nib.load(output / "sub-02/anat/sub-02_space-MNI152NLin2009aSym_desc-brain_mask.nii.gz").get_fdata() > 0
    quality = read_json(output / "sub-02/anat/sub-02_desc-preproc_T1w.json")["QualityControl"]
    assert brain.any()
    assert quality["nmi_after"] > quality["nmi_before"] > quality["nmi_headers"]


def test_left_and_right_partners_are_connected_more_than_others(output: Path) -> None:
    meta = read_json(output / f"{STEM}_{ATLAS}_stat-pearsoncorrelation_relmat.json")
    matrix, names = read_relmat(output / f"{STEM}_{ATLAS}_stat-pearsoncorrelation_relmat.tsv")
    off_diagonal = matrix[~np.eye(len(names), dtype=bool)]
    assert meta["HomotopicPairs"] > 20
    # A shifted or mislabelled atlas loses this difference, which every human brain shows.
    assert meta["HomotopicMedian"] > np.nanmedian(off_diagonal) + 0.15


def test_censored_frames_stay_and_regions_keep_their_names(output: Path) -> None:
    values, names = read_timeseries(output / f"{STEM}_{ATLAS}_stat-mean_timeseries.tsv")
    assert values.shape == (N_FRAMES, 100)
    assert names[0].endswith("LH_Vis_1")


def test_effective_connectivity_is_directed_and_judged(output: Path) -> None:
    matrix, _ = read_relmat(output / f"{STEM}_{ATLAS}_model-auto_stat-effectiveconnectivity_relmat.tsv")
    meta = read_json(output / f"{STEM}_{ATLAS}_model-auto_stat-effectiveconnectivity_relmat.json")
    assert np.isnan(np.diag(matrix)).all()
    assert meta["RowRole"] == "source"
    # 100 regions from 120 frames of 4 mm: the gate must not call this reliable.
    assert meta["Gate"]["Verdict"] == "unreliable"


def test_an_eeg_of_two_seconds_ends_well_and_says_what_it_lacks(
    test_data: Path, tmp_path: Path, shared_work: Path
) -> None:
    data = test_data / "bids-eeg-tiny"
    if not data.is_dir():
        pytest.skip("needs real data: bids-eeg-tiny is not in the folder that BIDS_AI_TEST_DATA names")
    answer = call_bids_ai("run", data, tmp_path / "out", "participant", "-w", shared_work, *QUICK, timeout=600)
    assert answer.code == 0, answer.text[-3000:]
    told = "sub-01_ses-eeg_task-rest_eeg.vhdr, region series"
    assert f"LEFT OUT  sub-01 {told}: it lasts 2 s; 10 s or more are wanted" in answer.text
    page = (tmp_path / "out/sub-01.html").read_text()
    assert told in page
    assert "it lasts 2 s" in page
    assert next((tmp_path / "out").rglob("*_desc-preproc_eeg.vhdr")).is_file()
    assert list((tmp_path / "out").rglob("*_relmat.tsv")) == []
