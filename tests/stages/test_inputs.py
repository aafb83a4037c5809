"""Which template an atlas is brought over by."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_ai.bids.index import Index
from bids_ai.config import Config, ParcellationConfig
from bids_ai.stages.context import Context
from bids_ai.stages.inputs import template_of

FETCHED = "tpl-MNI152NLin2009cAsym_res-01_desc-brain_T1w.nii.gz"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    index = Index(bids_dir=str(tmp_path), dataset_name="d", space="MNI152NLin2009aSym")
    config = Config(sloppy=True, parcellation=ParcellationConfig(atlas_dir=tmp_path / "fetched"))
    return Context(config, index, tmp_path / "out", tmp_path / "work", tmp_path / "run")


def test_the_template_of_the_run_where_the_space_is_its_own(context: Context) -> None:
    t1w = template_of(context, "MNI152NLin2009aSym")
    assert t1w is not None
    assert t1w.is_file()
    assert context.work_dir in t1w.parents


def test_a_fetched_template_is_taken_for_its_space(context: Context, tmp_path: Path) -> None:
    assert template_of(context, "MNI152NLin2009cAsym") is None
    place = tmp_path / "fetched" / "templates" / "MNI152NLin2009cAsym"
    place.mkdir(parents=True)
    (place / FETCHED).touch()
    assert template_of(context, "MNI152NLin2009cAsym") == place / FETCHED
    assert template_of(context, "MNI152NLin6Asym") is None
    # what the user names goes before
    context.config.parcellation.template = tmp_path / "own.nii.gz"
    assert template_of(context, "MNI152NLin2009cAsym") == tmp_path / "own.nii.gz"
