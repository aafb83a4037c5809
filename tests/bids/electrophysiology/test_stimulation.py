import json
from pathlib import Path

import numpy as np
import pytest

from bids_ai.bids.electrophysiology.channels import read_channels
from bids_ai.bids.electrophysiology.events import read_events, spoiled_spans
from bids_ai.bids.electrophysiology.stimulation import read_stimulation
from bids_ai.errors import InputError

COLUMNS = [
    *["onset", "duration", "trial_type", "electrical_stimulation_site", "electrical_stimulation_current"],
    *["electrical_stimulation_frequency", "status", "sub_type", "electrodes_involved_onset", "sample_start"],
]
PULSE = {"duration": "0.001", "trial_type": "electrical_stimulation", "electrical_stimulation_site": "A1-A2"}
PULSE |= {"electrical_stimulation_current": "6.0 mA"}


@pytest.fixture
def channels(tmp_path):
    rows = "".join(f"{name}\tSEEG\tµV\t1000\tgood\n" for name in ("A1", "A2", "A3", "B1", "B2"))
    path = tmp_path / "sub-01_channels.tsv"
    path.write_text(
        f"name\ttype\tunits\tsampling_frequency\tstatus\n{rows}X1\tEEG\tµV\t1000\tgood\nC1\tSEEG\tµV\t1000\tbad\n"
    )
    return read_channels(path)


@pytest.fixture
def events(tmp_path):
    number = 0

    def write(*rows: dict, columns=COLUMNS, meta=None) -> Path:
        nonlocal number
        number += 1
        root = tmp_path / f"events{number}"
        root.mkdir()
        (root / "dataset_description.json").write_text("{}")
        if meta:
            (root / "sub-01_events.json").write_text(json.dumps(meta))
        lines = ["\t".join(str(row.get(column, "n/a")) for column in columns) for row in rows]
        path = root / "sub-01_events.tsv"
        path.write_text("\n".join(["\t".join(columns), *lines]) + "\n")
        return path

    return write


def pulse(onset, **changes) -> dict:
    return PULSE | {"onset": onset} | changes


def site(name: str) -> dict:
    return {"electrical_stimulation_site": name}


def codes(findings) -> dict[str, int]:
    return {finding.code: finding.count for finding in findings}


def test_pulses_are_rows_of_exactly_this_type(events, channels):
    path = events(
        {"onset": 0, "duration": 3298, "trial_type": "stimulation", **site("A1-A2")},
        pulse(10),
        {"onset": 11, "trial_type": "Electrical stimulation", **site("A1-A2")},
        {"onset": 12, "trial_type": "eyes"},
    )
    found = read_stimulation(path, channels)
    assert [(p.onset_s, p.first, p.second, p.current_a) for p in found.pulses] == [(10.0, "A1", "A2", 0.006)]
    assert codes(found.findings)["trial-type-spelling"] == 1


def test_a_task_label_makes_no_stimulation(events, channels):
    path = events({"onset": 1, "trial_type": "rest"})
    named = path.rename(path.with_name("sub-01_task-ccep_events.tsv"))
    assert not read_events(named).has_stimulation
    assert read_stimulation(named, channels).pulses == ()


def test_sites_join_both_polarities_and_keep_the_current_with_most_pulses(events, channels):
    low = {"electrical_stimulation_current": "2 mA"}
    path = events(pulse(5), pulse(10, **site("A2-A1")), pulse(15), pulse(20, **low), pulse(25, **site("B1-A3")))
    found = read_stimulation(path, channels)
    sites = found.sites()
    assert [(s.contacts, s.current_a, len(s.pulses), s.n_reversed) for s in sites] == [
        (("A1", "A2"), 0.006, 3, 1),
        (("A3", "B1"), 0.006, 1, 1),
    ]
    assert [s.current_a for s in found.sites(one_current=False)] == [0.006, 0.002, 0.006]
    assert found.pulses[1].first == "A2"


def test_order_intervals_and_doubles(events, channels):
    path = events(pulse(30), pulse(10), pulse(10), pulse(10.65), pulse("n/a"), pulse(99), pulse(10, **site("B1-B2")))
    found = read_stimulation(path, channels, duration_s=60.0)
    assert [p.onset_s for p in found.pulses[:6]] == [10, 10, 10, 10.65, 30, 99]
    assert [p.reasons for p in found.pulses] == [
        (),
        ("row given twice",),
        ("two sites at once",),
        (),
        (),
        ("outside the recording",),
        ("no onset",),
    ]
    assert found.pulses[3].interval_s == pytest.approx(0.65)
    assert [p.row for p in found.pulses] == [1, 2, 6, 3, 0, 5, 4]
    assert {"out-of-order", "no-onset", "near-pulses"} <= set(codes(found.findings))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "bad"}, "status bad"),
        ({"status": "wrongpair"}, "status wrongpair"),
        ({"sub_type": "ESM"}, "not single-pulse stimulation (ESM)"),
        (site("A3-C1"), "stimulated contact is bad"),
        (site("A3-X1"), "stimulated contact is of type EEG"),
        (site("A3-Z9"), "site not resolved"),
        ({"electrical_stimulation_current": "0 mA"}, "no current"),
        ({"duration": "5", "electrical_stimulation_frequency": "50"}, "train of 50 Hz"),
    ],
)
def test_pulses_are_dropped_with_a_reason(events, channels, changes, reason):
    found = read_stimulation(events(pulse(5), pulse(10, **changes)), channels)
    assert found.dropped() == {reason: 1}
    assert [p.used for p in found.pulses] == [True, False]
    assert any(reason in finding.message for finding in found.findings if finding.code == "pulses-not-used")


