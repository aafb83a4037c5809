import json
from pathlib import Path

import numpy as np
import pytest

from bids_ai.bids.electrophysiology.channels import common_channels, read_channels
from bids_ai.bids.electrophysiology.electrodes import choose_electrodes, find_electrodes, read_electrodes
from bids_ai.bids.electrophysiology.text_tables import read_text_table
from bids_ai.errors import InputError

HEADER = "name\ttype\tunits\tlow_cutoff\thigh_cutoff\tgroup\tsampling_frequency\tstatus\tstatus_description\n"


def codes(findings) -> dict[str, int]:
    return {finding.code: finding.count for finding in findings}


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# ---- text


def test_byte_order_mark_line_ends_and_short_rows(tmp_path):
    table, findings = read_text_table(write(tmp_path / "a.tsv", b"\xef\xbb\xbfName\tx\r\nA1\t1\r\n\r\nA2\r\n"))
    assert list(table.columns) == ["name", "x"]
    assert table.to_numpy().tolist() == [["A1", "1"], ["A2", ""]]
    assert findings == []


def test_latin_1_is_read_and_told(tmp_path):
    table, findings = read_text_table(write(tmp_path / "a.tsv", "name\tunits\nA1\tµV\n".encode("latin-1")))
    assert table["units"][0] == "µV"
    assert codes(findings) == {"encoding": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "is empty"), ("name\tname\nA\tB\n", "more than once: name"), ("name\nA1\t2\n", "1 rows have more cells")],
)
def test_what_is_no_table_is_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_text_table(write(tmp_path / "a.tsv", content))


# ---- channels


def test_channels(tmp_path):
    text = HEADER + (
        "LA1\tSEEG\tµV\t0.1\t500\tLA\t2048\tgood\tn/a\n"
        "LA2\tseeg\tuV\tn/a\tn/a\tn/a\t2048\tbad\tnoise\n"
        "25\tECOG\tmV\t0.1\t500\tG\t2048\tn/a\tn/a\n"
        "EKG\tEKG\tn/a\tn/a\tn/a\tn/a\t2048\tgood\tn/a\n"
        "X\tSCALP\tfurlong\t0.1\t500\tn/a\t2048\tmaybe\tn/a\n"
    )
    table = read_channels(write(tmp_path / "c.tsv", text))
    assert table.names == ["LA1", "LA2", "25", "EKG", "X"]
    assert [entry.kind for entry in table.channels] == ["SEEG", "SEEG", "ECOG", "ECG", "OTHER"]
    assert table.bads == ["LA2", "X"]
    assert table.by_name["LA2"].why == "noise"
    assert table.of_kind() == ["LA1", "25"]
    assert table.of_kind(good_only=False) == ["LA1", "LA2", "25"]
    assert (table.channels[0].high_pass_hz, table.channels[0].low_pass_hz) == (0.1, 500.0)
    assert np.isnan(table.channels[1].high_pass_hz)
    assert codes(table.findings) == {"unknown-type": 1, "other-types": 2, "unknown-status": 1}


def test_swapped_cutoffs_are_put_right(tmp_path):
    rows = "A1\tECOG\tµV\t468\t0.15\tg\t2048\tgood\tn/a\nA2\tECOG\tµV\t0.15\t468\tg\t2048\tgood\tn/a\n"
    table = read_channels(write(tmp_path / "c.tsv", HEADER + rows))
    assert [(entry.high_pass_hz, entry.low_pass_hz) for entry in table.channels] == [(0.15, 468.0)] * 2
    assert codes(table.findings) == {"swapped-cutoffs": 1}
    assert "A1: 468 and 0.15 Hz" in table.findings[0].message


