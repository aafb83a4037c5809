"""One reference for the surface channels of a stimulation recording: the mean of those that respond least."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_ai.ccep.epochs import Pulses, Read, iter_sites, plan_sites
from bids_ai.preprocess.ieeg_reference import RESPONSE_S, quiet_channels

#: Fewer surface channels have no mean that is quieter than themselves; resamplings for the choice among them.
LEAST_AVERAGE, _BOOTSTRAPS = 8, 20
#: The mean has this share of the surface channels and so many or more, whatever they respond to. More would bring
#: channels that respond into the mean of a strip: their response is then in all others.
_LEAST_SHARE, _LEAST_MEMBERS = 0.25, 4


def quiet_members(
    read: Read,
    pulses: Pulses,
    sampling_hz: float,
    n_samples: int,
    surface: NDArray[np.intp],
    involves: NDArray[np.bool_],
) -> NDArray[np.intp]:
    """Choose the surface channels whose mean is the reference of all of them.

    The reference is one for the recording, since trials and pseudo-onsets must have the same. A channel that responds
    to a single site would put its response, upside down, into all others at that site: so channels count that respond
    to none, and only where these are too few, those that respond to fewest.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives volts, shape (n_channels, stop - start), free of stimulation artefacts.
    pulses : Pulses
    sampling_hz : float
    n_samples : int
        Length of the recording.
    surface : int array (n_surface,)
        Channels of grids and strips; `LEAST_AVERAGE` or more.
    involves : bool array (n_channels, n_contacts)
        Contacts that a channel is made of.

    Returns
    -------
    int array
        Of `surface`.
    """
    chosen, tried = np.zeros(len(surface)), np.zeros(len(surface))
    sites = plan_sites(pulses, sampling_hz, n_samples)
    for _, trials, _ in iter_sites(read, sites, pulses, sampling_hz, blank_s=None, involves=involves, min_pulses=2):
        window = trials.data[:, surface][:, :, trials.between(*RESPONSE_S)].transpose(0, 2, 1)
        there = np.flatnonzero(np.isfinite(window).all(axis=(0, 1)))
        if len(there) < LEAST_AVERAGE:
            continue
        tried[there] += 1
        chosen[there[quiet_channels(window[:, :, there], n_bootstraps=_BOOTSTRAPS).members]] += 1
    shares = np.where(tried > 0, chosen / np.maximum(tried, 1), -1.0)
    least = max(_LEAST_MEMBERS, round(_LEAST_SHARE * len(surface)))
    members: NDArray[np.intp] = surface[np.argsort(-shares, kind="stable")[: max(least, int((shares == 1).sum()))]]
    return members
