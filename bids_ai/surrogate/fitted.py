"""What a fit gives: a surrogate with everything needed to use, judge and store it, or a reason why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bids_ai.errors import InputError
from bids_ai.surrogate.base import SurrogateModel
from bids_ai.surrogate.lags import IntArray, histories
from bids_ai.surrogate.prepare import Scaler
from bids_ai.surrogate.usable import BoolArray, FloatArray, usable_frames


@dataclass(frozen=True)
class Gate:
    """Verdict on a fit: "reliable", or "unreliable" with every reason."""

    verdict: str
    reasons: tuple[str, ...]

    @property
    def reliable(self) -> bool:
        """Whether nothing speaks against the fit."""
        return self.verdict == "reliable"


@dataclass(frozen=True)
class FailedFit:
    """A recording that could not be fitted, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class FittedSurrogate:
    """A fitted surrogate brain. All arrays of kept regions are in SD units, time first.

    Parameters
    ----------
    name : str
        Of the recording.
    family : str
        Of the models below: "ridge-var" where the family asked for predicted no better.
    requested : str
        The family that was asked for.
    models : tuple of SurrogateModel
        The ensemble.
    scaler : Scaler
        Mean and SD per run, in the units of the signal.
    regions : tuple of str
        All regions, kept or not.
    kept : (n_regions,) bool
    excluded : dict
        Region -> reason.
    tr : float
        Seconds.
    order : int
    penalty : float or None
        Ridge penalty of the linear model (or part).
    selection : list of dict
        Table of selection.
    evaluation : dict
        JSON-able, see docs/surrogate.md.
    gate : Gate
    seed : int
    device : str
        Device of the fit; the models are on the CPU.
    warnings : tuple of str
    innovation_cov : (n_kept, n_kept) array
        Covariance of the held-out prediction errors.
    series : (n_times, n_kept) array
        Standardised runs, joined by NaN rows; NaN where censored.
    targets : (n_samples,) int
        Frames of `series` with a complete history.
    """

    name: str
    family: str
    requested: str
    models: tuple[SurrogateModel, ...]
    scaler: Scaler
    regions: tuple[str, ...]
    kept: BoolArray
    excluded: dict[str, str]
    tr: float
    order: int
    penalty: float | None
    selection: list[dict[str, float]]
    evaluation: dict[str, Any]
    gate: Gate
    seed: int
    device: str
    warnings: tuple[str, ...]
    innovation_cov: FloatArray
    series: FloatArray
    targets: IntArray

    @property
    def order_max(self) -> int:
        """Largest number of lags that the recording was prepared for, whatever the family made of it.

        It is not stored: every stretch of usable frames begins with so many that are no target.
        """
        first = int(self.targets[0])
        unusable = np.flatnonzero(~usable_frames(self.series[:first]))
        return first - (int(unusable[-1]) + 1 if len(unusable) else 0)

    def states(self, max_states: int | None = None) -> FloatArray:
        """Observed histories, shape (n_states, order, n_kept), SD units, newest lag last.

        Parameters
        ----------
        max_states : int, optional
            At most so many, evenly spaced over the recording; neighbours in time are nearly the same state.
        """
        chosen = self.targets
        if max_states is not None and len(chosen) > max_states:
            chosen = chosen[np.linspace(0, len(chosen) - 1, max_states).round().astype(int)]
        return histories(self.series, chosen, self.order)

    def require_regions(self, regions: Sequence[str], name: str) -> None:
        """Refuse regions that are not those of the fit.

        Parameters
        ----------
        regions : sequence of str
            Of what the surrogate is to be applied to, in order.
        name : str
            Of that.

        Raises
        ------
        InputError
            With the regions that only one of the two has, or the first that stands elsewhere.
        """
        if tuple(regions) == self.regions:
            return
        only_here = [region for region in regions if region not in self.regions]
        only_fit = [region for region in self.regions if region not in regions]
        if only_here or only_fit:
            detail = f"only in {name}: {_listed(only_here)}; only in {self.name}: {_listed(only_fit)}"
        else:
            place = next(k for k, (a, b) in enumerate(zip(regions, self.regions, strict=True)) if a != b)
            detail = f"the order differs from region {place + 1} on: {regions[place]} against {self.regions[place]}"
        raise InputError(
            f"{name}: its {len(regions)} regions are not the {len(self.regions)} that {self.name} was fitted to "
            f"({detail}); use the same atlas, in the same order."
        )

    def signal_units(self, matrix: FloatArray) -> FloatArray:
        """Turn a response in SD of the target per SD of the source into signal units per signal unit.

        Parameters
        ----------
        matrix : (..., n_regions, n_regions) array
            Over all regions; NaN where missing.
        """
        sd = np.full(len(self.regions), np.nan)
        sd[self.kept] = np.sqrt((self.scaler.sd**2).mean(axis=0))  # pooled over runs
        return matrix * sd[None, :] / sd[:, None]

    def simulate(self, n_steps: int, n_chains: int = 1, seed: int | None = None, burn_in: int = 200) -> FloatArray:
        """Free-running series of the first member with innovations, shape (n_chains, n_steps, n_kept), SD units."""
        model = self.models[0]
        dtype = model_dtype(model)
        generator = torch.Generator().manual_seed(self.seed if seed is None else seed)
        states = self.states()
        start = states[np.linspace(0, len(states) - 1, n_chains).round().astype(int)]
        frames = model.simulate(
            n_steps + burn_in,
            torch.as_tensor(start, dtype=dtype),
            torch.as_tensor(self.innovation_cov),
            generator,
        )
        out: FloatArray = frames[:, burn_in:].double().numpy()
        return out


def _listed(names: Sequence[str], most: int = 5) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def model_dtype(model: SurrogateModel) -> torch.dtype:
    """Floating type that a model computes in."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[-1].dtype
