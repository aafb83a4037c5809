"""Jansen-Rit columns on the structural connectivity, hit by a volley: waveform, amplitude, latency from structure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bids_ai.ccep.prediction.base import Predictor, connected
from bids_ai.ccep.prediction.evoked import (
    GRID_S,
    SiteRidge,
    at_times,
    canonical,
    channel_polarity,
    first_wave_latency,
    first_wave_score,
    training_responses,
)
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError

#: Parameters of the published column: gains, mV; inverse time constants, 1/s; half of the largest rate, 1/s; potential
#: at half of it, mV; steepness, 1/mV. Jansen & Rit 1995, doi:10.1007/BF00199471.
A, B, RATE_A, RATE_B, E0, V0, R = 3.25, 22.0, 100.0, 50.0, 2.5, 6.0, 0.56
#: Contacts within a column. At 135 it is a limit cycle; at 108 a focus from which a response dies away.
CONTACTS = 108.0
#: Mean input, pulses/s: the middle of the 120 to 320 of the paper.
INPUT_PER_S = 220.0
#: What is fitted, and the values it may have: pulses/s at a column for each pulse/s of columns whose weights sum to
#: one; conduction speed, m/s; speed of the kinetics relative to the published (David & Friston 2003,
#: doi:10.1016/j.neuroimage.2003.07.015).
GAINS = (5.0, 20.0, 60.0)
SPEEDS_M_PER_S = (2.0, 4.0, 8.0, 16.0)
KINETICS = (0.7, 1.0, 1.5)
#: Without lengths of bundles: straight lines between regions times this.
DETOUR = 1.3
#: SD of a volley at its origin, s.
JITTER_S = 0.0015
#: The response is computed at these frequencies, Hz: steps of one over a period in which it dies away, up to where the
#: column passes next to nothing.
FREQUENCIES_HZ = np.arange(0.0, 81.0, 1.25)

_Complex = NDArray[np.complexfloating]


class JansenRit(Predictor):
    """Linear response of a network of Jansen-Rit columns to a volley from the stimulated regions.

    Stimulation makes axons fire: a volley reaches other regions by SC and delay, and the region itself at once. What a
    pulse moves is small against the range of the column, so that the network is taken at its working point, where it is
    linear: with h(f) the response of a column, s its slope of the firing rate, W(f) the SC with the phase of its delays
    and gain g, and d the dose,

        y (1 - s g h W) = h (k d + g d W).

    Gain, speed and kinetics (`GAINS`, `SPEEDS_M_PER_S`, `KINETICS`) are those under which training waveforms are met
    best, leads left out; the sizes of the local and of the distant part, and which way each channel points, are learned
    from training sites as well.
    """

    name = "jansen-rit"
    label = "Jansen-Rit columns on the structural connectivity, with conduction delays"
    source = "Jansen & Rit 1995, doi:10.1007/BF00199471; Momi et al. 2025, PMC11971347 (evoked responses on the SC)"
    learns_waveforms = True

    def fit(self, training: Sequence[Recorded]) -> JansenRit:
        """Choose gain, speed and kinetics, then fit both parts."""
        for one in training:
            _require(one.layout, self.name)
        seen = training_responses(training, self.name)
        shape = canonical(seen)
        self.polarity_ = {one.layout.patient: channel_polarity(one, shape) for one in seen}
        best = np.inf
        for number in range(len(_settings())):
            columns = [self._signed(one.layout, number) for one in seen]
            fitted = SiteRidge().fit(columns, seen)
            if fitted.error_ < best:
                best, self.setting_, self.weights_ = fitted.error_, number, fitted.weights_
        self.gain_, self.speed_m_per_s_, self.kinetics_ = _settings()[self.setting_]
        return self

    def predict(self, layout: Layout) -> Array:
        """Logarithm of the RMS of the first wave, whichever way the channel points."""
        return first_wave_score(self._waves(layout), GRID_S)

    def predict_waveforms(self, layout: Layout, times_s: Array) -> Array:
        """Waves at given times; NaN for patients without training responses: where their channels point is unknown."""
        polarity = self.polarity_.get(layout.patient, np.full(layout.shape, np.nan))
        return at_times(self._waves(layout) * polarity[..., None], GRID_S, times_s)

    def predict_latency(self, layout: Layout) -> Array:
        """First peak of the first wave, s."""
        return first_wave_latency(self._waves(layout), GRID_S)

    def _waves(self, layout: Layout) -> Array:
        _require(layout, self.name)
        return np.asarray(np.einsum("k,kscl->scl", self.weights_, _parts(layout)[self.setting_]))

    def _signed(self, layout: Layout, number: int) -> Array:
        return _parts(layout)[number] * self.polarity_[layout.patient][..., None]


def _settings() -> list[tuple[float, float, float]]:
    return list(product(GAINS, SPEEDS_M_PER_S, KINETICS))


def _require(layout: Layout, name: str) -> None:
    if "sc" not in layout.matrices:
        raise InputError(f"{layout.patient}: {name} needs the matrix 'sc', which is not given.")
    if layout.site_shares is None or layout.channel_shares is None:
        raise InputError(f"{layout.patient}: {name} needs shares of sites and channels in the regions.")


def _parts(layout: Layout) -> Array:
    """Local and distant part at every setting, shape (n_settings, 2, n_sites, n_channels, n_grid).

    NaN for sites and channels that lie in no region.
    """
    return layout.remembered("jansen-rit", lambda own: np.stack(list(_responses(own))))


def _responses(layout: Layout) -> Iterator[Array]:
    sites, channels = layout.site_shares, layout.channel_shares
    assert sites is not None
    assert channels is not None
    weights = connected(np.array(layout.matrices["sc"], float))
    strength = weights.sum(axis=0).mean()
    weights = weights / strength if strength > 0 else weights
    lengths_mm = _lengths(layout)
    frequency = 2j * np.pi * FREQUENCIES_HZ
    onset = np.exp(0.5 * (frequency * JITTER_S) ** 2)
    back = _synthesis()
    # Channels see a mean over their regions.
    seen = np.divide(channels, channels.sum(axis=1, keepdims=True), out=np.zeros_like(channels), where=channels > 0)
    outside = (sites.sum(axis=1) <= 0)[:, None] | (channels.sum(axis=1) <= 0)
    eye = np.eye(len(weights))
    for gain, speed, kinetics in _settings():
        column, slope = _column(frequency / kinetics)
        delayed = weights * np.exp(-frequency[:, None, None] * lengths_mm / (1000.0 * speed))
        network = eye - (slope * gain * column)[:, None, None] * delayed
        volleys = np.concatenate([np.broadcast_to(sites, (len(delayed), *sites.shape)), gain * sites @ delayed], axis=1)
        spread = np.linalg.solve(network.transpose(0, 2, 1), volleys.transpose(0, 2, 1)).transpose(0, 2, 1)
        both = ((column * onset)[:, None, None] * spread) @ seen.T
        local, distant = both[:, : len(sites)], both[:, len(sites) :]
        waves = np.stack([np.moveaxis(np.tensordot(back, one, axes=1).real, 0, -1) for one in (local, distant)])
        waves[:, outside] = np.nan
        yield waves


def _column(s: _Complex) -> tuple[_Complex, float]:
    """Response of a column to input pulses, mV, at its working point, and the slope of its firing rate, 1/(s mV)."""
    level, excitatory = _working_point()
    slopes = [_slope(level), _slope(CONTACTS * excitatory), _slope(0.25 * CONTACTS * excitatory)]
    fast = A * RATE_A / (s + RATE_A) ** 2
    slow = B * RATE_B / (s + RATE_B) ** 2
    # Pyramidal cells excite both populations of interneurons, which excite and inhibit them.
    loop = fast * fast * slopes[0] * 0.8 * CONTACTS**2 * slopes[1]
    loop -= fast * slow * slopes[0] * (0.25 * CONTACTS) ** 2 * slopes[2]
    return fast / (1.0 - loop), slopes[0]


def _working_point() -> tuple[float, float]:
    """Potential of the pyramidal cells and of their input to the interneurons at rest, mV."""
    potential = np.linspace(-5.0, 25.0, 30001)
    excitatory = A / RATE_A * _rate(potential)
    held = potential + B / RATE_B * 0.25 * CONTACTS * _rate(0.25 * CONTACTS * excitatory)
    needed = held * RATE_A / A - 0.8 * CONTACTS * _rate(CONTACTS * excitatory)
    at = int(np.abs(needed - INPUT_PER_S).argmin())
    return float(potential[at]), float(excitatory[at])


def _rate(potential: Array) -> Array:
    return np.asarray(2.0 * E0 / (1.0 + np.exp(R * (V0 - potential))))


def _slope(potential: float) -> float:
    rate = float(_rate(np.array(potential)))
    return R * rate * (1.0 - rate / (2.0 * E0))


def _synthesis() -> _Complex:
    """From the spectrum at `FREQUENCIES_HZ` to the grid, shape (n_grid, n_frequencies)."""
    step = FREQUENCIES_HZ[1] - FREQUENCIES_HZ[0]
    twice = np.where(FREQUENCIES_HZ > 0, 2.0, 1.0)
    out: _Complex = step * twice * np.exp(2j * np.pi * np.outer(GRID_S, FREQUENCIES_HZ))
    return out


def _lengths(layout: Layout) -> Array:
    """Lengths of bundles, mm; where none is given, straight lines between the contacts of regions times a detour."""
    given = layout.matrices.get("sc_length")
    if given is not None:
        lengths = np.array(given, float)
    else:
        shares = layout.channel_shares
        assert shares is not None
        places = layout.contact_positions_mm[layout.channel_contacts].mean(axis=1)
        known = np.isfinite(places).all(axis=1)
        total = shares[known].sum(axis=0)[:, None]
        middle = np.divide(
            shares[known].T @ places[known], total, out=np.full((len(total), 3), np.nan), where=total > 0
        )
        lengths = DETOUR * np.linalg.norm(middle[:, None] - middle[None], axis=-1)
    off = np.isfinite(lengths) & (lengths > 0)
    typical = float(np.median(lengths[off])) if off.any() else 0.0
    return np.where(off, lengths, typical)
