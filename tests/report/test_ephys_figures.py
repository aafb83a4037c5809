"""Figures of EEG, iEEG and frequency bands draw what they are given, and say it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_ai.errors import InputError
from bids_ai.report.figures import bands, eeg, electrodes, ieeg, spectra, topography, traces

BANDS = {"alpha": (8.0, 13.0), "beta": (13.0, 30.0)}


def words(path: Path) -> str:
    root = ET.parse(path).getroot()
    return " ".join("".join(element.itertext()) for element in root.iter() if element.tag.endswith("text"))


def cap() -> np.ndarray:
    """Twenty electrodes on a sphere of 90 mm that is not centred on the origin."""
    tilt = np.repeat([0.3, 0.8, 1.3, 1.6], 5)
    around = np.tile(np.arange(5) * 2 * np.pi / 5, 4)
    sphere = np.stack([np.sin(tilt) * np.cos(around), np.sin(tilt) * np.sin(around), np.cos(tilt)], axis=1)
    return sphere * 90 + (0, 15, 40)


# ---- lines and shares


def test_thinned_samples_keep_both_ends_and_never_repeat() -> None:
    np.testing.assert_array_equal(traces.thinned(5, 10), np.arange(5))
    kept = traces.thinned(1000, 100)
    assert len(kept) == 100
    assert (kept[0], kept[-1]) == (0, 999)


def test_interval_of_a_share_is_wilsons() -> None:
    # Wilson's interval of 0 of 10, and of 5 of 10, from published tables.
    low, high = traces.share_interval(np.array([0, 5, 0]), np.array([10, 10, 0]))
    np.testing.assert_allclose(low[:2], [0, 0.2366], atol=1e-3)
    np.testing.assert_allclose(high[:2], [0.2775, 0.7634], atol=1e-3)
    assert np.isnan(low[2])


def test_pictures_in_an_svg_are_reduced_and_stay_pictures(tmp_path: Path) -> None:
    base64 = pytest.importorskip("base64")
    io = pytest.importorskip("io")
    image = pytest.importorskip("PIL.Image")
    noise = np.random.default_rng(0).integers(0, 255, (60, 60, 4), dtype=np.uint8)
    buffer = io.BytesIO()
    image.fromarray(noise).save(buffer, "PNG")
    path = tmp_path / "a.svg"
    path.write_text(f'<image href="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"/>')
    before = path.stat().st_size
    text = traces.with_small_pictures(path).read_text()
    assert path.stat().st_size < before / 2
    data = re.search(r'base64,([^"]*)"/>', text)
    assert data is not None
    assert image.open(io.BytesIO(base64.b64decode(data.group(1)))).size == (60, 60)


# ---- spectra


def test_spectra_name_units_mains_and_counts(tmp_path: Path) -> None:
    frequencies = np.linspace(0, 120, 241)
    power = 1e-12 / np.maximum(frequencies, 0.5) * np.ones((6, 1))
    power[5] = np.nan
    bad = np.array([True, False, False, False, False, False])
    path = spectra.plot_spectra(frequencies, power, power[:3], tmp_path / "s.svg", line_hz=50, bad=bad)
    text = words(path)
    for expected in ("Frequency (Hz)", "(µV²/Hz)", "mains 50 Hz", "Before cleaning", "After cleaning", "1 bad"):
        assert expected in text
    assert "4 channels" in text  # six, less one bad and one without data
    assert "3 channels" in text


def test_median_spectrum_is_of_the_channels_that_have_the_frequency() -> None:
    values = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan], [8.0, 7.0, np.nan]])
    np.testing.assert_allclose(spectra._median(values), [3, 6, np.nan])


def test_spectra_that_disagree_or_are_empty_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Spectra after: shape \(2, 3\)"):
        spectra.plot_spectra([1, 2, 3], np.ones((2, 3)), np.ones((2, 4)), tmp_path / "s.svg")
    with pytest.raises(InputError, match="power above zero"):
        spectra.plot_spectra([1, 2, 3], np.ones((2, 3)), np.zeros((2, 3)), tmp_path / "s.svg")


# ---- components


def components(n: int) -> pd.DataFrame:
    table = pd.DataFrame({"component": range(n), "label": "brain", "probability": 0.9, "explained_variance": 1 / n})
    return table.assign(removed=False)


def test_map_of_the_scalp_has_the_front_above_and_right_at_the_right() -> None:
    places = cap()
    scalp = topography.flatten_scalp(places)
    # The sphere's own centre is found: electrodes at one tilt lie on one circle.
    np.testing.assert_allclose(np.hypot(*scalp.flat[:5].T), 0.3 / (np.pi / 2), atol=1e-6)
    picture = topography.interpolate(scalp, places[:, 0])
    half = picture.shape[1] // 2
    assert np.nanmean(picture[:, half:]) > np.nanmean(picture[:, :half])
    front = topography.interpolate(scalp, places[:, 1])
    assert np.nanmean(front[half:]) > np.nanmean(front[:half])  # drawn from below
    assert np.isnan(picture[0, 0])


def test_map_passes_through_the_values_at_electrodes() -> None:
    scalp = topography.flatten_scalp(cap())
    values = np.sin(np.arange(20.0))
    picture = topography.interpolate(scalp, values)
    line = np.linspace(-scalp.edge, scalp.edge, len(picture))
    column, row = (np.abs(line[:, None] - scalp.flat[:, k]).argmin(axis=0) for k in (0, 1))
    # Half a pixel off, and splines are smoothed a little.
    np.testing.assert_allclose(picture[row, column], values, atol=0.1)


def test_maps_need_four_electrodes_with_places() -> None:
    places = cap()
    places[3:] = np.nan
    with pytest.raises(InputError, match="needs 4 electrodes with coordinates, 3 have them"):
        topography.flatten_scalp(places)


def test_components_say_label_probability_variance_and_removal(tmp_path: Path) -> None:
    table = components(3)
    table.loc[1, ["label", "probability", "explained_variance", "removed"]] = ["line_noise", 0.75, 0.2, True]
    table.loc[2, ["label", "probability"]] = [None, np.nan]
    maps = np.random.default_rng(0).normal(size=(3, 20))
    path = eeg.plot_components(maps, cap(), table, tmp_path / "c.svg")
    text = words(path)
    for expected in ("0: brain 90 %", "1: line noise 75 %", "20.0 % of variance, removed", "2: not labelled"):
        assert expected in text
    assert "All components; 1 removed (framed), with 20.0 % of the variance" in text
    assert path.read_text().count("<image") == 3


def test_at_most_twenty_components_are_drawn_and_removed_ones_first() -> None:
    table = components(30)
    table["explained_variance"] = np.linspace(1, 0, 30)
    table.loc[29, "removed"] = True
    np.testing.assert_array_equal(eeg._chosen(table), [*range(19), 29])


def test_components_that_disagree_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"shape \(2, 20\)"):
        eeg.plot_components(np.ones((3, 20)), cap(), components(2), tmp_path / "c.svg")
    with pytest.raises(InputError, match="columns removed"):
        eeg.plot_components(np.ones((2, 20)), cap(), components(2).drop(columns="removed"), tmp_path / "c.svg")


# ---- bad channels and stretches


def test_groups_of_the_scalp_follow_the_10_20_system() -> None:
    names = ["Fp1", "AFz", "FT8", "FCz", "C3", "CP4", "T7", "Pz", "PO3", "Oz", "EXG1", "E12"]
    expected = ["Frontal", "Frontal", "Temporal", "Central", "Central", "Central", "Temporal", "Parietal"]
    assert eeg.scalp_groups(names) == [*expected, "Occipital", "Occipital", "Other", "Other"]


def test_bads_are_named_with_reasons_and_shares(tmp_path: Path) -> None:
    segments = pd.DataFrame(
        {
            "onset": [10.0, 15.0, 90.0],
            "duration": [10.0, 10.0, 20.0],
            "description": ["BAD_muscle", "BAD_jump", "BAD_jump"],
        }
    )
    path = eeg.plot_bads(["Fp1", "Fp2", "Oz"], ["F", "F", "O"], {"Fp2": "flat"}, segments, 100.0, tmp_path / "b.svg")
    text = words(path)
    for expected in ("Fp2: flat", "muscle", "jump", "F (2)", "O (1)", "Time (s)", "1, 10.0 s"):
        assert expected in text
    # 10 to 25 s and 90 s to the end: overlaps count once, and nothing counts beyond the end.
    assert "1 of 3 channels bad; 25.0 of 100.0 s bad = 25 %" in text


def test_bads_without_segments_are_the_channels_alone(tmp_path: Path) -> None:
    none = pd.DataFrame({"onset": [], "duration": [], "description": []})
    text = words(eeg.plot_bads(["A"], ["G"], {}, none, 10.0, tmp_path / "b.svg"))
    assert "0 of 1 channels bad; 0.0 of 10.0 s" in text
    with pytest.raises(InputError, match="X are not among the 1 channels"):
        eeg.plot_bads(["A"], ["G"], {"X": "flat"}, none, 10.0, tmp_path / "b.svg")
    with pytest.raises(InputError, match="got 2 for 1"):
        eeg.plot_bads(["A"], ["G", "H"], {}, none, 10.0, tmp_path / "b.svg")


# ---- bands


def test_power_is_in_db_against_the_median_over_regions() -> None:
    levels, medians = bands._levels(np.array([[1.0, 0.0], [10.0, 2.0], [100.0, np.nan]]))
    np.testing.assert_allclose(levels[:, 0], [-10, 0, 10])
    np.testing.assert_allclose(levels[:, 1], [np.nan, 0, np.nan])
    np.testing.assert_allclose(medians, [10, 2])


def test_source_power_writes_values_bands_and_sides(nodes: pd.DataFrame, tmp_path: Path) -> None:
    power = np.full((6, 2), 1e-20)
    power[0, 0] = 1e-19
    text = words(bands.plot_source_power(power, nodes, BANDS, tmp_path / "p.svg"))
    for expected in ("+10.0", "Left (3)", "Right (2)", "8–13 Hz", "1.0·10⁻²⁰", "(dB)", *nodes["name"]):
        assert expected in text
    with pytest.raises(InputError, match=r"shape \(6, 2\)"):
        bands.plot_source_power(power[:, :1], nodes, BANDS, tmp_path / "p.svg")
    with pytest.raises(InputError, match="no region has power"):
        bands.plot_source_power(np.zeros((6, 2)), nodes, BANDS, tmp_path / "p.svg")


def test_connectivity_in_bands_has_one_matrix_each(nodes: pd.DataFrame, tmp_path: Path) -> None:
    matrices = np.full((2, 6, 6), 0.25)
    matrices[1, :] = np.nan
    path = bands.plot_fc_bands(matrices, nodes, BANDS, tmp_path / "f.svg")
    text = words(path)
    for expected in ("alpha, 8–13 Hz", "beta, 13–30 Hz", "mean 0.25", "no data", "Envelope correlation (r)"):
        assert expected in text
    with pytest.raises(InputError, match=r"shape \(2, 6, 6\)"):
        bands.plot_fc_bands(matrices[:1], nodes, BANDS, tmp_path / "f.svg")


# ---- contacts


@pytest.fixture
def contacts() -> pd.DataFrame:
    """Two leads of four contacts in the left hemisphere; one contact has no place."""
    rows = [(f"{lead}{k + 1}", -20.0 - 4 * k, y, 5.0) for lead, y in (("LA", -10.0), ("LB'", -40.0)) for k in range(4)]
    table = pd.DataFrame(rows, columns=["name", "x", "y", "z"])
    table.loc[7, ["x", "y", "z"]] = np.nan
    return table.assign(bad=[True] + [False] * 7, stimulated=[False, True, True] + [False] * 5)


def test_leads_are_given_or_read_off_the_names() -> None:
    assert electrodes.leads(pd.DataFrame({"name": ["LA1", "LA12", "B'3", "GRID-07", "12"]})) == [
        "LA",
        "LA",
        "B'",
        "GRID",
        "12",
    ]
    assert electrodes.leads(pd.DataFrame({"name": ["A1", "A2"], "lead": ["x", None]})) == ["x", "A"]


def test_contacts_are_counted_and_only_hemispheres_with_contacts_are_shown(
    contacts: pd.DataFrame, tmp_path: Path
) -> None:
    text = words(electrodes.plot_electrodes(contacts, tmp_path / "e.svg", space="MNI"))
    for expected in ("LA (4)", "LB' (3)", "bad (1)", "stimulated (2)", "7 contacts on 2 leads; 1 without coordinates"):
        assert expected in text
    assert "Left hemisphere" in text
    assert "Right hemisphere" not in text
    both = contacts.assign(x=contacts["x"] * np.where(np.arange(8) < 4, 1, -1))
    assert "Right hemisphere" in words(electrodes.plot_electrodes(both, tmp_path / "f.svg"))


def test_contacts_in_the_space_of_the_subject_have_its_silhouette(contacts: pd.DataFrame, tmp_path: Path) -> None:
    mask = np.zeros((40, 50, 40), np.uint8)
    mask[5:-5, 5:-5, 5:-5] = 1
    brain = nib.Nifti1Image(mask, nib.affines.from_matvec(np.diag([4.0, 4.0, 4.0]), [-80, -110, -70]))
    text = words(electrodes.plot_electrodes(contacts, tmp_path / "e.svg", brain=brain, space="T1w"))
    assert "Contacts in T1w space" in text
    empty = nib.Nifti1Image(mask * 0, brain.affine)
    with pytest.raises(InputError, match="empty"):
        electrodes.plot_electrodes(contacts, tmp_path / "e.svg", brain=empty)


def test_contacts_without_any_coordinates_are_refused(contacts: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no contact has coordinates"):
        electrodes.plot_electrodes(contacts.assign(x=np.nan), tmp_path / "e.svg")
    with pytest.raises(InputError, match="columns z"):
        electrodes.plot_electrodes(contacts.drop(columns="z"), tmp_path / "e.svg")


def test_contacts_are_joined_along_a_line_and_not_over_a_grid() -> None:
    line = np.arange(6)[:, None] * np.array([3.0, 1.0, 0.5])
    grid = np.stack([*np.meshgrid(np.arange(4.0), np.arange(4.0)), np.zeros((4, 4))], axis=-1).reshape(-1, 3)
    assert electrodes._straight(line)
    assert not electrodes._straight(grid)
    assert not electrodes._straight(line[[0, 2, 1, 3]])


def test_quality_names_reasons_and_bad_contacts(tmp_path: Path) -> None:
    table = pd.DataFrame({"name": [f"A{k}" for k in range(1, 21)], "reasons": "", "sd": 5e-5})
    table.loc[3, ["reasons", "sd"]] = ["flat; something else", 0.0]
    table.loc[19, "reasons"] = "saturated"
    text = words(ieeg.plot_contacts_quality(table, tmp_path / "q.svg"))
    for expected in (
        "good: 18",
        "flat: 1",
        "saturated: 1",
        "2 of 20 contacts bad",
        "A4",
        "A20",
        "SD of the signal (µV)",
    ):
        assert expected in text
    assert "median 50 µV" in text
    assert "SD of" not in words(ieeg.plot_contacts_quality(table.drop(columns="sd"), tmp_path / "r.svg"))
    with pytest.raises(InputError, match="reasons"):
        ieeg.plot_contacts_quality(table[["name"]], tmp_path / "q.svg")


def test_contacts_that_were_not_measured_have_no_amplitude(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"name": ["A1", "A2", "A3"], "reasons": ["", "", "bad in channels.tsv"], "sd": [5e-5, 5e-5, np.nan]}
    )
    text = words(ieeg.plot_contacts_quality(table, tmp_path / "q.svg"))
    assert "1 of 3 contacts bad" in text
    assert "bad in channels.tsv: 1" in text
    assert "A3" not in text  # beside the amplitude; in its lead it is a number


def test_long_leads_go_on_in_the_next_row() -> None:
    rows = ieeg._rows(["G"] * 20 + ["B"] * 3)
    assert [(name, len(own)) for name, own in rows] == [("G", 18), ("", 2), ("B", 3)]


def test_blanking_draws_the_contacts_with_the_largest_artefact(tmp_path: Path) -> None:
    times = np.arange(-0.02, 0.05, 0.001)
    before = np.zeros((10, len(times)))
    before[:, (times > 0) & (times < 0.004)] = 1e-4 * np.arange(10)[:, None]
    names = [f"C{k}" for k in range(10)]
    text = words(ieeg.plot_blanking(times, before, before * 0, names, tmp_path / "b.svg", title="Site A1-A2"))
    assert "Site A1-A2; 8 of 10 contacts" in text
    assert "C9" in text
    assert "C1" not in text
    assert "Potential (µV)" in text
    assert "−2 to 9 ms" in text
    path = ieeg.plot_blanking(times, before, before * 0, names, tmp_path / "b.svg", stimulated=["C9", "C8"])
    assert "All contacts (not the stimulated ones)" in words(path)
    assert "C9" not in words(path)
    with pytest.raises(InputError, match="no contact to draw"):
        ieeg.plot_blanking(times, before, before * 0, names, tmp_path / "b.svg", stimulated=names)
    with pytest.raises(InputError, match="Signal after blanking"):
        ieeg.plot_blanking(times, before, before[:3], names, tmp_path / "b.svg")
