import numpy as np
import pytest
from dipy.core.gradients import gradient_table as dipy_table
from dipy.io.gradients import read_bvals_bvecs
from dipy.reconst.dti import TensorModel

from bids_ai.errors import InputError
from bids_ai.simulate import gradients
from bids_ai.simulate.diffusion import SignalModel
from bids_ai.simulate.dwi import DwiScan, dwi_volumes
from bids_ai.simulate.fibres import FibreMap
from bids_ai.simulate.warp import rigid_matrix, rotation_matrix

SHAPE = (5, 6, 7)
SCHEME = gradients.DwiScheme(2.0, ((1000.0, 20),), n_b0=2, echo_spacing_s=0.0005, snr=np.inf)
#: Neither along an axis nor symmetric under a flip of any.
FIBRE = np.array([0.8, 0.5, -0.33]) / np.linalg.norm([0.8, 0.5, -0.33])

TILT = rotation_matrix(np.deg2rad([20.0, -15.0, 30.0]))
PERMUTED = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
AXES = {
    "straight": np.eye(3),
    "flipped": np.diag([-1.0, 1.0, 1.0]),
    "oblique": TILT,
    "oblique and flipped": TILT @ np.diag([-1.0, 1.0, 1.0]),
    "permuted": PERMUTED,
    "permuted, oblique, flipped": TILT @ PERMUTED @ np.diag([1.0, 1.0, -1.0]),
}


def uniform_fibres() -> FibreMap:
    """One fibre direction everywhere in a block of white matter around the origin."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -40.0
    shape = (41, 41, 41)
    zero, one = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    n = one.size
    return FibreMap(
        affine,
        {"GM": zero, "CSF": zero, "soft": zero, "WM": one},
        np.arange(n),
        np.zeros(n, int),
        np.tile(FIBRE, (n, 1)).astype(np.float32),
        np.ones(n, np.float32),
        0.0,
    )


def scan_of(axes: np.ndarray) -> DwiScan:
    affine = np.eye(4)
    affine[:3, :3] = 2.0 * axes
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return DwiScan(affine, SHAPE, SCHEME.echo_spacing_s, np.eye(4))


def acquire(scan: DwiScan, table: gradients.ScannerGradients, motion: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    volumes = dwi_volumes(SignalModel(uniform_fibres()), scan, table, motion, np.zeros(SHAPE), np.inf, rng)
    return np.stack(list(volumes), axis=-1)


def principal(signal: np.ndarray, b_values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    fit = TensorModel(dipy_table(b_values, bvecs=vectors)).fit(signal[2, 3, 3].astype(float))
    return fit.evecs[:, 0]


def angle_deg(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.rad2deg(np.arccos(min(abs(first @ second), 1.0))))


@pytest.mark.parametrize("name", AXES)
def test_tensor_of_the_files_points_along_the_fibre(tmp_path, name):
    """Read as FSL says, for grids of both handednesses: the file's x is negated where the determinant is positive."""
    scan = scan_of(AXES[name])
    table = gradients.gradient_table(SCHEME, np.random.default_rng(1))
    signal = acquire(scan, table, np.zeros((len(table), 6)))
    gradients.write_gradients(tmp_path / "x_dwi", table, scan.affine)
    b_values, vectors = read_bvals_bvecs(str(tmp_path / "x_dwi.bval"), str(tmp_path / "x_dwi.bvec"))
    found = principal(signal, b_values, vectors)
    if np.linalg.det(scan.affine[:3, :3]) > 0:
        found = found * [-1, 1, 1]
    # Grey values are integers: a tenth of a degree is what rounding allows.
    assert angle_deg(AXES[name] @ found, FIBRE) < 0.5
    # The test has teeth: without the convention the direction is off by twice the fibre's angle to the plane of the
    # flip, 18 degrees at least here.
    wrong = principal(signal, b_values, vectors * [-1, 1, 1])
    wrong = wrong * ([-1, 1, 1] if np.linalg.det(scan.affine[:3, :3]) > 0 else 1)
    assert angle_deg(AXES[name] @ wrong, FIBRE) > 15.0


def test_file_of_a_gradient_along_x():
    x = np.array([[1.0, 0.0, 0.0]])
    for handedness in (1.0, -1.0):
        # FSL: the first axis of a file is always radiological, whichever way the image is stored.
        affine = np.diag([2.0 * handedness, 2.0, 2.0, 1.0])
        np.testing.assert_allclose(gradients.fsl_vectors(x, affine), [[-1.0, 0.0, 0.0]])


def test_head_turns_under_gradients_that_stay():
    """Fitting what was set on the scanner is wrong by much when the head turned; turning the gradients mends it."""
    scan = scan_of(np.eye(3))
    table = gradients.gradient_table(SCHEME, np.random.default_rng(1))
    motion = np.zeros((len(table), 6))
    motion[len(table) // 2 :, 3:] = np.deg2rad([12.0, -25.0, 18.0])
    signal = acquire(scan, table, motion)
    turned = np.stack(
        [
            rigid_matrix(row, scan.centre_mm())[:3, :3].T @ vector
            for row, vector in zip(motion, table.directions, strict=True)
        ]
    )
    assert angle_deg(principal(signal, table.b_values, turned), FIBRE) < 0.5
    assert angle_deg(principal(signal, table.b_values, table.directions), FIBRE) > 5.0


def test_directions_are_spread_over_axes():
    vectors = gradients.even_directions(32, np.random.default_rng(3))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0)
    cosine = np.abs(vectors @ vectors.T) - np.eye(32)
    # 32 axes share half a sphere: caps of equal area have a radius of 14.4 degrees, and can not all be kept apart by
    # twice that; at random the closest two lie within 4 degrees.
    assert np.rad2deg(np.arccos(cosine.max())) > 18.0
    assert (vectors[:, 2] > 0).any()
    assert (vectors[:, 2] < 0).any()


@pytest.mark.parametrize("size", gradients.DWI_SIZES)
def test_scheme_has_its_shells(size):
    scheme = gradients.dwi_scheme(size)
    table = gradients.gradient_table(scheme, np.random.default_rng(0))
    assert table.b_values[0] == 0
    assert (table.b_values == 0).sum() == scheme.n_b0
    for b_value, n in scheme.shells:
        assert (table.b_values == b_value).sum() == n
    # Enough for harmonics of order 4, and for a study where it is not just a test.
    assert sum(n for _, n in scheme.shells) >= (15 if size == "tiny" else 32)
    assert not table.directions[table.b_values == 0].any()
    unweighted = np.flatnonzero(table.b_values == 0)
    assert np.diff(unweighted).max() <= len(table) / scheme.n_b0 + 1


def test_unknown_size_is_refused():
    with pytest.raises(InputError, match=r"small, full.*'huge'"):
        gradients.dwi_scheme("huge")
