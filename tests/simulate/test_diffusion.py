import numpy as np
import pytest

from bids_ai.simulate import diffusion
from bids_ai.simulate.fibres import FibreMap
from bids_ai.simulate.susceptibility import distortion, field_map


def one_voxel(tissue: str, fixels: list[tuple[np.ndarray, float]] | None = None) -> diffusion.SignalModel:
    tissues = {name: np.full((1, 1, 1), float(name == tissue), np.float32) for name in ("GM", "WM", "CSF", "soft")}
    fixels = fixels or []
    directions = np.array([vector for vector, _ in fixels], np.float32).reshape(-1, 3)
    fractions = np.array([share for _, share in fixels], np.float32)
    index = np.zeros(len(fixels), int)
    return diffusion.SignalModel(
        FibreMap(np.eye(4), tissues, index, np.arange(len(fixels)), directions, fractions, 0.0)
    )


def adc(model: diffusion.SignalModel, b_value: float, direction: np.ndarray) -> float:
    signals = [model(b, direction).item() for b in (0.0, b_value)]
    return float(np.log(signals[0] / signals[1]) / b_value)


X, Y = np.eye(3)[0], np.eye(3)[1]


@pytest.mark.parametrize(("tissue", "expected"), [("GM", 0.8e-3), ("CSF", 3.0e-3)])
def test_tissues_decay_at_their_diffusivity(tissue, expected):
    assert adc(one_voxel(tissue), 1000.0, X) == pytest.approx(expected, rel=1e-3)
    assert adc(one_voxel(tissue), 1000.0, Y) == pytest.approx(expected, rel=1e-3)


def test_fibre_is_what_stick_and_zeppelin_imply():
    """At low b the tensor is the volume-weighted mean: 1.7 along; 0.4 x 0.68 across."""
    model = one_voxel("WM", [(X, 1.0)])
    assert adc(model, 1.0, X) == pytest.approx(1.7e-3, rel=1e-2)
    assert adc(model, 1.0, Y) == pytest.approx(0.4 * 0.68e-3, rel=2e-2)
    # White matter in no bundle has the mean of these.
    assert adc(one_voxel("WM"), 1000.0, X) == pytest.approx((1.7e-3 + 2 * 0.272e-3) / 3, rel=1e-3)


def test_crossing_fibres_add_up():
    crossing = one_voxel("WM", [(X, 0.5), (Y, 0.5)])
    alone = [one_voxel("WM", [(vector, 1.0)])(2000.0, X).item() for vector in (X, Y)]
    assert crossing(2000.0, X).item() == pytest.approx(np.mean(alone), rel=1e-5)
    assert crossing(2000.0, Y).item() == pytest.approx(crossing(2000.0, X).item(), rel=1e-5)


def test_signal_does_not_depend_on_sign():
    model = one_voxel("WM", [((X + Y) / np.sqrt(2), 0.7)])
    assert model(1000.0, X).item() == pytest.approx(model(1000.0, -X).item())


def test_unweighted_contrast_is_that_of_t2():
    level = {tissue: one_voxel(tissue)(0.0, X).item() for tissue in ("WM", "GM", "CSF")}
    assert level["CSF"] > 2 * level["GM"] > 2 * level["WM"] == pytest.approx(2.0)


@pytest.mark.parametrize(("polarity", "expected"), [(1, 18.0), (-1, 12.0)])
def test_signal_moves_by_field_times_readout(polarity, expected):
    """75 Hz over 40 ms: three voxels, up the axis for the positive polarity."""
    warped = distortion(np.full((3, 30, 3), 75.0), 0.04, 1, polarity)
    line = np.exp(-((np.arange(30) - 15.0) ** 2) / 8.0)
    seen = np.interp(warped.source[1, :, 1], np.arange(30), line) * warped.gain[1, :, 1]
    assert (seen * np.arange(30)).sum() / seen.sum() == pytest.approx(expected, abs=0.01)


def test_signal_is_kept_where_it_piles_up():
    y = np.arange(60.0)
    field = np.broadcast_to(70.0 * np.exp(-((y - 30.0) ** 2) / (2 * 6.0**2))[:, None], (2, 60, 2))
    line = np.exp(-((y - 33.0) ** 2) / 50.0)
    peaks = []
    for polarity in (1, -1):
        warped = distortion(field, 0.035, 1, polarity)
        seen = np.interp(warped.source[0, :, 0], y, line) * warped.gain[0, :, 0]
        assert seen.sum() == pytest.approx(line.sum(), rel=0.01)
        peaks.append(seen.argmax())
    assert peaks[0] > 33 > peaks[1]


def test_field_is_strongest_above_the_sinuses_and_smooth():
    x = np.stack(
        np.meshgrid(np.arange(-60, 61, 4.0), np.arange(-90, 71, 4.0), np.arange(-40, 61, 4.0), indexing="ij"), -1
    )
    field = field_map(x, np.random.default_rng(2))
    peak = x.reshape(-1, 3)[field.argmax()]
    assert np.linalg.norm(peak - [0, 48, -24]) < 15
    assert 50 < field.max() < 150
    assert np.median(np.abs(field)) < 15
    # Hz per mm, times 3 mm and 36 ms: the shift changes by less than a voxel per voxel, so that it can be undone.
    assert max(np.abs(part).max() for part in np.gradient(field, 4.0, axis=(0, 1, 2))) * 3 * 0.036 < 1
