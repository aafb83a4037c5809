"""Every oddity of published stimulation datasets, planted into a virtual one."""

import numpy as np
import pytest

from bids_ai.bids.electrophysiology.recording import open_recording
from bids_ai.bids.electrophysiology.stimulation import read_stimulation
from bids_ai.simulate.ieeg_quirks import QUIRKS, apply_quirks
from tests.virtual_seeg import STEM, copy_dataset

#: Findings that a quirk must give rise to.
TOLD = {
    "sample-start": "sample-start",
    "near-pulses": "near-pulses",
    "out-of-order": "out-of-order",
    "swapped-filters": "swapped-cutoffs",
    "channel-types": "other-types",
    "no-coordinates": "no-coordinates",
    "readme-space": "readme-space",
    "electrode-names": "electrode-names",
    "case": "site-spelling",
}


@pytest.fixture
def read(seeg, tmp_path):
    def call(*quirks):
        root = copy_dataset(seeg, tmp_path / "copy")
        said = apply_quirks(root, quirks)["sub-01_ses-1_task-spes"]
        recording = open_recording(root / f"{STEM}_task-spes_ieeg.vhdr")
        stimulation = read_stimulation(root / f"{STEM}_task-spes_events.tsv", recording.channels)
        return recording, stimulation, said

    return call


def codes(*things) -> set[str]:
    return {finding.code for thing in things for finding in thing.findings}


@pytest.mark.parametrize("name", list(QUIRKS))
def test_every_pulse_of_every_quirk_has_two_channels(read, name):
    recording, stimulation, _ = read(name)
    assert len(stimulation.pulses) == (24 if name == "few-pulses" else 40)
    names = set(recording.raw.ch_names)
    assert all({pulse.first, pulse.second} <= names and pulse.first != pulse.second for pulse in stimulation.pulses)
    assert {pulse.current_a for pulse in stimulation.pulses} <= {0.002, 0.004}
    if name in TOLD:
        assert TOLD[name] in codes(recording, stimulation)


def test_all_quirks_at_once(read):
    recording, stimulation, _ = read(*QUIRKS)
    names = set(recording.raw.ch_names)
    assert all({pulse.first, pulse.second} <= names for pulse in stimulation.pulses)
    # Sites are spelled with the quotes and hyphens that come after the mixed case.
    assert set(TOLD.values()) - {"site-spelling"} <= codes(recording, stimulation)


def test_splitting_at_the_first_hyphen_would_fail(read):
    recording, stimulation, said = read("hyphens")
    wrong = [pulse for pulse in stimulation.pulses if not set(pulse.site.split("-")[:2]) <= set(recording.raw.ch_names)]
    assert len(wrong) == 40
    assert {pulse.first for pulse in stimulation.pulses} <= set(said["hyphens"].values())


def test_matching_by_exact_names_would_fail(read):
    recording, stimulation, _ = read("case")
    assert all(not set(pulse.site.split("-")) <= set(recording.raw.ch_names) for pulse in stimulation.pulses)
    assert len(stimulation.sites()) == 4


@pytest.mark.parametrize("name", ["hyphens", "case", "electrode-names", "quotes"])
def test_contacts_keep_their_places(read, seeg, name):
    plain = open_recording(seeg / f"{STEM}_task-spes_ieeg.vhdr")
    renamed, _, _ = read(name)
    places = renamed.electrodes.positions_of(renamed.raw.ch_names)
    np.testing.assert_array_equal(places, plain.electrodes.positions_of(plain.raw.ch_names))
    assert np.isfinite(places).all()


def test_what_is_dropped_is_what_was_planted(read):
    _, stimulation, said = read("artefacts", "status", "stimulated-bad")
    bad = said["stimulated-bad"]["contact"]
    for pulse in stimulation.pulses:
        assert ("stimulated contact is bad" in pulse.reasons) == (bad in (pulse.first, pulse.second))
    statuses = sorted(pulse.onset_s for pulse in stimulation.pulses if any("status" in text for text in pulse.reasons))
    np.testing.assert_allclose(statuses, sorted(said["status"]["onsets"]), atol=1e-5)
    spans = [(onset, involved) for onset, _, involved in said["artefacts"]["pulses"]]
    for onset, involved in spans:
        pulse = min(stimulation.pulses, key=lambda entry: abs(entry.onset_s - onset))
        spoiling = {"artefact", "seizure"} & set(pulse.reasons)
        assert bool(spoiling) == (involved == "all")
        assert (involved in pulse.spoiled) == (involved != "all")


def test_silicon_and_other_types_take_no_part(read):
    recording, _, said = read("silicon")
    assert not set(said["silicon"]["contacts"]) & set(recording.usable())
    assert len(recording.usable()) == 6


def test_several_currents_and_few_pulses(read):
    _, stimulation, said = read("several-currents", "few-pulses")
    two = {tuple(sorted(said["several-currents"]["site"].split("-")))}
    sites = stimulation.sites(one_current=False)
    assert {tuple(sorted(s.contacts)) for s in sites if s.current_a == 0.002} <= two
    assert len(stimulation.sites()) == 4


def test_the_convention_of_ds004696_gives_the_same_pulses(seeg, tmp_path):
    root = copy_dataset(seeg, tmp_path / "copy")
    channels = open_recording(root / f"{STEM}_task-spes_ieeg.vhdr").channels
    path = root / f"{STEM}_task-spes_events.tsv"
    before = [(p.onset_s, p.first, p.second, p.current_a) for p in read_stimulation(path, channels).pulses]
    header, *rows = path.read_text().splitlines()
    column = header.split("\t").index("electrical_stimulation_current")
    changed = [header + "\tstatus"]
    for row in rows:
        cells = row.split("\t")
        cells[column] = f"{1e3 * float(cells[column]):.1f} mA"
        changed.append("\t".join([*cells, "good"]))
    path.write_text("\n".join(changed) + "\n")
    assert "4.0 mA" in changed[1]
    after = [(p.onset_s, p.first, p.second, p.current_a) for p in read_stimulation(path, channels).pulses]
    assert after == before
    assert len(after) == 40
