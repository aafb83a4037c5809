"""Maximum a posteriori fit of a linear neural process to the cross-spectra of a recording, along paths of priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bids_ai.errors import InputError
from bids_ai.surrogate.base import FamilyFit, HeldOut
from bids_ai.surrogate.cross_spectra import MIN_BLOCK_FRAMES, CrossSpectra, Observed, block_spectra
from bids_ai.surrogate.families.latent import LatentLinear, haemodynamic_gain
from bids_ai.surrogate.families.latent_noise import LatentNoise
from bids_ai.surrogate.lbfgs import minimise
from bids_ai.surrogate.penalty import strongest_within_one_se
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.whittle import whittle

N_BINS = 8
"""Frequency bins: spectra of BOLD are smooth; half as many again predicted simulated BOLD no better."""
MAX_STEPS = 30
"""Of each strength of the prior; a path has three or four, each from the one before."""
TOLERANCE = 1e-6
"""Relative decrease of the negative log-likelihood per Fourier coefficient at which a fit ends."""
PATIENCE = 2
"""Strengths in a row that may predict worse than the best before them until weaker ones are not tried."""
SHARED_SOURCES = (3, 5)
"""Shared sources of neural and of observation noise, where there are any. Among up to 5 and 20, resting BOLD of 47
regions is predicted best by about these."""


@dataclass(frozen=True)
class Process:
    """Parameters of a batch of processes.

    Parameters
    ----------
    drift : (batch, n, n) tensor
        J, 1/s, row = source.
    noise : (batch, n, n) tensor
        Covariance of the neural noise, 1/s.
    hrf_tau_s : (batch,) tensor
        Time constant of the haemodynamic kernel, s.
    floor : (batch, n, n) tensor
        Covariance of the observation noise.
    delay_s : (batch, n) tensor
        Delay of each region beyond that of the kernel, s.
    """

    drift: Tensor
    noise: Tensor
    hrf_tau_s: Tensor
    floor: Tensor
    delay_s: Tensor

    def parts(self) -> tuple[Tensor, ...]:
        """In the order of the constructor."""
        return self.drift, self.noise, self.hrf_tau_s, self.floor, self.delay_s


class Prior(Protocol):
    """How a vector of unconstrained parameters becomes a process, and what it costs."""

    @property
    def strengths(self) -> Sequence[float]:
        """Precisions of the prior, strongest first."""
        ...

    @property
    def noise(self) -> LatentNoise:
        """Layout of the noise."""
        ...

    @property
    def delays(self) -> bool:
        """Whether regions have delays of their own."""
        ...

    def start(self, spectra: Observed) -> Tensor:
        """Where the descent begins, (batch, n_parameters)."""
        ...

    def process(self, parameters: Tensor) -> Process:
        """Processes of a batch of vectors (batch, n_parameters)."""
        ...

    def cost(self, parameters: Tensor, strength: float) -> Tensor:
        """Negative logarithm of the prior density, (batch,)."""
        ...


class PriorOf(Protocol):
    """Prior of a family for given noise, with delays of each region or without."""

    def __call__(self, noise: LatentNoise, delays: bool) -> Prior:
        """Build it."""
        ...


@dataclass(frozen=True)
class Candidate:
    """A prior of some strength, fitted to all but one block in turn.

    Parameters
    ----------
    prior : Prior
    strength : float
    parameters : (n_folds, n_parameters) tensor
    errors : (n_folds,) tensor
        Negative log-likelihood of the block left out.
    """

    prior: Prior
    strength: float
    parameters: Tensor
    errors: Tensor


def fit_spectral(recording: PreparedRecording, prior_of: PriorOf) -> FamilyFit:
    """Choose the prior by held-out blocks, all folds together, and fit it to the whole recording.

    Strengths go from the strongest prior to the weakest. Then delays are added, and then shared sources, each kept if
    held-out blocks are predicted better with it; both leave no more to coupling, so that their paths begin at the
    strength before the best one.

    Parameters
    ----------
    recording : PreparedRecording
    prior_of : callable
        Its strength, the delays and the shared sources are chosen by the spectral likelihood of held-out blocks.
    """
    spectra = fold_spectra(recording)
    folds = range(len(recording.folds))
    train = Observed.of(spectra, [[b for b in folds if b != k] for k in folds])
    test = Observed.of(spectra, [[k] for k in folds])
    n = recording.n_regions
    candidates = _path(prior_of(LatentNoise(n), False), train, test, 0)
    best = _best(candidates)
    candidates += _path(prior_of(LatentNoise(n), True), train, test, _from(best))
    best = _best(candidates)
    if 2 * sum(SHARED_SOURCES) < n:
        shared = LatentNoise(n, *SHARED_SOURCES)
        candidates += _path(prior_of(shared, best.prior.delays), train, test, _from(best))
    errors = torch.stack([candidate.errors for candidate in candidates], dim=1)
    chosen = strongest_within_one_se(errors)
    everything = Observed.of(spectra, [list(folds)])
    final = _maximum_a_posteriori(candidates[chosen], everything)
    return _family_fit(recording, candidates, errors, chosen, final)


def _best(candidates: list[Candidate]) -> Candidate:
    return min(candidates, key=lambda candidate: float(candidate.errors.mean()))


def _from(best: Candidate) -> int:
    """Position of the strength before that of a candidate."""
    return max(0, list(best.prior.strengths).index(best.strength) - 1)


def _path(prior: Prior, train: Observed, test: Observed, first: int) -> list[Candidate]:
    """Candidates from a strength of the prior on to weaker ones, as far as these predict better."""
    point = prior.start(train)
    path: list[Candidate] = []
    for strength in prior.strengths[first:]:
        point = _descend(prior, strength, point, train, MAX_STEPS)
        path.append(Candidate(prior, strength, point, negative_log_likelihood(prior.process(point), test)))
        means = [float(candidate.errors.mean()) for candidate in path]
        if len(means) - 1 - int(np.argmin(means)) >= PATIENCE:
            break
    return path


def _maximum_a_posteriori(candidate: Candidate, spectra: Observed) -> Process:
    """Fit of a chosen prior to all blocks, from the fit to most of them."""
    prior = candidate.prior
    return prior.process(_descend(prior, candidate.strength, candidate.parameters[:1], spectra, 2 * MAX_STEPS))


def _descend(prior: Prior, strength: float, start: Tensor, spectra: Observed, max_steps: int) -> Tensor:
    def objective(parameters: Tensor, rows: Tensor) -> Tensor:
        process, seen = prior.process(parameters), spectra.take(rows)
        value = negative_log_likelihood(process, seen) + prior.cost(parameters, strength) / seen.n
        return torch.where(is_stable(process.drift), value, torch.full_like(value, torch.inf))

    return minimise(objective, start, max_steps=max_steps, tolerance=TOLERANCE).parameters


def is_stable(drift: Tensor) -> Tensor:
    """Whether processes with non-negative coupling die out without noise, (batch,) bool.

    The spectrum of an unstable process looks like that of a stable one, so that the likelihood does not exclude it.
    With non-negative coupling a process is stable exactly if the inverse of minus its drift has no negative entry.
    """
    lasting, _ = torch.linalg.inv_ex(-drift.detach())
    return torch.isfinite(lasting).all(-1).all(-1) & (lasting >= -1e-12).all(-1).all(-1)


def fold_spectra(recording: PreparedRecording) -> CrossSpectra:
    """Cross-spectra of the blocks of the validation.

    Raises
    ------
    InputError
        If a block has no stretch that is long enough.
    """
    starts = [recording.targets[fold.test.start] for fold in recording.folds]
    bounds = np.array([0, *starts[1:], len(recording.series)])
    spectra = block_spectra(recording.series, bounds, recording.recording.tr, N_BINS)
    empty = int((~spectra.weight.any(axis=1)).sum())
    if empty:
        raise InputError(
            f"{recording.name}: {empty} of {len(recording.folds)} blocks of the validation have no stretch of "
            f"{MIN_BLOCK_FRAMES} frames with gaps of at most two, which a spectrum needs. Use a longer scan, censor "
            "less, or a model without spectra, such as ou or ridge-var."
        )
    return spectra


def negative_log_likelihood(process: Process, spectra: Observed) -> Tensor:
    """Of observed spectra, per Fourier coefficient, (batch,)."""
    gain = haemodynamic_gain(spectra.omega, process.hrf_tau_s)
    seen = (spectra.omega, spectra.density, spectra.weight)
    return whittle(process.drift, process.noise, gain, process.floor, process.delay_s, *seen)


def _model(recording: PreparedRecording, process: Process) -> LatentLinear:
    model = LatentLinear(recording.n_regions, recording.order_max, recording.recording.tr)
    return model.set_parameters(*(part[0].detach() for part in process.parts()))


def _family_fit(
    recording: PreparedRecording, candidates: list[Candidate], errors: Tensor, chosen: int, final: Process
) -> FamilyFit:
    n_folds = len(recording.folds)
    history, following = torch.as_tensor(recording.histories(recording.order_max)), recording.next_frames()
    prediction = np.empty_like(following)
    for k, fold in enumerate(recording.folds):
        by_others = candidates[strongest_within_one_se(errors, np.delete(np.arange(n_folds), k))]
        process = by_others.prior.process(by_others.parameters[k : k + 1])
        prediction[fold.test] = _model(recording, process).step(history[fold.test]).numpy()
    model = _model(recording, final)
    residual = following - model.step(history).numpy()
    noise = candidates[chosen].prior.noise
    return FamilyFit(
        models=(model,),
        order=recording.order_max,
        penalty=float(candidates[chosen].strength),
        selection=[
            {
                "order": recording.order_max,
                "penalty": float(candidate.strength),
                "delays": float(candidate.prior.delays),
                "shared_neural_sources": candidate.prior.noise.neural,
                "shared_observed_sources": candidate.prior.noise.observed,
                "heldout_nll": float(candidate.errors.mean()),
                "heldout_nll_se": float(candidate.errors.std() / n_folds**0.5),
                "selected": float(k == chosen),
            }
            for k, candidate in enumerate(candidates)
        ],
        heldout=HeldOut(np.arange(recording.n_samples), prediction),
        train_mse=float(np.mean(residual**2)),
        details={
            "hrf_tau_s": float(model.hrf_tau_s),
            "delay_sd_s": float(model.delay_s.std()),
            "observation_noise": float(model.floor.trace() / recording.n_regions),
            "shared_neural_sources": noise.neural,
            "shared_observed_sources": noise.observed,
        },
    )
