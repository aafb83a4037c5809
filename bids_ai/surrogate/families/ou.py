"""Multivariate Ornstein-Uhlenbeck process: linear dynamics in continuous time, by maximum likelihood.

    dx = x J dt + dW,   Cov(dW) = Q dt,   Q = diag(q) + L L'

seen every TR: x(t+1) = x(t) A + e with A = exp(J) and Cov(e) = Sigma(J, Q). A VAR leaves the covariance of its
innovations free, and learns nothing from it. Here that covariance is what the coupling makes, within one sampling
interval, of noise that is independent between regions but for a few shared sources (L, n_regions x rank), so that it
bears evidence on J as well. Shared sources are what reaches many regions at once without being part of the recording:
arousal, breathing, motion, subcortical drive. Without them (rank 0, the process behind MOU-EC, Gilson et al. 2016)
shared noise would be explained as coupling.

Fitted by its exact likelihood, with a Gaussian prior on the coupling; the width of the prior and the rank are chosen by
the likelihood of held-out blocks.

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

PENALTIES = torch.logspace(4, 0, 7, dtype=torch.float64)
"""Precision of the prior on every coupling (SD units, per TR), strongest first: each fit starts from the one before."""
RANKS = (0, 1, 4)
"""Shared sources of noise: none, one as for a global signal, a few."""
PATIENCE = 2
"""Penalties in a row that may predict worse than the best before them until weaker ones are not tried."""
TAYLOR_TERMS = 8
"""Terms of the series on an interval over which the drift has a norm below one half: relative error below 1e-8."""
MAX_STEPS = 40
TOLERANCE = 1e-5
"""Relative decrease of the negative log-likelihood per frame at which a fit ends."""


class OrnsteinUhlenbeck(LinearVAR):
    """A linear model of order 1 that knows its continuous-time parameters.

    | name | shape | meaning |
    |---|---|---|
    | drift | (n_regions, n_regions) | J, per TR; row = source; the diagonal is minus the rate of decay |
    | noise | (n_regions, n_regions) | Q, SD units squared per TR |
    | coefficients | (1, n_regions, n_regions) | exp(J) |
    """

    def __init__(self, n_regions: int, order: int = 1, n_inputs: int = 0) -> None:
        super().__init__(n_regions, order, n_inputs)
        self.register_buffer("drift", torch.zeros(n_regions, n_regions, dtype=torch.float64))
        self.register_buffer("noise", torch.eye(n_regions, dtype=torch.float64))
        self.drift: Tensor
        self.noise: Tensor


def transition(drift: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Transition matrix and innovation covariance over one unit of time.

    Parameters
    ----------
    drift : (..., n, n) tensor
        J, row = source.
    noise : (..., n, n) tensor
        Q, covariance of the noise per unit of time.

    Returns
    -------
    A, Sigma : (..., n, n) tensors
        exp(J), and the integral of exp(J' s) Q exp(J s) over 0 ... 1, by scaling and doubling.
    """
    norm = float(torch.linalg.matrix_norm(drift.detach(), ord=1).max())
    doublings = max(0, int(np.ceil(np.log2(max(norm, 1e-6) / 0.5))))
    h = 0.5**doublings
    scaled = drift * h
    eye = torch.eye(drift.shape[-1], dtype=drift.dtype, device=drift.device)
    a, power = eye + scaled, scaled
    term = noise * h
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
    """Second moments of successive frames, divided by their number; the leading dimension is problems."""

    xx: Tensor
    xy: Tensor
    yy: Tensor
    n: Tensor

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return self.xx.shape[-1]

    def take(self, rows: Tensor) -> Moments:
        """Some of the problems."""
        return Moments(self.xx[rows], self.xy[rows], self.yy[rows], self.n[rows])


def negative_log_likelihood(a: Tensor, sigma: Tensor, moments: Moments) -> Tensor:
    """Per frame, without the constant; infinite where sigma is not positive definite."""
    cross = a.mT @ moments.xy
    residual = moments.yy - cross - cross.mT + a.mT @ moments.xx @ a
    factor, failed = torch.linalg.cholesky_ex(sigma)
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    quadratic = torch.cholesky_solve(residual, factor).diagonal(dim1=-2, dim2=-1).sum(-1)
    value = 0.5 * (log_det + quadratic)
    return torch.where(failed == 0, value, torch.full_like(value, torch.inf))


