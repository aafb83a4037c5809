"""The benchmark of effective connectivity: scores, cache, statistics, tables, and a small run from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.ec.__main__ import main
from benchmarks.ec.calibration import calibration_one, true_response
from benchmarks.ec.cases import Case, prepare_cases, structural_kinds, system_of
from benchmarks.ec.compare import compare_one
from benchmarks.ec.jobs import plan_jobs
from benchmarks.ec.markdown import number
from benchmarks.ec.methods import CLOSED, all_methods, chosen_methods
from benchmarks.ec.page_methods import best_baseline, margins
from benchmarks.ec.results import Results
from benchmarks.ec.scores import edge_auroc, score
from benchmarks.ec.settings import FULL, Plan, Setting, plans
from benchmarks.ec.statistics import bootstrap_mean, paired_difference, share_interval
from benchmarks.ec.tables import long_table, read_table, setting_rows
from bids_ai.effective.baselines.registry import BASELINES
from bids_ai.errors import InputError
from bids_ai.simulate.systems.registry import SYSTEMS, get_system
from bids_ai.surrogate.registry import FAMILIES

SETTING = Setting("linear-var", 200)
PLAN = Plan(SETTING, seeds=1)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return prepare_cases(PLAN, SETTING, [0], tmp_path_factory.mktemp("series"), None)[0]


# ---- results


def test_results_go_on_from_a_table(tmp_path):
    first, second = Results(tmp_path / "first"), Results(tmp_path / "second")
    for part, value in (("compare", 1 / 3), ("timing", 7.0)):
        first.get(part, "setting", "seed-000_a", lambda value=value: {"method": "a", "r": value, "lost": float("nan")})
    table = tmp_path / "results.tsv"
    assert first.write_table(table) == 1  # times are of one machine
    assert (second.read_table(table), second.read_table(table)) == (1, 0)
    [result] = second.all("compare")
    assert result["r"] == pytest.approx(1 / 3, rel=1e-5)
    assert np.isnan(result["lost"])
    assert second.get("compare", "setting", "seed-000_a", dict)["r"] == result["r"]


# ---- what is run


def test_every_family_baseline_and_system_of_the_registries_is_in_the_default_run() -> None:
    assert set(all_methods()) == {*BASELINES, *FAMILIES, "auto"}
    assert set(plans(False, None, None, 0)) == set(SYSTEMS)


def test_methods_tell_what_they_do_with_a_structural_connectivity() -> None:
    methods = all_methods()
    assert methods["structural"].conditions(["exact"]) == ["exact"]
    assert methods["sc-ridge"].conditions(["exact"]) == ["exact"]
    assert methods["state-space"].conditions(["exact"]) == ["none", "exact"]
    assert methods["ridge-var"].conditions(["exact"]) == ["none"]


def test_unknown_method_is_refused() -> None:
    with pytest.raises(InputError, match="ridge-vra"):
        chosen_methods(["ridge-vra"])


def test_trained_families_are_spared_long_recordings_unless_the_run_is_exhaustive() -> None:
    methods = chosen_methods(["mlp", "cnn", "ridge-var"])
    spared = plan_jobs({"jansen-rit": FULL["jansen-rit"]}, methods, exhaustive=False)
    named = plan_jobs({"jansen-rit": FULL["jansen-rit"]}, methods, exhaustive=True)

    def seeds(jobs: list, name: str) -> int:
        return sum(job.n_seeds for job in jobs for method in job.methods if method.name == name)

    assert seeds(spared, "cnn") == 0
    assert seeds(spared, "mlp") < seeds(spared, "ridge-var") == seeds(named, "mlp") == seeds(named, "cnn")
    assert all(method.cost == CLOSED for method in spared[0].methods)


def test_signed_networks_have_no_structural_connectivity() -> None:
    assert structural_kinds(Setting("linear-var", 10)) == ()
    assert structural_kinds(Setting("wilson-cowan", 10)) == ("exact", "symmetrised", "noisy")


# ---- recordings


def test_shorter_recording_is_the_beginning_of_a_longer_one(tmp_path: Path) -> None:
    plan = Plan(Setting("linear-var", 100), lengths=(60,), noises=(1.0,))
    long, short, noisy = (
        prepare_cases(plan, setting, [3], tmp_path, None)[0] for setting in [plan.base, *plan.variations()]
    )
    np.testing.assert_array_equal(short.series, long.series[:60])
    added = (noisy.series - long.series).std(axis=0) / long.series.std(axis=0)
    assert np.all((added > 0.7) & (added < 1.4))  # 100 frames: the SD of the noise is known to 7 %


def test_series_of_a_system_that_has_changed_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prepare_cases(PLAN, SETTING, [0], tmp_path, None)[0]
    denser = get_system("linear-var", 0, density=0.5)
    monkeypatch.setattr("benchmarks.ec.cases.get_system", lambda name, seed: denser)
    after = prepare_cases(PLAN, SETTING, [0], tmp_path, None)[0]
    assert not np.array_equal(before.series, after.series)
    assert np.nansum(after.truth != 0) > np.nansum(before.truth != 0)


def test_frames_that_follow_are_no_part_of_the_recording(tmp_path: Path) -> None:
    plan = Plan(Setting("linear-var", 50), dynamics=True)
    made = prepare_cases(plan, plan.base, [0], tmp_path, None)[0]
    whole = np.load(next(tmp_path.glob("*.npz")))["series"]
    assert made.following is not None
    np.testing.assert_array_equal(np.vstack([made.series, made.following]), whole)


# ---- scores


def test_auroc_counts_edges_above_absent_ones() -> None:
    edges = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    matrix = np.array([[9.0, -3, 1], [2, 9, 2], [0, 1, 9]])
    # Edges 3 and 2 (absolute) against absent 1, 2, 0, 1: 3 beats all four; 2 beats three and ties with one.
    assert edge_auroc(matrix, edges) == pytest.approx((4 + 3.5) / 8)


def test_auroc_of_a_full_network_is_undefined() -> None:
    assert np.isnan(edge_auroc(np.ones((3, 3)), np.ones((3, 3))))


def test_method_without_sign_is_compared_with_the_absolute_truth() -> None:
    truth = np.random.default_rng(0).standard_normal((6, 6))
    assert score(np.abs(truth), truth, None, signed=False)["r"] == pytest.approx(1)
    assert score(np.abs(truth), truth, None)["r"] < 0.9


def test_least_squares_recovers_the_linear_system(case: Case) -> None:
    row = compare_one(case, all_methods()["var-coefficient"], "none")
    assert row["r"] > 0.5
    assert row["antisymmetric_r"] > 0.5


def test_surrogate_row_says_what_was_returned(case: Case) -> None:
    row = compare_one(case, all_methods()["ridge-var"], "none")
    assert row["family"] == "ridge-var"
    assert row["heldout_r2"] == row["heldout_r2_linear"]
    assert row["process_s"] > 0


def test_method_that_cannot_be_applied_says_why(case: Case) -> None:
    row = compare_one(case, all_methods()["sc-ridge"], "none")
    assert "structural connectivity" in row["failed"]
    assert "r" not in row


def test_true_response_over_steps_is_that_of_the_powers_of_the_weights() -> None:
    system = system_of(Setting("linear-var", 10), 0)
    step = system.connectivity + 0.5 * np.eye(system.n_regions)  # own coefficient of the system
    expected = (step + step @ step) / 2
    off = ~np.eye(system.n_regions, dtype=bool)
    np.testing.assert_allclose(true_response(system, 2)[off], expected[off], atol=1e-9)


def test_calibration_counts_false_edges_among_those_found() -> None:
    system = system_of(Setting("linear-var", 1200), 5)
    row = calibration_one(system, 5, system.simulate(1200, [5])[0])
    assert 0.85 < row["coverage_1"] <= 1  # 380 edges: .95 with a standard error of .011
    assert 0 <= row["n_false"] < row["n_found"]
    assert row["power"] > 0.5


# ---- cache and tables


def test_result_is_made_once_and_missing_numbers_come_back(tmp_path: Path) -> None:
    results = Results(tmp_path)
    first = results.get("part", "group", "name", lambda: {"method": "a", "r": float("nan"), "s": 1.5})
    again = results.get("part", "group", "name", lambda: pytest.fail("made twice"))
    assert np.isnan(first["r"])
    assert np.isnan(again["r"])
    assert again["s"] == 1.5
    assert json.loads(results.path("part", "group", "name").read_text())["r"] is None


@pytest.mark.parametrize("name", ["a", "system of a"])
def test_redo_deletes_the_results_of_a_method_or_a_system_alone(tmp_path: Path, name: str) -> None:
    results = Results(tmp_path)
    for method in ("a", "b"):
        results.get("part", "group", method, lambda method=method: {"method": method, "system": f"system of {method}"})
    assert results.remove([name]) == 1
    assert [row["method"] for row in results.all("part")] == ["b"]


def _rows(method: str, kind: str, values: list[float], structural: str = "none") -> list[dict]:
    base = {"system": "wong-wang", "frames": 1440, "noise": 0.3, "gain": 1.0, "method": method, "kind": kind}
    return [
        {**base, "structural": structural, "seed": seed, "r": r, "antisymmetric_r": r} for seed, r in enumerate(values)
    ]


def test_tidy_table_has_a_row_per_score(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for row in _rows("pearson", "baseline", [0.5, float("nan")]):
        results.get("compare", "group", str(row["seed"]), lambda row=row: row)
    tidy = long_table(read_table(results))
    assert set(tidy["score"]) == {"r", "antisymmetric_r"}
    assert list(tidy["seed"]) == [0, 0]  # seed 1 has none


def test_rows_of_a_setting_are_those_of_the_seeds_that_the_baselines_have() -> None:
    table = pd.DataFrame([*_rows("pearson", "baseline", [0.1, 0.2]), *_rows("auto", "surrogate", [0.3, 0.4, 0.5])])
    assert set(setting_rows(table, Setting("wong-wang", 1440, 0.3))["seed"]) == {0, 1}


def test_best_baseline_with_structural_connectivity_may_be_one_that_needs_none() -> None:
    table = pd.DataFrame([*_rows("pearson", "baseline", [0.6]), *_rows("structural", "baseline", [0.4], "noisy")])
    assert best_baseline(table, "none") == "pearson"
    assert best_baseline(table, "noisy") == "pearson"
    table.loc[table["method"] == "structural", "r"] = 0.9
    assert best_baseline(table, "noisy") == "structural"


def test_margin_is_paired_over_seeds() -> None:
    rows = [*_rows("pearson", "baseline", [0.1, 0.5, 0.9]), *_rows("auto", "surrogate", [0.2, 0.6, 1.0])]
    assert ".10 (.10 to .10)" in margins(pd.DataFrame(rows))


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        mean = bootstrap_mean(rng.standard_normal(30))
        inside += mean.lower <= 0 <= mean.upper
    assert 0.88 <= inside / 200 <= 0.99  # .935 for the percentile interval of 30; standard error .017


def test_paired_difference_uses_common_seeds_only() -> None:
    table = pd.DataFrame([*_rows("a", "surrogate", [0.5, 0.7]), *_rows("b", "baseline", [0.4, 0.5, -9.0])])
    gain = paired_difference(table, table["method"] == "a", table["method"] == "b", "r")
    assert gain.value == pytest.approx(0.15)
    assert gain.n == 2


def test_share_interval_is_that_of_wilson() -> None:
    # 10 of 10: 1 / (1 + z^2 / n) to 1.
    low, high = share_interval(10, 10)
    assert low == pytest.approx(1 / (1 + 1.959964**2 / 10))
    assert high == pytest.approx(1)


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, ".50"), (-0.123, "-.12"), (-0.001, ".00"), (1.0, "1.00"), (10.55, "10.55"), (np.nan, "")]
)
def test_numbers_are_written_as_in_the_other_pages(value: float, text: str) -> None:
    assert number(value) == text


def test_small_run_writes_tables_page_and_figures_and_goes_on(tmp_path: Path) -> None:
    command = [str(tmp_path), "--quick", "--systems", "linear-var", "--parts", "compare"]
    command += ["--methods", "pearson", "var-coefficient", "ridge-var"]
    main([*command, "--seeds", "1"])
    first = {path: path.stat().st_mtime_ns for path in tmp_path.glob("results/*/*/*.json")}
    main(command)
    table = pd.read_csv(tmp_path / "results.tsv", sep="\t", na_values="n/a")
    assert table.groupby(["frames", "seed", "method"]).size().max() == 1
    assert set(table["method"]) == {"pearson", "var-coefficient", "ridge-var"}
    assert all(path.stat().st_mtime_ns == time for path, time in first.items())
    assert len(table) > len(first)
    page = (tmp_path / "benchmark_ec.md").read_text()
    assert "| `ridge-var` | 2 |" in page
    assert "$" not in page
    for name in ("overview", "lengths"):
        assert (tmp_path / "figures" / f"benchmark_ec_{name}.svg").stat().st_size > 1000