def test_columns_that_are_missing(tmp_path):
    path = write(tmp_path / "c.tsv", "name\nFp1\nFp2\n")
    table = read_channels(path, datatype="eeg")
    assert table.of_kind(["EEG"]) == ["Fp1", "Fp2"]
    assert codes(table.findings) == {"no-type-column": 2, "no-status-column": 2}
    assert read_channels(path).of_kind(["SEEG"]) == ["Fp1", "Fp2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("label\ttype\nA1\tSEEG\n", "no column 'name'"),
        ("name\ttype\nA1\tSEEG\nA1\tSEEG\n", "1 names occur more than once"),
        ("name\ttype\nn/a\tSEEG\n", "1 rows have no name"),
    ],
)
def test_names_must_be_there_and_unique(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_channels(write(tmp_path / "c.tsv", content))


def test_runs_with_different_channels(tmp_path):
    def table(name, names):
        return read_channels(
            write(tmp_path / name, "name\ttype\tstatus\n" + "".join(f"{n}\tSEEG\tgood\n" for n in names))
        )

    one, two = table("run-1_channels.tsv", ["A1", "A2", "A3"]), table("run-2_channels.tsv", ["A3", "A2", "B1", "B2"])
    names, findings = common_channels([one, two], ["SEEG"])
    assert names == ["A2", "A3"]
    assert [finding.count for finding in findings] == [1, 2]
    assert "run-2_channels.tsv has 4 channels of SEEG, of which 2 are not in every run (B1, B2)" in findings[1].message
    assert common_channels([one, one], ["SEEG"])[1] == []


# ---- electrodes and their frame

PLACES = "name\tx\ty\tz\tsilicon\nA1\t10\t20\t30\tno\nA2\t12\t22\t32\tyes\nA3\tn/a\tn/a\tn/a\tno\n"


def electrodes(root: Path, places=PLACES, coordsystem=None, space: str | None = None, readme: str | None = None):
    where = root / "sub-01/ieeg"
    write(root / "dataset_description.json", "{}")
    if readme:
        write(root / "README", readme)
    part = f"_space-{space}" if space else ""
    if coordsystem is not None:
        write(where / f"sub-01{part}_coordsystem.json", json.dumps(coordsystem))
    return read_electrodes(write(where / f"sub-01{part}_electrodes.tsv", places))


def system(name: str, units: str = "mm") -> dict:
    return {"iEEGCoordinateSystem": name, "iEEGCoordinateUnits": units}


@pytest.mark.parametrize(
    ("name", "kind", "usable", "mne_frame"),
    [
        ("ACPC", "native", True, "ras"),
        ("ScanRAS", "native", True, "ras"),
        ("MNI152NLin6Sym", "template", True, "mni_tal"),
        ("fsaverage", "template", True, "mni_tal"),
        ("CapTrak", "sensor", False, "head"),
        ("Other", "unknown", False, "unknown"),
        ("Pixels", "unknown", False, "unknown"),
        ("MNI-ish", "unknown", False, "unknown"),
    ],
)
def test_frames(tmp_path, name, kind, usable, mne_frame):
    table = electrodes(tmp_path, coordsystem=system(name))
    assert (table.frame.label, table.frame.kind, table.usable, table.frame.mne) == (name, kind, usable, mne_frame)
    assert ("unknown-frame" in codes(table.findings)) == (kind == "unknown")


def test_positions_missing_ones_and_silicon(tmp_path):
    table = electrodes(tmp_path, coordsystem=system("ACPC"))
    np.testing.assert_array_equal(table.positions_mm[:2], [[10, 20, 30], [12, 22, 32]])
    assert np.isnan(table.positions_mm[2]).all()
    assert table.silicon == ["A2"]
    assert codes(table.findings) == {"no-coordinates": 1}


@pytest.mark.parametrize(
    ("units", "scale", "code"), [("m", 1000, None), ("mm", 1000, "coordinate-units"), ("n/a", 1000, "coordinate-units")]
)
def test_units_are_checked_against_the_size_of_a_head(tmp_path, units, scale, code):
    places = "name\tx\ty\tz\nA1\t0.01\t0.02\t0.05\nA2\t0.03\t0.02\t0.06\n"
    table = electrodes(tmp_path, places, system("ACPC", units))
    np.testing.assert_allclose(table.positions_mm[0], [10, 20, 50])
    assert (list(codes(table.findings)) == [code]) if code else not table.findings


def test_positions_of_no_head_are_not_used(tmp_path):
    table = electrodes(tmp_path, "name\tx\ty\tz\nA1\t5000\t7000\t1\n", system("ACPC", "pixels"))
    assert not table.usable
    assert codes(table.findings)["coordinate-units-unusable"] == 1


def test_zeros_and_halves_are_no_positions(tmp_path):
    places = "name\tx\ty\tz\nA1\t0\t0\t0\nA2\t0\t0\t0\nA3\t30\t20\tn/a\nA4\t30\t20\t10\n"
    table = electrodes(tmp_path, places, system("ACPC"))
    assert np.isfinite(table.positions_mm).all(axis=1).tolist() == [False, False, False, True]
    assert codes(table.findings) == {"placeholder-coordinates": 3, "no-coordinates": 3}


def test_a_name_that_contradicts_the_json_and_the_readme(tmp_path):
    table = electrodes(tmp_path, coordsystem=system("fsaverage"), space="MNI152NLin6Sym", readme="In MNI152 space.")
    assert table.frame.label == "fsaverage"
    assert {"space-contradicts", "readme-space", "mni305"} <= set(codes(table.findings))


def test_without_a_coordinate_system_nothing_is_guessed(tmp_path):
    table = electrodes(tmp_path)
    assert (table.frame.label, table.usable) == ("unknown", False)
    assert "no-coordinate-system" in codes(table.findings)
    named = electrodes(tmp_path / "named", space="MNI152NLin2009cAsym")
    assert (named.frame.label, named.frame.kind) == ("MNI152NLin2009cAsym", "template")


def test_native_positions_go_before_those_of_a_template(tmp_path):
    electrodes(tmp_path, coordsystem=system("MNI152NLin6Asym"), space="MNI152NLin6Asym")
    electrodes(tmp_path, coordsystem=system("ACPC"))
    recording = tmp_path / "sub-01/ieeg/sub-01_task-rest_ieeg.vhdr"
    assert len(find_electrodes(recording)) == 2
    assert choose_electrodes(recording).frame.label == "ACPC"
    assert choose_electrodes(recording, prefer=("template",)).frame.label == "MNI152NLin6Asym"
    assert choose_electrodes(recording, space="MNI152NLin6Asym").frame.kind == "template"
    assert choose_electrodes(recording, space="ScanRAS") is None


def test_channels_find_their_electrodes_in_spite_of_spelling(tmp_path):
    places = "name\tx\ty\tz\nOC1\t10\t20\t30\n-RV1\t11\t20\t30\nFC01\t12\t20\t30\n"
    table = electrodes(tmp_path, places, system("ACPC"))
    rows, findings = table.rows_of(["Oc1", "RV1", "FC1", "ECG"])
    assert rows == [0, 1, 2, None]
    assert codes(findings) == {"electrode-names": 1, "no-electrode": 1}
    assert table.positions_of(["FC1", "ECG"])[0].tolist() == [12, 20, 30]
