"""A virtual cohort: generated subjects with known truth behind every modality, as one BIDS dataset."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bids_ai.errors import InputError
from bids_ai.simulate import texts, truth
from bids_ai.simulate.bundles import Bundles, make_bundles
from bids_ai.simulate.connectome import Connectome, group_connectome
from bids_ai.simulate.folder import new_folder
from bids_ai.simulate.head import TemplateBrain, load_template_brain
from bids_ai.simulate.nifti import write_volume
from bids_ai.simulate.parcels import Parcels, template_parcels
from bids_ai.simulate.patient import Patient, make_patient
from bids_ai.simulate.plan import MODALITIES, Plan, Subject, entities, folder, make_plan, size_named, stream
from bids_ai.simulate.threads import one_thread

#: White matter hangs together in maps as fine as this, mm; in coarser ones bundles find no way.
_BUNDLE_GRID_MM = 2.0
#: What the parts are timed by.
clock_s: Callable[[], float] = time.monotonic


def write_cohort(
    out_dir: Path,
    *,
    n_subjects: int = 2,
    sessions: int | None = None,
    n_regions: int | None = None,
    seed: int = 1,
    modalities: Sequence[str] = MODALITIES,
    size: str = "small",
    ragged: bool = False,
    lesion: bool = False,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Write a BIDS dataset of generated subjects, and below ``sourcedata/truth`` all that is known of them.

    Parameters
    ----------
    out_dir : Path
        Absent or empty. It appears when the dataset is whole.
    n_subjects : int
        ``sub-01``, ``sub-02``, ...: two variants by turns (`bids_ai.simulate.plan.subjects`).
    sessions : int, optional
        Of every subject, with two runs of BOLD each. By default odd subjects have two runs and no sessions, even ones
        a run in each of two sessions.
    n_regions : int, optional
        Nodes of the hidden networks; default that of the size.
    seed : int
        The same call gives the same bytes, and a subject is the same however many there are.
    modalities : sequence of str
        Of `bids_ai.simulate.plan.MODALITIES`.
    size : str
        ``"tiny"`` (for tests), ``"small"`` or ``"full"``.
    ragged : bool
        Even subjects have no DWI.
    lesion : bool
        The first subject lacks part of a temporal lobe.
    say : callable, optional
        Told what is done and how long it took, a line at a time.

    Returns
    -------
    Path
        `out_dir`.

    Raises
    ------
    InputError
        When `out_dir` holds anything, or something is asked for that there is not.
    """
    plan = make_plan(
        n_subjects, sessions, modalities, size=size, n_regions=n_regions, seed=seed, ragged=ragged, lesion=lesion
    )
    clock = _Clock(say)
    with one_thread(), new_folder(Path(out_dir)) as root:
        texts.write_dataset_texts(root, plan)
        with clock("template, parcels and bundles"):
            group = _make_group(plan)
        truth.write_parcels(root / "sourcedata" / "truth", group.parcels)
        for subject in plan.subjects:
            _write_subject(root, plan, group, subject, clock)
    return Path(out_dir)


@dataclass(frozen=True)
class _Group:
    """What subjects share."""

    brain: TemplateBrain
    parcels: Parcels
    connectome: Connectome
    bundles: Bundles | None


def _make_group(plan: Plan) -> _Group:
    t1w_mm = size_named(plan.size).t1w_mm
    brain = load_template_brain(t1w_mm)
    parcels = template_parcels(plan.n_regions)
    connectome = group_connectome(parcels.centroids_mm, parcels.homotopic, stream(plan.seed, "network"))
    bundles = None
    if "dwi" in plan.modalities:
        fine = brain if t1w_mm <= _BUNDLE_GRID_MM else load_template_brain(_BUNDLE_GRID_MM)
        try:
            bundles = make_bundles(fine, parcels, connectome, stream(plan.seed, "bundles"))
        except ValueError as error:
            raise InputError(
                f"--regions: no fibres can be laid between {plan.n_regions} parcels, some of which are too small to "
                f"reach white matter ({error}). Ask for fewer (100 are known to work), or leave out dwi in "
                "--modalities."
            ) from error
    return _Group(brain, parcels, connectome, bundles)


def _write_subject(root: Path, plan: Plan, group: _Group, subject: Subject, clock: _Clock) -> None:
    """One subject, from its anatomy to its files; nothing of it stays in memory."""
    person = entities(subject)
    with clock(f"{person} anatomy"):
        patient = make_patient(
            subject,
            group.brain,
            group.parcels,
            group.connectome,
            plan.seed,
            t1w_mm=size_named(plan.size).t1w_mm,
            bundles=group.bundles,
        )
        texts.write_sessions(root / person, subject)
        _write_anatomy(root, patient)
    for modality in subject.modalities:
        if modality != "t1w":
            with clock(f"{person} {modality}"):
                _write_modality(root, patient, plan, modality)


def _write_anatomy(root: Path, patient: Patient) -> None:
    """The T1w, and the truth of head and connectome, which all modalities refer to."""
    subject = patient.subject
    stem = entities(subject, subject.t1w_session)
    where = folder(subject, subject.t1w_session, "anat")
    if "t1w" in subject.modalities:
        (root / where).mkdir(parents=True)
        write_volume(root / where / f"{stem}_T1w.nii.gz", patient.phantom.t1w, patient.phantom.affine)
    hidden = root / "sourcedata" / "truth"
    truth.write_anatomy(hidden / where, stem, patient)
    truth.write_connectome(hidden / entities(subject), entities(subject), patient.connectome, patient.names)


def _write_modality(root: Path, patient: Patient, plan: Plan, modality: str) -> None:
    """Everything else: each modality needs libraries that the others do not."""
    session = patient.subject.t1w_session
    if modality == "dwi":
        from bids_ai.simulate.dwi_files import write_dwi

        write_dwi(root, patient, plan.seed, size=plan.size, session=session)
    elif modality == "bold":
        from bids_ai.simulate.bold_files import write_bold

        write_bold(root, patient, plan.seed, size=plan.size)
    elif modality == "eeg":
        from bids_ai.simulate.eeg_files import write_eeg

        write_eeg(root, patient, plan.seed, size=plan.size, session=session)
    else:
        from bids_ai.simulate.ieeg_files import write_ieeg

        write_ieeg(root, patient, plan.seed, size=plan.size, session=session)


class _Clock:
    """Says what was done, and how long it took."""

    def __init__(self, say: Callable[[str], None] | None) -> None:
        self.say = say

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        begun = clock_s()
        yield
        if self.say:
            self.say(f"{what}: {clock_s() - begun:.0f} s")
