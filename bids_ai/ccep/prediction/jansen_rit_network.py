"""Linear response of Jansen-Rit columns on a structural connectivity, and how it changes with what is fitted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bids_ai.ccep.prediction.base import connected
from bids_ai.ccep.prediction.evoked import GRID_S
from bids_ai.ccep.scoring.recorded import Layout
from bids_ai.ccep.trials import Array

#: Parameters of the published column: gains, mV; inverse time constants, 1/s; half of the largest rate, 1/s; potential
#: at half of it, mV; steepness, 1/mV. Jansen & Rit 1995, doi:10.1007/BF00199471.
A, B, RATE_A, RATE_B, E0, V0, R = 3.25, 22.0, 100.0, 50.0, 2.5, 6.0, 0.56
#: Contacts within a column. At 135 it is a limit cycle; at 108 a focus from which a response dies away.
CONTACTS = 108.0
#: Mean input, pulses/s: the middle of the 120 to 320 of the paper.
INPUT_PER_S = 220.0
#: Without lengths of bundles: straight lines between regions times this.
DETOUR = 1.3
#: SD of a volley at its origin, s.
JITTER_S = 0.0015
#: The response is computed at these frequencies, Hz: steps of one over a period in which it dies away, up to where the
#: column passes next to nothing.
FREQUENCIES_HZ = np.arange(0.0, 81.0, 1.25)
#: Difference of the logarithm of the kinetics by which the slope of the column is taken.
_STEP = 1e-4

_Complex = NDArray[np.complexfloating]


class Setting(NamedTuple):
    """What is fitted.

    Attributes
    ----------
    gain : float
        Pulses/s at a column for each pulse/s of columns whose weights sum to one.
    speed_m_per_s : float
        Of conduction.
    kinetics : float
        Speed of the kinetics relative to the published (David & Friston 2003, doi:10.1016/j.neuroimage.2003.07.015).
    """

    gain: float
    speed_m_per_s: float
    kinetics: float


class Network:
    """Columns on the SC of a layout; a volley leaves the stimulated regions.

    With h(f) the response of a column, s its slope of the firing rate, W(f) the SC with the phase of its delays, g the
    gain and d the dose, y (1 - s g h W) = h (k d + g d W): a local part (k) and a distant one.

    Parameters
    ----------
    layout : Layout
        With the matrix 'sc' and shares of sites and channels in the regions.
    """

    def __init__(self, layout: Layout) -> None:
        sites, channels = layout.site_shares, layout.channel_shares
        assert sites is not None
        assert channels is not None
        weights = connected(np.array(layout.matrices["sc"], float))
        strength = weights.sum(axis=0).mean()
        self._weights = weights / strength if strength > 0 else weights
        self._lengths_mm = _lengths(layout)
        self._sites = sites
        # Channels see a mean over their regions.
        total = channels.sum(axis=1, keepdims=True)
        self._seen = np.divide(channels, total, out=np.zeros_like(channels), where=channels > 0)
        self._outside = (sites.sum(axis=1) <= 0)[:, None] | (channels.sum(axis=1) <= 0)
        self._s = 2j * np.pi * FREQUENCIES_HZ
        self._onset = np.exp(0.5 * (self._s * JITTER_S) ** 2)

    def parts(self, setting: Setting) -> Array:
        """Local and distant part, shape (2, n_sites, n_channels, n_grid); NaN for what lies in no region."""
        return self._solved(setting, slopes=False)[0]

    def parts_and_slopes(self, setting: Setting) -> tuple[Array, Array]:
        """The same, and its derivatives by the logarithms of what is fitted, (3, 2, n_sites, n_channels, n_grid)."""
        parts, *slopes = self._solved(setting, slopes=True)
        return parts, np.stack(slopes)

    def _solved(self, setting: Setting, *, slopes: bool) -> list[Array]:
        column, slope = column_response(self._s / setting.kinetics)
        travel = self._s[:, None, None] * self._lengths_mm / (1000.0 * setting.speed_m_per_s)
        delayed = self._weights * np.exp(-travel)
        coupling = (slope * setting.gain * column)[:, None, None] * delayed
        far = setting.gain * self._sites @ delayed
        network = np.eye(len(self._weights)) - coupling
        if slopes:
            inverse = np.linalg.inv(network)
            far_spread = far @ inverse
        else:
            far_spread = np.linalg.solve(network.transpose(0, 2, 1), far.transpose(0, 2, 1)).transpose(0, 2, 1)
        # What stays at first travels as well: (1 - K)^-1 = 1 + K (1 - K)^-1.
        spread = np.concatenate([self._sites + (slope * column)[:, None, None] * far_spread, far_spread], axis=1)
        out = [self._seen_over_time(column, spread)]
        if not slopes:
            return out
        none = np.zeros_like(far)
        later = travel * delayed
        by_log_kinetics = self._column_slope(setting)
        changes = (
            (coupling, far, np.zeros_like(column)),
            (travel * coupling, setting.gain * self._sites @ later, np.zeros_like(column)),
            (coupling * (by_log_kinetics / column)[:, None, None], none, by_log_kinetics),
        )
        for of_coupling, of_far, of_column in changes:
            change = (np.concatenate([none, of_far], axis=1) + spread @ of_coupling) @ inverse
            out.append(self._seen_over_time(column, change) + self._seen_over_time(of_column, spread))
        return out

    def _column_slope(self, setting: Setting) -> _Complex:
        up, down = (column_response(self._s / (setting.kinetics * np.exp(step)))[0] for step in (_STEP, -_STEP))
        return np.asarray((up - down) / (2.0 * _STEP))

    def _seen_over_time(self, column: _Complex, spread: _Complex) -> Array:
        both = ((column * self._onset)[:, None, None] * spread) @ self._seen.T
        waves = np.moveaxis(np.tensordot(synthesis(), both, axes=1).real, 0, -1)
        waves = waves.reshape(2, len(self._sites), *waves.shape[1:])
        waves[:, self._outside] = np.nan
        return np.asarray(waves)


def column_response(s: _Complex) -> tuple[_Complex, float]:
    """Response of a column to input pulses, mV, at its working point, and the slope of its firing rate, 1/(s mV)."""
    level, excitatory = _working_point()
    slopes = [_slope(level), _slope(CONTACTS * excitatory), _slope(0.25 * CONTACTS * excitatory)]
    fast = A * RATE_A / (s + RATE_A) ** 2
    slow = B * RATE_B / (s + RATE_B) ** 2
    # Pyramidal cells excite both populations of interneurons, which excite and inhibit them.
    loop = fast * fast * slopes[0] * 0.8 * CONTACTS**2 * slopes[1]
    loop -= fast * slow * slopes[0] * (0.25 * CONTACTS) ** 2 * slopes[2]
    return fast / (1.0 - loop), slopes[0]


def synthesis() -> _Complex:
    """From the spectrum at `FREQUENCIES_HZ` to the grid, shape (n_grid, n_frequencies)."""
    step = FREQUENCIES_HZ[1] - FREQUENCIES_HZ[0]
    twice = np.where(FREQUENCIES_HZ > 0, 2.0, 1.0)
    out: _Complex = step * twice * np.exp(2j * np.pi * np.outer(GRID_S, FREQUENCIES_HZ))
    return out


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
