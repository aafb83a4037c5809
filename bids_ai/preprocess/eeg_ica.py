"""Independent components of an EEG, labelled, and which of them are taken out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_ai.preprocess.eeg_positions import has_position
from bids_ai.preprocess.eeg_segments import good_frames

Array = NDArray[np.floating]

#: Classes of ICLabel, in its order. Pion-Tonachini et al. 2019, doi:10.1016/j.neuroimage.2019.05.026.
CLASSES = ("brain", "muscle", "eye", "heart", "line_noise", "channel_noise", "other")
#: Components are fitted and labelled at most at this rate, Hz (four times what ICLabel looks at at the most), and
#: above this, Hz: slow drifts cost components (Winkler et al. 2015, doi:10.1109/EMBC.2015.7319296).
FIT_RATE_HZ, FIT_HIGH_PASS_HZ = 250.0, 1.0
#: ICLabel was trained on 1 to 100 Hz.
FIT_LOW_PASS_HZ = 100.0
#: Samples for every weight of the unmixing matrix: Onton & Makeig 2006, doi:10.1016/S0079-6123(06)59007-7, ask for 20
#: and more. Where there are fewer, principal components are left out until it holds.
SAMPLES_PER_WEIGHT = 20
#: Fewer channels cannot part sources, fewer components hold no artefact apart; shorter is no sample of anything, s.
LEAST_CHANNELS, LEAST_COMPONENTS, LEAST_S = 8, 4, 10.0
_MAX_ITERATIONS = 500


@dataclass(frozen=True)
class Decomposition:
    """Components of a recording.

    Attributes
    ----------
    ica : mne.preprocessing.ICA
        `exclude` holds what is taken out.
    table : pandas.DataFrame
        One row a component: `component`, `label`, `probability`, `explained_variance` (share of the power of the
        fitted data), `removed`, and the probability of every class (``p_brain`` ...). NaN where it was not labelled.
    converged : bool
    note : str
        What should be known of the fit.
    """

    ica: Any
    table: pd.DataFrame
    converged: bool
    note: str


def why_no_ica(raw: Any) -> str | None:
    """Reason for which components cannot be found in a recording, or None.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        EEG only; bad channels named in `info`.
    """
    n_good = len(raw.ch_names) - len(raw.info["bads"])
    if n_good < LEAST_CHANNELS:
        return f"{n_good} good channels; {LEAST_CHANNELS} or more are needed"
    seconds = float(good_frames(raw).sum()) / float(raw.info["sfreq"])
    if seconds < LEAST_S:
        return f"{seconds:.1f} s of good data; {LEAST_S:g} s or more are needed"
    if n_components(n_good, round(seconds * min(FIT_RATE_HZ, float(raw.info["sfreq"])))) < LEAST_COMPONENTS:
        return f"{seconds:.1f} s of good data carry fewer than {LEAST_COMPONENTS} components"
    return None


def n_components(n_channels: int, n_samples: int) -> int:
    """How many components data of an average reference carry.

    Parameters
    ----------
    n_channels : int
        Good channels.
    n_samples : int
        Good samples at the rate of the fit.
    """
    return max(1, min(n_channels - 1, int(np.sqrt(n_samples / SAMPLES_PER_WEIGHT))))


def decompose(
    raw: Any, *, remove: tuple[str, ...], probability: float, seed: int, low_pass_hz: float = FIT_LOW_PASS_HZ
) -> Decomposition:
    """Fit extended Infomax, label the components, choose which to remove.

    Picard without the constraint of orthogonality maximises the likelihood of extended Infomax (Ablin et al. 2018,
    doi:10.1109/TSP.2018.2844203).

    Parameters
    ----------
    raw : mne.io.BaseRaw
        EEG, without mains, above 1 Hz; bad channels and segments are left out. It is not changed.
    remove : tuple of str
        Of `CLASSES`.
    probability : float
        A component is removed when the most probable class is one of them and at least this probable.
    seed : int
    low_pass_hz : float

    Returns
    -------
    Decomposition
    """
    import mne

    data = raw.copy().pick("eeg", exclude="bads")
    rate = min(FIT_RATE_HZ, float(raw.info["sfreq"]))
    if rate < raw.info["sfreq"]:
        data.resample(rate, verbose="error")
    # A filter needs room below half of the sampling rate.
    if low_pass_hz < 0.45 * rate and low_pass_hz < float(data.info["lowpass"]):
        data.filter(None, low_pass_hz, verbose="error")
    data.set_eeg_reference("average", verbose="error")
    number = n_components(len(data.ch_names), int(good_frames(data).sum()))
    ica = mne.preprocessing.ICA(
        number,
        method="picard",
        fit_params={"ortho": False, "extended": True, "tol": 1e-5},
        max_iter=_MAX_ITERATIONS,
        random_state=seed,
        verbose="error",
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ica.fit(data, reject_by_annotation=True, verbose="error")
    converged = not any("converge" in str(one.message).lower() for one in caught) and ica.n_iter_ < _MAX_ITERATIONS
    probabilities, note = _labels(data, ica)
    table = _table(data, ica, probabilities, remove, probability)
    ica.exclude = [int(row) for row in np.flatnonzero(table["removed"])]
    return Decomposition(ica, table, converged, note)


def _labels(data: Any, ica: Any) -> tuple[Array, str]:
    """Probabilities (n_components, n_classes), NaN where topographies cannot be drawn."""
    if not has_position(data.info).all():
        return np.full((ica.n_components_, len(CLASSES)), np.nan), "not labelled: channels without position"
    from mne_icalabel.iclabel import iclabel_label_components

    with warnings.catch_warnings():
        # It asks for exactly 1 to 100 Hz; what differs is in the note.
        warnings.simplefilter("ignore")
        found = iclabel_label_components(data, ica, inplace=False, backend="torch")
    band = f"{data.info['highpass']:g} to {min(data.info['lowpass'], data.info['sfreq'] / 2.0):g} Hz"
    return np.asarray(found, float), f"labelled by ICLabel at {band} (trained at 1 to 100 Hz)"


def _table(data: Any, ica: Any, probabilities: Array, remove: tuple[str, ...], least: float) -> pd.DataFrame:
    known = np.asarray(np.isfinite(probabilities).all(axis=1))
    best = np.where(known, np.nan_to_num(probabilities).argmax(axis=1), 0)
    top = np.where(known, probabilities[np.arange(len(best)), best], np.nan)
    label = [CLASSES[number] if there else "n/a" for number, there in zip(best, known, strict=True)]
    removed = [name in remove and p >= least for name, p in zip(label, top, strict=True)]
    table = pd.DataFrame(
        {
            "component": np.arange(len(best)),
            "label": label,
            "probability": top,
            "explained_variance": _explained(data, ica),
            "removed": removed,
        }
    )
    for number, name in enumerate(CLASSES):
        table[f"p_{name}"] = probabilities[:, number]
    return table


def _explained(data: Any, ica: Any) -> Array:
    """Share of the power of the good samples that a component carries over all channels."""
    good = good_frames(data)
    sources = ica.get_sources(data).get_data()[:, good]
    # MNE's components are in units of the standard deviation of all channels.
    scaled = data.get_data(picks=ica.ch_names)[:, good] / ica.pre_whitener_
    total = float(scaled.var(axis=1).sum())
    share: Array = (ica.get_components() ** 2).sum(axis=0) * sources.var(axis=1) / total
    return share
