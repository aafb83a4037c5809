"""What several stages read: an atlas, a node table, region series, a structural connectivity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_ai.bids.index import Fit
from bids_ai.bids.tables import check_names, read_relmat, read_table, read_timeseries
from bids_ai.stages.context import Context
from bids_ai.stages.templates import load_template

if TYPE_CHECKING:
    from bids_ai.parcellation.atlas import Atlas


def atlas_volume(context: Context, label: str) -> Atlas:
    """Load an atlas of the run by its label."""
    from bids_ai.parcellation.atlas import load_atlas

    settings = context.config.parcellation
    spec = context.index.atlas(label).spec
    return load_atlas(
        spec,
        cache_dir=context.cache_dir,
        table=settings.table,
        space=settings.space,
        atlas_dir=settings.atlas_dir,
    )


def template_of(context: Context, space: str) -> Path | None:
    """T1w template of an atlas's space: that of the run, the one given, or a fetched one; None without any."""
    template, settings = load_template(context), context.config.parcellation
    if space == template.space:
        return template.t1w
    if settings.template:
        return settings.template
    from bids_ai.parcellation.fetched import template_t1w

    return template_t1w(space, settings.atlas_dir)


def atlas_in_template(context: Context, label: str) -> tuple[Any, str]:
    """Bring an atlas to the grid of the run's template.

    Returns
    -------
    image : nibabel image
    method : str
        A sentence on how it came there.
    """
    from bids_ai.parcellation.spaces import bring_to_template

    template, volume = load_template(context), atlas_volume(context, label)
    return bring_to_template(
        volume,
        template.t1w,
        template.space,
        grid=template.t1w,
        moving_template=template_of(context, volume.space),
        cache_dir=context.cache_dir,
        template_mask=template.mask,
    )


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
    path = context.names.timeseries(series, atlas)
    values, names = read_timeseries(path)
    nodes = read_nodes(context, atlas)
    check_names([str(name) for name in nodes["name"]], names, Path(path).name)
    return values, nodes


def read_structural(context: Context, fit: Fit, atlas: str, names: list[str]) -> np.ndarray | None:
    """Structural connectivity that a fit may use, or None where there is none.

    Parameters
    ----------
    context : Context
    fit : Fit
    atlas : str
        Label.
    names : list of str
        Of the regions, as the signals have them.

    Returns
    -------
    (n_regions, n_regions) array or None
        Rows and columns of regions of which the images say nothing are filled with the mean of the others: as a prior
        of coupling this favours no edge, where 0 would speak against all of them.

    Raises
    ------
    InputError
        If the names differ from those of the signals.
    """
    path = context.structural_of(fit, atlas)
    if path is None:
        return None
    matrix, found = read_relmat(path)
    check_names(names, found, path.name)
    np.fill_diagonal(matrix, np.nan)
    known = np.isfinite(matrix)
    if not (matrix[known] > 0).any():
        return None
    return np.where(known, matrix, matrix[known].mean())
