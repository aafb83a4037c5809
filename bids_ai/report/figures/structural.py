"""Structural connectivity against distance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.report.figures.nodes import check_nodes
from bids_ai.report.figures.theme import BLUE, MUTED, label_powers, new_figure, save_figure, styled

if TYPE_CHECKING:
    import pandas as pd


@styled
def plot_against_distance(weight: ArrayLike, length_mm: ArrayLike, nodes: pd.DataFrame, out: Path | str) -> Path:
    """Draw weights, and lengths of streamlines, against the straight distance between regions, one point per pair.

    Parameters
    ----------
    weight : array (n_regions, n_regions)
        0 where there is no streamline, NaN where undefined.
    length_mm : array (n_regions, n_regions)
        Mean length of the streamlines, mm; NaN without any.
    nodes : DataFrame
        Node table in the order of the matrices, with coordinates x y z in mm.
    out : path

    Raises
    ------
    InputError
        When the table is of another size.
    """
    weights, lengths = np.asarray(weight, float), np.asarray(length_mm, float)
    check_nodes(nodes, len(weights), "Weights against distance")
    places = nodes[["x", "y", "z"]].to_numpy(float)
    upper = np.triu_indices(len(weights), 1)
    distance = np.linalg.norm(places[upper[0]] - places[upper[1]], axis=1)
    strength, length = weights[upper], lengths[upper]
    joined = np.isfinite(distance) & (strength > 0)
    figure = new_figure(width=10.0, height=4.4)
    left, right = figure.subplots(1, 2)
    left.scatter(distance[joined], strength[joined], s=14, color=BLUE, alpha=0.5, linewidths=0, rasterized=True)
    if joined.any():
        left.set_yscale("log")
        label_powers(left.yaxis)
    left.set_xlabel("Distance between centres of regions (mm)")
    left.set_ylabel("Sum of streamline weights")
    left.set_title("Weight and distance", pad=26)
    known = np.isfinite(distance) & np.isfinite(strength)
    absent = int((known & (strength == 0)).sum())
    left.text(
        0, 1.02, f"{absent} of {int(known.sum())} pairs have no streamline", transform=left.transAxes, color=MUTED
    )
    right.scatter(distance[joined], length[joined], s=14, color=BLUE, alpha=0.5, linewidths=0, rasterized=True)
    if joined.any():
        end = float(distance[joined].max())
        right.plot([0, end], [0, end], color=MUTED, lw=1, ls=(0, (4, 3)))
    right.set_xlabel("Distance between centres of regions (mm)")
    right.set_ylabel("Mean length of streamlines (mm)")
    right.set_title("Length and distance", pad=26)
    right.text(0, 1.02, "Dashed: as long as the distance of the centres", transform=right.transAxes, color=MUTED)
    return save_figure(figure, out, tight=True)