def test_bad_contacts_may_be_kept(events, channels):
    path = events(pulse(5, **site("A3-C1")))
    assert read_stimulation(path, channels, drop_bad_contacts=False).pulses[0].used


def test_artefacts_and_seizures_drop_the_pulses_they_touch(events, channels):
    def mark(onset, kind, involved):
        return {"onset": onset, "duration": 1, "trial_type": kind, "electrodes_involved_onset": involved}

    path = events(
        *(pulse(onset) for onset in (10, 20, 30, 40, 50)),
        mark(9.8, "artefact", "all"),
        mark(20.2, "seizure", "A2, B1"),
        mark(30.0, "artefact", "B1"),
        mark(40.2, "artefact", "Z9"),
        mark(52.0, "artefact", "all"),
    )
    found = read_stimulation(path, channels)
    assert [p.reasons for p in found.pulses] == [("artefact",), ("seizure",), (), ("artefact",), ()]
    assert found.pulses[2].spoiled == ("B1",)
    assert found.pulses[1].spoiled == ()
    assert codes(found.findings)["unknown-involved"] == 1
    spans, _ = spoiled_spans(read_events(path), channels.name_list)
    assert [(span.start_s, span.end_s, span.contacts) for span in spans][2] == (30.0, 31.0, ("B1",))


@pytest.mark.parametrize(("duration", "n_pulses"), [("45.001", 10), ("50", 10), ("0.001", 1), ("4.9", 1)])
def test_a_row_may_be_a_train(events, channels, duration, n_pulses):
    found = read_stimulation(events(pulse(100, duration=duration, electrical_stimulation_frequency="0.2")), channels)
    assert [p.onset_s for p in found.pulses] == [100.0 + 5 * k for k in range(n_pulses)]
    assert sum(p.nominal for p in found.pulses) == n_pulses - 1
    assert all(p.used for p in found.pulses)


def test_currents_by_the_sidecar(events, channels):
    bare = {"electrical_stimulation_current": "0.008"}
    column = "electrical_stimulation_current"
    told = events(pulse(5, **bare), meta={column: {"description": "electrical stimulation current in Ampere"}})
    assert read_stimulation(told, channels).pulses[0].current_a == 0.008
    with pytest.raises(InputError, match=r"'0.008' has no unit.*Add \"Units\""):
        read_stimulation(events(pulse(5, **bare)), channels)
    assert read_stimulation(events(pulse(5, **bare)), channels, current_unit="A").pulses[0].current_a == 0.008
    with pytest.raises(InputError, match="the unit is wrong"):
        read_stimulation(events(pulse(5, **bare), meta={column: {"Units": "mA"}}), channels)


def test_no_current_is_told(events, channels):
    found = read_stimulation(events(pulse(5, electrical_stimulation_current="n/a")), channels)
    assert np.isnan(found.pulses[0].current_a)
    assert codes(found.findings)["no-current"] == 1
    assert len(found.sites()) == 1


def test_sample_start_is_checked_but_for_a_common_offset(events, channels):
    rows = [pulse(10 + k, sample_start=1000 * (10 + k) + 1) for k in range(6)]
    assert "sample-start" not in codes(read_stimulation(events(*rows), channels).findings)
    rows[2]["sample_start"] -= 9
    found = read_stimulation(events(*rows), channels)
    assert codes(found.findings)["sample-start"] == 1
    assert found.pulses[2].onset_s == 12.0


def test_a_table_without_sites_or_with_none_that_fits_is_refused(events, channels):
    with pytest.raises(InputError, match="2 rows 'electrical_stimulation' but no column 'electrical_stimulation_site'"):
        read_stimulation(events(pulse(5), pulse(9), columns=["onset", "duration", "trial_type"]), channels)
    with pytest.raises(InputError, match=r"None of the 1 sites .* names two channels.*wanted 'A1-A2'"):
        read_stimulation(events(pulse(5, **site("Q1-Q2"))), channels)
    with pytest.raises(InputError, match="no column 'onset'"):
        read_events(events({"trial_type": "x"}, columns=["trial_type"]))


def test_table_of_pulses(events, channels):
    table = read_stimulation(events(pulse(5), pulse(10, status="bad")), channels).table()
    assert table["used"].tolist() == [True, False]
    assert table["reasons"].tolist() == ["", "status bad"]


@pytest.mark.parametrize("duration", ["1e6", "1e15", "1e308"])
def test_a_train_that_no_recording_holds_is_one_pulse_that_is_not_used(events, channels, duration):
    row = pulse(1.0, duration=duration, electrical_stimulation_frequency="0.5")
    [found] = read_stimulation(events(row), channels).pulses
    assert not found.used
    assert "which is no length of a train" in found.reasons[0]
