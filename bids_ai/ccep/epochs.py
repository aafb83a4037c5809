"""From a recording that is read piece by piece to the trials of every stimulated pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bids_ai.ccep.trials import Array, BoolArray, IntArray, Trials
from bids_ai.errors import InputError

#: ``read(start, stop)``: volts, shape (n_channels, stop - start).
Read = Callable[[int, int], Array]

#: An epoch, s: holds the noise window of the N1 detector (-1 to -0.1) and the search for the duration (up to 1).
EPOCH_S = (-1.0, 1.0)
#: The median over it is taken off each trial, s (ER-Detect).
BASELINE_S = (-0.5, -0.02)
#: The artefact of the current, s: a straight line is drawn over it, before anything is filtered.
BLANK_S = (-0.002, 0.009)
#: A trial beyond this, microvolts, is rejected in its channel: no response of cortex is so large (ER-Detect).
REJECT_UV = 3000.0
#: Pulses that follow another one sooner, s, are not used: they meet its late response.
SPACING_S = 3.0


@dataclass(frozen=True)
class Pulses:
    """Every pulse of a recording, in any order.

    Attributes
    ----------
    samples : array of int, shape (n_pulses,)
        Onset.
    anodes, cathodes : array of int, shape (n_pulses,)
        Contacts; the first is that which the site names first.
    current_a : array, shape (n_pulses,), optional
        Ampere; NaN where unknown.
    faults : sequence of str, optional
        Why a pulse is not to be used, in words; empty for a good one.
    """

    samples: IntArray
    anodes: IntArray
    cathodes: IntArray
    current_a: Array | None = None
    faults: Sequence[str] = ()

    def __post_init__(self) -> None:
        given = [self.anodes, self.cathodes, self.current_a, self.faults or None]
        lengths = [len(one) for one in given if one is not None]
        if any(length != len(self.samples) for length in lengths):
            raise InputError(
                f"Pulses: as many anodes, cathodes, currents and faults as samples ({len(self.samples)}) are wanted, "
                f"got {lengths}."
            )


@dataclass(frozen=True)
class Site:
    """A stimulated pair with one current; A-B and B-A are the same site.

    Attributes
    ----------
    contacts : (int, int)
        The lower number first.
    current_a : float
        NaN where unknown.
    pulses : array of int, shape (n_used,)
        Pulses that are used, in order of time.
    polarity : array of int8, shape (n_used,)
        1 where the first of `contacts` is the anode, else -1.
    dropped : dict of str to array of int
        Reason -> pulses that are not used.
    """

    contacts: tuple[int, int]
    current_a: float
    pulses: IntArray
    polarity: NDArray[np.int8]
    dropped: dict[str, IntArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Rejected:
    """Trials of a site that were rejected in single channels: reason -> count, shape (n_channels,)."""

    counts: dict[str, IntArray]


def plan_sites(
    pulses: Pulses,
    sampling_hz: float,
    n_samples: int,
    *,
    epoch_s: tuple[float, float] = EPOCH_S,
    spacing_s: float = SPACING_S,
    every_current: bool = False,
) -> list[Site]:
    """Sort pulses into sites, and say which are not used and why.

    Parameters
    ----------
    pulses : Pulses
    sampling_hz : float
    n_samples : int
        Length of the recording.
    epoch_s : (float, float)
        Start and stop of an epoch, s.
    spacing_s : float
        A pulse sooner than this after the one before it is not used, whatever the site.
    every_current : bool
        A site for every current of a pair; by default only the current with most pulses, and of these the highest.

    Returns
    -------
    list of Site
        By contacts, then current. A site without a usable pulse is there too, with the reasons.

    Raises
    ------
    InputError
        When a pulse has the same contact twice.
    """
    if (pulses.anodes == pulses.cathodes).any():
        same = np.flatnonzero(pulses.anodes == pulses.cathodes)
        raise InputError(f"Pulses {same.tolist()}: two different contacts are wanted, got the same one twice.")
    reasons = _reasons(pulses, sampling_hz, n_samples, epoch_s, spacing_s)
    current = np.full(len(pulses.samples), np.nan) if pulses.current_a is None else np.asarray(pulses.current_a, float)
    pairs = np.sort(np.column_stack([pulses.anodes, pulses.cathodes]), axis=1)
    sites: list[Site] = []
    for pair in np.unique(pairs, axis=0):
        of_pair = np.flatnonzero((pairs == pair).all(axis=1))
        # NaN is one current, not as many as there are pulses.
        level = np.where(np.isfinite(current), current, -1.0)[of_pair]
        of_current = [_site(pulses, of_pair[level == value], reasons, value) for value in np.unique(level)]
        if not every_current:
            of_current = [max(of_current, key=lambda site: (len(site.pulses), np.nan_to_num(site.current_a)))]
        sites.extend(of_current)
    return sites


def read_site(
    read: Read,
    site: Site,
    pulses: Pulses,
    sampling_hz: float,
    *,
    epoch_s: tuple[float, float] = EPOCH_S,
    blank_s: tuple[float, float] | None = BLANK_S,
    reject_uv: float | None = REJECT_UV,
    involves: BoolArray | None = None,
    bad_channels: Sequence[int] | IntArray = (),
) -> tuple[Trials, Rejected]:
    """Read the trials of one site: nothing else of the recording is in memory.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives volts, shape (n_channels, stop - start).
    site : Site
    pulses : Pulses
    sampling_hz : float
    epoch_s : (float, float)
        As given to `plan_sites`.
    blank_s : (float, float), optional
        A straight line is drawn over it; None where the recording is free of artefacts already.
    reject_uv : float, optional
        A trial beyond it outside `blank_s`, from the baseline, is rejected in its channel; None to keep all.
    involves : array of bool, shape (n_channels, n_contacts), optional
        Which contacts a channel is made of; by default channel k is contact k. Bipolar channels have two each.
    bad_channels : sequence of int

    Returns
    -------
    trials : Trials
        float32; channels made of a stimulated contact and bad ones are NaN.
    rejected : Rejected

    Raises
    ------
    InputError
        For a site without pulses.
    """
    if not len(site.pulses):
        raise InputError(f"Site {site.contacts} has no pulse to read: {_listed(site.dropped)}.")
    before, after = (round(edge * sampling_hz) for edge in epoch_s)
    times = np.arange(before, after + 1) / sampling_hz
    data = np.stack(
        [prepared(read(int(s) + before, int(s) + after + 1), times, blank_s) for s in pulses.samples[site.pulses]]
    )
    if data.shape[2] != len(times):
        raise InputError(f"read(start, stop) gave {data.shape[2]} samples where {len(times)} were asked for.")
    counts = {}
    flat = np.ptp(data, axis=2) == 0
    counts["flat"] = flat.sum(axis=0)
    far = np.zeros_like(flat)
    if reject_uv is not None:
        far = (np.abs(data) > reject_uv * 1e-6).any(axis=2) & ~flat
        counts[f"beyond {reject_uv:g} uV"] = far.sum(axis=0)
    data[flat | far] = np.nan
    data[:, _left_out(site, data.shape[1], involves, bad_channels)] = np.nan
    return Trials(data, times, site.polarity.astype(int)), Rejected(counts)


def iter_sites(
    read: Read, sites: Sequence[Site], pulses: Pulses, sampling_hz: float, *, min_pulses: int = 1, **options: object
) -> Iterator[tuple[int, Trials, Rejected]]:
    """Trials of one site after the other: number of the site, its trials, what was rejected.

    Parameters
    ----------
    read : callable
    sites : sequence of Site
    pulses : Pulses
    sampling_hz : float
    min_pulses : int
        Sites with fewer are passed over.
    **options
        Of `read_site`.
    """
    for number, site in enumerate(sites):
        if len(site.pulses) >= max(min_pulses, 1):
            yield (number, *read_site(read, site, pulses, sampling_hz, **options))  # type: ignore[arg-type]


def prepared(epoch: Array, times_s: Array, blank_s: tuple[float, float] | None) -> NDArray[np.float32]:
    """One epoch (n_channels, n_times) with a line over the artefact and without its baseline, float32."""
    out = np.array(epoch, float)
    if blank_s is not None:
        out = without_artefact(out, times_s, blank_s)
    inside = (times_s >= BASELINE_S[0]) & (times_s <= BASELINE_S[1])
    if not inside.any():
        raise InputError(f"An epoch that holds the baseline {BASELINE_S} s is wanted, got {times_s[0]:g} s on.")
    out -= np.median(out[:, inside], axis=1, keepdims=True)
    return out.astype(np.float32)


def without_artefact(data: Array, times_s: Array, blank_s: tuple[float, float]) -> Array:
    """Draw a straight line between the samples around a window, over the last axis; a copy."""
    out = np.array(data)
    inside = np.flatnonzero((times_s >= blank_s[0]) & (times_s <= blank_s[1]))
    if not len(inside) or inside[0] == 0 or inside[-1] == len(times_s) - 1:
        return out
    first, last = inside[0] - 1, inside[-1] + 1
    share = (inside - first) / (last - first)
    out[..., inside] = out[..., [first]] * (1.0 - share) + out[..., [last]] * share
    return out


def _reasons(
    pulses: Pulses, sampling_hz: float, n_samples: int, epoch_s: tuple[float, float], spacing_s: float
) -> list[str]:
    """Why each pulse is not used; empty where it is."""
    order = np.argsort(pulses.samples, kind="stable")
    gaps = np.diff(pulses.samples[order]) / sampling_hz
    since, until = np.full(len(order), np.inf), np.full(len(order), np.inf)
    since[order[1:]], until[order[:-1]] = gaps, gaps
    starts, stops = (pulses.samples + round(edge * sampling_hz) for edge in epoch_s)
    out = list(pulses.faults) or [""] * len(order)
    for k in range(len(out)):
        if out[k]:
            continue
        if starts[k] < 0 or stops[k] >= n_samples:
            out[k] = "epoch not within the recording"
        elif since[k] < spacing_s:
            out[k] = f"less than {spacing_s:g} s after another pulse"
        elif until[k] <= epoch_s[1]:
            out[k] = "another pulse within the epoch"
    return out


def _site(pulses: Pulses, members: IntArray, reasons: list[str], level: float) -> Site:
    members = members[np.argsort(pulses.samples[members], kind="stable")]
    used = np.array([k for k in members if not reasons[k]], int)
    dropped: dict[str, IntArray] = {}
    for reason in sorted({reasons[k] for k in members} - {""}):
        dropped[reason] = np.array([k for k in members if reasons[k] == reason])
    first, second = sorted((int(pulses.anodes[members[0]]), int(pulses.cathodes[members[0]])))
    polarity = np.where(pulses.anodes[used] == first, 1, -1).astype(np.int8)
    return Site((first, second), float(level) if level >= 0 else np.nan, used, polarity, dropped)


def _left_out(
    site: Site, n_channels: int, involves: BoolArray | None, bad_channels: Sequence[int] | IntArray
) -> BoolArray:
    """Channels that cannot show a response of this site."""
    out = np.zeros(n_channels, bool)
    if involves is None:
        out[[contact for contact in site.contacts if contact < n_channels]] = True
    elif len(involves) != n_channels:
        raise InputError(f"involves: one row for each of {n_channels} channels is wanted, got {len(involves)}.")
    else:
        out |= involves[:, list(site.contacts)].any(axis=1)
    out[np.asarray(bad_channels, int)] = True
    return out


def _listed(dropped: dict[str, IntArray]) -> str:
    return "; ".join(f"{len(which)} {reason}" for reason, which in dropped.items()) or "none was given"
