"""Electrical activity of the cortex of a virtual patient, at rest and stimulated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate.connectome import Connectome
from bids_ai.simulate.cortex import Columns, Network, regional_columns

Array = NDArray[np.floating]

__all__ = ["Columns", "joined", "pulse_responses", "regional_columns", "rest_activity", "true_responses"]

#: A long record is made of takes side by side, as a batch costs no more than one; they overlap by this, s.
OVERLAP_S = 0.5
TAKE_S = 15.0


def rest_activity(
    connectome: Connectome,
    duration_s: float,
    sampling_hz: float,
    rng: np.random.Generator,
    *,
    columns: Columns | None = None,
) -> Array:
    """Ongoing activity of every region.

    Parameters
    ----------
    connectome : Connectome
    duration_s, sampling_hz : float
    rng : numpy Generator
    columns : Columns, optional
        Default: `regional_columns` by chance.

    Returns
    -------
    array, shape (n_times, n_regions)
        Difference of the postsynaptic potentials of the pyramidal cells from its working point, mV.
    """
    network = Network(connectome, columns or regional_columns(connectome.n_regions, rng), sampling_hz)
    n_times = round(duration_s * sampling_hz)
    n_takes = max(1, round(duration_s / TAKE_S))
    overlap = round(OVERLAP_S * sampling_hz) if n_takes > 1 else 0
    length = -(-(n_times + (n_takes - 1) * overlap) // n_takes)
    takes = network.run(network.settled(n_takes, rng), length).record[:, 0].numpy()
    return joined(takes, overlap)[:n_times]


def pulse_responses(
    connectome: Connectome,
    doses: Array,
    pulse_times_s: Array,
    duration_s: float,
    sampling_hz: float,
    rng: np.random.Generator,
    *,
    columns: Columns | None = None,
) -> Array:
    """Ongoing activity with pulses in it, in independent takes (one per stimulated site).

    Parameters
    ----------
    connectome : Connectome
    doses : array, shape (n_takes, n_pulses, n_regions)
        Share of the axons of each region that a pulse makes fire, 0..1.
    pulse_times_s : array, shape (n_takes, n_pulses)
    duration_s, sampling_hz : float
        Of every take.
    rng : numpy Generator
    columns : Columns, optional
        Default: `regional_columns` by chance.

    Returns
    -------
    array, shape (n_takes, n_times, n_regions)
        As `rest_activity`, mV.
    """
    network = Network(connectome, columns or regional_columns(connectome.n_regions, rng), sampling_hz)
    drive = network.volleys(doses, pulse_times_s)
    record = network.run(network.settled(len(doses), rng), round(duration_s * sampling_hz), drive).record
    taken: Array = record[:, 0].numpy()
    return taken


def true_responses(
    connectome: Connectome,
    doses: Array,
    duration_s: float,
    sampling_hz: float,
    rng: np.random.Generator,
    *,
    columns: Columns | None = None,
    n_states: int = 8,
) -> Array:
    """Mean change of the activity by a pulse at time zero: with it less without it, under the same noise.

    Parameters
    ----------
    connectome : Connectome
    doses : array, shape (n_doses, n_regions)
    duration_s, sampling_hz : float
    rng : numpy Generator
    columns : Columns, optional
    n_states : int
        Independent states that the pulse meets.

    Returns
    -------
    array, shape (n_doses, n_times, n_regions)
        mV; the first sample is one interval after the pulse.
    """
    network = Network(connectome, columns or regional_columns(connectome.n_regions, rng), sampling_hz)
    begin = network.settled(n_states, rng).copies(1 + len(doses))
    with_none = np.concatenate([np.zeros((1, connectome.n_regions)), doses])
    drive = network.volleys(with_none[:, None], np.zeros((len(with_none), 1)))
    # Copies of a system are its second axis, so that they share its noise.
    record = network.run(begin, round(duration_s * sampling_hz), lambda step: drive(step)[:, 0]).record
    change: Array = (record[:, 1:] - record[:, :1]).mean(dim=0).numpy()
    return change


def joined(takes: Array, overlap: int) -> Array:
    """Takes one after the other, each faded into the next over `overlap` samples at equal power.

    Parameters
    ----------
    takes : array, shape (n_takes, n_times, n_channels)
        Independent: at equal power their sum keeps their variance.
    overlap : int

    Returns
    -------
    array, shape (n_takes * n_times - (n_takes - 1) * overlap, n_channels)
    """
    n_takes, length, n_channels = takes.shape
    step = length - overlap
    out = np.zeros((n_takes * length - (n_takes - 1) * overlap, n_channels))
    rise = np.sin(0.5 * np.pi * (np.arange(overlap) + 0.5) / max(overlap, 1))[:, None]
    for number, take in enumerate(takes):
        faded = take.copy()
        if overlap and number:
            faded[:overlap] *= rise
        if overlap and number < n_takes - 1:
            faded[-overlap:] *= rise[::-1]
        out[number * step : number * step + length] += faded
    return out
