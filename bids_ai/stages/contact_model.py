"""A model of resting iEEG between the channels of a recording with stimulation, and its answer to a push of a contact.

One that cannot be made is written down with its reason: predictions that need it are then missing, the others are made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bids_ai.bids.files import atomic, read_json
from bids_ai.bids.index import Recording
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import write_relmat
from bids_ai.errors import InputError
from bids_ai.stages.ccep_responses import Responses
from bids_ai.stages.contact_places import Channels
from bids_ai.stages.context import Context
from bids_ai.stages.ieeg_rest import resting_signal
from bids_ai.stages.sidecars import sources, versions

if TYPE_CHECKING:
    from bids_ai.ccep.prediction.resting_model import RestingModel

#: Recordings are read at this rate, Hz, twice that of the model, so that the filter of the model rules.
_READ_HZ = 500.0


def run(context: Context, ieeg: str) -> None:
    """Fit the stimulation-free stretches of a recording, and of others of the session with the same channels."""
    from bids_ai.ccep.prediction.resting_model import resting_model

    entry = context.index.recording(ieeg)
    responses = Responses.read(context, entry)
    channels = responses.channels
    used = [other for other in resting_sources(context, entry) if _same_channels(context, other, channels)]
    meta: dict[str, Any] = {
        "Directed": True,
        "RowRole": "pushed channel",
        "ColumnRole": "responding channel",
        "RelationshipMeasure": "effective connectivity (push)",
        "MeasureUnits": "standard deviations of the target, for a push of one of the source; mean over 0.1 s",
        "RandomSeed": context.config.random_seed,
        "Sources": sources(context, *(context.names.path("ieeg", ieeg=other.item) for other in used)),
        "PackageVersions": versions("torch", "numpy", "scipy"),
    }
    try:
        runs, rate = _runs(context, used, channels)
        found = resting_model(
            runs,
            rate,
            channels.names,
            channel_contacts(channels, responses.contacts),
            len(responses.contacts),
            name=Path(ieeg).name,
            seed=context.config.random_seed,
            device=context.config.device,
        )
    except InputError as error:
        meta |= {"Status": "failed", "Reason": str(error)}
        matrix = np.full((len(channels.names),) * 2, np.nan)
        _write_impulses(context, ieeg, None)
    else:
        meta |= {"Status": "fitted", "Fit": found.description}
        matrix = found.ec
        _write_impulses(context, ieeg, found)
    path = context.names.path("contact_ec", ieeg=ieeg)
    write_relmat(path, matrix, channels.names, meta)


def resting_sources(context: Context, entry: Recording) -> list[Recording]:
    """Recordings of the same implantation that hold rest: the one itself, and others of its session."""
    return [
        other
        for other in context.index.recordings
        if other.modality == "ieeg"
        and other.engine == "builtin"
        and other.resting
        and (other.subject, other.session) == (entry.subject, entry.session)
    ]


class Pushed(NamedTuple):
    """What a model of rest gives to predictions.

    Attributes
    ----------
    impulses : array, shape (n_contacts, n_channels, n_steps)
        Response of every channel to a push of each contact.
    times_s : array, shape (n_steps,)
    channel_sd : array, shape (n_channels,)
        At rest.
    """

    impulses: np.ndarray
    times_s: np.ndarray
    channel_sd: np.ndarray


def read_pushed(context: Context, ieeg: str) -> Pushed | None:
    """Responses of the model to pushes; None where there is no model.

    Raises
    ------
    InputError
        If the file was left by another version.
    """
    path = context.impulses(ieeg)
    with np.load(path) as kept:
        missing = sorted(set(Pushed._fields) - set(kept.files))
        if kept.files and missing:
            raise InputError(
                f"{path} lacks {', '.join(missing)}: another version of bids_ai has left it. Delete it, and start the "
                "same command again."
            )
        return Pushed(**{name: kept[name] for name in Pushed._fields}) if kept.files else None


def contact_model_reason(context: Context, ieeg: str) -> str:
    """Why there is no model; empty where there is one."""
    return str(read_json(sidecar(context.names.path("contact_ec", ieeg=ieeg))).get("Reason", ""))


def channel_contacts(channels: Channels, contacts: list[str]) -> np.ndarray:
    """Numbers of the contacts that channels are made of, (n_channels, 2); a single one stands twice."""
    number = {name: position for position, name in enumerate(contacts)}
    return np.array([[number[members[0]], number[members[-1]]] for members in channels.members], int).reshape(-1, 2)


def _same_channels(context: Context, other: Recording, channels: Channels) -> bool:
    return Channels.read(context, other).names == channels.names


def _runs(context: Context, used: list[Recording], channels: Channels) -> tuple[list[np.ndarray], float]:
    from bids_ai.preprocess.ieeg_segments import rest_with_gaps

    runs, rates = [], []
    for other in used:
        data, rate, resting = resting_signal(context, other, channels, _READ_HZ)
        runs.append(rest_with_gaps(data, resting))
        rates.append(rate)
    # Recordings of another rate would make lags of another length.
    wanted = max(set(rates), key=rates.count) if rates else 0.0
    return [run for run, rate in zip(runs, rates, strict=True) if rate == wanted], wanted


def _write_impulses(context: Context, ieeg: str, found: RestingModel | None) -> None:
    arrays: dict[str, np.ndarray] = {}
    if found is not None:
        arrays = Pushed(found.impulses, found.impulse_times_s, found.channel_sd)._asdict()
    path = context.impulses(ieeg)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
