"""Real sidecars of four patients (ds004080, ds004696, ds003708); needs BIDS_AI_TEST_DATA."""

import pytest

from bids_ai.bids.electrophysiology.channels import read_channels
from bids_ai.bids.electrophysiology.electrodes import choose_electrodes
from bids_ai.bids.electrophysiology.stimulation import read_stimulation

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def runs(test_data):
    root = test_data / "ccep-bids-sidecars"
    if not root.is_dir():
        pytest.skip(f"needs real data: {root.name} is not in the folder that BIDS_AI_TEST_DATA names")
    return sorted(root.glob("ds*/sub-*/**/*_events.tsv"))


def stimulation_of(run):
    return read_stimulation(run, read_channels(run.with_name(run.name.replace("_events", "_channels"))))


def test_every_pulse_has_two_channels(runs):
    found = [stimulation_of(run) for run in runs]
    pulses = [pulse for each in found for pulse in each.pulses]
    assert len(pulses) == 2893
    assert all(pulse.first and pulse.second and pulse.first != pulse.second for pulse in pulses)
    assert {pulse.current_a for pulse in pulses} == {0.006, 0.008}
    assert sum(len(each.sites()) for each in found) == 258
    assert [len(each.used) for each in found] == [389, 447, 288, 140, 718, 4, 646]


def test_what_is_odd_is_told(runs):
    for run in runs:
        channels = read_channels(run.with_name(run.name.replace("_events", "_channels")))
        assert [finding.count for finding in channels.findings if finding.code == "swapped-cutoffs"] == [
            len(channels.names)
        ]
        assert all(entry.high_pass_hz < entry.low_pass_hz for entry in channels.channels)
    shifted = {finding.code: finding.count for finding in stimulation_of(runs[0]).findings}
    assert shifted["sample-start"] == 8  # ds003708


def test_frames_are_those_of_the_coordinate_systems(runs):
    frames = {(table.frame.label, table.frame.kind) for table in map(choose_electrodes, runs)}
    assert frames == {("fsaverage", "template"), ("MNI152NLin6Sym", "template"), ("ACPC", "native")}
