"""The plan of an intracranial recording: contacts, reference, steps; and that it works as a stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_ai.bids.electrophysiology.recording import OpenRecording, open_recording
from bids_ai.bids.electrophysiology.stimulation import Stimulation, read_stimulation
from bids_ai.errors import InputError
from bids_ai.preprocess.ieeg import plan_ieeg
from bids_ai.preprocess.ieeg_blanking import Blanking
from bids_ai.preprocess.ieeg_stream import stream
from tests.virtual_seeg import STEM, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("seeg")
    write_dataset(root)
    return root


@pytest.fixture(scope="module")
def opened(dataset: Path) -> tuple[OpenRecording, Stimulation]:
    recording = open_recording(dataset / f"{STEM}_task-spes_ieeg.vhdr")
    return recording, read_stimulation(dataset / f"{STEM}_task-spes_events.tsv", recording.channels)


def test_depth_contacts_become_differences_of_neighbours(opened: tuple[OpenRecording, Stimulation]) -> None:
    recording, pulses = opened
    plan = plan_ieeg(recording, pulses, find_bad=False)
    table = plan.channel_table(recording)
    assert list(table["name"]) == list(plan.derivation.names)
    assert (table["reference"] == "bipolar").all()
    places = recording.electrodes
    assert places is not None
    for row, (first, second) in enumerate(zip(table["contact_1"], table["contact_2"], strict=True)):
        assert first.rstrip("0123456789") == second.rstrip("0123456789")
        assert int(second.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) == int(first.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) + 1
        middle = places.positions_of([first, second]).mean(axis=0)
        np.testing.assert_allclose(plan.positions_mm[row], middle)
    bad = [channel.name for channel in recording.channels.channels if not channel.good and channel.kind == "SEEG"]
    assert bad
    assert not set(bad) & {*table["contact_1"], *table["contact_2"]}
    assert plan.figures["BadInTable"] == bad


def test_the_table_of_quality_has_the_bad_contacts_of_the_figures(opened: tuple[OpenRecording, Stimulation]) -> None:
    """The report draws the one and counts the other."""
    for find_bad in (True, False):
        plan = plan_ieeg(*opened, find_bad=find_bad)
        table = plan.quality_table(opened[0])
        bad = [*plan.figures["BadInTable"], *plan.figures["OnSilicone"], *plan.figures["BadFound"]]
        assert sorted(table["name"][table["reasons"] != ""]) == sorted(bad)
        assert len(table) == len(plan.contacts) + len(bad)
        assert set(table["reasons"][table["name"].isin(plan.figures["BadInTable"])]) == {"bad in channels.tsv"}


def test_the_stream_is_blanked_and_referenced(opened: tuple[OpenRecording, Stimulation]) -> None:
    recording, pulses = opened
    plan = plan_ieeg(recording, pulses, find_bad=False, line_method="none")
    raw, rate = recording.raw, float(recording.raw.info["sfreq"])
    made = np.concatenate([data for _, data in stream(raw, plan.contacts, plan.steps, block_s=7.0)])
    assert made.shape == (raw.n_times, len(plan.derivation.names))
    first, second = plan.channel_table(recording).loc[0, ["contact_1", "contact_2"]]
    plain = raw.get_data(picks=[first])[0] - raw.get_data(picks=[second])[0]
    blanking = next(step for step in plan.steps if isinstance(step, Blanking))
    blanked = np.zeros(raw.n_times, bool)
    for start, end in blanking.spans:
        blanked[start:end] = True
    np.testing.assert_allclose(made[~blanked, 0], plain[~blanked], atol=1e-12)
    onset = round(pulses.pulses[0].onset_s * rate)
    assert blanked[onset]
    assert np.abs(np.diff(made[onset - 1 : onset + 3, 0], 2)).max() < 1e-9  # a straight line
    assert plan.figures["BlankedSamples"] == blanked.sum()
    assert not plan.resting[blanked].any()


def test_as_recorded_on_request(opened: tuple[OpenRecording, Stimulation]) -> None:
    recording, pulses = opened
    plan = plan_ieeg(recording, pulses, reference="recorded", find_bad=False)
    assert list(plan.derivation.names) == list(plan.contacts)
    assert plan.channel_table(recording)["contact_2"].isna().all()
    assert plan.figures["Reference"] == f"{len(plan.contacts)} as recorded, of {len(plan.contacts)} contacts"


def test_a_recording_without_contacts_is_refused(opened: tuple[OpenRecording, Stimulation]) -> None:
    from dataclasses import replace

    recording, pulses = opened
    others = tuple(replace(channel, kind="MISC") for channel in recording.channels.channels)
    with pytest.raises(InputError, match="is a good SEEG, ECoG or DBS contact"):
        plan_ieeg(replace(recording, channels=replace(recording.channels, channels=others)), pulses)
