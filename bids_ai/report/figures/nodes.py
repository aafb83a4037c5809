"""What figures ask of a node table: order, blocks, colours. Columns as in every node table of the project."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bids_ai.errors import InputError
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.theme import CATEGORIES

if TYPE_CHECKING:
    import pandas as pd

#: Name of the group of nodes without a network, and of nodes without a hemisphere.
NO_NETWORK, NO_SIDE = "no network", "midline or n/a"
SIDES = {"L": "Left", "R": "Right", "B": "Both"}


class Block(NamedTuple):
    """A run of nodes of one group in the drawn order: positions `first` to `last` (exclusive)."""

    name: str
    first: int
    last: int


def check_nodes(nodes: pd.DataFrame, n_regions: int, what: str) -> None:
    """Raise InputError unless the table has one row per region of a matrix.

    Raises
    ------
    InputError
        With both counts.
    """
    if len(nodes) != n_regions:
        raise InputError(f"{what} has {n_regions} regions, its node table {len(nodes)}; they must be of one atlas.")


def networks(nodes: pd.DataFrame) -> list[str]:
    """Return the network of each node; "no network" where the table has none."""
    if "network" not in nodes:
        return [NO_NETWORK] * len(nodes)
    return [_text(value) or NO_NETWORK for value in nodes["network"]]


def sides(nodes: pd.DataFrame) -> list[str]:
    """Return the hemisphere of each node in words."""
    if "hemisphere" not in nodes:
        return [NO_SIDE] * len(nodes)
    return [SIDES.get(_text(value), NO_SIDE) for value in nodes["hemisphere"]]


def network_colours(nodes: pd.DataFrame) -> dict[str, str]:
    """Return a colour per network: the table's own where all nodes of each network share one, else a safe set.

    Networks keep the order of their first node.
    """
    names = networks(nodes)
    unique = list(dict.fromkeys(names))
    own = _own_colours(nodes, names)
    if own is not None:
        return own
    return {name: CATEGORIES[number % len(CATEGORIES)] for number, name in enumerate(unique)}


def node_colours(nodes: pd.DataFrame, *, distinct: bool = False) -> list[str]:
    """Return the colour of each node: its network's, or its own where the atlas has no networks.

    With `distinct`, nodes that would all have one colour get those of a cycle, so that neighbours can be told apart.
    """
    names = networks(nodes)
    if len(set(names)) > 1:
        colours = network_colours(nodes)
        return [colours[name] for name in names]
    own = [_text(value) for value in nodes["color"]] if "color" in nodes else [""] * len(nodes)
    if distinct and len(set(own)) == 1:
        own = [""] * len(nodes)
    return [colour if _is_colour(colour) else CATEGORIES[i % len(CATEGORIES)] for i, colour in enumerate(own)]


def order_nodes(nodes: pd.DataFrame) -> tuple[Array, list[Block], list[Block]]:
    """Order nodes by hemisphere (left, right, others), then network, then index.

    Returns
    -------
    order : int array
        Positions in the table, in drawn order.
    hemispheres, network_blocks : list of Block
        Runs in drawn order.
    """
    side, network = sides(nodes), networks(nodes)
    side_rank = {name: rank for rank, name in enumerate([*SIDES.values(), NO_SIDE])}
    network_rank = {name: rank for rank, name in enumerate(dict.fromkeys(network))}
    order = sorted(range(len(nodes)), key=lambda i: (side_rank[side[i]], network_rank[network[i]], i))
    return (
        np.array(order, int),
        runs([side[i] for i in order]),
        runs([f"{side[i]}\n{network[i]}" for i in order]),
    )


def runs(names: list[str]) -> list[Block]:
    """Return runs of equal names in a sequence; the part before a line break only tells runs apart."""
    blocks: list[Block] = []
    for position, name in enumerate(names):
        if position and names[position - 1] == name:
            blocks[-1] = blocks[-1]._replace(last=position + 1)
        else:
            blocks.append(Block(name.split("\n")[-1], position, position + 1))
    return blocks


def _own_colours(nodes: pd.DataFrame, names: list[str]) -> dict[str, str] | None:
    if "color" not in nodes:
        return None
    colours: dict[str, str] = {}
    for name, value in zip(names, nodes["color"], strict=True):
        colour = _text(value)
        if not _is_colour(colour) or colours.setdefault(name, colour) != colour:
            return None
    distinct = len(set(colours.values())) == len(colours)
    return colours if distinct else None


def _is_colour(value: str) -> bool:
    return re.fullmatch(r"#[0-9a-fA-F]{6}", value) is not None


def _text(value: object) -> str:
    """Return a cell as text; empty for missing values in their several disguises."""
    if value is None or value != value or str(value) in ("n/a", "<NA>"):
        return ""
    return str(value)
