"""Faults of diffusion series and of what is asked of them, told before the first job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.bids.diffusion import MIN_VOLUMES
from bids_ai.bids.gradients import read_gradients
from bids_ai.bids.index import Diffusion, Skipped
from bids_ai.cli.images import image_fault
from bids_ai.errors import InputError, UsageError

if TYPE_CHECKING:
    from bids_ai.config import Config


#: A tensor has six numbers.
MIN_DIRECTIONS = 6
#: A field of view below this is a piece cut out of a scan, which nothing can register, mL; a brain has above 1000.
_LEAST_FIELD_ML = 20.0


def check_diffusions(found: list[Diffusion], anatomies: set[str]) -> tuple[list[Diffusion], list[Skipped]]:
    """Leave out what cannot be worked on.

    Parameters
    ----------
    found : list of Diffusion
    anatomies : set of str
        Items of the T1w images that can be used; a series whose T1w cannot be used goes on without one.

    Returns
    -------
    kept, lost : lists
    """
    kept, lost = [], []
    for entry in found:
        fault = _fault(entry)
        if fault:
            lost.append(Skipped(entry.subject, Path(entry.source).name, fault))
            continue
        alone = entry.anat is not None and entry.anat not in anatomies
        usable = replace(entry, anat=None, space=None) if alone else entry
        kept.append(_with_usable_partner(usable))
    return kept, lost


def _fault(entry: Diffusion) -> str | None:
    import nibabel as nib

    fault = image_fault(Path(entry.source), ndim=4, least=MIN_VOLUMES)
    if fault:
        return fault
    image: Any = nib.load(entry.source)
    try:
        table = read_gradients(Path(entry.bval), Path(entry.bvec), image.shape[3])
    except InputError as error:
        return str(error)
    if table.n_directions < MIN_DIRECTIONS:
        return f"{table.n_directions} distinct directions; at least {MIN_DIRECTIONS} are needed to tell where fibres go"
    edges = np.linalg.norm(image.affine[:3, :3], axis=0) * image.shape[:3]
    if edges.prod() / 1000 < _LEAST_FIELD_ML:
        size = " x ".join(f"{edge:.0f}" for edge in edges)
        return f"its field of view of {size} mm is a piece of a head, which cannot be registered; give the whole scan"
    return None


def _with_usable_partner(entry: Diffusion) -> Diffusion:
    """Go on without a reverse-encoded image that is faulty; it is named as not used."""
    import nibabel as nib

    if entry.reverse is None:
        return entry
    path = Path(entry.reverse)
    image: Any = None
    fault = image_fault(path, ndim=4, least=1)
    if fault is None:
        image = nib.load(path)
        series: Any = nib.load(entry.source)
        if image.shape[:3] == series.shape[:3]:
            return entry
        fault = f"its grid {image.shape[:3]} is not that of the series, {series.shape[:3]}"
    unused = (*entry.unused, f"{path.name} ({fault})")
    return replace(entry, reverse=None, reverse_readout_time=None, unused=unused)


def program_faults(config: Config) -> list[str]:
    """Programs that the settings ask for and that are not there."""
    wanted = {"dwi": config.dwi.engine, "structural_connectivity": config.structural_connectivity.engine}
    asked = [name for name, engine in wanted.items() if engine == "mrtrix3"]
    if not asked:
        return []
    from bids_ai.connectome import tracking
    from bids_ai.preprocess import dwi_inputs

    # MRtrix3 may be there in part: other programs denoise than track.
    choices: dict[str, Callable[[str], object]] = {
        "dwi": dwi_inputs.choose_engine,
        "structural_connectivity": tracking.choose_engine,
    }
    faults = []
    for name in asked:
        try:
            choices[name](wanted[name])
        except (InputError, UsageError) as error:
            faults.append(f"{name}.engine: {error}")
    return faults
