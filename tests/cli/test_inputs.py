"""Which inputs are listed before the first job: those that the stages asked for need, and nothing twice."""

import io
from dataclasses import replace

import pytest

from bids_ai.bids.index import Anatomy, AtlasEntry, Diffusion, Index, Recording, make_fits
from bids_ai.cli.inputs import needed, show_inputs
from bids_ai.config import Config
from bids_ai.stages.plan import STAGES

ANAT = "sub-01/anat/sub-01"
FIELD_MAP = "sub-01_dir-PA_epi.nii.gz"


def recording(kind: str, task: str, modality: str, **fields) -> Recording:
    item = f"sub-01/{kind}/sub-01_task-{task}"
    given = {"engine": "builtin", "tr": 2.0, "source": f"/data/{item}", "anat": ANAT} | fields
    return Recording(item, item, "sub-01", None, task, None, modality=modality, **given)


@pytest.fixture
def index() -> Index:
    recordings = [
        recording("func", "rest", "bold", unused=(FIELD_MAP, "sub-01_phasediff.nii.gz")),
        recording("eeg", "rest", "eeg", anat=None),
        recording("ieeg", "rest", "ieeg"),
        recording("ieeg", "spes", "ieeg", stimulated=True, resting=False),
    ]
    diffusion = Diffusion(
        "sub-01/dwi/sub-01", "sub-01", None, "builtin", "/data/sub-01_dwi.nii.gz", "b", "v", anat=ANAT,
        reverse=f"/data/sub-01/fmap/{FIELD_MAP}",
    )  # fmt: skip
    return Index(
        "/data", "d", "T", [Anatomy(ANAT, "sub-01", "/data/T1w.nii.gz")], recordings, [diffusion],
        make_fits(recordings, pool_runs=True), [AtlasEntry("atlas-A", "A")],
    )  # fmt: skip


def listed(index: Index, stages, config: Config | None = None) -> str:
    out = io.StringIO()
    show_inputs(needed(index, stages, config or Config()), out)
    return out.getvalue()


KINDS = {
    "T1w": "T1w  /data",
    "BOLD": "  BOLD  ",
    "DWI": "  DWI  ",
    "EEG": "  EEG  ",
    "iEEG": "  iEEG  ",
    "SPES": "  iEEG with stimulation  ",
}


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        (STAGES, set(KINDS)),
        (["anat"], {"T1w"}),
        (["dwi"], {"T1w", "DWI"}),
        (["func"], {"T1w", "BOLD"}),
        (["eeg"], {"EEG"}),
        (["ieeg"], {"iEEG", "SPES", "T1w"}),
        (["ccep"], {"SPES", "T1w"}),
        (["timeseries"], {"T1w", "BOLD", "EEG", "iEEG"}),
        (["fc"], {"T1w", "BOLD", "EEG", "iEEG"}),
        (["ec"], {"T1w", "BOLD", "EEG", "iEEG", "DWI"}),
        (["prediction"], {"T1w", "BOLD", "iEEG", "SPES", "DWI"}),
        (["eeg", "ccep"], {"EEG", "SPES", "T1w"}),
    ],
)
def test_only_what_the_stages_need_is_listed(index, stages, expected):
    text = listed(index, stages)
    assert {kind for kind, words in KINDS.items() if words in text} == expected


def test_no_structure_is_needed_where_models_are_made_without(index):
    config = Config()
    config.surrogate.structural = "none"
    assert "DWI" not in listed(index, ["ec", "prediction"], config)
    assert "DWI" in listed(index, ["ec", "prediction"])


def test_contacts_with_regions_by_name_need_no_t1w(index):
    named = [replace(entry, named_in=("atlas-A",)) for entry in index.recordings if entry.modality == "ieeg"]
    assert "T1w" not in listed(replace(index, recordings=named, fits=[]), ["ccep"])
    lost = [replace(entry, located=False) for entry in index.recordings if entry.stimulated]
    text = listed(replace(index, recordings=lost, fits=[]), ["ccep", "prediction"])
    assert "iEEG with stimulation" in text  # responses of channels want no place
    assert "BOLD" not in text
    assert "T1w" not in text
    assert "DWI" not in text
    nowhere = [replace(entry, positioned=False) for entry in lost]
    assert listed(replace(index, recordings=nowhere, fits=[]), ["prediction"]) == ""


def test_series_of_another_tool_need_no_t1w(index):
    ready = [replace(index.recordings[0], engine="timeseries", atlas="atlas-S", unused=())]
    told = replace(index, recordings=ready, atlases=[AtlasEntry("atlas-S", "S", "series")], diffusions=[])
    assert listed(told, ["ec"]).startswith("sub-01  series (atlas-S)")
    assert listed(told, ["func"]) == ""


def test_a_file_that_something_is_made_from_is_not_listed_as_unused(index):
    text = listed(index, STAGES)
    assert f"reverse-encoded  /data/sub-01/fmap/{FIELD_MAP}" in text
    assert f"not used: {FIELD_MAP}" not in text
    assert "not used: sub-01_phasediff.nii.gz" in text
    # Without the DWI it serves nothing.
    assert f"not used: {FIELD_MAP}" in listed(index, ["func"])
