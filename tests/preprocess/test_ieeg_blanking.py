import numpy as np
import pytest

from bids_ai.preprocess.ieeg_blanking import Blanking, blank_spans, blanked_mask, interpolate_spans

RATE = 1000.0


def test_samples_from_2_ms_before_to_9_ms_after():
    spans = blank_spans([1.0, 0.5], RATE, 2000)
    assert spans.tolist() == [[498, 510], [998, 1010]]
    assert blank_spans([1.0], 2048.0, 4096).tolist() == [[2043, 2068]]


def test_spans_are_merged_and_cut_at_the_ends():
    assert blank_spans([0.0, 1.0, 1.005, np.nan, 1.995, 9.0], RATE, 2000).tolist() == [
        [0, 10],
        [998, 1015],
        [1993, 2000],
    ]
    assert blank_spans([], RATE, 2000).shape == (0, 2)
    assert blank_spans([1.0], RATE, 2000, before_s=0.005, after_s=0.02).tolist() == [[995, 1021]]


def test_a_straight_line_stands_in_for_the_artefact():
    line = np.outer(np.arange(2000.0), np.array([1.0, -2.0])) + np.array([5.0, 7.0])
    data = line.copy()
    data[998:1010] += 1e4
    blanked = interpolate_spans(data, blank_spans([1.0], RATE, 2000))
    np.testing.assert_allclose(blanked, line)
    assert data[1000, 0] > 1e4  # a copy


def test_ends_are_held_and_nothing_is_made_up():
    data = np.arange(20.0)[:, None]
    held = interpolate_spans(data, np.array([[-5, 3], [18, 25]]))[:, 0]
    assert held[:3].tolist() == [3.0] * 3
    assert held[18:].tolist() == [17.0] * 2
    assert np.isnan(interpolate_spans(data, np.array([[0, 20]]))).all()


def test_no_filter_can_smear_what_is_blanked():
    """The ringing of a filter around an artefact is gone, but for what a straight line leaves."""
    import mne

    rng = np.random.default_rng(0)
    clean = 20 * rng.standard_normal((4000, 1)).cumsum(axis=0) / 30
    data = clean.copy()
    data[2000:2006] += 5000.0

    def filtered(values):
        return mne.filter.filter_data(values.T, RATE, 1.0, 45.0, verbose="error").T

    away = np.r_[1500:1980, 2030:2500]
    error = filtered(data)[away] - filtered(clean)[away]
    blanked = filtered(interpolate_spans(data, blank_spans([2.0], RATE, 4000)))[away] - filtered(clean)[away]
    assert np.abs(error).max() > 50
    assert np.abs(blanked).max() < 0.01 * np.abs(error).max()


def test_blocks_see_whole_spans():
    rng = np.random.default_rng(1)
    data = rng.standard_normal((3000, 2))
    spans = blank_spans([0.9995, 2.0], RATE, 3000)
    step = Blanking(spans, RATE)
    assert step.margin_s == pytest.approx((np.diff(spans).max() + 1) / RATE)
    whole = interpolate_spans(data, spans)
    margin = int(np.ceil(step.margin_s * RATE))
    for start, end in ((0, 1000), (1000, 2000), (2000, 3000)):
        first, last = max(start - margin, 0), min(end + margin, 3000)
        np.testing.assert_array_equal(step(data[first:last], first)[start - first : end - first], whole[start:end])
    assert blanked_mask(spans, 3000).sum() == np.diff(spans).sum()
