"""What a virtual cohort is made of: its sizes, its subjects, their sessions and runs."""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError

Array = NDArray[np.floating]

#: What a subject can have, in the order in which it is made.
MODALITIES = ("t1w", "dwi", "bold", "eeg", "ieeg")
#: Fewer regions are no network that anything could be told of.
LEAST_REGIONS = 8
#: Ages of subjects, years.
_AGES = (21, 60)


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


#: DWI, EEG and SEEG have sizes of the same names.
SIZES = {
    "tiny": Size(t1w_mm=4.0, bold_mm=4.0, n_frames=60, n_regions=20),
    "small": Size(t1w_mm=1.5, bold_mm=4.0, n_frames=130, n_regions=24),
    "full": Size(t1w_mm=1.0, bold_mm=3.0, n_frames=300, n_regions=100),
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
        Of BOLD.
    t1w_session : str, optional
        The session with everything but BOLD, which every session has.
    slice_timing : bool
        Slices are read one after the other, and the sidecar says when.
    oblique : bool
        Images are tilted and their axes stored in another order than R, A, S.
    modalities : tuple of str
        Of `MODALITIES`.
    resected : bool
        Part of a temporal lobe was taken out.
    """

    label: str
    sex: str
    age: int
    runs: tuple[Run, ...]
    t1w_session: str | None = None
    slice_timing: bool = False
    oblique: bool = False
    modalities: tuple[str, ...] = MODALITIES
    resected: bool = False

    @property
    def sessions(self) -> list[str]:
        """Labels of the sessions, in order; none where the subject was seen once."""
        return list(dict.fromkeys(run.session for run in self.runs if run.session))


@dataclass(frozen=True)
class Plan:
    """A whole cohort.

    Attributes
    ----------
    subjects : tuple of Subject
    size : str
        Of `SIZES`.
    n_regions : int
        Nodes of the hidden networks.
    seed : int
    """

    subjects: tuple[Subject, ...]
    size: str
    n_regions: int
    seed: int

    @property
    def modalities(self) -> list[str]:
        """What any subject has."""
        return [name for name in MODALITIES if any(name in subject.modalities for subject in self.subjects)]


def make_plan(
    n_subjects: int,
    sessions: int | None,
    modalities: Sequence[str],
    *,
    size: str,
    n_regions: int | None,
    seed: int,
    ragged: bool,
    lesion: bool,
) -> Plan:
    """A cohort as asked for (see `subjects`), or everything that is wrong with what was asked.

    Raises
    ------
    InputError
        In the words of the options of ``bids-ai simulate``.
    """
    wanted = [name.lower() for name in modalities]
    faults = [
        f"{option}: {least} or more wanted, got {value}."
        for option, value, least in (
            ("--subjects", n_subjects, 1),
            ("--sessions", sessions, 1),
            ("--regions", n_regions, LEAST_REGIONS),
            ("--seed", seed, 0),
        )
        if value is not None and value < least
    ]
    faults += [_unknown(name) for name in wanted if name not in MODALITIES]
    if not wanted:
        faults.append(f"--modalities: at least one of {', '.join(MODALITIES)} is wanted, got none.")
    if ragged and "dwi" not in wanted:
        faults.append("--ragged takes the DWI from every second subject: add dwi to --modalities, or leave it out.")
    if size not in SIZES:
        faults.append(f"--size: one of {', '.join(SIZES)} is wanted, got {size!r}.")
    if faults:
        raise InputError("\n".join(faults))
    people = subjects(n_subjects, sessions, wanted, ragged=ragged, lesion=lesion)
    return Plan(people, size, n_regions or SIZES[size].n_regions, seed)


def _unknown(modality: str) -> str:
    said = {"seeg": "ieeg", "ecog": "ieeg", "fmri": "bold", "func": "bold", "anat": "t1w", "dti": "dwi", "mri": "t1w"}
    near = difflib.get_close_matches(modality, MODALITIES, n=1)
    meant = said.get(modality) or (near[0] if near else None)
    hint = f" Did you mean {meant}?" if meant else ""
    return f"--modalities: {', '.join(MODALITIES)} are there, got {modality!r}.{hint}"


def subjects(
    n: int,
    sessions: int | None = None,
    modalities: Sequence[str] = MODALITIES,
    *,
    ragged: bool = False,
    lesion: bool = False,
) -> tuple[Subject, ...]:
    """The subjects of a cohort: two variants by turns, so that a workflow meets both.

    Odd numbers have slice timing, straight images, and two first volumes that are not steady; even numbers have oblique
    images read at once. A subject is the same however many there are.

    Parameters
    ----------
    n : int
    sessions : int, optional
        Sessions of everybody, with two runs of BOLD each; one session goes without ``ses-``. By default odd numbers
        have one with two runs, even numbers two with one run each.
    modalities : sequence of str
        Of `MODALITIES`.
    ragged : bool
        Even numbers have no DWI.
    lesion : bool
        The first subject was operated on.

    Returns
    -------
    tuple of Subject
    """
    wanted = tuple(name for name in MODALITIES if name in modalities)
    made = []
    for number in range(1, n + 1):
        odd = number % 2 == 1
        runs = _runs(odd, sessions)
        own = tuple(name for name in wanted if odd or not ragged or name != "dwi")
        made.append(
            Subject(
                f"{number:02d}",
                "F" if odd else "M",
                _age(number),
                runs,
                t1w_session=runs[0].session,
                slice_timing=odd,
                oblique=not odd,
                modalities=own,
                resected=lesion and number == 1,
            )
        )
    return tuple(made)


def _runs(odd: bool, sessions: int | None) -> tuple[Run, ...]:
    non_steady = 2 if odd else 0
    if sessions is None and not odd:
        return (Run(session="1"), Run(session="2", repositioned=True))
    if sessions is None or sessions == 1:
        return (Run(run="1", non_steady=non_steady), Run(run="2"))
    return tuple(
        Run(session=str(visit), run=run, repositioned=visit > 1, non_steady=non_steady if run == "1" else 0)
        for visit in range(1, sessions + 1)
        for run in ("1", "2")
    )


def _age(number: int) -> int:
    """The first two are as they always were."""
    return {1: 29, 2: 41}.get(number) or int(stream(number, "age").integers(*_AGES))


def size_named(name: str) -> Size:
    """The size of that name.

    Raises
    ------
    InputError
        When there is none.
    """
    if name not in SIZES:
        raise InputError(f"--size: one of {', '.join(SIZES)} is wanted, got {name!r}.")
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


#: The first two subjects, as every cohort has them.
SUBJECTS = subjects(2)
