"""Electrical activity of the cortex of a virtual patient, at rest and stimulated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate.connectome import Connectome
from bids_ai.simulate.cortex import Columns, Network, regional_columns

Array = NDArray[np.floating]

__all__ = ["Columns", "pulse_responses", "regional_columns", "rest_activity", "sewn", "true_responses"]

#: A long record is made of takes of about this length; they fade into each other over at most this, s.
TAKE_S, OVERLAP_S = 10.0, 0.5
#: Connections that are integrated side by side: more need memory and are not faster.
CHUNK_CONNECTIONS = 3_000_000


def rest_activity(
    connectome: Connectome,
    duration_s: float,
    sampling_hz: float,
    rng: np.random.Generator,
    *,
    columns: Columns | None = None,
    take_s: float = TAKE_S,
) -> Array:
    """Ongoing activity of every region.

    Parameters
    ----------
    connectome : Connectome
    duration_s, sampling_hz : float
    rng : numpy Generator
    columns : Columns, optional
        Default: `regional_columns` by chance.
    take_s : float
        A longer record is made of takes side by side, about so long, that fade into each other: a batch costs little
        more than one.

    Returns
    -------
    array, shape (n_times, n_regions)
        Difference of the postsynaptic potentials of the pyramidal cells from its working point, mV.
    """
    network = Network(connectome, columns or regional_columns(connectome.n_regions, rng), sampling_hz)
    n_times = round(duration_s * sampling_hz)
    n_takes = max(1, round(duration_s / take_s))
    overlap = 2 * round(0.5 * min(OVERLAP_S, 0.2 * take_s) * sampling_hz)
    edges = np.linspace(0, n_times, n_takes + 1).round().astype(int)
    length = int(np.diff(edges).max()) + overlap
    takes = network.run(network.settled(n_takes, rng), length).record[:, 0].numpy()
    return sewn(takes, edges, overlap)


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
    n_copies = 1 + len(doses)
    with_none = np.concatenate([np.zeros((1, connectome.n_regions)), doses])
    drive = network.volleys(with_none[:, None], np.zeros((n_copies, 1)))
    at_once = max(1, CHUNK_CONNECTIONS // (n_copies * connectome.n_regions**2))
    change = np.zeros((len(doses), round(duration_s * sampling_hz), connectome.n_regions))
    for first in range(0, n_states, at_once):
        begin = network.settled(min(at_once, n_states - first), rng).copies(n_copies)
        # Copies of a system are its second axis, so that they share its noise.
        record = network.run(begin, change.shape[1], lambda step: drive(step)[:, 0]).record
        change += (record[:, 1:] - record[:, :1]).sum(dim=0).numpy()
    return change / n_states


def sewn(takes: Array, edges: NDArray[np.integer], overlap: int) -> Array:
    """Takes one after the other, each faded into the next at equal power: of independent takes that keeps the variance.

    Parameters
    ----------
    takes : array, shape (n_takes, n_times, n_channels)
        Take k begins half an overlap before edge k; n_times at least the longest distance of edges and an overlap.
    edges : array of int, shape (n_takes + 1,)
        Samples of the record where a take begins; the last is its length.
    overlap : int
        Samples over which two takes fade into each other, about each edge.

    Returns
    -------
    array, shape (edges[-1], n_channels)
    """
    half = overlap // 2
    out = np.zeros((int(edges[-1]), takes.shape[2]), takes.dtype)
    rise = np.sin(0.5 * np.pi * (np.arange(2 * half) + 0.5) / max(2 * half, 1))[:, None].astype(takes.dtype)
    for number, take in enumerate(takes):
        first, last = int(edges[number]) - half, int(edges[number + 1]) + half
        piece = take[: last - first].copy()
        if number > 0:
            piece[: 2 * half] *= rise
        if number < len(takes) - 1:
            piece[len(piece) - 2 * half :] *= rise[::-1]
        begin, end = max(first, 0), min(last, len(out))
        out[begin:end] += piece[begin - first : end - first]
    return out
