"""Bias field and tissues against known answers."""

import numpy as np
import pytest

from bids_ai.preprocess import bias_field, tissues, volumes

MM = 3.0
AFFINE = np.diag([MM, MM, MM, 1.0])
SHAPE = (60, 68, 58)
LEVELS = {"csf": 30.0, "gm": 70.0, "wm": 100.0}


def layers() -> dict[str, np.ndarray]:
    """Ellipsoids: white matter in grey matter in CSF, and a ventricle."""
    grid = [(axis - (n - 1) / 2) * MM for axis, n in zip(np.indices(SHAPE), SHAPE, strict=True)]
    radius = np.sqrt((grid[0] / 70) ** 2 + (grid[1] / 85) ** 2 + (grid[2] / 68) ** 2)
    ventricle = (grid[0] / 18) ** 2 + (grid[1] / 30) ** 2 + (grid[2] / 12) ** 2 < 1
    mask = radius < 1
    return {
        "mask": mask,
        "wm": (radius < 0.7) & ~ventricle,
        "gm": (radius >= 0.7) & (radius < 0.93),
        "csf": (mask & (radius >= 0.93)) | ventricle,
    }


def image(parts: dict[str, np.ndarray], noise: float = 4.0) -> np.ndarray:
    clean = sum(level * parts[name] for name, level in LEVELS.items())
    noisy = clean + noise * np.random.default_rng(3).standard_normal(SHAPE)
    return np.where(parts["mask"], np.maximum(noisy, 1), 0).astype(np.float32)


def test_bias_field_is_taken_out():
    parts = layers()
    clean = image(parts)
    x, y, z = (np.linspace(-1, 1, n) for n in SHAPE)
    field = np.exp(0.25 * x[:, None, None] - 0.2 * y[None, :, None] ** 2 + 0.15 * z[None, None, :])
    corrected, strength = bias_field.correct_bias((clean * field).astype(np.float32), AFFINE, parts["mask"])

    def spread(data: np.ndarray) -> float:
        inner = data[parts["wm"]]
        return float(inner.std() / inner.mean())

    # Noise alone is 4 %.
    assert spread(clean * field) > 0.08
    assert spread(corrected) < 0.055
    assert 1.2 < strength < 2.2
    assert np.median(corrected[parts["mask"]]) == pytest.approx(np.median((clean * field)[parts["mask"]]))


def test_foreground_is_the_head_without_the_air():
    parts = layers()
    noisy = image(parts) + np.abs(np.random.default_rng(0).normal(0, 2, SHAPE)).astype(np.float32)
    assert volumes.dice(bias_field.foreground(noisy), parts["mask"]) > 0.97


@pytest.mark.parametrize("with_priors", [True, False])
def test_tissues_are_told_apart(with_priors: bool):
    parts = layers()
    priors = {}
    if with_priors:
        # Priors of another brain: shifted by two voxels.
        priors = {f"{k}_prior": np.roll(parts[k], 2, axis=1).astype(np.float32) * 0.9 for k in ("gm", "wm")}
    found = tissues.segment_tissues(image(parts), AFFINE, parts["mask"], **priors)
    for label, name in ((1, "gm"), (2, "wm"), (3, "csf")):
        assert volumes.dice(found.dseg == label, parts[name]) > 0.95, name
    total = found.gm + found.wm + found.csf
    assert np.allclose(total[parts["mask"]], 1, atol=1e-5)
    assert not total[~parts["mask"]].any()
    assert ("priors" in found.method) is with_priors


def test_priors_fit_an_image_whose_origin_has_many_digits():
    """That of a field of view which was cut: priors go through files with 32 bits."""
    parts = layers()
    priors = {f"{name}_prior": parts[name].astype(np.float32) * 0.9 for name in ("gm", "wm")}
    affine = AFFINE.copy()
    affine[:3, 3] = -150.0000076  # between two numbers of 32 bits
    found = tissues.segment_tissues(image(parts), affine, parts["mask"], **priors)
    assert volumes.dice(found.dseg == 1, parts["gm"]) > 0.95


def test_tissues_of_fine_voxels_keep_their_detail():
    mm = 1.0
    grid = np.indices((44, 44, 44)) - 21.5
    radius = np.sqrt((grid**2).sum(axis=0))
    parts = {"wm": radius < 12, "gm": (radius >= 12) & (radius < 16), "csf": (radius >= 16) & (radius < 20)}
    clean = sum(level * parts[name] for name, level in LEVELS.items())
    data = (clean + np.random.default_rng(1).normal(0, 4, clean.shape)).astype(np.float32)
    found = tissues.segment_tissues(np.maximum(data, 0), np.diag([mm, mm, mm, 1.0]), radius < 20)
    # At 1.5 mm a shell of 4 mm would keep about 0.85 of itself.
    assert volumes.dice(found.dseg == 1, parts["gm"]) > 0.92
    assert volumes.dice(found.dseg == 2, parts["wm"]) > 0.95
