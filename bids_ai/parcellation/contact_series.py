"""From the signals of channels to series of the regions that they lie in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError
from bids_ai.parcellation.contacts import ContactRegions

Array = NDArray[np.floating]


@dataclass(frozen=True)
class ContactSeries:
    """Series of regions.

    Attributes
    ----------
    series : array (n_times, n_regions)
        SD units; NaN columns of regions without a channel, NaN rows where `series_of_contacts` was told to leave out.
    n_channels : int array (n_regions,)
        Channels that a region has.
    explained : array (n_regions,)
        Share of the variance of its channels that the series of a region explains; NaN without a channel.
    """

    series: Array
    n_channels: NDArray[np.intp]
    explained: Array


def series_of_contacts(data: Array, regions: ContactRegions, used: NDArray[np.bool_]) -> ContactSeries:
    """Summarise the channels of every region by their first principal component.

    Channels of a bipolar reference have no sign of their own: a mean over them would cancel what they share. The
    component is turned so that the channel that weighs most counts positively.

    Parameters
    ----------
    data : array (n_times, n_channels)
    regions : ContactRegions
        Of the channels; each belongs to the nearest region.
    used : bool array (n_times,)
        Samples to learn from and to give; the others become NaN.

    Returns
    -------
    ContactSeries

    Raises
    ------
    InputError
        If shapes disagree, or fewer than two samples are used.
    """
    if data.shape != (len(used), len(regions.names)) or used.sum() < 2:
        raise InputError(
            f"Series of {len(regions.names)} channels: data of shape (n_times, n_channels) and two used samples or "
            f"more are wanted, got {data.shape} and {int(used.sum())} of {len(used)}."
        )
    n_regions = len(regions.regions)
    series, explained = np.full((len(data), n_regions), np.nan), np.full(n_regions, np.nan)
    count = np.zeros(n_regions, np.intp)
    inside = np.asarray(data[used], float)
    inside = inside - inside.mean(axis=0)
    spread = inside.std(axis=0)
    for region in range(n_regions):
        own = np.flatnonzero((regions.nearest == region) & (spread > 0))
        count[region] = len(own)
        if not len(own):
            continue
        scaled = inside[:, own] / spread[own]
        values, vectors = np.linalg.eigh(scaled.T @ scaled)
        first = vectors[:, -1]
        component = scaled @ (first * np.sign(first[np.abs(first).argmax()]))
        series[used, region] = component / component.std()
        explained[region] = values[-1] / values.sum()
    return ContactSeries(series, count, explained)
