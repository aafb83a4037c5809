"""Jansen-Rit columns on the structural connectivity, hit by a volley: waveform, amplitude, latency from structure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.prediction.evoked import (
    GRID_S,
    Responses,
    SiteRidge,
    at_times,
    canonical,
    channel_polarity,
    first_wave_latency,
    first_wave_score,
    training_responses,
)
from bids_ai.ccep.prediction.jansen_rit_network import Network, Setting
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError

#: Where the gradient may start.
GRID = tuple(Setting(*one) for one in product((5.0, 20.0, 60.0), (2.0, 4.0, 8.0, 16.0), (0.7, 1.0, 1.5)))
#: How far it may go: columns that ring, speeds beyond those of axons and kinetics beyond those of potentials are out.
LEAST, MOST = Setting(1.0, 0.5, 0.5), Setting(100.0, 30.0, 2.0)
#: Steps of the gradient, and halvings of one that does not help.
STEPS, HALVINGS = 6, 3
#: A step is at most this, in logarithms: what is linear is so nearby.
LONGEST = float(np.log(2.0))
#: Less of the error than this is not worth a further step.
WORTHWHILE = 1e-3


class JansenRit(Predictor):
    """Linear response of a network of Jansen-Rit columns to a volley from the stimulated regions.

    Stimulation makes axons fire: a volley reaches other regions by SC and delay, and the region itself at once. What a
    pulse moves is small against the range of the column, so that the network is taken at its working point, where it is
    linear (`Network`). Gain, speed of conduction (by it the delays) and kinetics start from that point of `GRID` under
    which training waveforms are met best, and follow the gradient of the waveforms from there (Gauss-Newton); the sizes
    of the local and of the distant part are solved for at every step (variable projection). Every choice is judged on
    training sites whose lead was left out. Which way each channel points is learned from training sites as well.
    """

    name = "jansen-rit"
    label = "Jansen-Rit columns on the structural connectivity, with conduction delays"
    source = "Jansen & Rit 1995, doi:10.1007/BF00199471; Momi et al. 2025, PMC11971347 (evoked responses on the SC)"
    learns_waveforms = True

    def fit(self, training: Sequence[Recorded]) -> JansenRit:
        """Choose where to start, follow the gradient, fit both parts."""
        for one in training:
            _require(one.layout, self.name)
        seen = training_responses(training, self.name)
        shape = canonical(seen)
        self.polarity_ = {one.layout.patient: channel_polarity(one, shape) for one in seen}
        best = np.inf
        for setting in GRID:
            fitted = self._fitted(setting, seen)
            if fitted.error_ < best:
                best, self.setting_, self.weights_ = fitted.error_, setting, fitted.weights_
        self.start_, self.error_ = self.setting_, best
        for _ in range(STEPS):
            if not self._follow(seen):
                break
        # Size, waveform and latency are asked for one after the other.
        self._last: tuple[Layout, Array] | None = None
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

    def _follow(self, seen: Sequence[Responses]) -> bool:
        """One step along the gradient; False where no step is worth it."""
        # To first order a change of what is fitted adds its slope to the waveforms; the ridge that leaves leads out
        # says how much of each, and its penalty keeps the step short where responses say little.
        columns = []
        for one in seen:
            parts, slopes = _slopes(one.layout, self.setting_)
            moved = np.einsum("k,jkscl->jscl", self.weights_, slopes)
            columns.append(np.concatenate([parts, moved]) * self.polarity_[one.layout.patient][..., None])
        step = SiteRidge().fit(columns, seen).weights_[2:]
        step *= min(1.0, LONGEST / max(float(np.abs(step).max()), 1e-12))
        for halving in range(HALVINGS + 1):
            moved_to = np.log(self.setting_) + step / 2.0**halving
            setting = Setting(*np.exp(np.clip(moved_to, np.log(LEAST), np.log(MOST))).tolist())
            fitted = self._fitted(setting, seen)
            gain = self.error_ - fitted.error_
            if gain > 0:
                self.error_, self.setting_, self.weights_ = fitted.error_, setting, fitted.weights_
                return gain > WORTHWHILE * fitted.error_
        return False

    def _fitted(self, setting: Setting, seen: Sequence[Responses]) -> SiteRidge:
        signed = [_parts(one.layout, setting) * self.polarity_[one.layout.patient][..., None] for one in seen]
        return SiteRidge().fit(signed, seen)

    def _waves(self, layout: Layout) -> Array:
        if self._last is None or self._last[0] is not layout:
            _require(layout, self.name)
            self._last = layout, np.asarray(np.einsum("k,kscl->scl", self.weights_, _parts(layout, self.setting_)))
        return self._last[1]


def _require(layout: Layout, name: str) -> None:
    if "sc" not in layout.matrices:
        raise InputError(f"{layout.patient}: {name} needs the matrix 'sc', which is not given.")
    if layout.site_shares is None or layout.channel_shares is None:
        raise InputError(f"{layout.patient}: {name} needs shares of sites and channels in the regions.")


def _parts(layout: Layout, setting: Setting) -> Array:
    """Local and distant part; those of the grid once for all splits."""
    if setting in GRID:
        return layout.remembered(f"jansen-rit {setting}", lambda own: Network(own).parts(setting))
    return Network(layout).parts(setting)


def _slopes(layout: Layout, setting: Setting) -> tuple[Array, Array]:
    """The same with slopes."""
    if setting not in GRID:
        return Network(layout).parts_and_slopes(setting)
    slopes = layout.remembered(f"jansen-rit slopes {setting}", lambda own: Network(own).parts_and_slopes(setting)[1])
    return _parts(layout, setting), slopes
