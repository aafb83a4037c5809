"""Diffusion models against dipy, against a fit done another way, and against phantoms with known fibres."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_allclose

from bids_ai.bids.gradients import GradientTable, read_gradients
from bids_ai.connectome.deconvolution import constrained_least_squares
from bids_ai.connectome.diffusion_models import choose_model, fit_orientations, fit_tensor
from bids_ai.connectome.fixels import find_fixels
from bids_ai.connectome.harmonics import axes_on_sphere, basis, into_frame, n_coefficients, zonal
from bids_ai.errors import InputError
from tests.diffusion_phantom import GREY, WATER, fibre_signal, isotropic_signal, oblique, scheme, tubes


def angles(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.rad2deg(np.arccos(np.clip(np.abs((first * second).sum(axis=-1)), 0, 1)))


# ---- tensor


def test_tensor_of_a_noiseless_bundle() -> None:
    table = scheme((1000, 20))
    axis = np.array([2.0, -1, 2]) / 3
    data = 700 * fibre_signal(table.bvals, table.bvecs, axis)[None, None, None]
    maps = fit_tensor(data, table.bvals, table.bvecs, np.ones((1, 1, 1), bool))
    # Eigenvalues 1.7e-3, 0.3e-3, 0.3e-3: FA = sqrt(1.5 * sum (l - mean)^2 / sum l^2).
    values = np.array([1.7e-3, 0.3e-3, 0.3e-3])
    fa = np.sqrt(1.5 * ((values - values.mean()) ** 2).sum() / (values**2).sum())
    found = [maps.fa.item(), maps.md.item(), maps.ad.item(), maps.rd.item()]
    assert_allclose(found, [fa, values.mean(), 1.7e-3, 0.3e-3], rtol=1e-6)
    assert angles(maps.direction[0, 0, 0], axis) < 1e-3


@pytest.mark.parametrize("det", [-1, 1])
def test_principal_direction_is_in_world_axes_whatever_the_grid(det: int) -> None:
    table, affine = scheme((1000, 32)), oblique(det)
    tube = tubes(table, affine, n=12, snr=60)
    maps = fit_tensor(tube.data, table.bvals, table.world(affine), tube.mask)
    inside = tube.fraction > 0.95
    assert np.median(angles(maps.direction, tube.axes)[inside]) < 3


def test_tensor_is_dipys_and_uses_low_shells_only() -> None:
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    table = scheme((1000, 20), (3000, 30))
    tube = tubes(table, oblique(-1), n=6)
    maps = fit_tensor(tube.data, table.bvals, table.bvecs, tube.mask)
    low = table.bvals < 1500
    fit = TensorModel(gradient_table(table.bvals[low], bvecs=table.bvecs[low])).fit(tube.data[..., low])
    for name in ("fa", "md", "ad", "rd"):
        assert_allclose(getattr(maps, name), getattr(fit, name), atol=1e-9)
    assert maps.largest_b == 1000


def test_voxels_that_cannot_be_fitted_are_nan() -> None:
    table = scheme((1000, 12))
    data = np.ones((3, 1, 1, len(table))) * isotropic_signal(table.bvals, GREY)
    data[0, 0, 0, 5] = np.nan
    data[1] = 0
    maps = fit_tensor(data, table.bvals, table.bvecs, np.ones((3, 1, 1), bool))
    assert np.isnan(maps.fa[:2]).all()
    assert_allclose(maps.md[2].item(), GREY, rtol=1e-6)
    with pytest.raises(InputError, match="finite, positive"):
        fit_tensor(data, table.bvals, table.bvecs, np.array([True, True, False]).reshape(3, 1, 1))
    few = scheme((1000, 5))
    with pytest.raises(InputError, match="6 distinct"):
        fit_tensor(np.ones((1, 1, 1, len(few))), few.bvals, few.bvecs, np.ones((1, 1, 1), bool))


def test_real_scan(test_data: Path) -> None:
    stem = test_data / "bids-ds000114-dwi" / "sub-01" / "ses-test" / "dwi" / "sub-01_ses-test_dwi"
    image = nib.load(stem.with_suffix(".nii.gz"))
    data = np.asarray(image.dataobj, dtype=float)
    table = read_gradients(stem.with_suffix(".bval"), stem.with_suffix(".bvec"), data.shape[3])
    b0 = data[..., table.unweighted].mean(axis=-1)
    # The check values of this scan (MD 1.4e-3, FA 0.45 at the 99th percentile) hold where b0 is brightest, which is
    # mostly near CSF; a brain mask gives what is known of grey and white matter, 0.8e-3 to 0.9e-3.
    bright = fit_tensor(data, table.bvals, table.world(image.affine), b0 > np.percentile(b0, 94))
    assert_allclose(np.nanmedian(bright.md), 1.4e-3, atol=0.1e-3)
    assert_allclose(np.nanpercentile(bright.fa, 99), 0.45, atol=0.04)
    brain = fit_tensor(data, table.bvals, table.world(image.affine), b0 > b0.mean())
    assert 0.75e-3 < np.nanmedian(brain.md) < 0.95e-3
    choice = choose_model(table.bvals, table.bvecs)
    assert choice.model == "tensor"
    assert "13 directions" in choice.costs[0]


# ---- choice


def test_choice_follows_shells_and_directions() -> None:
    def chosen(*shells: tuple[float, int]) -> tuple[str, int]:
        table = scheme(*shells)
        choice = choose_model(table.bvals, table.bvecs)
        return choice.model, choice.order

    assert chosen((1000, 13)) == ("tensor", 8)
    assert chosen((1000, 16)) == ("csd", 4)
    assert chosen((1000, 32)) == ("csd", 6)
    assert chosen((3000, 64)) == ("csd", 8)
    assert chosen((1000, 30), (2000, 60)) == ("multi-tissue-csd", 8)
    assert chosen((1000, 5), (2000, 60)) == ("csd", 8)  # five directions are no shell
    assert chosen(*[(500.0 * k, 6) for k in range(1, 9)])[0] == "tensor"  # as a Cartesian grid


def test_choice_says_what_it_costs() -> None:
    good, low, sparse_ = scheme((1000, 30), (3000, 60)), scheme((700, 32)), scheme((1000, 16))
    assert choose_model(good.bvals, good.bvecs).costs == ()
    assert any("b = 700" in cost for cost in choose_model(low.bvals, low.bvecs).costs)
    assert any("16 directions" in cost for cost in choose_model(sparse_.bvals, sparse_.bvecs).costs)
    few = scheme((1000, 13))
    with pytest.raises(InputError, match="'csd' needs a shell with 15 directions"):
        choose_model(few.bvals, few.bvecs, "csd")
    with pytest.raises(InputError, match="second shell"):
        choose_model(low.bvals, low.bvecs, "multi-tissue-csd")
    with pytest.raises(InputError, match="Unknown diffusion model"):
        choose_model(low.bvals, low.bvecs, "noddi")  # type: ignore[arg-type]


# ---- harmonics and the solver


def test_harmonics_agree_with_each_other() -> None:
    axes = axes_on_sphere()
    order = 6
    along_z = basis(axes, order)[:, [0, 3, 10, 21]]  # m = 0 of orders 0, 2, 4, 6
    assert_allclose(zonal(axes[:, 2], order), along_z, atol=1e-9)
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    coefficients = rng.standard_normal(n_coefficients(order))
    turned = into_frame(order, turn) @ coefficients
    assert_allclose(basis(axes, order) @ turned, basis(axes @ turn.T, order) @ coefficients, atol=1e-9)


def test_solver_against_scipy_nnls() -> None:
    from scipy.optimize import nnls

    rng = np.random.default_rng(4)
    matrix, targets = rng.standard_normal((20, 6)), rng.standard_normal((5, 20))
    expected = [nnls(matrix, target)[0] for target in targets]
    assert_allclose(constrained_least_squares(matrix, targets, np.eye(6)), expected, atol=5e-3)


# ---- deconvolution


@dataclass(frozen=True)
class Mix:
    """Slabs of one bundle, grey matter, CSF, and two bundles that cross."""

    table: GradientTable
    data: np.ndarray
    kind: np.ndarray
    first: np.ndarray
    second: np.ndarray

    @property
    def probabilities(self) -> dict[str, np.ndarray]:
        return {name: (self.kind == number).astype(float) for number, name in enumerate(("wm", "gm", "csf"))}


def mix(*shells: tuple[float, int], least_angle: float, snr: float = 40) -> Mix:
    table, rng = scheme(*shells), np.random.default_rng(0)
    shape = (8, 10, 10)
    kind = np.repeat([0, 0, 0, 1, 2, 3, 3, 3], 100).reshape(shape)
    first = rng.standard_normal((*shape, 3))
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    across = np.cross(first, rng.standard_normal((*shape, 3)))
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    angle = np.deg2rad(rng.uniform(least_angle, 90, shape))[..., None]
    second = np.cos(angle) * first + np.sin(angle) * across
    one, two = (fibre_signal(table.bvals, table.bvecs, axes) for axes in (first, second))
    signal = np.where((kind == 3)[..., None], (one + two) / 2, one)
    signal[kind == 1] = isotropic_signal(table.bvals, GREY)
    signal[kind == 2] = 1.5 * isotropic_signal(table.bvals, WATER)
    noise = rng.standard_normal((2, *signal.shape)) / snr
    return Mix(table, 1000 * np.hypot(signal + noise[0], noise[1]), kind, first, second)


@pytest.mark.parametrize("shells", [((3000, 64),), ((1000, 30), (2000, 60))], ids=["one shell", "two shells"])
def test_crossing_bundles_are_told_apart(shells: tuple[tuple[float, int], ...]) -> None:
    data = mix(*shells, least_angle=55)
    mask = np.ones(data.kind.shape, bool)
    found = fit_orientations(data.data, data.table.bvals, data.table.bvecs, mask, probabilities=data.probabilities)
    fixels = find_fixels(found.fod, found.order, mask)
    crossing = np.argwhere(data.kind == 3)
    assert (fixels.count[data.kind == 3] == 2).mean() > 0.95
    errors = []
    for voxel in map(tuple, crossing):
        own = fixels.axes[fixels.start[voxel] : fixels.start[voxel] + fixels.count[voxel]]
        errors += [angles(own, truth[voxel]).min() for truth in (data.first, data.second)]
    assert np.median(errors) < 5  # the sphere's axes are 7.5 degrees apart
    assert (fixels.count[data.kind == 0] == 1).all()


def test_tissues_are_told_apart_by_shells() -> None:
    data = mix((1000, 30), (2000, 60), least_angle=60)
    mask = np.ones(data.kind.shape, bool)
    for probabilities in (data.probabilities, None):
        found = fit_orientations(data.data, data.table.bvals, data.table.bvecs, mask, probabilities=probabilities)
        fibre = found.fod[..., 0] * np.sqrt(4 * np.pi)  # integral over the sphere
        parts = (fibre, *found.isotropic.values())
        share = [[np.median(part[data.kind == kind]) for part in parts] for kind in range(4)]
        assert_allclose(share, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], atol=0.12)


def test_fod_is_nowhere_negative() -> None:
    data = mix((3000, 64), least_angle=60)
    mask = np.ones(data.kind.shape, bool)
    found = fit_orientations(data.data, data.table.bvals, data.table.bvecs, mask, probabilities=data.probabilities)
    amplitudes = found.fod @ basis(axes_on_sphere(), found.order).T
    # In units of one bundle, whose peak is about 3.5; the solver stops at 1e-3 per constraint.
    assert amplitudes.min() > -0.02


def test_tensor_fallback_has_one_direction_and_integrates_to_fa() -> None:
    data = mix((1000, 13), least_angle=80, snr=100)
    mask = np.ones(data.kind.shape, bool)
    found = fit_orientations(data.data, data.table.bvals, data.table.bvecs, mask)
    assert found.choice.model == "tensor"
    # Harmonics of order 8 cannot follow the peak of an FA of 0.8 to the last bit: fractions of a percent.
    assert_allclose(found.fod[..., 0] * np.sqrt(4 * np.pi), found.maps.fa, atol=5e-3)
    amplitudes = found.fod[data.kind == 0] @ basis(axes_on_sphere(), found.order).T
    assert np.median(angles(axes_on_sphere()[amplitudes.argmax(axis=1)], data.first[data.kind == 0])) < 6


def test_response_needs_voxels() -> None:
    data = mix((1000, 32), least_angle=60)
    nowhere = {name: np.zeros(data.kind.shape) for name in ("wm", "gm", "csf")}
    with pytest.raises(InputError, match="0 voxels can stand for"):
        fit_orientations(
            data.data, data.table.bvals, data.table.bvecs, np.ones(data.kind.shape, bool), probabilities=nowhere
        )


def test_small_real_crops(test_data: Path) -> None:
    folder = test_data / "dwi-dipy-small"
    data = np.asarray(nib.load(folder / "small_64D.nii").dataobj, dtype=float)
    table = read_gradients(folder / "small_64D.bval", folder / "small_64D.bvec", data.shape[3])
    mask = np.ones(data.shape[:3], bool)
    assert choose_model(table.bvals, table.bvecs).model == "csd"
    maps = fit_tensor(data, table.bvals, table.bvecs, mask)
    assert 0.3e-3 < np.nanmedian(maps.md) < 2e-3
    grid = read_gradients(folder / "small_101D.bval", folder / "small_101D.bvec", 102)
    choice = choose_model(grid.bvals, grid.bvecs)
    assert choice.model == "tensor"
