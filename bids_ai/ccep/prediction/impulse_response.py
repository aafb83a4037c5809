"""Impulse response of a model of resting iEEG at the stimulated contacts: waveforms and latencies of unseen sites."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.ccep.matrices import EXCLUSION_MM
from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.prediction.evoked import FIRST_WAVE_S, at_times, first_wave_latency, first_wave_score
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.scoring.waves import WINDOW_S
from bids_ai.ccep.trials import Array, BoolArray, IntArray
from bids_ai.errors import InputError

#: A model with longer steps than this gives no latency, s: an N1 is about 20 ms wide.
LONGEST_STEP_S = 0.01
#: Fewer training pairs do not make gains.
LEAST_PAIRS = 10


def contact_impulses(response: Array, channel_contacts: IntArray, n_contacts: int) -> Array:
    """Response of every channel to a push of each contact, from the impulse response of a model between channels.

    Parameters
    ----------
    response : array, shape (n_steps, n_channels, n_channels)
        Row = source, in signal units per signal unit, with the response of a channel to its own push:
        `perturbation.impulse_response(fitted, ..., diagonal=True)` through `FittedSurrogate.signal_units`.
    channel_contacts : array of int, shape (n_channels, 2)
        A bipolar channel is the first contact less the second; a single contact stands twice.
    n_contacts : int

    Returns
    -------
    array, shape (n_contacts, n_channels, n_steps)
        NaN for contacts of which a channel is missing in the model, or that are in no channel.
    """
    n_channels = len(channel_contacts)
    push = np.zeros((n_contacts, n_channels))
    bipolar = np.flatnonzero(channel_contacts[:, 0] != channel_contacts[:, 1])
    np.add.at(push, (channel_contacts[:, 0], np.arange(n_channels)), 1.0)
    np.add.at(push, (channel_contacts[bipolar, 1], bipolar), -1.0)
    missing: BoolArray = np.asarray(np.isnan(response).all(axis=(0, 2)))
    known = np.where(missing[None, :, None], 0.0, response)
    out: Array = np.moveaxis(np.tensordot(push, known, axes=(1, 1)), 1, 2)
    unknown = (push != 0)[:, missing].any(axis=1) | ~(push != 0).any(axis=1)
    out[unknown] = np.nan
    return out


class ImpulseResponse(Predictor):
    """Input of a site B = k_a e_a - k_c e_c in contact space; both gains are shared by all sites.

    A column of B for each site could not be known for a site that was not seen. The gains are fitted by least squares
    to the waveforms of training responses; the model itself comes from stimulation-free data (`Layout.impulses`).
    """

    name = "impulse-response"
    label = "the impulse response of a model of resting iEEG"
    source = "Acharya & Nozari 2024, PMC11438964; Steinhardt et al. 2020, PMC7494634 (linear responses)"
    learns_waveforms = True

    def fit(self, training: Sequence[Recorded]) -> ImpulseResponse:
        """Fit the gains of the first and the second contact."""
        normal, right, n_pairs = np.zeros((2, 2)), np.zeros(2), 0
        for one in training:
            if one.waveforms is None or one.times_s is None or one.responder is None:
                raise InputError(
                    f"{one.layout.patient}: {self.name} learns from waveforms of responses; there are none."
                )
            model_times(one.layout, self.name)
            sides = _sides(one.layout, one.times_s)
            window = _window(one.times_s, *WINDOW_S)
            y = one.waveforms[..., window]
            x = sides[..., window]
            used = one.beyond(EXCLUSION_MM) & (one.responder == 1) & np.isfinite(y).all(axis=-1)
            used &= np.isfinite(x).all(axis=(0, -1))
            x, y = x[:, used].reshape(2, -1), y[used].ravel()
            normal, right, n_pairs = normal + x @ x.T, right + x @ y, n_pairs + int(used.sum())
        if n_pairs < LEAST_PAIRS or not np.diagonal(normal).all():
            raise InputError(f"{LEAST_PAIRS} training responses with waveforms are wanted, got {n_pairs}.")
        self.gains_ = np.linalg.lstsq(normal, right, rcond=1e-9)[0]
        return self

    def predict(self, layout: Layout) -> Array:
        """Logarithm of the RMS of the first wave."""
        times_s = model_times(layout, self.name)
        if not _window(times_s, WINDOW_S[0], FIRST_WAVE_S).any():
            raise InputError(f"{layout.patient}: the impulse response has no sample within the first wave.")
        return first_wave_score(self.predict_waveforms(layout, times_s), times_s)

    def predict_waveforms(self, layout: Layout, times_s: Array) -> Array:
        """Responses at given times, (n_sites, n_channels, n_times); NaN beyond the end of the impulse response."""
        return np.asarray(np.einsum("k,kscl->scl", self.gains_, _sides(layout, times_s)))

    def predict_latency(self, layout: Layout) -> Array:
        """First peak of the first wave, s."""
        times_s = model_times(layout, self.name)
        step = float(np.diff(times_s).max())
        if step > LONGEST_STEP_S:
            raise InputError(f"{self.name} gives no latency: the model makes steps of {1e3 * step:g} ms.")
        return first_wave_latency(self.predict_waveforms(layout, times_s), times_s)


def model_times(layout: Layout, name: str) -> Array:
    """Times of the impulse response of a layout.

    Raises
    ------
    InputError
        Where there is none, or it ends before the waveforms that are compared.
    """
    if layout.impulses is None or layout.impulse_times_s is None:
        raise InputError(f"{layout.patient}: {name} needs `impulses` of a model of resting iEEG, got none.")
    end_s = float(layout.impulse_times_s[-1])
    if end_s < WINDOW_S[1]:
        raise InputError(f"{layout.patient}: the impulse response ends at {end_s:g} s, {WINDOW_S[1]:g} s are wanted.")
    return layout.impulse_times_s


def _sides(layout: Layout, times_s: Array) -> Array:
    """Responses to the first contact, and less those to the second, shape (2, n_sites, n_channels, n_times)."""
    own = model_times(layout, ImpulseResponse.name)
    assert layout.impulses is not None  # `model_times` has looked
    first, second = layout.impulses[layout.site_contacts[:, 0]], -layout.impulses[layout.site_contacts[:, 1]]
    return at_times(np.stack([first, second]), own, times_s)


def _window(times_s: Array, start_s: float, end_s: float) -> BoolArray:
    return np.asarray((times_s >= start_s) & (times_s <= end_s))
