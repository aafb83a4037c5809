"""Published coordinates that nilearn bundles, as tables of seeds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from bids_ai.parcellation.greymatter import CEREBELLUM, CORTEX, SUBCORTEX
from bids_ai.parcellation.grow import ANY, side_of_seed

SAME_PLACE_MM = 5.0
"""Coordinates of two publications closer than this are one place (the radius of Power's spheres, mm)."""

_STRUCTURES = {
    "cerebellum": ("Cerebellum", CEREBELLUM),
    "basalGanglia": ("BasalGanglia", SUBCORTEX),
    "thalamus": ("Thalamus", SUBCORTEX),
    "amygdala": ("Amygdala", CORTEX),
    "hippocampus": ("Hippocampus", CORTEX),
}
_PREFIX = {"L": "LH", "R": "RH", "B": "MID"}


def seitzman_seeds() -> pd.DataFrame:
    """Return the 300 seeds of Seitzman et al. 2020 (doi:10.1016/j.neuroimage.2019.116290).

    Returns
    -------
    pandas.DataFrame (300, 7)
        ``x y z`` (mm), ``hemisphere``, ``network``, ``name`` (such as ``LH_FrontoParietal_Thalamus_258``, with the
        published number) and ``compartment``; in the published order.
    """
    from nilearn import datasets

    bundle = datasets.fetch_coords_seitzman_2018(ordered_regions=False)
    xyz = np.asarray(bundle["rois"], dtype=float)
    structures = [_STRUCTURES.get(str(region), ("", CORTEX)) for region in bundle["regions"]]
    networks = [str(network) for network in bundle["networks"]]
    words = ["_".join(filter(None, (n[:1].upper() + n[1:], s[0]))) for n, s in zip(networks, structures, strict=True)]
    return _seeds(xyz, networks, words, [s[1] for s in structures])


def power_seeds() -> pd.DataFrame:
    """Return the 264 seeds of Power et al. 2011 (doi:10.1016/j.neuron.2011.09.006).

    nilearn bundles their coordinates alone. A seed has the network that Seitzman et al. give to the same place
    (within `SAME_PLACE_MM`; their set contains most of Power's), and none where they have no such place.

    Returns
    -------
    pandas.DataFrame (264, 7)
        As `seitzman_seeds`.
    """
    from nilearn import datasets

    xyz = datasets.fetch_coords_power_2011()["rois"][["x", "y", "z"]].to_numpy(float)
    other = seitzman_seeds()
    gap, nearest = cKDTree(other[["x", "y", "z"]].to_numpy()).query(xyz)
    networks = [other["network"][k] if d <= SAME_PLACE_MM else None for d, k in zip(gap, nearest, strict=True)]
    words = [n[:1].upper() + n[1:] if n else "NoNetwork" for n in networks]
    same = gap <= SAME_PLACE_MM
    compartments = [int(other["compartment"][k]) if s else ANY for k, s in zip(nearest, same, strict=True)]
    return _seeds(xyz, networks, words, compartments)


def dosenbach_seeds() -> pd.DataFrame:
    """Return the 160 seeds of Dosenbach et al. 2010 (doi:10.1126/science.1194144).

    Returns
    -------
    pandas.DataFrame (160, 7)
        As `seitzman_seeds`; names such as ``LH_InfCerebellum_155``.
    """
    from nilearn import datasets

    bundle = datasets.fetch_coords_dosenbach_2010(ordered_regions=False)
    xyz = np.asarray(bundle["rois"], dtype=float)
    regions = [label.rsplit(" ", 1)[0] for label in bundle["labels"]]
    # "inf cerebellum" becomes InfCerebellum, "vmPFC" stays
    words = [
        "".join(w if any(c.isupper() for c in w) else w.capitalize() for w in r.replace("-", "").split())
        for r in regions
    ]
    # "basal ganglia 30" lies in the cingulate gyrus (-6, 17, 34): the place decides for those
    compartments = [
        CEREBELLUM if "cerebellum" in r else ANY if r in {"thalamus", "basal ganglia"} else CORTEX for r in regions
    ]
    return _seeds(xyz, [str(n) for n in bundle["networks"]], words, compartments)


def _seeds(
    xyz: np.ndarray, networks: list[str | None] | list[str], words: list[str], compartments: list[int]
) -> pd.DataFrame:
    sides = [side_of_seed(x) for x in xyz[:, 0]]
    return pd.DataFrame(
        {
            **dict(zip("xyz", xyz.T, strict=True)),
            "hemisphere": sides,
            "network": pd.Series(list(networks), dtype=object),
            "name": [f"{_PREFIX[s]}_{w}_{k:03d}" for k, (s, w) in enumerate(zip(sides, words, strict=True), start=1)],
            "compartment": compartments,
        }
    )


SEEDS: dict[str, Callable[[], pd.DataFrame]] = {
    "seitzman": seitzman_seeds,
    "power": power_seeds,
    "dosenbach": dosenbach_seeds,
}
