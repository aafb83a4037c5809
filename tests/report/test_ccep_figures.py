"""Figures of the responses to single pulses draw what they are given, and say it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_ai.errors import InputError
from bids_ai.report.figures import ccep, ccep_matrices

SITES = ["A1-A2", "A2-A3", "B1-B2"]
CHANNELS = ["A1", "B1", "A2", "B2", "C1"]
GROUPS = ["A", "B", "A", "B", "C"]


def words(path: Path) -> str:
    root = ET.parse(path).getroot()
    return " ".join("".join(element.itertext()) for element in root.iter() if element.tag.endswith("text"))


@pytest.fixture
def waves() -> tuple[np.ndarray, np.ndarray]:
    """Means of three sites in five contacts, V, with a peak of 100 uV at 30 ms, and their times, s."""
    times = np.arange(-0.1, 0.5, 0.002)
    peak = 1e-4 * np.exp(-0.5 * ((times - 0.03) / 0.008) ** 2)
    return np.broadcast_to(peak, (3, 5, len(times))).copy(), times


def test_responses_say_what_responds_and_what_is_judged(waves: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    means, times = waves
    responder = np.zeros((3, 5), bool)
    responder[0, :3] = True
    excluded = np.zeros((3, 5), bool)
    excluded[0, 0] = True  # a responder that is too near is none
    means[0, 4] = np.nan
    path = ccep.plot_responses(
        means, times, SITES, CHANNELS, tmp_path / "r.svg",
        responder=responder, excluded=excluded, n_pulses=[10, 9, 8], radius_mm=13,
    )  # fmt: skip
    text = words(path)
    for expected in ("A1-A2", "2 of 3, 10 pulses", "0 of 5, 9 pulses", "All 3 sites", "within 13 mm", "(µV)", "(ms)"):
        assert expected in text


def test_the_sites_with_most_responders_are_drawn_in_their_order(
    waves: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    means, times = waves
    responder = np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]], bool)
    path = ccep.plot_responses(means, times, SITES, CHANNELS, tmp_path / "r.svg", responder=responder, max_sites=2)
    text = words(path)
    assert "2 of 3 sites, those with most responders" in text
    assert "A2-A3" not in text
    assert text.index("A1-A2") < text.index("B1-B2")


def test_scale_of_responses_is_that_of_the_judged_after_the_artefact() -> None:
    times = np.array([-10.0, 5.0, 20.0, 30.0])
    waves = np.zeros((1, 3, 4))
    waves[0, :, 1] = 5000  # artefact
    waves[0, 0, 2], waves[0, 1, 2] = 100, -40
    waves[0, 2, 2] = 4000  # near the site
    responds, left_out = np.array([[True, False, False]]), np.array([[False, False, True]])
    assert ccep._limit(waves, times, responds, left_out, 9.0) == pytest.approx(115)
    assert ccep._limit(waves, times, responds & False, left_out, 9.0) < 115
    assert ccep._limit(waves * np.nan, times, responds, left_out, 9.0) == 1.0


def test_many_lines_are_one_small_picture(waves: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    _, times = waves
    many = np.random.default_rng(0).normal(0, 1e-5, (2, 80, len(times)))
    names = [f"C{k}" for k in range(80)]
    path = ccep.plot_responses(many, times, SITES[:2], names, tmp_path / "r.svg", responder=np.ones((2, 80), bool))
    assert path.read_text().count("<image") == 2
    assert path.stat().st_size < 250_000


def test_responses_that_disagree_are_refused(waves: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    means, times = waves
    out = tmp_path / "r.svg"
    with pytest.raises(InputError, match=r"Responses: shape \(3, 5, 299\)"):
        ccep.plot_responses(means, times[1:], SITES, CHANNELS, out, responder=np.zeros((3, 5), bool))
    with pytest.raises(InputError, match=r"Responders: shape \(3, 5\)"):
        ccep.plot_responses(means, times, SITES, CHANNELS, out, responder=np.zeros((5, 3), bool))
    with pytest.raises(InputError, match="no sample lies between"):
        ccep.plot_responses(
            means, times, SITES, CHANNELS, out, responder=np.zeros((3, 5), bool), window_s=(2.0, 3.0)
        )  # fmt: skip


# ---- distance and pulses


def test_distance_counts_what_is_judged(tmp_path: Path) -> None:
    away = np.array([[5.0, 20.0, 30.0, np.nan], [20.0, 40.0, 60.0, 80.0]])
    size = np.array([[900.0, 20.0, 30.0, 7.0], [20.0, np.nan, 5.0, 0.0]])
    responder = np.array([[True, True, False, True], [True, True, False, False]])
    text = words(ccep.plot_distance(away, size, responder, tmp_path / "d.svg", radius_mm=13))
    # Left out: without distance, without size, size of zero on a logarithmic axis.
    for expected in ("not judged: 1", "no response: 2", "responds: 2", "13 mm", "(mm)", "Responders (%)"):
        assert expected in text
    with pytest.raises(InputError, match="Sizes of responses"):
        ccep.plot_distance(away, size[:1], responder, tmp_path / "d.svg", radius_mm=13)
    with pytest.raises(InputError, match="no pair"):
        ccep.plot_distance(away * np.nan, size, responder, tmp_path / "d.svg", radius_mm=13)


def test_bins_of_distance_begin_at_the_radius_and_hold_all() -> None:
    edges = ccep._bins(np.array([20.0, 61.0]), 13.0)
    np.testing.assert_allclose(edges, [13, 23, 33, 43, 53, 63])
    assert len(ccep._bins(np.array([]), 13.0)) == 2


def test_share_against_pulses_has_its_interval_and_counts(tmp_path: Path) -> None:
    table = pd.DataFrame({"n_pulses": [10, 5], "n_tested": [200, 210], "n_responders": [50, 21]})
    text = words(ccep.plot_pulses(table, tmp_path / "p.svg", chance=0.01))
    for expected in ("(Wilson)", "200", "210", "without responses: 1 %", "Responders (%)"):
        assert expected in text
    own = table.assign(low=0.1, high=0.4)
    assert "interval over sites" in words(ccep.plot_pulses(own, tmp_path / "p.svg"))
    with pytest.raises(InputError, match="more pairs respond"):
        ccep.plot_pulses(table.assign(n_responders=300), tmp_path / "p.svg")
    with pytest.raises(InputError, match="n_tested"):
        ccep.plot_pulses(table.drop(columns="n_tested"), tmp_path / "p.svg")


# ---- matrices


def test_cells_of_a_matrix_are_told_apart_and_counted(tmp_path: Path) -> None:
    values = np.full((3, 5), 20.0)
    values[0, :2] = np.nan
    excluded, silent = np.zeros((3, 5), bool), np.zeros((3, 5), bool)
    excluded[2] = True
    silent[0, 0] = silent[2, 0] = silent[1, 1] = True  # of these only the first has no value and is judged
    path = ccep_matrices.plot_ccep_matrix(
        values, SITES, CHANNELS, GROUPS, tmp_path / "m.svg",
        kind="latency", excluded=excluded, silent=silent, responder=values > 0,
    )  # fmt: skip
    text = words(path)
    for expected in (
        "hatched: excluded (5); white: no response (1); grey: no data (1); dots: responders (8)",
        "Latency (ms)",
        *SITES,
        *CHANNELS,
        *GROUPS,
    ):
        assert expected in text


def test_contacts_are_gathered_by_group(tmp_path: Path) -> None:
    path = ccep_matrices.plot_ccep_matrix(
        np.ones((3, 5)), SITES, CHANNELS, GROUPS, tmp_path / "m.svg", kind="probability"
    )
    text = words(path).split()
    places = [text.index(name) for name in ("A1", "A2", "B1", "B2", "C1")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("kind", "values", "bottom", "top"),
    [
        ("amplitude", [-50.0, 100.0], -100, 100),
        ("amplitude", [20.0, 100.0], 0, 100),
        ("latency", [20.0, 40.0], 20, 40),
        ("latency", [30.0, 30.0], 0, 30),
        ("probability", [0.1, 0.2], 0, 1),
        ("probability", [np.nan, np.nan], 0, 1),
    ],
)
def test_scales_follow_the_quantity(kind: str, values: list[float], bottom: float, top: float) -> None:
    colours, _ = ccep_matrices._scale(np.array(values), ccep_matrices.KINDS[kind])
    # Percentiles of two values lie a little within them.
    np.testing.assert_allclose(colours.get_clim(), [bottom, top], atol=1.0)


def test_matrices_that_disagree_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "m.svg"
    with pytest.raises(InputError, match="amplitude, latency, probability is wanted, got 'size'"):
        ccep_matrices.plot_ccep_matrix(np.ones((3, 5)), SITES, CHANNELS, GROUPS, out, kind="size")
    with pytest.raises(InputError, match=r"shape \(3, 5\)"):
        ccep_matrices.plot_ccep_matrix(np.ones((5, 3)), SITES, CHANNELS, GROUPS, out, kind="latency")
    with pytest.raises(InputError, match="4 groups disagree"):
        ccep_matrices.plot_ccep_matrix(np.ones((3, 5)), SITES, CHANNELS, GROUPS[:4], out, kind="latency")
    with pytest.raises(InputError, match="Excluded cells"):
        ccep_matrices.plot_ccep_matrix(
            np.ones((3, 5)), SITES, CHANNELS, GROUPS, out, kind="latency", excluded=np.ones((3, 4), bool)
        )  # fmt: skip


def test_regions_without_contacts_are_left_out(nodes: pd.DataFrame, tmp_path: Path) -> None:
    counts = np.zeros((6, 6))
    counts[0, [1, 2]] = [4, 2]
    counts[3, 1] = 1
    share = np.where(counts > 0, 0.5, np.nan)
    share[3, 1] = np.nan
    text = words(ccep_matrices.plot_ccep_regions(share, counts, nodes, tmp_path / "g.svg", title="Atlas"))
    assert "Atlas: 2 stimulated, 2 recorded of 6" in text
    assert "hatched: tested, but without a value (1); grey: no data (1)" in text
    for name, shown in (("R_Vis_1", True), ("R_Def_1", True), ("L_Vis_2", False), ("Mid_1", False)):
        assert (name in text) == shown
    with pytest.raises(InputError, match="no pair of regions"):
        ccep_matrices.plot_ccep_regions(share, counts * 0, nodes, tmp_path / "g.svg")
    with pytest.raises(InputError, match="Counts of pairs"):
        ccep_matrices.plot_ccep_regions(share, counts[:3], nodes, tmp_path / "g.svg")
