"""What is known of a generated EEG and hidden from the workflow: ``sourcedata/truth``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate import eeg_rhythm as rhythm
from bids_ai.simulate.eeg_recording import EegHead, EegRecording
from bids_ai.simulate.eeg_topographies import referenced
from bids_ai.simulate.folder import write_json, write_table

Array = NDArray[np.floating]


def write_head(folder: Path, stem: str, head: EegHead, names: list[str]) -> None:
    """Electrodes in the T1w, the map there from CapTrak, and the leadfields, referenced."""
    folder.mkdir(parents=True, exist_ok=True)
    cap = head.cap
    rows = [[name, *place] for name, place in zip(cap.names, np.round(cap.positions_mm, 3).tolist(), strict=True)]
    write_table(folder / f"{stem}_space-T1w_electrodes.tsv", ["name", "x", "y", "z"], rows)
    write_json(
        folder / f"{stem}_space-T1w_electrodes.json",
        {
            "Description": "Electrodes in scanner coordinates of the T1w, mm RAS.",
            "FromCapTrakToT1w": np.round(np.linalg.inv(cap.to_captrak), 6).tolist(),
        },
    )
    fields = {"leadfield": head.field.regions, "desc-posterior_leadfield": head.field.of_regions(head.posterior)}
    for name, field in fields.items():
        path = folder / f"{stem}_{name}.tsv"
        values = referenced(field, len(cap.names)).tolist()
        write_table(path, ["region", *cap.names], [[region, *row] for region, row in zip(names, values, strict=True)])
        write_json(
            path.with_suffix(".json"),
            {
                "Description": _LEADFIELD[name],
                "Units": "uV per nAm/mm2",
                "Reference": "mean of the mastoids",
            },
        )


_LEADFIELD = {
    "leadfield": "Potential of a region whose whole cortex has a dipole moment density of 1 nAm/mm2.",
    "desc-posterior_leadfield": (
        "The same with every piece of cortex times its posterior weight: the topography of the alpha that eyes block."
    ),
}


def write_series(folder: Path, stem: str, head: EegHead, recording: EegRecording, names: list[str]) -> None:
    """Activity of the network and what regions emit, in one archive of arrays (n_times, n_regions)."""
    sheet, emitted = head.field.sheet, recording.emission
    area = np.linalg.norm(sheet.vector_mm2, axis=1)
    n_regions = len(names)
    share = np.bincount(sheet.region, area * head.posterior, n_regions) / np.maximum(
        np.bincount(sheet.region, area, n_regions), 1e-9
    )
    path = folder / f"{stem}_desc-regions_timeseries.npz"
    _save(
        path,
        activity=recording.activity_mv,
        emitted_everywhere=emitted.everywhere,
        emitted_posterior=emitted.posterior,
    )
    write_json(
        path.with_suffix(".json"),
        {
            "Description": (
                "Series of regions in columns. activity: network of Jansen-Rit columns, mV from the working point. "
                "emitted_*: dipole moment density that the patches of a region have in common, nAm/mm2; its mean over "
                "a region is emitted_everywhere + PosteriorShare * emitted_posterior. The EEG of the network is "
                "emitted_everywhere @ leadfield + emitted_posterior @ desc-posterior_leadfield."
            ),
            "Columns": names,
            "SamplingFrequency": recording.clock.sampling_hz,
            "PosteriorShare": dict(zip(names, np.round(share, 4).tolist(), strict=True)),
        },
    )


def write_artefacts(folder: Path, stem: str, head: EegHead, recording: EegRecording) -> None:
    """Every artefact's times in a table, its sources' courses and topographies in an archive."""
    found = sorted(
        ((one, artefact.kind) for artefact in recording.artefacts for one in artefact.occurrences),
        key=lambda pair: pair[0].onset_s,
    )
    rows = [[one.onset_s, one.duration_s, one.name, kind, one.height_uv] for one, kind in found]
    path = folder / f"{stem}_desc-artefacts_events.tsv"
    write_table(path, ["onset", "duration", "trial_type", "source", "height"], rows)
    arrays = {}
    for artefact in recording.artefacts:
        arrays[f"{artefact.kind}_courses"] = artefact.courses
        arrays[f"{artefact.kind}_topographies"] = referenced(artefact.topographies, len(head.cap.names))
    archive = folder / f"{stem}_desc-artefacts_timeseries.npz"
    _save(archive, **arrays)
    write_json(
        archive.with_suffix(".json"),
        {
            "Description": (
                "For every kind of artefact courses (n_times, n_sources), microvolts where the source is highest, and "
                "topographies (n_sources, n_channels), referenced; their product is the artefact before the amplifier. "
                "height in the table: microvolts (muscle: root mean square) where it is highest."
            ),
            "Channels": list(head.cap.names),
            "SamplingFrequency": recording.clock.sampling_hz,
        },
    )


def write_description(folder: Path, stem: str, head: EegHead, recording: EegRecording) -> None:
    """The bad channel, and the constants of the recording."""
    write_json(
        folder / f"{stem}_eeg.json",
        {
            "Description": (
                "desc-brain_eeg is the part of the brain (network and background) in the recording, after reference "
                "and amplifier, with a good electrode in place of the bad one."
            ),
            "BadChannels": [head.cap.names[recording.bad_channel]],
            "BadChannelKind": recording.bad_kind,
            "AlphaBand": list(rhythm.ALPHA_HZ),
            "AlphaGainPosterior": {"eyes_closed": rhythm.CLOSED_GAIN, "eyes_open": rhythm.OPEN_GAIN},
            "AlphaGainElsewhere": rhythm.OTHER_GAIN,
            "MomentDensityPerMillivolt": rhythm.MOMENT_PER_MV,
            "MomentDensityPerMillivoltUnits": "nAm/mm2/mV",
            "CoherentArea": rhythm.COHERENT_MM2,
            "CoherentAreaUnits": "mm2",
        },
    )


def _save(path: Path, **arrays: Array) -> None:
    """An archive of single-precision arrays; its members bear no date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    working = path.with_name(f".{path.name}")
    with working.open("wb") as out:
        np.savez_compressed(out, **{name: np.asarray(array, np.float32) for name, array in arrays.items()})  # type: ignore[arg-type]
    working.replace(path)
