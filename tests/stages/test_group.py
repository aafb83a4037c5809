"""The group level on small derivatives: what is found, what is said instead, and that nothing breaks it."""

import re

import numpy as np
import pytest

from bids_ai.bids.files import read_json
from bids_ai.bids.names import Names, sidecar
from bids_ai.bids.tables import read_relmat, read_table, write_relmat
from bids_ai.group.variables import plan_contrast
from bids_ai.report.assemble import assemble_index, assemble_subject
from bids_ai.report.methods import methods_text
from bids_ai.stages.group import run_group
from bids_ai.stages.group_inputs import subjects_of
from bids_ai.stages.group_tables import GroupRun
from tests.stages.group_world import ATLAS, REGIONS, SHA, World

COHORT = "func/task-rest_space-MNI_"
EC = "model-auto_stat-effectiveconnectivity"
FC = "stat-pearsoncorrelation"
OFF = ~np.eye(6, dtype=bool)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def level(world, tmp_path, monkeypatch):
    """Run the group level; figures are drawn only where a test looks at them, since they take most of the time."""

    def run(figures=False, **settings):
        if not figures:
            monkeypatch.setattr("bids_ai.stages.group._State.draw", lambda *_: ([], []))
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        subjects = tuple(settings.pop("subjects", subjects_of(world.out)))
        return run_group(GroupRun(world.out, subjects, scratch, **settings), "the command")

    return run


def table(world, key, **holes):
    return read_table(Names(world.out, "").path(key, cohort=COHORT, atlas=ATLAS, **holes))


def matrix(world, part, measure=EC, cohort=COHORT):
    path = Names(world.out, "").path("group_matrix", cohort=cohort, atlas=ATLAS, measure=measure, part=part)
    values, names = read_relmat(path)
    assert names == REGIONS
    return values


def number(world, measure, quantity, scope="whole"):
    rows = table(world, "group_numbers")
    [row] = rows[(rows["measure"] == measure) & (rows["quantity"] == quantity) & (rows["scope"] == scope)].to_dict(
        "records"
    )
    return row


