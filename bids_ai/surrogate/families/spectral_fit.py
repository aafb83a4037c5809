"""Maximum a posteriori fit of a linear neural process to the cross-spectra of a recording, along a path of priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bids_ai.surrogate.base import FamilyFit, HeldOut
from bids_ai.surrogate.cross_spectra import CrossSpectra, block_spectra
from bids_ai.surrogate.families.latent import LatentLinear, haemodynamic_gain
from bids_ai.surrogate.lbfgs import minimise
from bids_ai.surrogate.penalty import strongest_within_one_se
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.whittle import whittle

N_BINS = 12
"""Frequency bins: spectra of BOLD are smooth; twice as many gave no better connectivity on simulated BOLD."""
MAX_STEPS = 60


@dataclass(frozen=True)
class Process:
    """Parameters of a batch of processes.

    Parameters
    ----------
    drift : (batch, n, n) tensor
        J, 1/s, row = source.
    noise : (batch, n) tensor
        Variance of the neural noise, 1/s.
    hrf_tau_s : (batch,) tensor
        Time constant of the haemodynamic kernel, s.
    floor : (batch,) tensor
        Variance of the observation noise.
    """

    drift: Tensor
    noise: Tensor
    hrf_tau_s: Tensor
    floor: Tensor


class Prior(Protocol):
    """How a vector of unconstrained parameters becomes a process, and what it costs."""

    @property
    def strengths(self) -> Sequence[float]:
        """Precisions of the prior, strongest first."""
        ...

    def start(self) -> Tensor:
        """Where the descent begins, (n_parameters,)."""
        ...

    def process(self, parameters: Tensor) -> Process:
        """Processes of a batch of vectors (batch, n_parameters)."""
        ...

    def cost(self, parameters: Tensor, strength: float) -> Tensor:
        """Negative logarithm of the prior density, (batch,)."""
        ...


def fit_spectral(recording: PreparedRecording, prior: Prior) -> FamilyFit:
    """Fit all folds and the whole recording together, from the strongest prior to the weakest.

    Parameters
    ----------
    recording : PreparedRecording
    prior : Prior
        Its strength is chosen by the spectral likelihood of held-out blocks.
    """
    spectra = fold_spectra(recording)
    folds = range(len(recording.folds))
    train = Observed.of(spectra, [[b for b in folds if b != k] for k in folds] + [list(folds)])
    test = Observed.of(spectra, [[k] for k in folds])
    point = prior.start().expand(len(folds) + 1, -1)
    path, errors = [], []
    for strength in prior.strengths:

        def objective(parameters: Tensor, strength: float = strength) -> Tensor:
            process = prior.process(parameters)
            value = train.negative_log_likelihood(process) + prior.cost(parameters, strength) / train.n
            return torch.where(is_stable(process.drift), value, torch.full_like(value, torch.inf))

        point = minimise(objective, point, max_steps=MAX_STEPS, tolerance=1e-5).parameters
        process = prior.process(point)
        path.append(process)
        errors.append(test.negative_log_likelihood(_first(process, len(folds))))
    return _family_fit(recording, path, torch.stack(errors, dim=1), list(prior.strengths))


def is_stable(drift: Tensor) -> Tensor:
    """Whether processes with non-negative coupling die out without noise, (batch,) bool.

    The spectrum of an unstable process looks like that of a stable one, so that the likelihood does not exclude it.
    With non-negative coupling a process is stable exactly if the inverse of minus its drift has no negative entry.
    """
    lasting = torch.linalg.inv(-drift.detach())
    return torch.isfinite(lasting).all(-1).all(-1) & (lasting >= -1e-12).all(-1).all(-1)


def fold_spectra(recording: PreparedRecording) -> CrossSpectra:
    """Cross-spectra of the blocks of the validation."""
    starts = [recording.targets[fold.test.start] for fold in recording.folds]
    bounds = np.array([0, *starts[1:], len(recording.series)])
    return block_spectra(recording.series, bounds, recording.recording.tr, N_BINS)


@dataclass(frozen=True)
class Observed:
    """Cross-spectra of a batch of selections of blocks."""

    omega: Tensor
    density: Tensor
    weight: Tensor
    n: Tensor

    @classmethod
    def of(cls, spectra: CrossSpectra, selections: list[list[int]]) -> Observed:
        """Mean over each selection of blocks."""
        densities, weights = [], []
        for blocks in selections:
            weight = spectra.weight[blocks]
            total = weight.sum(0)
            mean = (weight[:, :, None, None] * spectra.density[blocks]).sum(0) / np.maximum(total, 1)[:, None, None]
            densities.append(mean)
            weights.append(total)
        stacked = torch.as_tensor(np.stack(weights))
        n = stacked.sum(1)
        omega = torch.as_tensor(2 * np.pi * spectra.frequency)
        return cls(omega, torch.as_tensor(np.stack(densities)), stacked / n[:, None], n)

    def negative_log_likelihood(self, process: Process) -> Tensor:
        """Per Fourier coefficient."""
        gain = haemodynamic_gain(self.omega, process.hrf_tau_s)
        return whittle(process.drift, process.noise, gain, process.floor, self.omega, self.density, self.weight)


def _first(process: Process, count: int) -> Process:
    return Process(*(getattr(process, name)[:count] for name in ("drift", "noise", "hrf_tau_s", "floor")))


def _model(recording: PreparedRecording, process: Process, position: int) -> LatentLinear:
    model = LatentLinear(recording.n_regions, recording.order_max, recording.recording.tr)
    parts = (process.drift, process.noise, process.hrf_tau_s, process.floor)
    return model.set_parameters(*(part[position].detach() for part in parts))


def _family_fit(recording: PreparedRecording, path: list[Process], errors: Tensor, strengths: list[float]) -> FamilyFit:
    chosen = strongest_within_one_se(errors)
    n_folds = len(recording.folds)
    history, following = torch.as_tensor(recording.histories(recording.order_max)), recording.next_frames()
    prediction = np.empty_like(following)
    for k, fold in enumerate(recording.folds):
        by_others = strongest_within_one_se(errors, np.delete(np.arange(n_folds), k))
        prediction[fold.test] = _model(recording, path[by_others], k).step(history[fold.test]).numpy()
    model = _model(recording, path[chosen], n_folds)
    residual = following - model.step(history).numpy()
    return FamilyFit(
        models=(model,),
        order=recording.order_max,
        penalty=float(strengths[chosen]),
        selection=[
            {
                "order": recording.order_max,
                "penalty": float(strength),
                "heldout_nll": float(errors[:, k].mean()),
                "heldout_nll_se": float(errors[:, k].std() / n_folds**0.5),
                "selected": float(k == chosen),
            }
            for k, strength in enumerate(strengths)
        ],
        heldout=HeldOut(np.arange(recording.n_samples), prediction),
        train_mse=float(np.mean(residual**2)),
        details={"hrf_tau_s": float(model.hrf_tau_s), "observation_noise": float(model.floor)},
    )
