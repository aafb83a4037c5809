"""Connectivity between regions from which responses to stimulation are predicted: structure, function, EC at rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bids_ai.bids.files import read_json
from bids_ai.bids.index import Fit, Recording
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import check_names, read_relmat
from bids_ai.stages.context import Context
from bids_ai.stages.surrogate import load_surrogate

#: Steps of the response that `ec_multistep` is the mean of: with a TR of 2 s, that of a haemodynamic response.
MULTISTEP = 5


@dataclass
class Connectivity:
    """Matrices by the name that predictors know them by, and the files they came from.

    Attributes
    ----------
    unreliable : list of str
        Fits of effective connectivity that their own checks call unreliable, each with the reasons.
    units : str
        Of effective connectivity.
    """

    matrices: dict[str, np.ndarray] = field(default_factory=dict)
    sources: list[Path] = field(default_factory=list)
    unreliable: list[str] = field(default_factory=list)
    units: str = ""

    def add(self, key: str, matrices: list[np.ndarray], paths: list[Path]) -> None:
        """Keep the mean of some matrices, if any says anything."""
        said = [one for one in matrices if np.isfinite(_off_diagonal(one)).any()]
        if said:
            self.matrices[key] = _mean(said)
            self.sources += [path for path in paths if path not in self.sources]


def structural_fit(entry: Recording) -> Fit:
    """What to ask for the structural connectivity of a recording with."""
    return Fit(entry.series, (entry.series,), entry.subject)


def bold_fits(context: Context, entry: Recording, atlas: str) -> list[Fit]:
    """Fits to the BOLD of a subject in an atlas: those over all runs of a task, where there are any."""
    index = context.index
    own = [
        fit
        for fit in index.fits_of(index.atlas(atlas))
        if fit.subject == entry.subject and index.modality(fit) == "bold"
    ]
    pooled = [fit for fit in own if fit.pooled]
    return pooled + [fit for fit in own if not any(set(fit.recordings) <= set(whole.recordings) for whole in pooled)]


def inputs_of(context: Context, entry: Recording, atlas: str) -> list[Path]:
    """Files that predictions in an atlas are made from."""
    if not context.index.placed(entry, context.index.atlas(atlas)):
        return []
    path = context.names.path
    structural = context.structural_of(structural_fit(entry), atlas)
    found = [structural] if structural else []
    source = context.index.structural_source(structural_fit(entry))
    found += [path("sc_length", dwi=source.images, atlas=atlas)] if structural and source else []
    for fit in bold_fits(context, entry, atlas):
        found += [path("pearson", series=series, atlas=atlas) for series in fit.recordings]
        found += [path(key, **_holes(context, fit, atlas)) for key in ("ec", "weights", "surrogate")]
    return list(dict.fromkeys(found))


def connectivity_of(context: Context, entry: Recording, atlas: str, names: list[str]) -> Connectivity:
    """Read the matrices of a subject in an atlas.

    Parameters
    ----------
    context : Context
    entry : Recording
        With stimulation.
    atlas : str
        Label.
    names : list of str
        Of the regions.

    Returns
    -------
    Connectivity
        `sc` and `sc_length` from DWI or of the group, `fc` and `ec` from BOLD, `group_prior`; each where there is one.
        Nothing where it is not known which regions are recorded.

    Raises
    ------
    InputError
        If a matrix bears other names.
    """
    found, path = Connectivity(), context.names.path
    if not context.index.placed(entry, context.index.atlas(atlas)):
        return found
    structural = context.structural_of(structural_fit(entry), atlas)
    source = context.index.structural_source(structural_fit(entry))
    if structural is not None:
        found.add("sc", [_read(structural, names)], [structural])
        length = path("sc_length", dwi=source.images, atlas=atlas) if source else None
        if length is not None and length.is_file():
            found.add("sc_length", [_read(length, names)], [length])
    fits = bold_fits(context, entry, atlas)
    functional = [path("pearson", series=series, atlas=atlas) for fit in fits for series in fit.recordings]
    found.add("fc", [_read(one, names) for one in functional], functional)
    effective = [path("ec", **_holes(context, fit, atlas)) for fit in fits]
    found.add("ec", [_read(one, names) for one in effective], effective)
    for fit, file in zip(fits, effective, strict=True):
        meta = read_json(sidecar(file))
        found.units = found.units or str(meta.get("MeasureUnits", ""))
        gate = meta.get("Gate", {})
        if gate.get("Verdict") == "unreliable":
            found.unreliable.append(f"{fit.name}: {'; '.join(gate.get('Reasons', []))}")
    found.add("ec_multistep", [one for fit in fits if (one := _multistep(context, fit, atlas)) is not None], [])
    prior = context.config.prediction.group_prior
    if prior is not None:
        found.add("group_prior", [_read(prior, names)], [prior])
    return found


def _multistep(context: Context, fit: Fit, atlas: str) -> np.ndarray | None:
    from bids_ai.effective.perturbation import push

    fitted, _ = load_surrogate(context, **_holes(context, fit, atlas))
    if fitted is None:
        return None
    size = context.config.effective_connectivity.push_sd
    return np.asarray(push(fitted, size_sd=size, horizon_steps=MULTISTEP))


def _holes(context: Context, fit: Fit, atlas: str) -> dict[str, Any]:
    return {"series": fit.series, "atlas": atlas, "model": context.model, "pool": fit.pool}


def _read(path: Path, names: list[str]) -> np.ndarray:
    matrix, found = read_relmat(path)
    check_names(names, found, path.name)
    return matrix


def _off_diagonal(matrix: np.ndarray) -> np.ndarray:
    return matrix[~np.eye(len(matrix), dtype=bool)]


def _mean(matrices: list[np.ndarray]) -> np.ndarray:
    """Mean over those that have a value."""
    stacked = np.stack(matrices)
    known = np.isfinite(stacked)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full(total.shape, np.nan), where=known.any(axis=0))
