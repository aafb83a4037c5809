"""Measured responses to stimulation of one recording, read back, and where their sites and channels lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from bids_ai.bids.index import Recording
from bids_ai.bids.tables import read_table
from bids_ai.stages.contact_places import Channels, regions_of
from bids_ai.stages.context import Context
from bids_ai.stages.inputs import read_nodes


@dataclass(frozen=True)
class Responses:
    """Responses of all channels to all sites.

    Attributes
    ----------
    table : pandas.DataFrame
        ``*_desc-ccep_features.tsv``: one row per site and channel.
    channels : Channels
    """

    table: pd.DataFrame
    channels: Channels

    @classmethod
    def read(cls, context: Context, entry: Recording) -> Responses:
        """Read the responses of a recording."""
        table = read_table(context.names.path("ccep_features", ieeg=entry.item))
        return cls(table, Channels.read(context, entry))

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Name and contacts of every site: ``site contact_1 contact_2``, (n_sites,)."""
        return self.table.drop_duplicates("site")[["site", "contact_1", "contact_2"]].reset_index(drop=True)

    @property
    def sites(self) -> list[str]:
        """Names of the sites, (n_sites,)."""
        return [str(name) for name in self.pairs["site"]]

    @cached_property
    def ends(self) -> list[list[str]]:
        """Contacts of every site."""
        pairs = zip(self.pairs["contact_1"], self.pairs["contact_2"], strict=True)
        return [[str(first), str(second)] for first, second in pairs]

    @cached_property
    def contacts(self) -> list[str]:
        """All contacts that a channel is made of or a site stimulates, each once."""
        return list(dict.fromkeys(name for members in (*self.channels.members, *self.ends) for name in members))

    def grid(self, column: str) -> np.ndarray:
        """Column of the table as (n_sites, n_channels)."""
        wide = self.table.pivot(index="site", columns="channel", values=column)
        return wide.loc[self.sites, self.channels.names].to_numpy(float)


@dataclass(frozen=True)
class Places:
    """Regions and tissue of sites, channels and contacts.

    Attributes
    ----------
    site_shares, channel_shares : array, shape (n_sites, n_regions), (n_channels, n_regions)
        0 throughout where regions are not known.
    site_tissues, contact_tissues : list of str
        As `parcellation.contacts.tissue_of_contacts` names them.
    method : str
        How the atlas came to the electrodes.
    notes : list of str
    """

    site_shares: np.ndarray
    channel_shares: np.ndarray
    site_tissues: list[str]
    contact_tissues: list[str]
    method: str
    notes: list[str]


def places_of(context: Context, entry: Recording, atlas: str, responses: Responses) -> Places:
    """Look sites (their middle), channels and contacts up in an atlas."""
    channels = responses.channels
    n_sites, n_channels = len(responses.sites), len(channels.names)
    middles = [channels.middle(ends) for ends in responses.ends]
    contacts = [channels.middle([name]) for name in responses.contacts]
    points = np.concatenate([np.reshape(part, (-1, 3)) for part in (middles, channels.positions_mm, contacts)])
    names = [*responses.sites, *channels.names, *responses.contacts]
    members = [*responses.ends, *channels.members, *([name] for name in responses.contacts)]
    regions, tissue, method = regions_of(context, entry, atlas, names, points, channels, members)
    nothing = np.zeros((len(names), len(read_nodes(context, atlas))))
    shares = regions.weights if regions.level == "region" else nothing
    return Places(
        site_shares=shares[:n_sites],
        channel_shares=shares[n_sites : n_sites + n_channels],
        site_tissues=tissue[:n_sites],
        contact_tissues=tissue[n_sites + n_channels :],
        method=method,
        notes=list(regions.notes),
    )
