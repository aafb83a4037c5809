"""What several stages read: an atlas, a node table, region series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_ai.bids.tables import check_names, read_table, read_timeseries
from bids_ai.stages.context import Context

if TYPE_CHECKING:
    from bids_ai.parcellation.atlas import Atlas


def atlas_volume(context: Context, label: str) -> Atlas:
    """Load an atlas of the run by its label."""
    from bids_ai.parcellation.atlas import load_atlas

    settings = context.config.parcellation
    spec = context.index.atlas(label).spec
    return load_atlas(spec, cache_dir=context.cache_dir, table=settings.table, space=settings.space)


def read_nodes(context: Context, label: str) -> pd.DataFrame:
    """Node table of an atlas."""
    return read_table(context.names.path("atlas_table", atlas=label))


def read_series(context: Context, series: str, atlas: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Region series of a recording with the node table they must match.

    Raises
    ------
    InputError
        If the names differ from those of the node table.
    """
    path = context.names.path("timeseries", series=series, atlas=atlas)
    values, names = read_timeseries(path)
    nodes = read_nodes(context, atlas)
    check_names([str(name) for name in nodes["name"]], names, Path(path).name)
    return values, nodes
