"""Multivariate Ornstein-Uhlenbeck process: linear dynamics in continuous time, by maximum likelihood.

    dx = x J dt + dW,   dW independent between regions with variances q dt

seen every TR: x(t+1) = x(t) A + e with A = exp(J) and Cov(e) = Sigma(J, q). A VAR leaves the covariance of its
innovations free, and learns nothing from it. Here that covariance is what the coupling makes of independent noise
within one sampling interval, so that it bears evidence on J as well. The process is that behind MOU-EC (Gilson et al.
2016), fitted by its exact likelihood instead of two lagged covariances, with a Gaussian prior on the coupling whose
width is chosen by blocked cross-validation.

Wrong where regions share input that is not part of the recording: that shared noise is then explained as coupling. The
held-out score decides between this family and ridge VAR.

References
----------
Gilson et al. 2016, doi:10.1371/journal.pcbi.1004762. Van Loan 1978, doi:10.1109/TAC.1978.1101743 (the integrals).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bids_ai.surrogate.base import Family, FamilyFit, FitSettings, HeldOut
from bids_ai.surrogate.families.ridge_var import LinearVAR
from bids_ai.surrogate.lags import IntArray
from bids_ai.surrogate.lbfgs import minimise
from bids_ai.surrogate.penalty import strongest_within_one_se
from bids_ai.surrogate.prepare import PreparedRecording

PENALTIES = torch.logspace(4, 0, 9, dtype=torch.float64)
"""Precision of the prior on every coupling (SD units, per TR), strongest first: each fit starts from the one before."""
TAYLOR_TERMS = 8
"""Terms of the series on an interval over which the drift has a norm below one half: relative error below 1e-8."""
MAX_STEPS = 60


class OrnsteinUhlenbeck(LinearVAR):
    """A linear model of order 1 that knows its continuous-time parameters.

    | name | shape | meaning |
    |---|---|---|
    | drift | (n_regions, n_regions) | J, per TR; row = source; the diagonal is minus the rate of decay |
    | noise | (n_regions,) | q, SD units squared per TR |
    | coefficients | (1, n_regions, n_regions) | exp(J) |
    """

    def __init__(self, n_regions: int, order: int = 1, n_inputs: int = 0) -> None:
        super().__init__(n_regions, order, n_inputs)
        self.register_buffer("drift", torch.zeros(n_regions, n_regions, dtype=torch.float64))
        self.register_buffer("noise", torch.ones(n_regions, dtype=torch.float64))
        self.drift: Tensor
        self.noise: Tensor


def transition(drift: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Transition matrix and innovation covariance over one unit of time.

    Parameters
    ----------
    drift : (..., n, n) tensor
        J, row = source.
    noise : (..., n) tensor
        Variance of the noise per unit of time.

    Returns
    -------
    A, Sigma : (..., n, n) tensors
        exp(J), and the integral of exp(J' s) diag(noise) exp(J s) over 0 ... 1, by scaling and doubling.
    """
    norm = float(torch.linalg.matrix_norm(drift.detach(), ord=1).max())
    doublings = max(0, int(np.ceil(np.log2(max(norm, 1e-6) / 0.5))))
    h = 0.5**doublings
    scaled = drift * h
    eye = torch.eye(drift.shape[-1], dtype=drift.dtype, device=drift.device)
    a, power = eye + scaled, scaled
    term = torch.diag_embed(noise) * h
    sigma = term
    for k in range(2, TAYLOR_TERMS + 1):
        power = power @ scaled / k
        a = a + power
        half = term @ scaled / k
        term = half + half.mT
        sigma = sigma + term
    for _ in range(doublings):
        sigma = sigma + a.mT @ sigma @ a
        a = a @ a
    return a, sigma


@dataclass(frozen=True)
class Moments:
    """Second moments of successive frames, divided by their number; leading dimensions are problems."""

    xx: Tensor
    xy: Tensor
    yy: Tensor
    n: Tensor


def negative_log_likelihood(a: Tensor, sigma: Tensor, moments: Moments) -> Tensor:
    """Per frame, without the constant; infinite where sigma is not positive definite."""
    cross = a.mT @ moments.xy
    residual = moments.yy - cross - cross.mT + a.mT @ moments.xx @ a
    factor, failed = torch.linalg.cholesky_ex(sigma)
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    quadratic = torch.cholesky_solve(residual, factor).diagonal(dim1=-2, dim2=-1).sum(-1)
    value = 0.5 * (log_det + quadratic)
    return torch.where(failed == 0, value, torch.full_like(value, torch.inf))


