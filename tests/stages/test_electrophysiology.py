"""What a recording with stimulation lacks or has wrong: what is told, what is counted, what is refused.

The recording is two leads of six contacts in noise, with a response of 300 uV on two contacts of the other lead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bids_ai.bids.electrophysiology.brainvision import write_brainvision
from bids_ai.bids.files import read_json
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import read_table
from bids_ai.errors import InputError
from bids_ai.stages import ccep_features, ccep_figures, ieeg_preprocess
from bids_ai.stages.context import Context
from bids_ai.stages.evoked import read_evoked
from tests.conftest import DESCRIPTION

NAMES = [f"{lead}{number}" for lead in "AB" for number in range(1, 7)]
SITES = [("A1", "A2"), ("A5", "A6"), ("B1", "B2")]
ITEM = "sub-01/ieeg/sub-01_task-ccep_run-1"


def write_recording(
    root: Path,
    *,
    hz: int = 256,
    interval_s: float = 5.0,
    n_pulses: tuple[int, ...] = (6, 6, 6),
    rest_s: float = 10.0,
    names: list[str] = NAMES,
    currents: tuple[str, ...] = ("0.006",),
    unit: str | None = "A",
    placed: bool = True,
    bad: tuple[str, ...] = (),
    kind: str = "SEEG",
    change: Callable[[np.ndarray], np.ndarray] | None = None,
    run: str = "1",
) -> Path:
    """Write a dataset of one recording; `change` is applied to the signal (n_times, n_channels), microvolts."""
    folder = root / "sub-01" / "ieeg"
    folder.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps(DESCRIPTION))
    rng = np.random.default_rng(int(run))
    which = np.repeat(np.arange(len(SITES)), n_pulses)
    onsets = rest_s + interval_s * np.arange(len(which))
    n_times = round((onsets[-1] + 3) * hz)
    slow = np.cumsum(rng.standard_normal((n_times, len(names))), axis=0)
    slow -= np.stack([np.interp(np.arange(n_times), np.arange(0, n_times, hz), one[::hz]) for one in slow.T], axis=1)
    data = 20 * slow / slow.std(axis=0) + rng.normal(0, 3, slow.shape)
    times = np.arange(round(0.2 * hz)) / hz
    rows = ["onset\tduration\ttrial_type\telectrical_stimulation_site\telectrical_stimulation_current"]
    for number, (onset, site) in enumerate(zip(onsets, which, strict=True)):
        pair, start = SITES[site], round(onset * hz)
        for contact in [name for name in names if name[0] != pair[0][0]][2:4]:
            bump = 300 * np.exp(-0.5 * ((times - 0.03) / 0.008) ** 2)
            data[start : start + len(times), names.index(contact)] += bump
        stimulated = [names.index(contact) for contact in pair if contact in names]
        data[start : start + max(1, hz // 250), stimulated] += 3000
        rows.append(f"{onset:.6f}\t0.001\telectrical_stimulation\t{'-'.join(pair)}\t{currents[number % len(currents)]}")
    data = change(data) if change else data
    stem = f"sub-01_task-ccep_run-{run}"
    units = np.clip(np.rint(data / 0.1), -32000, 32000).astype(np.int16)
    write_brainvision(
        folder / f"{stem}_ieeg", [units], names=names, sampling_hz=float(hz), reference="n/a", resolution_uv=0.1
    )
    meta = {"TaskName": "ccep", "SamplingFrequency": hz, "PowerLineFrequency": 50}
    (folder / f"{stem}_ieeg.json").write_text(json.dumps(meta))
    lines = [f"{name}\t{kind}\tuV\t{name[0]}\t{'bad' if name in bad else 'good'}" for name in names]
    (folder / f"{stem}_channels.tsv").write_text("\n".join(["name\ttype\tunits\tgroup\tstatus", *lines]) + "\n")
    (folder / f"{stem}_events.tsv").write_text("\n".join(rows) + "\n")
    column = {"Description": "current"} | ({"Units": unit} if unit else {})
    (folder / f"{stem}_events.json").write_text(json.dumps({"electrical_stimulation_current": column}))
    if placed:
        system = {"iEEGCoordinateSystem": "MNI152NLin2009cSym", "iEEGCoordinateUnits": "mm"}
        (folder / "sub-01_space-MNI152NLin2009cSym_coordsystem.json").write_text(json.dumps(system))
        places = [f"{name}\t{(-1 if name[0] == 'A' else 1) * (25 + 5 * int(name[1:]))}\t-20\t10" for name in NAMES]
        table = folder / "sub-01_space-MNI152NLin2009cSym_electrodes.tsv"
        table.write_text("\n".join(["name\tx\ty\tz", *places]) + "\n")
    return root


@pytest.fixture
def indexed(tmp_path: Path, run_cli, shared_work: Path) -> Callable[..., Context]:
    """Write a recording and index it, with settings."""

    def make(settings: str = "", **options: object) -> Context:
        data = write_recording(tmp_path / "data", **options)  # type: ignore[arg-type]
        file = tmp_path / "settings.yaml"
        file.write_text(f"ccep:\n  n_draws: 1000\n{settings}")
        call = ["index", data, tmp_path / "out", "-w", shared_work, "--config-file", file, "--skip-bids-validation"]
        answer = run_cli(*call, "--atlases", "EqualVolume:20", "--device", "cpu", "--stages", "ieeg", "ccep")
        assert answer.code == 0, answer.text
        [config] = re.findall(r"^Configuration: (.*)$", answer.out, re.MULTILINE)
        return Context.load(Path(config))

    return make


@pytest.fixture
def measured(indexed, monkeypatch) -> Callable[..., tuple]:
    """Preprocess and measure: table of sites, table of features, quality."""
    # Figures are drawn elsewhere, and take longer than all else here.
    drawn = ((ieeg_preprocess, "_figures"), (ccep_figures, "draw_responses"), (ccep_figures, "draw_contacts"))
    for module, name in drawn:
        monkeypatch.setattr(module, name, lambda *_: None)

    def make(*args: str, item: str = ITEM, **options: object) -> tuple:
        context = indexed(*args, **options)
        ieeg_preprocess.run(context, item)
        ccep_features.run(context, item)
        features = context.names.path("ccep_features", ieeg=item)
        sites = read_table(context.names.path("ccep_sites", ieeg=item)).set_index("site")
        return sites, read_table(features), read_json(sidecar(features))["QualityControl"]

    return make


def every_pulse_is_accounted_for(quality: dict) -> bool:
    return quality["Pulses"] == quality["PulsesUsed"] + sum(quality["PulsesDropped"].values())


def test_responses_are_found_where_they_are(measured, tmp_path):
    sites, table, quality = measured()
    assert every_pulse_is_accounted_for(quality)
    assert quality["warnings"] == []
    assert list(sites["pulses_used"]) == [6, 6, 6]
    assert (tmp_path / "out/sub-01/ieeg/sub-01_electrodes.tsv").is_file()  # BIDS wants it beside a recording
    found = table[table["responder"] == 1]
    # Third and fourth contact of the other lead: in three differences, of which the middle one has it on both sides.
    assert {"B2-B3", "B4-B5"} <= set(found["channel"][found["contact_1"] == "A1"])
    assert {"A2-A3", "A4-A5"} <= set(found["channel"][found["contact_1"] == "B1"])
    assert len(found) <= 8  # six are true; one in twenty of what is found may not be


def test_channels_that_respond_to_one_site_are_not_in_the_mean_of_surface_channels(measured):
    """In the mean, a response would appear upside down in every channel that has none."""
    _, table, quality = measured(kind="ECOG", n_pulses=(9, 9, 9))
    assert quality["Reference"].startswith("mean of the 8 of 12 surface channels")
    found = table[table["responder"] == 1]
    true = found["channel"].isin(["A3", "A4", "B3", "B4"])
    assert true.sum() == 6
    assert (~true).sum() <= 1


def test_without_coordinates_the_near_channels_are_said_to_be_in(measured):
    _, table, quality = measured(placed=False)
    assert not table["excluded"].any()
    assert table["distance"].isna().all()
    [warning] = quality["warnings"]
    assert "No position of a contact is known" in warning


def test_a_stimulated_contact_that_is_bad_takes_its_pairs_out(measured):
    sites, _, quality = measured(bad=("A2",))
    assert sites.loc["A1-A2", "reasons"].startswith("6 stimulated contact is bad; not measured")
    assert not sites.loc["A1-A2", "measured"]
    assert quality["PulsesDropped"] == {"stimulated contact is bad": 6}
    assert every_pulse_is_accounted_for(quality)


def test_a_pair_with_too_few_pulses_is_listed_with_the_reason(measured):
    sites, table, quality = measured(n_pulses=(6, 2, 6))
    assert sites.loc["A5-A6", "reasons"] == "not measured: 5 usable pulses are wanted"
    assert "A5-A6" not in set(table["site"])
    assert quality["PulsesDropped"] == {"a pair with fewer than 5 usable pulses": 2}
    assert every_pulse_is_accounted_for(quality)
    assert any(text.startswith("1 of 3 stimulated pairs are not measured") for text in quality["warnings"])


def test_too_few_pulses_everywhere_is_a_clear_failure(measured):
    with pytest.raises(InputError, match=r"No site has 5 usable pulses; of 3 sites the best has 3.*ccep\.min_pulses"):
        measured(n_pulses=(3, 3, 2))


def test_pulses_of_another_current_are_counted(measured):
    sites, _, quality = measured(currents=("0.006", "0.006", "0.004"), n_pulses=(9, 9, 9))
    assert list(sites["reasons"]) == ["3 with another current"] * 3
    assert quality["PulsesDropped"] == {"another current at the same pair": 9}
    assert every_pulse_is_accounted_for(quality)


def test_every_current_of_a_pair_is_a_site_with_a_name_of_its_own(measured):
    sites, table, quality = measured("  every_current: true\n", currents=("0.006", "0.004"), n_pulses=(12, 12, 12))
    assert sorted(sites.index) == sorted(f"{a}-{b} {mA} mA" for a, b in SITES for mA in (4, 6))
    assert list(sites["pulses_used"]) == [6] * 6
    assert every_pulse_is_accounted_for(quality)
    # What is between regions is read off this table as sites x channels.
    assert not table.duplicated(["site", "channel"]).any()


def test_a_low_sampling_rate_is_measured_or_said(measured):
    _, table, quality = measured(hz=100)
    assert every_pulse_is_accounted_for(quality)
    assert table["high_gamma_db"].isna().all()  # no power above 50 Hz
    assert (table["responder"] == 1).any()


def test_flat_and_saturated_channels_are_left_out_and_named(measured, indexed):
    def spoil(data: np.ndarray) -> np.ndarray:
        data[:, NAMES.index("B5")] = 0
        data[:, NAMES.index("A3")] = np.where(np.arange(len(data)) // 200 % 2, 3200, -3200)
        return data

    _, table, quality = measured(change=spoil)
    assert not [name for name in set(table["channel"]) if "B5" in name or "A3" in name]
    assert every_pulse_is_accounted_for(quality)


def test_a_current_without_a_unit_is_refused_with_the_setting_that_mends_it(measured):
    with pytest.raises(InputError, match=r"'0\.006' has no unit.*ccep\.current_unit"):
        measured(unit=None)


def test_the_setting_mends_it(measured):
    sites, _, _ = measured("  current_unit: A\n", unit=None)
    np.testing.assert_allclose(sites["current"], 0.006)


def test_pulses_every_second_are_refused(measured):
    with pytest.raises(InputError, match=r"less than 3 s after another pulse.*no single-pulse stimulation"):
        measured(interval_s=1.0)


def test_pulses_every_three_seconds_without_rest_are_compared_with_moments_nearer_to_them(measured):
    _, table, quality = measured(interval_s=3.0, n_pulses=(8, 7, 7), rest_s=1.5)
    assert quality["PseudoOnsets"] >= 40
    assert any("1 s after a pulse instead of 2 s" in text for text in quality["warnings"])
    assert (table["responder"] == 1).any()


def test_runs_with_other_channels_are_measured_each_with_its_own(measured, tmp_path):
    write_recording(tmp_path / "data", names=[*NAMES[:6], *NAMES[8:]], n_pulses=(6, 6, 0), run="2")
    _, second, quality = measured(item="sub-01/ieeg/sub-01_task-ccep_run-2")
    assert every_pulse_is_accounted_for(quality)
    assert "B2-B3" not in set(second["channel"])
    assert (second["responder"] == 1).any()


@pytest.mark.parametrize("fault", ["header", "no data", "half"])
def test_a_corrupt_recording_is_told(indexed, fault):
    context = indexed()
    header = Path(context.index.recording(ITEM).source)
    data = header.with_suffix(".eeg")
    if fault == "header":
        header.write_text("Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n")
    elif fault == "no data":
        data.unlink()
    else:
        # An odd number of samples is gone: the rest is read, and what it lacks is told.
        data.write_bytes(data.read_bytes()[: data.stat().st_size // 2 + 1])
    if fault != "half":
        with pytest.raises(InputError, match=r"no BrainVision header|not beside it"):
            ieeg_preprocess.run(context, ITEM)
        return
    from bids_ai.stages.signals import open_signal, stimulation_of

    entry = context.index.recording(ITEM)
    opened = open_signal(entry)
    assert "brainvision-partial" in {finding.code for finding in opened.findings}
    assert "outside the recording" in " ".join(stimulation_of(context, entry, opened).dropped())


def test_the_command_refuses_a_dataset_without_stimulation(tmp_path, run_cli, shared_work):
    data = write_recording(tmp_path / "data")
    events = data / f"{ITEM}_events.tsv"
    events.write_text(events.read_text().replace("electrical_stimulation\t", "rest\t"))
    answer = run_cli("ccep", data, tmp_path / "out", "-w", shared_work, "--skip-bids-validation", "--dry-run")
    assert answer.code == 2
    assert "No recording with single-pulse stimulation" in answer.text
    assert "sub-01_task-ccep_run-1" in answer.text


def test_the_rate_of_the_file_counts_for_region_series(indexed, tmp_path, run_cli, shared_work):
    data = write_recording(tmp_path / "data", hz=200)
    meta = data / f"{ITEM}_ieeg.json"
    meta.write_text(json.dumps(read_json(meta) | {"SamplingFrequency": 32}))
    call = ["index", data, tmp_path / "out", "-w", shared_work, "--skip-bids-validation", "--device", "cpu"]
    answer = run_cli(*call, "--atlases", "EqualVolume:20")
    [config] = re.findall(r"^Configuration: (.*)$", answer.out, re.MULTILINE)
    assert Context.load(Path(config)).index.recording(ITEM).tr == pytest.approx(1 / 200)


@pytest.mark.parametrize(
    ("hz", "low_pass_hz", "wanted"), [(500, 45, 100), (64, 45, 64), (500, 90, 200), (500, 200, 250)]
)
def test_eeg_is_not_sampled_faster_than_its_low_pass_wants(
    make_dataset, tmp_path, run_cli, shared_work, hz, low_pass_hz, wanted
):
    """Oversampled, each sample follows from the one before, and nothing is left for coupling to explain."""
    stem = "sub-01/eeg/sub-01_task-rest"
    files = {f"{stem}_eeg.vhdr": "x", f"{stem}_eeg.json": {"TaskName": "rest", "SamplingFrequency": hz}}
    data = make_dataset(files | {f"{stem}_channels.tsv": "name\ttype\tunits\nCz\tEEG\tuV\n"})
    (tmp_path / "my.yaml").write_text(f"eeg:\n  low_pass_hz: {low_pass_hz}\n")
    call = ["index", data, tmp_path / "out", "-w", shared_work, "--skip-bids-validation", "--device", "cpu"]
    answer = run_cli(*call, "--atlases", "EqualVolume:20", "--config-file", tmp_path / "my.yaml")
    [config] = re.findall(r"^Configuration: (.*)$", answer.out, re.MULTILINE)
    assert Context.load(Path(config)).index.recording(stem).tr == pytest.approx(1 / wanted)


def test_halves_of_the_pulses_make_up_the_whole(measured, tmp_path):
    _, table, _ = measured()
    folder = tmp_path / "out/sub-01/ieeg"
    whole, times_s = read_evoked(folder / "sub-01_task-ccep_run-1_desc-recorded_ave.fif")
    parts, _ = read_evoked(folder / "sub-01_task-ccep_run-1_desc-halves_ave.fif")
    assert list(whole) == ["A1-A2", "A5-A6", "B1-B2"]
    for site, mean in whole.items():
        odd, even = (parts[f"{site}, {half} pulses"] for half in ("odd", "even"))
        np.testing.assert_allclose((odd + even) / 2, mean, atol=1e-9)
    first = table[(table["site"] == "A1-A2") & (table["channel"] == "B4-B5")].iloc[0]
    window = (times_s >= 0.011) & (times_s <= 0.1)
    channel = list(table["channel"].unique()).index("B4-B5")
    odd = parts["A1-A2, odd pulses"][channel, window]
    assert first["rms_odd_uv"] == pytest.approx(1e6 * np.sqrt((odd**2).mean()), rel=0.02)
    assert first["rms_odd_uv"] != first["rms_even_uv"]