def unpack(parameters: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Drift (batch, n, n), independent variances (batch, n) and loadings of the shared noise (batch, n, rank)."""
    drift, independent, loadings = parameters.tensor_split((n * n, n * n + n), dim=1)
    return drift.unflatten(1, (n, n)), independent.exp(), loadings.unflatten(1, (n, -1))


def process(parameters: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Drift J and noise covariance Q of vectors of parameters, both (batch, n, n)."""
    drift, independent, loadings = unpack(parameters, n)
    return drift, torch.diag_embed(independent) + loadings @ loadings.mT


def decoupled(moments: Moments, rank: int) -> Tensor:
    """Start of the descent: regions without coupling that have the autocorrelation and the variance of the recording.

    Shared noise is that of the leading components of the frames' covariance, as far as decay passes it on.
    """
    correlation = moments.xy.diagonal(dim1=-2, dim2=-1) / moments.xx.diagonal(dim1=-2, dim2=-1)
    decay = -correlation.clamp(0.05, 0.98).log()
    drift = torch.diag_embed(-decay).flatten(1)
    if rank == 0:
        return torch.cat([drift, (2 * decay).log()], dim=1)
    values, vectors = torch.linalg.eigh(moments.xx)
    # Half of what exceeds the mean variance: the rest is left to the independent noise, which has to stay positive.
    excess = 0.5 * (values[:, -rank:] - 1).clamp(min=0.01)
    loadings = vectors[:, :, -rank:] * excess.sqrt()[:, None, :] * (2 * decay).sqrt()[:, :, None]
    independent = (2 * decay - loadings.square().sum(-1)).clamp(min=0.1 * decay)
    return torch.cat([drift, independent.log(), loadings.flatten(1)], dim=1)


def maximum_a_posteriori(moments: Moments, penalty: float, start: Tensor) -> Tensor:
    """Parameters of every problem, (n_problems, n_parameters).

    The prior of a coupling is normal about zero; that of the diagonal is normal about its own mean over the regions,
    with the same precision, since regions decay alike rather than not at all. Loadings are standard normal.
    """
    n = moments.n_regions
    strength = penalty / moments.n

    def objective(parameters: Tensor, rows: Tensor) -> Tensor:
        seen = moments.take(rows)
        drift, noise = process(parameters, n)
        own = drift.diagonal(dim1=-2, dim2=-1)
        coupling = drift.square().sum((-2, -1)) - own.square().sum(-1)
        spread = (own - own.mean(-1, keepdim=True)).square().sum(-1)
        loadings = parameters[:, n * n + n :].square().sum(-1) / seen.n
        fit = negative_log_likelihood(*transition(drift, noise), seen)
        return fit + 0.5 * (strength[rows] * (coupling + spread) + loadings)

    eye = torch.eye(n, dtype=moments.xx.dtype, device=moments.xx.device)
    inverse = torch.linalg.inv(moments.xx + strength[:, None, None] * eye)
    scale = process(start, n)[1].diagonal(dim1=-2, dim2=-1)

    def precondition(gradient: Tensor) -> Tensor:
        """Inverse Hessian of the VAR of the same moments: xx by the innovation variances."""
        by_drift, by_independent, by_loadings = gradient.tensor_split((n * n, n * n + n), dim=1)
        by_drift = inverse @ by_drift.unflatten(1, (n, n)) * scale[:, None, :]
        by_loadings = by_loadings.unflatten(1, (n, -1)) * scale[:, :, None]
        return torch.cat([by_drift.flatten(1), 2 * by_independent, by_loadings.flatten(1)], dim=1)

    return minimise(objective, start, precondition=precondition, max_steps=MAX_STEPS, tolerance=TOLERANCE).parameters


@dataclass(frozen=True)
class Candidate:
    """A prior and a rank, fitted to all but one block in turn.

    Parameters
    ----------
    rank : int
    penalty : float
    errors : (n_folds,) tensor
        Negative log-likelihood of the block left out.
    parameters : (n_folds, n_parameters) tensor
    """

    rank: int
    penalty: float
    errors: Tensor
    parameters: Tensor


def search(train: Moments, test: Moments, n_folds: int) -> list[list[Candidate]]:
    """Candidates of every recording: by rank, and from the strongest prior to the weakest.

    A path ends when weaker priors predict worse; a larger rank is not tried where the one before did not help.

    Parameters
    ----------
    train, test : Moments
        Problems are recordings by folds.

    Returns
    -------
    list of list of Candidate
        One list per recording.
    """
    found: list[list[Candidate]] = [[] for _ in range(len(train.n) // n_folds)]
    best = torch.full((len(found),), torch.inf, dtype=train.xx.dtype)
    waiting = torch.arange(len(found))
    for rank in RANKS:
        if not len(waiting) or 2 * rank >= train.n_regions:
            break
        reached = _path(train, test, n_folds, rank, waiting, found)
        waiting = waiting[reached[waiting] < best[waiting]]
        best = torch.minimum(best, reached)
    return found


def _path(
    train: Moments, test: Moments, n_folds: int, rank: int, recordings: Tensor, found: list[list[Candidate]]
) -> Tensor:
    """Add the candidates of a rank to those of the recordings, and return the lowest error of each."""
    active = recordings
    best = torch.full((len(found),), torch.inf, dtype=train.xx.dtype)
    misses = torch.zeros(len(found), dtype=torch.int64)
    point = decoupled(train, rank)
    for penalty in PENALTIES.tolist():
        rows = (active[:, None] * n_folds + torch.arange(n_folds)).flatten()
        point[rows] = maximum_a_posteriori(train.take(rows), penalty, point[rows])
        errors = negative_log_likelihood(*transition(*process(point[rows], train.n_regions)), test.take(rows)).cpu()
        for b, error, parameters in zip(
            active.tolist(), errors.unflatten(0, (-1, n_folds)), point[rows].unflatten(0, (-1, n_folds)), strict=True
        ):
            found[b].append(Candidate(rank, penalty, error, parameters))
        mean = errors.unflatten(0, (-1, n_folds)).mean(1)
        misses[active] = torch.where(mean < best[active], 0, misses[active] + 1)
        best[active] = torch.minimum(best[active], mean)
        active = active[misses[active] < PATIENCE]
        if not len(active):
            break
    return best


def _fit(
    recordings: Sequence[PreparedRecording], linear: Sequence[FamilyFit], settings: FitSettings
) -> list[FamilyFit]:
    n_folds = len(recordings[0].folds)
    train = _moments([(rec, fold.train(rec.n_samples)) for rec in recordings for fold in rec.folds], settings)
    test = _moments([(rec, np.r_[fold.test]) for rec in recordings for fold in rec.folds], settings)
    everything = _moments([(rec, np.arange(rec.n_samples)) for rec in recordings], settings)
    fits = []
    for b, (recording, candidates) in enumerate(zip(recordings, search(train, test, n_folds), strict=True)):
        errors = torch.stack([candidate.errors for candidate in candidates], dim=1)
        chosen = strongest_within_one_se(errors)
        moments = everything.take(torch.tensor([b]))
        start = candidates[chosen].parameters[:1]
        final = maximum_a_posteriori(moments, candidates[chosen].penalty, start)
        fits.append(_family_fit(recording, candidates, errors, chosen, final))
    return fits


def _moments(samples: list[tuple[PreparedRecording, IntArray]], settings: FitSettings) -> Moments:
    parts = []
    for recording, positions in samples:
        targets = recording.targets[positions]
        x, y = (torch.as_tensor(recording.series[t], device=settings.device) for t in (targets - 1, targets))
        n = len(positions)
        parts.append((x.mT @ x / n, x.mT @ y / n, y.mT @ y / n, torch.tensor(float(n), dtype=x.dtype, device=x.device)))
    return Moments(*(torch.stack(column) for column in zip(*parts, strict=True)))


def _family_fit(
    recording: PreparedRecording, candidates: list[Candidate], errors: Tensor, chosen: int, final: Tensor
) -> FamilyFit:
    n, n_folds = recording.n_regions, len(recording.folds)
    model = OrnsteinUhlenbeck(n)
    drift, noise = process(final, n)
    model.drift, model.noise = drift[0].cpu(), noise[0].cpu()
    model.coefficients = transition(model.drift, model.noise)[0][None].contiguous()
    last, following = recording.histories(1)[:, 0], recording.next_frames()
    prediction = np.empty_like(following)
    for k, fold in enumerate(recording.folds):
        by_others = candidates[strongest_within_one_se(errors, np.delete(np.arange(n_folds), k))]
        step = torch.linalg.matrix_exp(process(by_others.parameters[k : k + 1], n)[0][0])
        prediction[fold.test] = last[fold.test] @ step.cpu().numpy()
    residual = following - last @ model.coefficients[0].numpy()
    loadings = unpack(final, n)[2][0].cpu()
    return FamilyFit(
        models=(model,),
        order=1,
        penalty=candidates[chosen].penalty,
        selection=[
            {
                "order": 1,
                "penalty": candidate.penalty,
                "shared_noise_rank": candidate.rank,
                "heldout_nll": float(candidate.errors.mean()),
                "heldout_nll_se": float(candidate.errors.std() / n_folds**0.5),
                "selected": float(k == chosen),
            }
            for k, candidate in enumerate(candidates)
        ],
        heldout=HeldOut(np.arange(recording.n_samples), prediction),
        train_mse=float(np.mean(residual**2)),
        details={
            "penalty_at_edge": candidates[chosen].penalty in (float(PENALTIES[0]), float(PENALTIES[-1])),
            "shared_noise_rank": candidates[chosen].rank,
            "shared_noise_share": float(loadings.square().sum() / model.noise.trace()),
        },
    )


FAMILY = Family(name="ou", fit=_fit, build=OrnsteinUhlenbeck, fallback_to_linear=False)
