"""Spectra of EEG and iEEG before and after cleaning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.theme import BLUE, INK, RULE, VERMILLION, label_powers, new_figure, save_figure, styled
from bids_ai.report.figures.traces import check_shape, draw_bundle, with_small_pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Ticks of the frequency axis, of which those within the data are shown.
_TICKS_HZ = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
#: Decades below the strongest median at which the axis ends at the latest: the stop band of a filter has none.
_DECADES = 7.0


@styled
def plot_spectra(
    frequencies_hz: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    out: Path | str,
    *,
    line_hz: float | None = None,
    bad: ArrayLike | None = None,
    channels: str = "channels",
) -> Path:
    """Draw the power spectral density of all channels before and after cleaning, with the median over channels.

    Parameters
    ----------
    frequencies_hz : array (n_frequencies,)
        Increasing; 0 Hz is not drawn.
    before : array (n_channels, n_frequencies)
        V2/Hz; NaN channels are left out.
    after : array (n_channels_after, n_frequencies)
        The same; another number of channels is allowed, as a bipolar reference leaves fewer.
    out : path
    line_hz : float, optional
        Frequency of the mains; it and its harmonics are marked.
    bad : bool array (n_channels,), optional
        Channels of `before` that were found bad, drawn in a colour of their own and left out of the median.
    channels : str
        What they are called, such as "contacts".

    Raises
    ------
    InputError
        When shapes disagree or nothing is finite and positive.
    """
    frequencies = np.asarray(frequencies_hz, float)
    spectra = [np.atleast_2d(np.asarray(values, float)) for values in (before, after)]
    for name, values in zip(("Spectra before", "Spectra after"), spectra, strict=True):
        check_shape(name, values, (len(values), len(frequencies)))
    lost = np.zeros(len(spectra[0]), bool) if bad is None else np.asarray(bad, bool)
    check_shape("Bad channels", lost, (len(spectra[0]),))
    shown = frequencies > 0
    frequencies = frequencies[shown]
    spectra = [np.where(values[:, shown] > 0, values[:, shown], np.nan) * 1e12 for values in spectra]
    if not all(np.isfinite(values).any() for values in spectra):
        raise InputError("Spectra: there is no channel with power above zero, before or after.")
    figure = new_figure(height=4.6)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    titles = ("Before cleaning", "After cleaning")
    for panel, title, values, marked in zip(
        panels, titles, spectra, (lost, np.zeros(len(spectra[1]), bool)), strict=True
    ):
        _draw_spectra(panel, frequencies, values, marked, channels)
        panel.set_title(title)
        panel.set_xlabel("Frequency (Hz)")
        _mark_line(panel, line_hz, frequencies[-1])
    panels[0].set_ylabel("Power spectral density (µV²/Hz)")
    _set_limits(panels[0], frequencies, spectra, lost)
    return with_small_pictures(save_figure(figure, out))


def _draw_spectra(panel: Axes, frequencies: Array, values: Array, bad: Array, channels: str) -> None:
    draw_bundle(panel, frequencies, values[~bad], colors=BLUE, linewidths=0.5, alpha=0.45)
    draw_bundle(panel, frequencies, values[bad], colors=VERMILLION, linewidths=0.8, alpha=0.8)
    good = values[~bad & np.isfinite(values).any(axis=1)]
    if len(good):
        panel.plot(frequencies, _median(good), color=INK, lw=2.0, label="median")
    panel.plot([], [], color=BLUE, lw=1.2, label=f"{len(good)} {channels}")
    if bad.any():
        panel.plot([], [], color=VERMILLION, lw=1.2, label=f"{int(bad.sum())} bad")
    panel.grid(True, color=RULE, lw=0.5)
    panel.set_axisbelow(True)
    panel.legend(loc="lower left")


def _median(values: Array) -> Array:
    """Return the median over channels; NaN at frequencies that no channel has."""
    known = np.isfinite(values).any(axis=0)
    middle = np.full(values.shape[1], np.nan)
    middle[known] = np.nanmedian(values[:, known], axis=0)
    return middle


def _mark_line(panel: Axes, line_hz: float | None, highest_hz: float) -> None:
    if not line_hz:
        return
    for number, frequency in enumerate(np.arange(line_hz, highest_hz, line_hz).tolist()):
        panel.axvline(frequency, color=VERMILLION, lw=0.7 if number else 1.1, ls=(0, (4, 3)), zorder=1)
        if number == 0:
            panel.annotate(
                f"mains {line_hz:g} Hz",
                (line_hz, 0),
                xycoords=("data", "axes fraction"),
                xytext=(-3, 3),
                textcoords="offset points",
                ha="right",
                va="bottom",
                rotation=90,
                fontsize=10,
                color=VERMILLION,
            )


def _set_limits(panel: Axes, frequencies: Array, spectra: list[Array], bad: Array) -> None:
    """Set log axes by the good channels of both panels, so that the panels can be compared."""
    good = np.concatenate([spectra[0][~bad] if (~bad).any() else spectra[0], spectra[1]])
    finite = good[np.isfinite(good)]
    top = float(finite.max()) * 3
    bottom = max(float(finite.min()) / 2, float(np.nanmax(_median(good))) / 10**_DECADES)
    panel.set_xscale("log")
    panel.set_yscale("log")
    label_powers(panel.yaxis)
    panel.set_xlim(frequencies[0], frequencies[-1])
    panel.set_ylim(bottom, top)
    ticks = [tick for tick in _TICKS_HZ if frequencies[0] <= tick <= frequencies[-1]]
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.set_xticks([], minor=True)
