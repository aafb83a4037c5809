"""Slice timing: bring every slice to one moment of the repetition by interpolation in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from bids_ai.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

AXES = {"i": 0, "j": 1, "k": 2}
MARGIN = 12  # frames; the influence of an end falls by 3.7 per frame


def slice_axis(slice_encoding: str | None) -> tuple[int, bool]:
    """Voxel axis of the slices, and whether they are counted from its far end (BIDS `SliceEncodingDirection`)."""
    direction = slice_encoding or "k"
    if direction.rstrip("-") not in AXES or len(direction) > 2:
        raise InputError(
            f"SliceEncodingDirection must be one of i, j, k, i-, j-, k-; got {slice_encoding!r}. Correct the sidecar."
        )
    return AXES[direction[0]], direction.endswith("-")


def check_slice_timing(slice_timing: Sequence[float], n_slices: int, tr: float) -> NDArray[np.float64]:
    """Verify the acquisition times of slices.

    Parameters
    ----------
    slice_timing : sequence of n_slices floats
        Seconds from the start of the volume.
    n_slices : int
        Slices along the slice-encoding axis of the image.
    tr : float
        Seconds.

    Returns
    -------
    array of shape (n_slices,)

    Raises
    ------
    InputError
        If number, sign or unit of the times cannot be right.
    """
    times = np.asarray(slice_timing, dtype=float)
    if times.ndim != 1 or len(times) != n_slices:
        raise InputError(
            f"SliceTiming must hold one time per slice: the BOLD image has {n_slices} slices, the sidecar "
            f"{times.size} times. "
            "Correct SliceTiming or SliceEncodingDirection, or remove SliceTiming to go on without the "
            "correction."
        )
    if not np.isfinite(times).all() or times.min() < 0:
        raise InputError(f"SliceTiming must be non-negative seconds; got {times.min()}..{times.max()}.")
    # The last slice starts one slice before the end, so that even equality is wrong.
    if times.max() >= tr:
        hint = " They look like milliseconds: divide by 1000." if times.max() > 10 * tr else ""
        raise InputError(
            f"SliceTiming must lie within one repetition: the latest slice is at {times.max():g} s, "
            f"RepetitionTime is {tr:g} s.{hint}"
        )
    return times


def reference_time(times: NDArray[Any]) -> float:
    """Middle of the acquisition of a volume, seconds: the moment to which all slices are brought."""
    return float((times.min() + times.max()) / 2)


def shift_in_time(slab: NDArray[Any], shift: float) -> NDArray[np.float32]:
    """Read series at t + `shift` (repetitions, |shift| < 1) by cubic spline; time is the last axis."""
    n_times = slab.shape[-1]
    margin = min(MARGIN, n_times - 1)
    # Turned about its end values the series goes on with its slope; mirrored, the outermost frames would be pulled.
    widths = [(0, 0)] * (slab.ndim - 1) + [(margin, margin)]
    longer = np.pad(slab, widths, mode="reflect", reflect_type="odd")
    coefficients = ndimage.spline_filter1d(longer, order=3, axis=-1, output=np.float32, mode="mirror")
    whole = int(np.floor(shift))
    fraction = shift - whole
    # The four values of the cubic B-spline at distances 1+f, f, 1-f, 2-f.
    weights = (
        (1 - fraction) ** 3 / 6,
        (3 * fraction**3 - 6 * fraction**2 + 4) / 6,
        (-3 * fraction**3 + 3 * fraction**2 + 3 * fraction + 1) / 6,
        fraction**3 / 6,
    )
    shifted = np.zeros(slab.shape, np.float32)
    for offset, weight in zip(range(-1, 3), weights, strict=True):
        first = margin + whole + offset
        shifted += np.float32(weight) * coefficients[..., first : first + n_times]
    return shifted


def correct_slice_timing(
    series: NDArray[Any],
    times: NDArray[Any],
    tr: float,
    *,
    slice_encoding: str | None = None,
    skip: int = 0,
) -> float:
    """Interpolate a series in place so that all slices belong to the middle of the acquisition.

    Parameters
    ----------
    series : array of shape (nx, ny, nz, n_times)
        Changed in place, one slice at a time (a memory map stays on disk).
    times : array of shape (n_slices,)
        Seconds, checked by `check_slice_timing`.
    tr : float
        Seconds.
    slice_encoding : str, optional
        Slice axis, "k" if None.
    skip : int
        Leading non-steady-state volumes, left as they are: their jump would ring into the steady ones.

    Returns
    -------
    float
        Time within the repetition to which the frames now belong, seconds.
    """
    axis, reverse = slice_axis(slice_encoding)
    target = reference_time(times)
    if series.shape[-1] - skip < 4:
        return target
    ordered = times[::-1] if reverse else times
    by_slice = np.moveaxis(series, axis, 0)
    for number, acquired in enumerate(ordered):
        shift = (target - acquired) / tr
        if shift != 0:
            by_slice[number, ..., skip:] = shift_in_time(np.array(by_slice[number, ..., skip:]), shift)
    return target
