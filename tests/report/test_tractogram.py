"""The figure of a tractogram: what is drawn, in which colours, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bids_ai.errors import InputError
from bids_ai.report.figures.tractogram import plot_tractogram


def bundle(axis: int, n: int = 200) -> np.ndarray:
    """Straight lines of 80 mm along one axis, within a box of 60 mm."""
    rng = np.random.default_rng(axis)
    lines = np.repeat(rng.uniform(-30, 30, (n, 1, 3)), 20, axis=1)
    lines[:, :, axis] = np.linspace(-40, 40, 20)
    return lines


def drawn(lines: np.ndarray, out: Path, **options: object) -> np.ndarray:
    offsets = np.arange(len(lines) + 1) * lines.shape[1]
    return np.asarray(Image.open(plot_tractogram(lines.reshape(-1, 3), offsets, out, **options)).convert("RGB"), float)


@pytest.mark.parametrize(("axis", "colour"), [(0, 0), (1, 1), (2, 2)])
def test_colour_is_direction(tmp_path: Path, axis: int, colour: int) -> None:
    picture = drawn(bundle(axis), tmp_path / "t.png")
    # The key shows all three colours alike; what is left over is that of the lines.
    strong = [
        int(((picture[..., c] - picture[..., [k for k in range(3) if k != c]].max(-1)) > 60).sum()) for c in range(3)
    ]
    assert int(np.argmax(strong)) == colour
    assert strong[colour] > 3 * sorted(strong)[1]


def test_file_stays_light_and_repeats_itself(tmp_path: Path) -> None:
    lines = np.concatenate([bundle(axis, 3000) for axis in range(3)])
    first, second = (drawn(lines, tmp_path / name, n_drawn=1500) for name in ("a.png", "b.png"))
    np.testing.assert_array_equal(first, second)
    assert (tmp_path / "a.png").stat().st_size < 1_500_000


def test_streamlines_of_no_weight_are_not_drawn(tmp_path: Path) -> None:
    lines = np.concatenate([bundle(0), bundle(2)])
    picture = drawn(lines, tmp_path / "t.png", weights=np.repeat([1.0, 0.0], 200))
    red = (picture[..., 0] - picture[..., 2] > 60).sum()
    blue = (picture[..., 2] - picture[..., 0] > 60).sum()
    assert red > 3 * blue


def test_brain_is_a_silhouette_behind(tmp_path: Path) -> None:
    brain = np.zeros((20, 20, 20))
    brain[2:-2, 2:-2, 2:-2] = 1
    affine = np.diag([5.0, 5, 5, 1])
    affine[:3, 3] = -47.5
    bare = drawn(bundle(0, 20), tmp_path / "a.png")
    full = drawn(bundle(0, 20), tmp_path / "b.png", brain=brain, affine=affine)
    assert full.mean() > bare.mean() + 3


def test_refusals(tmp_path: Path) -> None:
    lines = bundle(0, 2)
    points, offsets = lines.reshape(-1, 3), np.array([0, 20, 40])
    out = tmp_path / "t.png"
    with pytest.raises(InputError, match="one streamline or more"):
        plot_tractogram(np.zeros((0, 3)), np.zeros(1), out)
    with pytest.raises(InputError, match="two points"):
        plot_tractogram(points, [0, 1, 40], out)
    with pytest.raises(InputError, match="3 weights for 2"):
        plot_tractogram(points, offsets, out, weights=np.ones(3))
    with pytest.raises(InputError, match="All weights are zero"):
        plot_tractogram(points, offsets, out, weights=np.zeros(2))
    with pytest.raises(InputError, match="needs its affine"):
        plot_tractogram(points, offsets, out, brain=np.ones((2, 2, 2)))