def fit_path(moments: Moments, penalties: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Maximum a posteriori drift and noise of every problem at every penalty, each from the one before.

    The prior of a coupling is normal about zero; that of the diagonal is normal about its own mean over the regions,
    with the same precision, since regions decay alike rather than not at all.

    Returns
    -------
    list of (drift (n_problems, n, n), noise (n_problems, n))
    """
    n = moments.xx.shape[-1]
    eye = torch.eye(n, dtype=moments.xx.dtype, device=moments.xx.device)
    correlation = moments.xy.diagonal(dim1=-2, dim2=-1) / moments.xx.diagonal(dim1=-2, dim2=-1)
    decay = -correlation.clamp(0.05, 0.98).log()
    # A decoupled process that has the autocorrelation and the variance of each region.
    point = torch.cat([(-decay[..., None] * eye).flatten(1), (2 * decay).log()], dim=1)
    path = []
    for penalty in penalties:
        strength = penalty / moments.n

        def objective(parameters: Tensor, strength: Tensor = strength) -> Tensor:
            drift, noise = _unpack(parameters, n)
            own = drift.diagonal(dim1=-2, dim2=-1)
            coupling = drift.square().sum((-2, -1)) - own.square().sum(-1)
            spread = (own - own.mean(-1, keepdim=True)).square().sum(-1)
            fit = negative_log_likelihood(*transition(drift, noise), moments)
            return fit + 0.5 * strength * (coupling + spread)

        inverse = torch.linalg.inv(moments.xx + strength[:, None, None] * eye)
        scale = _unpack(point, n)[1]

        def precondition(gradient: Tensor, inverse: Tensor = inverse, scale: Tensor = scale) -> Tensor:
            """Inverse Hessian of the VAR of the same moments: xx by the innovation variances."""
            by_drift = gradient[:, : n * n].unflatten(1, (n, n))
            return torch.cat([(inverse @ by_drift * scale[:, None, :]).flatten(1), 2 * gradient[:, n * n :]], dim=1)

        point = minimise(objective, point, precondition=precondition, max_steps=MAX_STEPS).parameters
        path.append(_unpack(point, n))
    return path


def _unpack(parameters: Tensor, n: int) -> tuple[Tensor, Tensor]:
    return parameters[:, : n * n].unflatten(1, (n, n)), parameters[:, n * n :].exp()


def _fit(
    recordings: Sequence[PreparedRecording], linear: Sequence[FamilyFit], settings: FitSettings
) -> list[FamilyFit]:
    n_folds = len(recordings[0].folds)
    train = _moments([(rec, fold.train(rec.n_samples)) for rec in recordings for fold in rec.folds], settings)
    test = _moments([(rec, np.r_[fold.test]) for rec in recordings for fold in rec.folds], settings)
    path = [transition(*fit) for fit in fit_path(train, PENALTIES)]
    scores = torch.stack([negative_log_likelihood(a, sigma, test) for a, sigma in path], dim=-1)
    scores = scores.unflatten(0, (len(recordings), n_folds)).cpu()
    coefficients = torch.stack([a for a, _ in path], dim=1).unflatten(0, (len(recordings), n_folds)).cpu()
    chosen = [strongest_within_one_se(score) for score in scores]
    everything = _moments([(rec, np.arange(rec.n_samples)) for rec in recordings], settings)
    final = fit_path(everything, PENALTIES[: max(chosen) + 1])
    return [
        _family_fit(recording, scores[b], coefficients[b], chosen[b], [part[b].cpu() for part in final[chosen[b]]])
        for b, recording in enumerate(recordings)
    ]


def _moments(samples: list[tuple[PreparedRecording, IntArray]], settings: FitSettings) -> Moments:
    parts = []
    for recording, positions in samples:
        targets = recording.targets[positions]
        x, y = (torch.as_tensor(recording.series[t], device=settings.device) for t in (targets - 1, targets))
        n = len(positions)
        parts.append((x.mT @ x / n, x.mT @ y / n, y.mT @ y / n, torch.tensor(float(n), dtype=x.dtype, device=x.device)))
    return Moments(*(torch.stack(column) for column in zip(*parts, strict=True)))


def _family_fit(
    recording: PreparedRecording, scores: Tensor, coefficients: Tensor, chosen: int, final: list[Tensor]
) -> FamilyFit:
    drift, noise = final
    model = OrnsteinUhlenbeck(recording.n_regions)
    model.drift, model.noise = drift, noise
    model.coefficients = transition(drift, noise)[0][None].contiguous()
    last, following = recording.histories(1)[:, 0], recording.next_frames()
    prediction = np.empty_like(following)
    for k, fold in enumerate(recording.folds):
        others = np.delete(np.arange(len(recording.folds)), k)
        prediction[fold.test] = last[fold.test] @ coefficients[k, strongest_within_one_se(scores, others)].numpy()
    residual = following - last @ model.coefficients[0].numpy()
    n_folds = len(recording.folds)
    return FamilyFit(
        models=(model,),
        order=1,
        penalty=float(PENALTIES[chosen]),
        selection=[
            {
                "order": 1,
                "penalty": float(PENALTIES[k]),
                "heldout_nll": float(scores[:, k].mean()),
                "heldout_nll_se": float(scores[:, k].std() / n_folds**0.5),
                "selected": float(k == chosen),
            }
            for k in range(len(PENALTIES))
        ],
        heldout=HeldOut(np.arange(recording.n_samples), prediction),
        train_mse=float(np.mean(residual**2)),
        details={"penalty_at_edge": chosen in (0, len(PENALTIES) - 1)},
    )


FAMILY = Family(name="ou", fit=_fit, build=OrnsteinUhlenbeck, fallback_to_linear=False)
