"""Structural connectivity of a group for a subject without DWI."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from bids_ai.bids.files import read_json
from bids_ai.bids.tables import read_table, write_relmat, write_timeseries
from bids_ai.stages import atlas, surrogate, surrogate_fit
from bids_ai.stages.context import Context
from tests.conftest import subject_files

N = 20
MODEL = "sc-ridge"


def coupled(n_times: int, edges: np.ndarray, seed: int) -> np.ndarray:
    """Series of a stable VAR(1) in which only the edges of a matrix conduct, (n_times, n)."""
    rng = np.random.default_rng(seed)
    coupling = 0.3 * np.eye(len(edges)) + 0.5 * edges / max(np.abs(np.linalg.eigvals(edges)))
    series = np.zeros((n_times + 50, len(edges)))
    for time in range(1, len(series)):
        series[time] = series[time - 1] @ coupling + rng.normal(size=len(edges))
    return series[50:]


@pytest.fixture
def edges() -> np.ndarray:
    """One pair in ten, symmetric."""
    upper = np.triu(np.random.default_rng(3).random((N, N)) < 0.1, 1)
    return (upper | upper.T).astype(float)


@pytest.fixture
def prepared(make_dataset, run_cli, tmp_path: Path, shared_work: Path, edges) -> Callable[..., Context]:
    """A subject with T1w and BOLD whose region series are there, indexed with settings."""

    def prepare(**settings: object) -> Context:
        data, out = make_dataset(subject_files(frames=150)), tmp_path / "out"
        file = tmp_path / "settings.yaml"
        file.write_text(yaml.safe_dump({"surrogate": {"model": MODEL, "order_max": 1}} | settings))
        call = ["index", data, out, "-w", shared_work, "--config-file", file, "--atlases", f"EqualVolume:{N}"]
        answer = run_cli(*call, "--skip-bids-validation", "--device", "cpu")
        assert answer.code == 0, answer.text
        [config] = re.findall(r"^Configuration: (.*)$", answer.out, re.MULTILINE)
        context = Context.load(Path(config))
        label = context.index.atlases[0].label
        atlas.run(context, label)
        names = [str(name) for name in read_table(context.names.path("atlas_table", atlas=label))["name"]]
        [fit] = context.index.fits
        path = context.names.path("timeseries", series=fit.series, atlas=label)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_timeseries(path, coupled(150, edges, 1), names, {"SamplingFrequency": 0.5})
        return context

    return prepare


@pytest.fixture
def group(prepared, edges, tmp_path: Path) -> Path:
    """The matrix of the group, with the names of the atlas."""
    context = prepared()
    nodes = read_table(context.names.path("atlas_table", atlas=context.index.atlases[0].label))
    path = tmp_path / "group" / "sc_relmat.tsv"
    path.parent.mkdir()
    write_relmat(
        path, edges, [str(name) for name in nodes["name"]], {"RelationshipMeasure": "count", "Directed": False}
    )
    return path


def fitted(context: Context) -> dict:
    """Fit, publish, and give what is said of it."""
    label, [fit] = context.index.atlases[0].label, context.index.fits
    batch = context.batch_of(label, fit.series, fit.pool)
    surrogate_fit.run(context, label, context.model, batch)
    surrogate.run(context, fit.series, label, context.model)
    path = context.names.path("surrogate", series=fit.series, atlas=label, model=context.model, pool="")
    return read_json(path)


def test_the_matrix_of_the_group_is_used_and_said(prepared, group):
    description = fitted(prepared(structural_connectivity={"group": str(group)}))
    assert description["Status"] == "fitted"
    assert description["StructuralConnectivity"] == "of the group"
    assert group.name in description["Sources"]


def test_without_it_a_model_that_needs_one_says_so(prepared):
    description = fitted(prepared())
    assert (description["Status"], description["StructuralConnectivity"]) == ("failed", "none")
    assert "structural connectivity" in description["Reason"]


def test_a_matrix_of_other_regions_is_refused(prepared, group):
    group.write_text(group.read_text().replace("node\t", "node\tother_", 1))
    description = fitted(prepared(structural_connectivity={"group": str(group)}))
    assert description["Status"] == "failed"
    assert group.name in description["Reason"]
