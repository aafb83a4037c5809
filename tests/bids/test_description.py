import fnmatch
import json

import pytest

from bids_ai import __version__
from bids_ai.bids.description import BIDSIGNORE, bids_uri, write_root
from bids_ai.bids.names import PATTERNS

OUTSIDE_BIDS = (
    *("tractography", "dwimap", "dwiref", "xfm", "boldref", "timeseries", "relmat", "surrogate", "stats"),
    *("stimsites", "features", "ave", "ccep", "scores"),
)


def test_root_files(tmp_path, monkeypatch):
    monkeypatch.delenv("BIDS_AI_IMAGE", raising=False)
    raw = tmp_path / "Daten é {x}"
    name = '<b>"Täst" & {co}</b>'
    write_root(tmp_path / "out", dataset_name=name, links={"raw": str(raw), "fmriprep": "/prep"})
    description = json.loads((tmp_path / "out/dataset_description.json").read_text(encoding="utf-8"))
    assert description["Name"] == f"bids_ai derivatives of {name}"
    assert description["DatasetType"] == "derivative"
    [tool] = description["GeneratedBy"]
    assert (tool["Name"], tool["Version"]) == ("bids_ai", __version__)
    assert "Container" not in tool
    assert description["DatasetLinks"] == {"raw": raw.as_uri(), "fmriprep": "file:///prep"}
    assert description["SourceDatasets"] == [{"URL": raw.as_uri()}, {"URL": "file:///prep"}]
    assert name in (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert (tmp_path / "out/descriptions.tsv").read_text().splitlines()[0] == "desc_id\tdescription"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".bidsignore",
        "README.md",
        "dataset_description.json",
        "descriptions.tsv",
    ]


def test_the_image_is_named_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("BIDS_AI_IMAGE", "registry/bids_ai:1")
    write_root(tmp_path, dataset_name="x", links={})
    [tool] = json.loads((tmp_path / "dataset_description.json").read_text())["GeneratedBy"]
    assert tool["Container"] == {"Type": "docker", "Tag": "registry/bids_ai:1"}


@pytest.mark.parametrize("pattern", PATTERNS.values())
def test_what_bids_does_not_know_is_ignored(pattern):
    """The validator reads .bidsignore as git does: a pattern without a slash fits the last part of a path."""
    name = pattern.replace("{pool}", "").rpartition("/")[2]
    suffix = name.rpartition("_")[2].partition(".")[0]
    ignored = any(fnmatch.fnmatch(name, entry) for entry in BIDSIGNORE)
    gradients = name.endswith((".bval", ".bvec"))  # without a sidecar of their own
    assert ignored == (suffix in OUTSIDE_BIDS or gradients)
    if ignored and not gradients:  # and so is what lies beside it
        assert any(fnmatch.fnmatch(name.partition(".")[0] + ".json", entry) for entry in BIDSIGNORE)


def test_figures_are_ignored_without_a_slash():
    """With one, the validator still complains of the folder."""
    assert len(set(BIDSIGNORE)) == len(BIDSIGNORE)
    assert "figures" in BIDSIGNORE
    assert "figures/" not in BIDSIGNORE


def test_uris_say_where_a_file_came_from(tmp_path):
    links = {"raw": "/data/raw", "fmriprep": "/data/prep"}
    assert bids_uri("/data/raw/sub-01/anat/a.nii", links, tmp_path) == "bids:raw:sub-01/anat/a.nii"
    assert bids_uri("/data/prep/sub-01/b.nii", links, tmp_path) == "bids:fmriprep:sub-01/b.nii"
    assert bids_uri(tmp_path / "sub-01/c.tsv", links, tmp_path) == "bids::sub-01/c.tsv"
    assert bids_uri("/elsewhere/d.nii", links, tmp_path) == "d.nii"


def test_outputs_within_the_dataset_are_our_own():
    """derivatives/bids_ai lies in the raw dataset: the innermost folder counts."""
    links = {"raw": "/data", "fmriprep": "/data/derivatives/fmriprep"}
    out = "/data/derivatives/bids_ai"
    assert bids_uri(f"{out}/sub-01/x.tsv", links, out) == "bids::sub-01/x.tsv"
    assert bids_uri("/data/sub-01/x.nii", links, out) == "bids:raw:sub-01/x.nii"
    assert bids_uri("/data/derivatives/fmriprep/sub-01/x.nii", links, out) == "bids:fmriprep:sub-01/x.nii"
