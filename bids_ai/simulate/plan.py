"""What the demo dataset is made of: its sizes, its subjects, their sessions and runs."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Size:
    """How large the images are.

    Attributes
    ----------
    t1w_mm, bold_mm : float
        Edge of the isotropic voxels.
    n_frames : int
        Volumes of a run.
    n_regions : int
        Nodes of the hidden network.
    """

    t1w_mm: float
    bold_mm: float
    n_frames: int
    n_regions: int


SIZES = {
    "tiny": Size(t1w_mm=4.0, bold_mm=4.0, n_frames=60, n_regions=20),
    "demo": Size(t1w_mm=1.5, bold_mm=4.0, n_frames=130, n_regions=24),
}

REPETITION_TIME_S = 2.0


@dataclass(frozen=True)
class Run:
    """One run of rest.

    Attributes
    ----------
    session, run : str, optional
        Labels; None where the entity is absent.
    repositioned : bool
        The head was taken out of the scanner since the T1w.
    non_steady : int
        First volumes before the steady state.
    """

    session: str | None = None
    run: str | None = None
    repositioned: bool = False
    non_steady: int = 0


@dataclass(frozen=True)
class Subject:
    """One subject.

    Attributes
    ----------
    label, sex : str
    age : int
        Years.
    runs : tuple of Run
    t1w_session : str, optional
        The session with the T1w.
    slice_timing : bool
        Slices are read one after the other, and the sidecar says when.
    oblique : bool
        Images are tilted and their axes stored in another order than R, A, S.
    """

    label: str
    sex: str
    age: int
    runs: tuple[Run, ...]
    t1w_session: str | None = None
    slice_timing: bool = False
    oblique: bool = False


SUBJECTS = (
    Subject("01", "F", 29, (Run(run="1", non_steady=2), Run(run="2")), slice_timing=True),
    Subject(
        "02",
        "M",
        41,
        (Run(session="1"), Run(session="2", repositioned=True)),
        t1w_session="1",
        oblique=True,
    ),
)


def size_named(name: str) -> Size:
    """The size of that name.

    Raises
    ------
    InputError
        When there is none.
    """
    if name not in SIZES:
        raise InputError(f"Size of the demo dataset: one of {', '.join(SIZES)} is wanted, got {name!r}.")
    return SIZES[name]


def stream(seed: int, *names: str) -> np.random.Generator:
    """A random stream of its own for a named purpose: it depends on the names, never on the order of use."""
    return np.random.default_rng(np.random.SeedSequence([seed, *(zlib.crc32(n.encode()) for n in names)]))


def entities(subject: Subject, session: str | None = None) -> str:
    """Start of a file name: ``sub-01`` or ``sub-02_ses-1``."""
    stem = f"sub-{subject.label}"
    stem += f"_ses-{session}" if session else ""
    return stem


def bold_stem(subject: Subject, run: Run) -> str:
    """File name stem of a run, without suffix."""
    return entities(subject, run.session) + "_task-rest" + (f"_run-{run.run}" if run.run else "")


def folder(subject: Subject, session: str | None, datatype: str) -> str:
    """Folder of a data type, relative to the dataset."""
    parts = [f"sub-{subject.label}", *([f"ses-{session}"] if session else []), datatype]
    return "/".join(parts)
