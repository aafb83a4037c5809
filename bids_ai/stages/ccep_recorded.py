"""One recording with stimulation as predictions and scores want it: what was known before, and what was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_ai.bids.index import Recording
from bids_ai.bids.tables import read_table
from bids_ai.stages.ccep_connectivity import Connectivity
from bids_ai.stages.ccep_responses import Places, Responses
from bids_ai.stages.contact_model import channel_contacts, read_pushed
from bids_ai.stages.contact_places import Channels
from bids_ai.stages.context import Context
from bids_ai.stages.evoked import HALVES, read_evoked

if TYPE_CHECKING:
    from bids_ai.ccep.scoring.recorded import Layout, Recorded

#: The amplitude that is predicted: RMS of the average from 11 to 100 ms, declared before anything is scored.
AMPLITUDE = "rms_uv"
#: Waveforms are compared at about this rate, Hz, which holds all below 100 Hz.
_WAVES_HZ = 250.0
_UV = 1e6


def recorded_of(
    context: Context, entry: Recording, responses: Responses, places: Places, connectivity: Connectivity
) -> Recorded:
    """Gather the layout and the responses of a recording.

    Parameters
    ----------
    context : Context
    entry : Recording
    responses : Responses
    places : Places
    connectivity : Connectivity

    Returns
    -------
    Recorded
        Amplitudes and waveforms in microvolts.
    """
    from bids_ai.ccep.scoring.recorded import Recorded

    waveforms, odd, even, times_s = _waveforms(context, entry, responses)
    return Recorded(
        _layout(context, entry, responses, places, connectivity),
        amplitude=responses.grid(AMPLITUDE),
        responder=responses.grid("responder"),
        odd=responses.grid("rms_odd_uv"),
        even=responses.grid("rms_even_uv"),
        latency_s=responses.grid("n1_latency_ms") / 1e3,
        waveforms=waveforms,
        waveforms_odd=odd,
        waveforms_even=even,
        times_s=times_s,
    )


def _layout(
    context: Context, entry: Recording, responses: Responses, places: Places, connectivity: Connectivity
) -> Layout:
    from bids_ai.ccep.scoring.recorded import Layout

    channels, contacts = responses.channels, responses.contacts
    positions = np.array([channels.middle([name]) for name in contacts]).reshape(-1, 3)
    number = {name: position for position, name in enumerate(contacts)}
    pushed = read_pushed(context, entry.item)
    sites = read_table(context.names.path("ccep_sites", ieeg=entry.item)).set_index("site")
    # In a frame that is not known, x tells no side.
    sided = channels.electrodes is not None and channels.electrodes.frame.kind in ("template", "native")
    known = places.site_shares.any() and places.channel_shares.any()
    return Layout(
        Path(entry.item).name,
        positions,
        _leads(channels, contacts),
        np.array([[number[name] for name in ends] for ends in responses.ends], int).reshape(-1, 2),
        channel_contacts(channels, contacts),
        distances_mm=responses.grid("distance"),
        contact_hemispheres=np.array([_side(x) if sided else "" for x in positions[:, 0].tolist()], str),
        contact_tissues=np.array(["" if kind == "unknown" else kind for kind in places.contact_tissues], str),
        current_a=sites.loc[responses.sites, "current"].to_numpy(float),
        site_shares=places.site_shares if known else None,
        channel_shares=places.channel_shares if known else None,
        matrices=connectivity.matrices if known else {},
        impulses=pushed.impulses if pushed else None,
        impulse_times_s=pushed.times_s if pushed else None,
        channel_rest_sd=pushed.channel_sd if pushed else None,
    )


def _leads(channels: Channels, contacts: list[str]) -> np.ndarray:
    """Lead of every contact: by its name, otherwise by the table, otherwise it stands alone."""
    from bids_ai.preprocess.ieeg_leads import leads_of

    groups = {
        name: group if isinstance(group, str) else None
        for members, group in zip(channels.members, channels.table["group"], strict=True)
        for name in members
    }
    lead_of = {name: lead for lead, own in leads_of(contacts, groups).items() for name in own.values()}
    return np.array([lead_of.get(name, name) for name in contacts], str)


def _side(x_mm: float) -> str:
    return "L" if x_mm < 0 else "R" if x_mm >= 0 else ""


def _waveforms(
    context: Context, entry: Recording, responses: Responses
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Averages of all, odd and even pulses, (n_sites, n_channels, n_times) each, microvolts, and their times, s."""
    whole, times_s = read_evoked(context.names.path("ccep_average", ieeg=entry.item))
    parts, _ = read_evoked(context.names.path("ccep_halves", ieeg=entry.item))
    step = max(1, round(1.0 / (_WAVES_HZ * float(times_s[1] - times_s[0]))))
    # The sample at the pulse stays one, so that times begin at its multiples.
    first = int(np.argmin(np.abs(times_s))) % step

    def stacked(means: dict[str, np.ndarray], names: list[str]) -> np.ndarray:
        return _UV * np.stack([_slower(means[name], step, first) for name in names])

    halves = [stacked(parts, [f"{site}, {half} pulses" for site in responses.sites]) for half in HALVES]
    return stacked(whole, responses.sites), halves[0], halves[1], times_s[first::step]


def _slower(data: np.ndarray, step: int, first: int) -> np.ndarray:
    """Every so many samples of (n_channels, n_times), behind a filter without delay; NaN channels stay."""
    from scipy.signal import firwin

    if step == 1:
        return data
    taps = firwin(4 * step + 1, 1.0 / step)
    known = np.isfinite(data).all(axis=1)
    out = np.full((len(data), len(range(first, data.shape[1], step))), np.nan)
    padded = np.pad(data[known], [(0, 0), (2 * step, 2 * step)], mode="edge")
    smooth = np.array([np.convolve(row, taps, mode="valid") for row in padded])
    out[known] = smooth[:, first::step] if known.any() else out[known]
    return out