def noise(seed, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal((6, 6))


def symmetric(values):
    return (values + values.T) / 2


# ---- means


def test_a_subject_counts_once_by_its_pooled_fit_or_its_mean(world, level):
    world.ec("01", noise(1), session="1")
    world.ec("01", noise(2), session="2")
    world.ec("01", noise(3), pooled=True)
    world.ec("02", noise(4), run="1")
    world.ec("02", noise(5), run="2")
    world.ec("03", noise(6))
    outcome = level()
    assert (outcome.warnings, outcome.faults) == ([], [])
    stack = np.stack([noise(3), (noise(4) + noise(5)) / 2, noise(6)])
    np.testing.assert_allclose(matrix(world, "mean")[OFF], stack.mean(0)[OFF], rtol=1e-7)
    np.testing.assert_allclose(matrix(world, "sd")[OFF], stack.std(0, ddof=1)[OFF], rtol=1e-7)
    assert (matrix(world, "count")[OFF] == 3).all()
    assert np.isnan(np.diag(matrix(world, "mean"))).all()
    rows = table(world, "group_subjects")
    assert list(rows["source"]) == ["pooled fit", "mean over recordings", "one recording"]
    assert list(rows["recordings"]) == [2, 2, 1]
    path = Names(world.out, "").path("group_matrix", cohort=COHORT, atlas=ATLAS, measure=EC, part="mean")
    meta = read_json(sidecar(path))
    assert meta["Subjects"] == ["sub-01", "sub-02", "sub-03"]
    assert len(meta["Sources"]) == 4
    assert (meta["RowRole"], meta["ColumnRole"]) == ("source", "target")


def test_nothing_is_said_of_what_did_not_happen(world, level):
    for label in ("01", "02", "03"):
        world.ec(label, noise(int(label)))
    page = level().page.read_text()
    for words in ("Subjects left out", "calls unreliable", "Beyond 3<", "Subjects concerned", "0 subjects, 0 rows"):
        assert words not in page
    assert "There is no report yet." in page
    world.fc("01", np.tanh(symmetric(noise(1))))
    world.fc("02", np.tanh(symmetric(noise(2))))
    page = level().page.read_text()
    # One subject has no FC: the count stands there for both kinds.
    assert re.search(r"Subjects left out</t[hd]>\s*<td[^>]*>0</td>\s*<td[^>]*>1</td>", page)


def test_a_pooled_fit_that_failed_leaves_the_mean_over_recordings(world, level):
    world.ec("01", noise(1), session="1")
    world.ec("01", None, pooled=True)
    world.ec("02", noise(2))
    level()
    np.testing.assert_allclose(matrix(world, "mean")[OFF], (noise(1) + noise(2))[OFF] / 2, rtol=1e-7)
    rows = table(world, "group_subjects")
    assert rows["reason"][0] == "fit over all runs: not fitted: too short"
    assert rows["used"][0] == 1


def test_correlations_are_averaged_as_fisher_z_and_weights_over_their_mean(world, level):
    first, second = np.tanh(symmetric(noise(1))), np.tanh(symmetric(noise(2)))
    weights = np.abs(symmetric(noise(3)))
    world.fc("01", first)
    world.fc("02", second)
    world.sc("01", weights)
    world.sc("02", 1000 * weights)
    level()
    expected = np.tanh((np.arctanh(first) + np.arctanh(second)) / 2)
    np.testing.assert_allclose(matrix(world, "mean", FC)[OFF], expected[OFF], rtol=1e-6)
    mean = matrix(world, "mean", "stat-sift2sum", "dwi/")
    np.testing.assert_allclose(mean[OFF], (weights / weights[OFF].mean())[OFF], rtol=1e-7)
    np.testing.assert_allclose(matrix(world, "sd", "stat-sift2sum", "dwi/")[OFF], 0, atol=1e-7)


def test_atlases_are_worked_on_apart(world, level):
    world.atlas("atlas-Two", ["A", "B", "C"])
    for subject in ("01", "02"):
        world.ec(subject, noise(1))
    for subject in ("02", "03"):
        world.ec(subject, np.ones((3, 3)), names=["A", "B", "C"], atlas="atlas-Two")
    outcome = level()
    assert outcome.faults == []
    rows = read_table(Names(world.out, "").path("group_subjects", cohort=COHORT, atlas="atlas-Two"))
    assert list(rows["used"]) == [0, 1, 1]
    assert rows["reason"][0] == "no such matrix"
    page = outcome.page.read_text()
    assert "BOLD, rest, Six" in page
    assert "BOLD, rest, Two" in page


# ---- what cannot be used


def test_what_is_wrong_with_a_subject_is_said_and_the_others_go_on(world, level):
    world.ec("01", noise(1))
    world.ec("02", noise(2))
    world.ec("03", None)
    world.ec("04", noise(4), names=["A", "B", "C", "D", "E", "F"])
    world.ec("05", noise(5), names=REGIONS[::-1])
    world.ec("06", np.full((6, 6), np.nan))
    world.ec("07", noise(7), Atlas={"SHA256": "b" * 64})
    world.ec("08", noise(8)).write_text("node\tA\nB\tnot a number\n")
    world.ec("09", noise(9), MeasureUnits="neural units of the target per neural unit of the source")
    (world.out / "sub-10").mkdir()
    outcome = level()
    rows = table(world, "group_subjects").set_index("subject")
    assert list(rows["used"]) == [1, 1] + [0] * 8
    reasons = rows["reason"]
    assert reasons["sub-03"] == "not fitted: too short"
    assert "region names differ" in reasons["sub-04"]
    assert "another order" in reasons["sub-05"]
    assert reasons["sub-06"] == "no edge has a value"
    assert reasons["sub-07"] == f"made with another atlas of the name {ATLAS}"
    assert "Rows and columns" in reasons["sub-08"]
    assert reasons["sub-09"].startswith("in neural units")
    assert reasons["sub-10"] == "no such matrix"
    assert [fault.split(",")[0] for fault in outcome.faults] == ["sub-04", "sub-05", "sub-07", "sub-08"]
    np.testing.assert_allclose(matrix(world, "mean")[OFF], (noise(1) + noise(2))[OFF] / 2, rtol=1e-7)
    page = outcome.page.read_text()
    assert "made with another atlas" in page


def test_other_spellings_of_the_same_names_are_the_same_regions(world, level):
    world.ec("01", noise(1))
    world.ec("02", noise(2), names=[f"7Networks_{name}" for name in REGIONS])
    level()
    assert (matrix(world, "count")[OFF] == 2).all()


def test_one_subject_is_no_group_and_gets_reasons_instead_of_numbers(world, level):
    world.ec("01", noise(1), session="1")
    world.ec("01", noise(2), session="2")
    outcome = level()
    assert not list((world.out / "group").rglob("*relmat*"))
    for quantity, words in {
        "mean": "1 subject with such a matrix",
        "similarity_mean": "one subject; two are needed at least",
        "session_icc_median": "1 subject with several sessions; 2 are needed at least",
        "self_symmetry": "1 subjects with EC; 2 are needed",
    }.items():
        row = number(world, EC, quantity)
        assert np.isnan(row["value"])
        assert row["reason"] == words
    assert any("no group to look at" in warning for warning in outcome.warnings)
    assert outcome.page.is_file()


def test_nothing_but_missing_values_crashes_nothing(world, level):
    for subject in ("01", "02", "03"):
        world.ec(subject, np.full((6, 6), np.nan))
        world.fc(subject, np.full((6, 6), np.nan))
    outcome = level()
    assert not list((world.out / "group").rglob("*relmat*"))
    assert list(table(world, "group_subjects")["used"]) == [0] * 6
    assert outcome.faults == []


def test_no_derivatives_at_all(world, level):
    outcome = level()
    assert any("no group to look at" in warning for warning in outcome.warnings)


def test_matrices_without_a_node_table_are_named(world, level):
    world.ec("01", noise(1))
    world.ec("02", noise(2))
    (world.out / f"{ATLAS}_dseg.tsv").unlink()
    outcome = level()
    assert f"{ATLAS}: its matrices are not used" in outcome.faults[0]


def test_a_consensus_that_is_refused_does_not_stop_the_rest(world, level):
    for subject in ("01", "02", "03"):
        world.sc(subject, np.abs(symmetric(noise(int(subject)))))
    path = world.sc("04", np.ones((6, 6)))
    write_relmat(path, np.ones((6, 6)), list("ABCDEF"), {"RelationshipMeasure": "SC", "Directed": False})
    outcome = level()
    assert any(fault.startswith("Structural consensus: not made.") for fault in outcome.faults)
    assert (matrix(world, "count", "stat-sift2sum", "dwi/")[OFF] == 3).all()


def test_a_region_that_subjects_lack_has_fewer_of_them(world, level):
    for subject in range(1, 5):
        values = noise(subject)
        if subject == 1:
            values[2] = values[:, 2] = np.nan
        world.ec(f"{subject:02d}", values)
    level()
    count = matrix(world, "count")
    assert (count[2, [0, 1, 3, 4, 5]] == 3).all()
    assert count[0, 1] == 4
    assert np.isfinite(matrix(world, "mean")[OFF]).all()


# ---- similarity, reliability, comparison


def test_similarity_whole_and_within_networks(world, level):
    for subject in range(1, 7):
        world.ec(f"{subject:02d}", world.common + (5 if subject == 6 else 0.3) * noise(subject))
    level()
    similarity = read_table(
        Names(world.out, "").path("group_similarity", cohort=COHORT, atlas=ATLAS, measure=EC)
    ).set_index("subject")
    first, second = (world.common + 0.3 * noise(s) for s in (1, 2))
    assert similarity.loc["sub-01", "sub-02"] == pytest.approx(np.corrcoef(first[OFF], second[OFF])[0, 1], abs=1e-5)
    # Two regions of a network make two edges: no correlation over them.
    assert "fewer than 3 edges" in number(world, EC, "similarity_mean", "Vis")["reason"]
    rows = table(world, "group_subjects").set_index("subject")
    assert rows.loc["sub-06", "outlier"] == 1
    assert rows.loc["sub-01", "outlier"] == 0


def test_reliability_across_sessions_runs_and_halves(world, level):
    for subject in range(1, 6):
        own = world.common + noise(subject)
        for session in ("1", "2"):
            for run in ("1", "2"):
                seed = 100 * subject + 10 * int(session) + int(run)
                world.ec(f"{subject:02d}", own + noise(seed, 0.2), session=session, run=run)
    level()
    for level_name in ("session", "run"):
        assert number(world, EC, f"{level_name}_identification_rate")["value"] == 1
        assert number(world, EC, f"{level_name}_icc_median")["value"] > 0.8
        assert number(world, EC, f"{level_name}_identification_chance")["value"] == pytest.approx(0.2)
        assert np.nanmedian(matrix(world, f"{level_name}Icc")) > 0.8
    assert number(world, EC, "split_half_r")["n_subjects"] == 5
    assert number(world, EC, "split_half_r")["value"] > 0.9


def test_one_recording_of_each_subject_is_said_to_have_no_reliability(world, level):
    for subject in range(1, 4):
        world.ec(f"{subject:02d}", noise(subject))
    level()
    reason = number(world, EC, "session_icc_median")["reason"]
    assert reason == "no subject has several sessions: there is nothing to compare a recording with"
    assert "one recording of each subject" in number(world, EC, "split_half_r")["reason"]


def test_kinds_of_connectivity_are_compared(world, level):
    weights = np.exp(symmetric(noise(1)))
    weights[0, 1] = weights[1, 0] = 0
    for subject in range(1, 4):
        world.ec(f"{subject:02d}", weights)
        world.fc(f"{subject:02d}", np.tanh(-weights))
        world.sc(f"{subject:02d}", weights)
    level()
    assert number(world, EC, "self_symmetry")["value"] == pytest.approx(1)
    assert number(world, EC, "spearman_ec_fc")["value"] == pytest.approx(-1)
    assert number(world, EC, "spearman_ec_sc")["value"] == pytest.approx(1)
    assert number(world, EC, "spearman_ec_sc_connected")["n_edges"] == 28


# ---- contrast


def planned(world, contrast, *covariates):
    from bids_ai.bids.participants import read_participants

    participants = read_participants(world.dataset / "participants.tsv")
    return plan_contrast(participants, contrast, covariates, subjects_of(world.out))


def test_a_contrast_finds_the_edge_that_differs(world, level):
    # 30 edges: q < .05 wants p < .0017, and the permutations of fewer subjects do not reach it.
    labels = [f"{subject:02d}" for subject in range(1, 17)]
    for subject, label in enumerate(labels, 1):
        values = noise(subject, 0.1)
        values[0, 4] += subject > 8
        world.ec(label, values)
    world.participants(
        participant_id=[f"sub-{label}" for label in labels],
        group=["b"] * 8 + ["a"] * 8,
        age=[20 + (7 * subject) % 11 for subject in range(15)] + [None],
    )
    plan = planned(world, "group", "age")
    outcome = level(contrast=plan, n_permutations=999)
    edges = table(world, "group_edges", measure=EC, part="group")
    assert (edges["source"][0], edges["target"][0]) == (REGIONS[0], REGIONS[4])
    assert edges["q"][0] < 0.05
    assert edges["effect"][0] == pytest.approx(-1, abs=0.3)  # b minus a
    assert matrix(world, "groupQ")[0, 4] < 0.05
    assert (matrix(world, "groupQ")[OFF] < 0.05).sum() == 1
    path = Names(world.out, "").path("group_edges", cohort=COHORT, atlas=ATLAS, measure=EC, part="group")
    meta = read_json(sidecar(path))
    assert (meta["Effect"], meta["Groups"]) == ("b minus a", {"a": 7, "b": 8})
    assert meta["Covariates"] == ["age"]
    assert "sub-16" not in meta["Subjects"]
    rows = table(world, "group_subjects").set_index("subject")
    assert rows.loc["sub-16", "reason"] == "not in the contrast: no value of age in participants.tsv"
    assert "Contrast of group: EC" in outcome.page.read_text()


@pytest.mark.parametrize(("size", "orders", "smallest"), [(3, 20, 0.1), (4, 70, 2 / 70)])
def test_few_subjects_have_a_smallest_p_and_the_page_says_so(world, level, size, orders, smallest):
    labels = [f"{subject:02d}" for subject in range(1, 2 * size + 1)]
    for subject, label in enumerate(labels):
        values = noise(subject, 0.1)
        values[0, 4] += 50 * (subject >= size)
        world.ec(label, values)
    world.participants(participant_id=labels, group=["a"] * size + ["b"] * size)
    outcome = level(contrast=planned(world, "group"))
    edges = table(world, "group_edges", measure=EC, part="group")
    assert edges["p"].min() == pytest.approx(smallest)
    path = Names(world.out, "").path("group_edges", cohort=COHORT, atlas=ATLAS, measure=EC, part="group")
    meta = read_json(sidecar(path))
    assert (meta["Permutations"], meta["AllPermutations"], meta["TestedEdges"]) == (orders, True, 30)
    assert meta["SmallestP"] == pytest.approx(smallest)
    page = outcome.page.read_text()
    assert f"All {orders} orders of the subjects that differ were tried" in page
    if size == 3:
        assert meta["AnyEdgeCanHaveQ"] is False
        assert meta["EdgesAtSmallestPForQ"] is None
        assert "no edge can have q or a familywise p below 0.05" in page
    else:
        # 30 edges at 2/70: with 17 of them or fewer q is .0504 or more.
        assert meta["AnyEdgeCanHaveQ"] is True
        assert meta["EdgesAtSmallestPForQ"] == 18
        assert "18 of 30 edges must have that p at once" in page


def test_a_contrast_that_failed_fits_leave_without_a_group_is_a_reason(world, level):
    for label in ("01", "02", "03", "04", "05"):
        world.ec(label, None if label in ("04", "05") else noise(int(label)))
        world.fc(label, np.tanh(symmetric(noise(int(label)))))
    world.participants(participant_id=["01", "02", "03", "04", "05"], group=list("aaabb"))
    page = level(contrast=planned(world, "group"), n_permutations=20).page.read_text()
    assert "all subjects have the same value" in number(world, EC, "contrast_group_edges_below_q")["reason"]
    assert number(world, FC, "contrast_group_edges_below_q")["n_subjects"] == 5
    assert "contrast group edges below q: The contrast cannot be estimated: all subjects have the same value.<" in page


def test_an_earlier_run_leaves_nothing_but_contrasts_of_other_columns(world, level):
    for label in ("01", "02", "03", "04"):
        world.ec(label, noise(int(label)))
    world.participants(participant_id=["01", "02", "03", "04"], group=list("aabb"), score=[1, 2, 3, 5])
    level(contrast=planned(world, "group"), n_permutations=20)
    level(contrast=planned(world, "score"), n_permutations=20)
    assert np.isfinite(matrix(world, "groupT")[OFF]).all()
    assert np.isfinite(matrix(world, "scoreT")[OFF]).all()
    level(subjects=["sub-01"])
    assert not list((world.out / "group").rglob("*desc-mean_*"))
    assert list((world.out / "group").rglob("*desc-groupT_*"))


# ---- quality and page


def write_page(world, label, value, status="done", kind="BOLD"):
    rows = [{"label": "FD", "value": value, "unit": "mm", "key": "fd"}, {"label": "Kind", "value": "x", "key": "kind"}]
    recordings = [
        {"name": f"sub-{label}_task-rest", "status": status, "kind": kind, "rows": rows if value is not None else []}
    ]
    assemble_subject(
        world.out,
        label,
        summary={"dataset": "D", "recordings": recordings},
        errors=[],
        methods=methods_text([]),
        version="1",
        command="c",
    )


def test_outliers_of_quality_are_named(world, level):
    for number_, value in enumerate([0.1, 0.11, 0.12, 0.1, 0.13, 0.9, None], 1):
        world.ec(f"{number_:02d}", noise(number_))
        write_page(world, f"{number_:02d}", value, "failed" if value is None else "done")
    world.ec("08", noise(8))
    level()
    rows = read_table(Names(world.out, "").path("group_quality")).set_index("subject")
    assert list(rows["outlier"])[:6] == [0, 0, 0, 0, 0, 1]
    assert rows.loc["sub-06", "robust_z"] > 3
    assert rows.loc["sub-07", "reason"] == "recording failed"
    assert "no report of the subject" in rows.loc["sub-08", "reason"]


def test_recordings_of_other_kinds_are_not_compared(world, level):
    for subject, value in enumerate([0.1, 0.11, 0.12, 0.1, 0.13, 200.0], 1):
        write_page(world, f"{subject:02d}", value, kind="EEG" if value > 100 else "BOLD")
    level(subjects=[f"sub-{subject:02d}" for subject in range(1, 7)])
    rows = read_table(Names(world.out, "").path("group_quality"))
    assert list(rows["outlier"].dropna()) == [0] * 5


def test_the_page_keeps_what_the_group_level_found_when_it_is_made_again(world, level):
    for label in ("01", "02"):
        world.ec(label, noise(int(label)))
        write_page(world, label, 0.1)
    page = level(figures=True).page
    first = page.read_text()
    assert 'href="#summary"' in first
    assert "Mean matrices" in first
    assert assemble_index(world.out, ["01", "02"]).read_text() == first


def test_every_figure_and_file_of_the_page_is_there(world, level):
    import re
    from urllib.parse import unquote

    for subject in range(1, 5):
        for session in ("1", "2"):
            world.ec(f"{subject:02d}", world.common + noise(10 * subject + int(session), 0.3), session=session)
        world.sc(f"{subject:02d}", np.abs(symmetric(noise(subject))))
    outcome = level(figures=True, seed_regions=("LH_Vis_1", "nowhere"))
    text = outcome.page.read_text()
    links = re.findall(r'(?:src|href)="(\./[^"#]+)', text)
    assert all((world.out / unquote(link)).is_file() for link in links)
    titles = set(re.findall(r"<h4>([^<]+)</h4>", text))
    assert {"Mean matrices", "Similarity of subjects", "Test-retest reliability", "Seed LH_Vis_1"} <= titles
    assert "names no region" in text
    assert not re.search(r'src="https?:', text)
    assert [path for path in outcome.files if not (path.is_file() and sidecar(path).is_file())] == []


def test_a_table_says_what_its_columns_are(world, level):
    for label in ("01", "02"):
        world.ec(label, noise(int(label)))
    level()
    for path in (world.out / "group").rglob("*_stats.tsv"):
        columns = list(read_table(path).columns)
        described = read_json(sidecar(path))
        if "similarity" not in path.name:
            assert [name for name in columns if "Description" not in described.get(name, {})] == [], path


def test_the_hash_of_an_atlas_is_compared_only_where_both_are_known(world, level):
    world.atlas(ATLAS, REGIONS, sha="")
    world.ec("01", noise(1), Atlas={"SHA256": SHA})
    world.ec("02", noise(2), Atlas=None)
    level()
    assert list(table(world, "group_subjects")["used"]) == [1, 1]


def test_the_validator_finds_no_error_in_what_the_group_left(world, level):
    import json
    import subprocess
    import sys
    from pathlib import Path

    program = Path(sys.executable).with_name("bids-validator-deno")
    if not program.is_file():
        pytest.skip("bids-validator-deno is not installed (pip install 'bids-ai[test]')")
    for label in ("01", "02", "03"):
        world.ec(label, noise(int(label)))
        world.sc(label, np.abs(symmetric(noise(int(label)))))
    (world.out / ".bidsignore").write_text("*.html\n")  # as an older version has left it
    level(figures=True)
    done = subprocess.run(
        [program, world.out, "--format", "json"], capture_output=True, text=True, timeout=120, check=False
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = [issue for issue in issues if issue["severity"] == "error"]
    assert [error["location"] for error in errors if "group" in str(error.get("location"))] == []
