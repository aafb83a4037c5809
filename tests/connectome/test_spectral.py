import numpy as np
import pytest
from scipy.signal import butter, hilbert, sosfiltfilt

from bids_ai.connectome import spectral
from bids_ai.connectome.leakage import symmetric_orthogonalisation
from bids_ai.errors import InputError

RATE = 100.0


def rhythm(rng, n, band=(8.0, 13.0)):
    """Noise of a band with unit variance, shape (n,)."""
    series = sosfiltfilt(butter(3, band, "bandpass", fs=RATE, output="sos"), rng.standard_normal(n))
    return series / series.std()


@pytest.fixture(scope="module")
def lagged():
    """Region 1 follows region 0 by a quarter of an alpha period; 2 and 3 are mixed without delay; 4 is alone."""
    rng = np.random.default_rng(0)
    n = round(120 * RATE)
    source = rhythm(rng, n)
    follower = np.roll(source, round(RATE / 10.5 / 4.0))
    shared = rhythm(rng, n)
    series = np.stack([source, follower, shared, shared, rhythm(rng, n)], axis=1)
    return series + 0.5 * rng.standard_normal(series.shape)


@pytest.mark.parametrize("measure", ["imcoh", "wpli2_debiased"])
def test_lag_counts_and_mixing_does_not(lagged, measure):
    found = spectral.spectral_connectivity(lagged, RATE, "alpha", measure)
    assert np.isnan(np.diag(found)).all()
    np.testing.assert_array_equal(found, found.T)
    assert found[0, 1] > 0.6
    # 60 windows: the imaginary part of a true 0 is about 0.1.
    assert abs(found[2, 3]) < 0.2
    assert abs(found[0, 4]) < 0.2


def test_coherence_sees_mixing_too(lagged):
    found = spectral.spectral_connectivity(lagged, RATE, "alpha", "coherence")
    assert found[2, 3] > 0.7


def test_envelopes_of_mixed_series_are_freed(lagged):
    plain = spectral.envelope_correlation(lagged, RATE, "alpha", orthogonalise="none")
    assert plain[2, 3] > 0.6
    for way in ("symmetric", "pairwise"):
        found = spectral.envelope_correlation(lagged, RATE, "alpha", orthogonalise=way)
        assert abs(found[2, 3]) < 0.3
        assert np.isnan(np.diag(found)).all()


def test_common_envelope_is_found_after_orthogonalisation():
    rng = np.random.default_rng(1)
    n = round(200 * RATE)
    waxing = sosfiltfilt(butter(2, 0.4, fs=RATE, output="sos"), rng.standard_normal(n))
    waxing = np.exp(waxing / waxing.std() * 0.6)
    series = np.stack([waxing * rhythm(rng, n), waxing * rhythm(rng, n), rhythm(rng, n)], axis=1)
    found = spectral.envelope_correlation(series, RATE, "alpha")
    assert found[0, 1] > 0.5
    assert abs(found[0, 2]) < 0.25


def test_gap_is_never_crossed(lagged):
    """What lies in a censored stretch cannot matter, however large."""
    censored = lagged.copy()
    censored[5000:5100] = np.nan
    first = spectral.spectral_connectivity(censored, RATE, "alpha")
    pieces = [lagged[:5000], lagged[5100:]]
    np.testing.assert_allclose(first, spectral.spectral_connectivity(pieces, RATE, "alpha"))
    np.testing.assert_allclose(
        spectral.envelope_correlation(censored, RATE, "alpha"), spectral.envelope_correlation(pieces, RATE, "alpha")
    )


def test_windows_lie_within_stretches():
    series = np.arange(1000.0)[:, None] * [1.0, -1.0]
    series[250:260] = np.nan
    found, usable = spectral.windows(series, 100.0, 1.0)
    assert usable.all()
    np.testing.assert_array_equal(found[:, 0, 0], [0.0, 100.0, 260.0, 360.0, 460.0, 560.0, 660.0, 760.0, 860.0])


def test_region_without_data_is_missing(lagged):
    series = np.c_[lagged, np.full(len(lagged), np.nan)]
    found = spectral.spectral_connectivity(series, RATE, "alpha")
    assert np.isnan(found[5]).all()
    np.testing.assert_allclose(found[:5, :5], spectral.spectral_connectivity(lagged, RATE, "alpha"))


def test_what_cannot_be_is_refused(lagged):
    with pytest.raises(InputError, match="one of delta, theta"):
        spectral.envelope_correlation(lagged, RATE, "mu")
    with pytest.raises(InputError, match="half of the sampling rate"):
        spectral.spectral_connectivity(lagged, 60.0, "gamma")
    with pytest.raises(InputError, match="one of imcoh"):
        spectral.spectral_connectivity(lagged, RATE, "alpha", "dtf")
    with pytest.raises(InputError, match="windows of 2 s"):
        spectral.spectral_connectivity(lagged[:500], RATE, "alpha")
    gappy = lagged.copy()
    gappy[::40] = np.nan
    with pytest.raises(InputError, match="the longest has 39"):
        spectral.envelope_correlation(gappy, RATE, "alpha")
    with pytest.raises(InputError, match="fewer than two periods"):
        spectral.spectral_connectivity(lagged, RATE, "delta", window_s=1.0)


def test_orthogonal_series_are_the_nearest():
    rng = np.random.default_rng(2)
    series = rng.standard_normal((2000, 4)) @ (np.eye(4) + 0.3) * [1.0, 2.0, 3.0, 4.0]
    found = symmetric_orthogonalisation(series)
    gram = found.T @ found
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0.0, atol=1e-7 * np.diag(gram).max())
    # Colclough et al. 2015: at the optimum every series is the projection of the given one on its direction.
    np.testing.assert_allclose(np.einsum("ti,ti->i", found, series), np.diag(gram), rtol=1e-5)
    # Order does not matter.
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(symmetric_orthogonalisation(series[:, order]), found[:, order], atol=1e-5)


def test_dependent_series_are_refused():
    series = np.random.default_rng(3).standard_normal((500, 3))
    with pytest.raises(InputError, match="4 regions have 3 independent series"):
        symmetric_orthogonalisation(np.c_[series, series.sum(axis=1)])


def test_analytic_signal_has_no_edges():
    rng = np.random.default_rng(4)
    piece = rng.standard_normal((1000, 1))
    inner = spectral._analytic(piece, RATE, (8.0, 13.0))
    assert len(inner) == 1000 - 2 * round(RATE / 8.0)
    assert np.abs(inner).max() < np.abs(hilbert(piece, axis=0)).max()
