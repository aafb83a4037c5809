"""Persistent homology of shapes with known loops, and against a reduction of the full boundary matrix."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bids_ai.surrogate.metrics.topology import h0_deaths, h1_diagram, homology_wasserstein, wasserstein


def circle(n: int, radius: float = 1.0) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return radius * np.column_stack([np.cos(angle), np.sin(angle)])


def by_boundary_matrix(points: np.ndarray) -> list[tuple[float, float]]:
    """H1 by the textbook: reduce the whole boundary matrix, column by column."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    simplices = [
        (max((distance[a, b] for a, b in itertools.combinations(vertices, 2)), default=0.0), size, vertices)
        for size in (1, 2, 3)
        for vertices in itertools.combinations(range(len(points)), size)
    ]
    simplices.sort()
    place = {vertices: k for k, (_, _, vertices) in enumerate(simplices)}
    reduced: dict[int, set[int]] = {}
    loops = []
    for value, size, vertices in simplices:
        column = {place[face] for face in itertools.combinations(vertices, size - 1)} if size > 1 else set()
        while column and max(column) in reduced:
            column ^= reduced[max(column)]
        if column:
            reduced[max(column)] = column
            birth, birth_size, _ = simplices[max(column)]
            if birth_size == 2 and value > birth:
                loops.append((birth, value))
    return sorted(loops)


@pytest.mark.parametrize(("n", "d"), [(12, 2), (18, 3), (22, 2), (22, 6)])
def test_loops_are_those_of_the_boundary_matrix(n: int, d: int) -> None:
    points = np.random.default_rng(n + d).standard_normal((n, d))
    np.testing.assert_allclose(sorted(map(tuple, h1_diagram(points))), by_boundary_matrix(points))


def test_a_circle_has_one_loop() -> None:
    # 39 points: the loop closes at the side of the polygon, and is filled at that of the inscribed triangle.
    diagram = h1_diagram(circle(39))
    assert diagram.shape == (1, 2)
    np.testing.assert_allclose(diagram[0], [2 * np.sin(np.pi / 39), np.sqrt(3)])
    np.testing.assert_allclose(h0_deaths(circle(39)), np.full(38, 2 * np.sin(np.pi / 39)))


def test_two_circles_have_two_loops_and_a_wide_gap() -> None:
    both = np.vstack([circle(20), circle(20) + np.array([10, 0])])
    diagram = h1_diagram(both)
    assert (diagram[:, 1] - diagram[:, 0] > 1).sum() == 2
    assert h0_deaths(both)[-1] == pytest.approx(8, abs=1e-9)


def test_a_line_has_none() -> None:
    assert h1_diagram(np.arange(10.0)[:, None] * [1, 2]).shape == (0, 2)


def test_wasserstein_by_hand() -> None:
    one = np.array([[0.0, 2.0]])
    assert wasserstein(one, one) == 0
    assert wasserstein(one, np.zeros((0, 2))) == pytest.approx(2 / np.sqrt(2))
    assert wasserstein(one, np.array([[0.0, 2.5]])) == pytest.approx(0.5)
    # Too far to be matched: both go to the diagonal.
    far = np.array([[10.0, 10.4]])
    assert wasserstein(one, far) == pytest.approx((2 + 0.4) / np.sqrt(2))
    two = np.array([[0.0, 2.0], [10.0, 10.4]])
    assert wasserstein(two, one) == pytest.approx(0.4 / np.sqrt(2))


def test_series_on_a_circle_differ_from_series_in_a_disc() -> None:
    def ring(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        angle = rng.uniform(0, 2 * np.pi, 400)
        return np.column_stack([np.cos(angle), np.sin(angle)]) + 0.05 * rng.standard_normal((400, 2))

    disc = ring(3) * np.sqrt(np.random.default_rng(0).random((400, 1)))
    assert homology_wasserstein(ring(1), ring(1)) == {"h0": 0, "h1": 0}
    same, other = homology_wasserstein(ring(1), ring(2)), homology_wasserstein(ring(1), disc)
    assert other["h1"] > 3 * same["h1"]
