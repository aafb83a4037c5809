"""MOU-EC: the multivariate Ornstein-Uhlenbeck process whose covariances, with and without lag, are those observed.

dx_j/dt = -x_j / tau + sum_i x_i C_ij + noise_j, C >= 0 (row = source), independent noise of variance S_j per second.
With the Jacobian J = -I / tau + C the process has covariances

    J' Q0 + Q0 J + diag(S) = 0  (Lyapunov)          Q_lag = E[x(t)' x(t + lag)] = Q0 expm(J lag).

Fitted is the mismatch of both to the observed ones, 1/2 (|D0|^2 / |Q0|^2 + |D_lag|^2 / |Q_lag|^2), as in Gilson et al.
2016. The paper descends it by an approximate direction (Lyapunov optimisation, thousands of small fixed steps). Here
the gradient is exact, by the adjoint Lyapunov equation and the adjoint derivative of the matrix exponential, and
L-BFGS-B takes the steps within the bounds C >= 0, S > 0. The time constant, one for all regions, starts at the decay of
the autocovariances over the lag, as in the paper; since coupling makes autocovariances decay more slowly than the
regions themselves do, it is fitted along with the rest. A structural mask keeps absent connections at zero.

References
----------
Gilson, Moreno-Bote, Ponce-Alvarez, Ritter & Deco 2016, PLoS Comput Biol 12, doi:10.1371/journal.pcbi.1004762.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_ai.effective.baselines.base import Baseline, as_prepared, kept_structural
from bids_ai.effective.baselines.lagged_correlation import lagged_moments
from bids_ai.errors import InputError
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.usable import BoolArray, FloatArray

MAX_ITERATIONS = 500
LEAST_GAIN = 1e-6
"""Stop where a step lowers the squared mismatch by less than this share of what it was at the start."""

LEAST_NOISE = 1e-3
RATE_RANGE = 5.0
"""Bounds of the noise and of 1 / tau, as multiples of where they start."""

UNSTABLE = 1e3
"""Mismatch of a process without stationary state: far above any that has one, so that the line search turns back."""


@dataclass(frozen=True)
class MOU:
    """A fitted multivariate Ornstein-Uhlenbeck process over the kept regions.

    Parameters
    ----------
    coupling : (n_kept, n_kept) array
        C, 1/s, row = source, >= 0, zero diagonal.
    time_constant : float
        Seconds.
    noise : (n_kept,) array
        S, SD squared per second.
    mismatch : float
        Mean of the relative mismatches of Q0 and Q_lag, after the fit.
    n_iterations : int
    """

    coupling: FloatArray
    time_constant: float
    noise: FloatArray
    mismatch: float
    n_iterations: int


def mou(recording: Recording | PreparedRecording, lag: int = 1, structural_mask: bool = True) -> MOU:
    """Fit an MOU process to the standardised series of a recording.

    Parameters
    ----------
    recording : Recording or PreparedRecording
    lag : int, default=1
        Frames.
    structural_mask : bool, default=True
        Only connections of the recording's structural connectivity, where it has one.

    Raises
    ------
    InputError
        Signals without positive autocorrelation at the lag, or fewer frames than regions.
    """
    prepared = as_prepared(recording)
    zero, lagged = lagged_moments(prepared, lag)
    structural = kept_structural(prepared) if structural_mask else None
    present = ~np.eye(prepared.n_regions, dtype=bool)
    if structural is not None:
        present &= structural > 0
    return fit_mou(zero, lagged, lag * prepared.recording.tr, present, prepared.name)


def fit_mou(zero: FloatArray, lagged: FloatArray, lag_s: float, present: BoolArray, name: str = "MOU") -> MOU:
    """Fit an MOU process to its covariances.

    Parameters
    ----------
    zero, lagged : (n_regions, n_regions) arrays
        Q0 and Q_lag; the rows of the latter are earlier.
    lag_s : float
        Seconds.
    present : (n_regions, n_regions) bool
        Connections that may differ from zero.
    name : str
        Of the recording, for messages.
    """
    from scipy.optimize import Bounds, minimize

    rate = 1 / _time_constant(zero, lagged, lag_s, name)
    problem = _Problem(zero, lagged, lag_s, present, rate, 2 * rate * np.diag(zero))
    start = problem.start()
    least = np.concatenate([np.zeros(problem.n_couplings), np.full(len(zero), LEAST_NOISE), [1 / RATE_RANGE]])
    most = np.concatenate([np.full(len(start) - 1, np.inf), [RATE_RANGE]])
    options = {"maxiter": MAX_ITERATIONS, "maxcor": 30, "ftol": LEAST_GAIN * problem(start)[0], "gtol": 0.0}
    found = minimize(problem, start, jac=True, method="L-BFGS-B", bounds=Bounds(least, most), options=options)
    coupling, noise, fitted_rate = problem.read(found.x)
    return MOU(coupling, 1 / fitted_rate, noise, problem.mismatch(found.x), int(found.nit))


@dataclass(frozen=True)
class _Problem:
    """Squared mismatch and its gradient, in parameters of order one: C lag, S and 1 / tau relative to their start."""

    zero: FloatArray
    lagged: FloatArray
    lag_s: float
    present: BoolArray
    rate: float
    noise: FloatArray

    @property
    def n_couplings(self) -> int:
        """Number of connections that may differ from zero."""
        return int(self.present.sum())

    def start(self) -> FloatArray:
        """No coupling; every region decays as its autocovariance does, and has its observed variance."""
        return np.concatenate([np.zeros(self.n_couplings), np.ones(len(self.zero) + 1)])

    def read(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Coupling (1/s), noise (per second) and 1 / tau."""
        coupling = np.zeros(self.zero.shape)
        coupling[self.present] = parameters[: self.n_couplings] / self.lag_s
        return coupling, self.noise * parameters[self.n_couplings : -1], self.rate * float(parameters[-1])

    def mismatch(self, parameters: FloatArray) -> float:
        """Mean of the relative mismatches of the two covariances."""
        _, _, model_zero, model_lagged = self._model(parameters)
        pairs = ((self.zero, model_zero), (self.lagged, model_lagged))
        return float(np.mean([np.linalg.norm(seen - made) / np.linalg.norm(seen) for seen, made in pairs]))

    def _model(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Jacobian, propagator over the lag, Q0 and Q_lag."""
        from scipy.linalg import expm, solve_continuous_lyapunov

        coupling, noise, rate = self.read(parameters)
        jacobian = coupling - rate * np.eye(len(coupling))
        propagator = expm(jacobian * self.lag_s)
        zero = solve_continuous_lyapunov(jacobian.T, -np.diag(noise))
        return jacobian, propagator, zero, zero @ propagator

    def __call__(self, parameters: FloatArray) -> tuple[float, FloatArray]:
        from scipy.linalg import expm_frechet, solve_continuous_lyapunov

        coupling, _, rate = self.read(parameters)
        # C is non-negative: its eigenvalue of largest real part is its spectral radius (Perron-Frobenius).
        if np.abs(np.linalg.eigvals(coupling)).max() >= rate:
            return UNSTABLE, np.zeros_like(parameters)
        jacobian, propagator, zero, lagged = self._model(parameters)
        weight_zero, weight_lagged = (1 / (seen**2).sum() for seen in (self.zero, self.lagged))
        off_zero, off_lagged = zero - self.zero, lagged - self.lagged
        value = (weight_zero * (off_zero**2).sum() + weight_lagged * (off_lagged**2).sum()) / 2
        by_zero = weight_zero * off_zero + weight_lagged * off_lagged @ propagator.T
        adjoint = solve_continuous_lyapunov(jacobian, -(by_zero + by_zero.T) / 2)
        by_propagator = weight_lagged * zero @ off_lagged
        by_jacobian = 2 * zero @ adjoint + self.lag_s * expm_frechet(
            jacobian.T * self.lag_s, by_propagator, compute_expm=False
        )
        gradient = np.concatenate(
            [
                by_jacobian[self.present] / self.lag_s,
                np.diag(adjoint) * self.noise,
                [-np.trace(by_jacobian) * self.rate],
            ]
        )
        return float(value), gradient


def _time_constant(zero: FloatArray, lagged: FloatArray, lag_s: float, name: str) -> float:
    """Seconds over which the autocovariance falls by e, from the mean logarithm of its fall over the lag."""
    ratio = np.diag(lagged) / np.diag(zero)
    positive = ratio[(ratio > 0) & (ratio < 1)]
    if not len(positive):
        raise InputError(
            f"{name}: no region has a positive autocorrelation after {lag_s:g} s, so that an Ornstein-Uhlenbeck "
            "process cannot be fitted. Use a smaller lag, or signals that were not high-passed."
        )
    return float(-lag_s / np.log(positive).mean())


def _coupling(prepared: PreparedRecording, options: Mapping[str, Any]) -> FloatArray:
    return mou(prepared, options["lag"], options["structural_mask"]).coupling


BASELINE = Baseline(
    name="mou-ec",
    label="moueffectiveconnectivity",
    compute=_coupling,
    directed=True,
    units="1/s",
    citation="Gilson et al. 2016, doi:10.1371/journal.pcbi.1004762",
    uses_structural=True,
    defaults={"lag": 1, "structural_mask": True},
)
