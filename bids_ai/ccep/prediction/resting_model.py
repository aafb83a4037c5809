"""A model of the channels of stimulation-free iEEG, and its response to a push of every contact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import butter, firwin, resample_poly, sosfilt, sosfilt_zi

from bids_ai.ccep.prediction.impulse_response import contact_impulses
from bids_ai.ccep.trials import Array, BoolArray, IntArray
from bids_ai.effective.perturbation import horizon_steps, impulse_response, push
from bids_ai.errors import InputError
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FailedFit, FittedSurrogate
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.usable import MAX_MISSING_FRACTION, FloatArray

#: Rate that the model is fitted at, Hz, or the nearest to it that divides the sampling rate: an N1 of 20 ms has five
#: samples, and the conduction delays within a brain have up to eight.
MODEL_HZ = 250.0
#: Pass band, Hz: slower is drift of electrodes, faster does not fit `MODEL_HZ`.
HIGH_PASS_HZ, LOW_PASS_HZ = 1.0, 100.0
#: Left out at the beginning of every stretch, s: twice the time constant of the high-pass.
SETTLED_S = 0.3
#: Stretches that are shorter than this after that are not used, s.
LEAST_STRETCH_S = 0.5
#: Less than this of stimulation-free signal makes no model, s: rhythms of some hertz are to be seen a hundred times.
LEAST_S = 30.0
#: Nor do fewer samples than this for every coefficient of a channel's equation.
LEAST_SAMPLES_PER_WEIGHT = 2.0
#: Values of the lagged design that are held in memory at most, 0.8 GB; of more signal, evenly spread stretches are left
#: out.
MOST_VALUES = 1e8
#: Effective connectivity is the mean response over this time, s (docs/effective_connectivity.md).
EC_S = 0.1
#: Largest lag of the models that are tried, s.
ORDER_S = 0.05
#: Line noise is regressed off pieces of this length, s: its amplitude drifts.
_LINE_PIECE_S = 5.0


@dataclass(frozen=True)
class RestingModel:
    """A model of resting iEEG, pushed.

    Attributes
    ----------
    impulses : array, shape (n_contacts, n_channels, n_steps)
        Response of every channel to a push of each contact by one unit of the signal, for `Layout.impulses`; NaN for
        contacts and channels that are not in the model.
    impulse_times_s : array, shape (n_steps,)
        Seconds after the push; the first is one step.
    ec : array, shape (n_channels, n_channels)
        Effective connectivity: signed mean response over `EC_S`, SD per SD; row = source, diagonal NaN.
    channel_sd : array, shape (n_channels,)
        SD of the filtered signal, for `Layout.channel_rest_sd`; NaN for channels that are not in the model.
    description : dict
        JSON-able: data used, filter, model, held-out scores, verdict of the gate and its reasons, warnings.
    fitted : FittedSurrogate
    """

    impulses: Array
    impulse_times_s: Array
    ec: Array
    channel_sd: Array
    description: dict[str, Any]
    fitted: FittedSurrogate


def resting_model(
    runs: Sequence[Array],
    sampling_hz: float,
    channel_names: Sequence[str],
    channel_contacts: IntArray,
    n_contacts: int,
    *,
    name: str = "rest",
    model: str = "ridge-var",
    order_s: float = ORDER_S,
    horizon_s: float = 0.5,
    line_hz: float | None = None,
    seed: int = 1,
    device: str = "cpu",
    options: Mapping[str, Any] | None = None,
) -> RestingModel:
    """Fit a model to the stimulation-free stretches of iEEG, and push every contact.

    Parameters
    ----------
    runs : sequence of array, shape (n_times, n_channels)
        Runs of one patient in any one unit. NaN rows are gaps (stimulation, artefacts), across which nothing is
        learned; channels without data are NaN throughout.
    sampling_hz : float
        Of the runs.
    channel_names : sequence of str
    channel_contacts : array of int, shape (n_channels, 2)
        As in `Layout`: a bipolar channel is the first contact less the second; a single contact stands twice.
    n_contacts : int
    name : str
        Of the recording; seeds derive from it.
    model : str
        Family of `bids_ai.surrogate.registry`, or "auto".
    order_s : float
        Largest lag, s. The number of lags up to it is chosen by held-out error.
    horizon_s : float
        How far the response is computed, s.
    line_hz : float, optional
        Frequency of line noise, which is regressed off with its harmonics; None where that was done.
    seed : int
    device : {"cpu", "auto", "cuda"}
    options : mapping, optional
        Of the family.

    Returns
    -------
    RestingModel

    Raises
    ------
    InputError
        For too little data, and for a fit that failed, with the reason.

    Notes
    -----
    The high-pass is causal: a filter that looks ahead would let the past depend on the future, whereas a causal
    invertible one, the same for all channels, leaves the structure of an autoregression as it is (Barnett & Seth 2011,
    doi:10.1016/j.jneumeth.2011.08.010). The anti-aliasing filter has a linear phase, so that latencies stay; above its
    edge iEEG has little power.
    """
    signals = _checked(runs, sampling_hz, channel_names, channel_contacts)
    factor = max(1, round(sampling_hz / MODEL_HZ))
    rate = sampling_hz / factor
    order = max(1, round(order_s * rate))
    missing = _missing(signals)
    stretches = [_stretches(one, missing, sampling_hz, factor, line_hz) for one in signals]
    n_channels = int((~missing).sum())
    chosen, seconds, found_s = _enough(stretches, rate, order, n_channels, name)
    joined = tuple(_joined(parts, missing) for parts in chosen if parts)
    recording = Recording(name, joined, 1.0 / rate, tuple(channel_names), modality="ieeg")
    fitted = fit_recordings([recording], model=model, order_max=order, seed=seed, device=device, options=options)[0]
    if isinstance(fitted, FailedFit):
        raise InputError(f"{name}: there is no model of resting iEEG: {fitted.reason}")
    n_steps = horizon_steps(horizon_s, fitted.tr)
    sd = np.full(len(channel_names), np.nan)
    sd[fitted.kept] = np.sqrt((fitted.scaler.sd**2).mean(axis=0))
    response = fitted.signal_units(impulse_response(fitted, horizon_steps=n_steps, diagonal=True, device=device))
    description = {
        "Seconds": seconds,
        "SecondsFound": found_s,
        "Stretches": sum(map(len, chosen)),
        "SamplingFrequency": rate,
        "PassBandHz": [HIGH_PASS_HZ, LOW_PASS_HZ],
        **_described(fitted),
    }
    return RestingModel(
        impulses=contact_impulses(response, channel_contacts, n_contacts),
        impulse_times_s=fitted.tr * np.arange(1, n_steps + 1),
        ec=push(fitted, horizon_steps=horizon_steps(EC_S, fitted.tr), device=device),
        channel_sd=sd,
        description=description,
        fitted=fitted,
    )


def _checked(
    runs: Sequence[Array], sampling_hz: float, channel_names: Sequence[str], channel_contacts: IntArray
) -> list[Array]:
    shape = (len(channel_names), 2)
    if channel_contacts.shape != shape:
        raise InputError(f"channel_contacts of shape {shape} are wanted, got {channel_contacts.shape}.")
    if not sampling_hz >= 2.0 * LOW_PASS_HZ:
        raise InputError(f"A model of resting iEEG wants {2.0 * LOW_PASS_HZ:g} Hz or more, got {sampling_hz:g} Hz.")
    signals = [np.asarray(run, float) for run in runs]
    wrong = [one.shape for one in signals if one.ndim != 2 or one.shape[1] != len(channel_names)]
    if not signals or wrong:
        raise InputError(f"Runs of shape (n_times, {len(channel_names)}) are wanted, got {wrong or 'none'}.")
    return signals


def _missing(signals: Sequence[Array]) -> BoolArray:
    """Channels that lack more of the signal than gaps explain, in any run; shape (n_channels,)."""
    out = np.zeros(signals[0].shape[1], bool)
    for one in signals:
        lost = ~np.isfinite(one)
        between = ~lost.all(axis=1)
        if between.any():
            out |= lost[between].mean(axis=0) > MAX_MISSING_FRACTION
    return out


def _stretches(
    signal: Array, missing: BoolArray, sampling_hz: float, factor: int, line_hz: float | None
) -> list[Array]:
    """Unbroken pieces at the rate of the model, filtered, each (n_times, n_used_channels)."""
    used = signal[:, ~missing]
    whole = np.isfinite(used).all(axis=1) & (used.shape[1] > 0)
    edges = np.flatnonzero(np.diff(np.r_[False, whole, False]))
    least = round((SETTLED_S + LEAST_STRETCH_S) * sampling_hz)
    found = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start >= least:
            found.append(_filtered(used[start:stop], sampling_hz, factor, line_hz))
    return found


def _filtered(piece: Array, sampling_hz: float, factor: int, line_hz: float | None) -> Array:
    rate = sampling_hz / factor
    middle = piece.mean(axis=0)
    out = piece - middle
    if line_hz is not None:
        out = _without_line(out, sampling_hz, line_hz)
    # The edge lies between the pass band and half of the new rate.
    taps = 2 * round(0.02 * sampling_hz) + 1
    edge = 0.5 * (LOW_PASS_HZ + 0.5 * rate)
    low_pass = firwin(taps, edge, fs=sampling_hz) if edge < 0.5 * sampling_hz else np.ones(1)
    slower = resample_poly(out, 1, factor, axis=0, window=low_pass, padtype="line")
    high_pass = butter(1, HIGH_PASS_HZ, "highpass", fs=rate, output="sos")
    # As if the first value had stood forever.
    begin = sosfilt_zi(high_pass)[:, :, None] * slower[:1]
    filtered, _ = sosfilt(high_pass, slower, axis=0, zi=begin)
    # The low-pass lacks one side at both ends.
    end = len(filtered) - int(np.ceil(0.02 * rate))
    kept: Array = filtered[round(SETTLED_S * rate) : end]
    return kept


def _without_line(piece: Array, sampling_hz: float, line_hz: float) -> Array:
    """Less the sinusoids of the line below the edge, by least squares, piece by piece."""
    frequencies = np.arange(line_hz, 0.5 * MODEL_HZ, line_hz)
    n_pieces = max(1, int(len(piece) / sampling_hz / _LINE_PIECE_S))
    out = []
    for part in np.array_split(piece, n_pieces):
        angle = 2.0 * np.pi * frequencies * np.arange(len(part))[:, None] / sampling_hz
        design = np.column_stack([np.ones(len(part)), np.sin(angle), np.cos(angle)])
        weights = np.linalg.lstsq(design, part, rcond=None)[0]
        out.append(part - design[:, 1:] @ weights[1:])
    return np.concatenate(out)


def _enough(
    stretches: list[list[Array]], rate: float, order: int, n_channels: int, name: str
) -> tuple[list[list[Array]], float, float]:
    """The stretches that are used, how many seconds these are, and how many there were."""
    samples = sum(len(part) for parts in stretches for part in parts)
    seconds = samples / rate
    wanted = max(LEAST_S, LEAST_SAMPLES_PER_WEIGHT * order * n_channels / rate)
    if seconds < wanted:
        raise InputError(
            f"{name}: {seconds:.0f} s of stimulation-free signal in stretches of {SETTLED_S + LEAST_STRETCH_S:g} s and "
            f"more; a model of {n_channels} channels with {order} lags wants {wanted:.0f} s."
        )
    share = min(1.0, MOST_VALUES / (samples * order * max(n_channels, 1)))
    if share < 1.0:
        stretches = [_spread(parts, share, rate) for parts in stretches]
    return stretches, sum(len(part) for parts in stretches for part in parts) / rate, seconds


def _spread(parts: list[Array], share: float, rate: float) -> list[Array]:
    """A share of the signal, evenly spread: pieces of ten seconds, every so many."""
    pieces = [
        piece
        for part in parts
        for piece in np.array_split(part, max(1, round(len(part) / (10.0 * rate))))
        if len(piece)
    ]
    n = max(1, int(share * len(pieces)))
    return [pieces[k] for k in np.linspace(0, len(pieces) - 1, n).round().astype(int)]


def _joined(parts: list[Array], missing: BoolArray) -> FloatArray:
    """Stretches one after the other, each followed by a NaN row; channels without data are NaN throughout."""
    rows = np.full((sum(len(part) + 1 for part in parts), len(missing)), np.nan)
    first = 0
    for part in parts:
        rows[first : first + len(part), ~missing] = part
        first += len(part) + 1
    return rows


def _described(fitted: FittedSurrogate) -> dict[str, Any]:
    heldout = fitted.evaluation["heldout"]
    return {
        "Model": fitted.family,
        "ModelRequested": fitted.requested,
        "Order": fitted.order,
        "Penalty": fitted.penalty,
        "HeldOutR2": heldout["r2"],
        "GainOverOwnPast": heldout["gain_over_ar"],
        "GainOverOwnPastSE": heldout["gain_over_ar_se"],
        "Gate": fitted.gate.verdict,
        "GateReasons": list(fitted.gate.reasons),
        "Channels": int(fitted.kept.sum()),
        "ChannelsLeftOut": dict(fitted.excluded),
        "Warnings": list(fitted.warnings),
        "Seed": fitted.seed,
        "Device": fitted.device,
    }
