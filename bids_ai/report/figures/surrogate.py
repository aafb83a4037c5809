"""Figures of the surrogate brain: how well it predicts and runs, and how much direction its connectivity bears."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.matrices import colour_limit
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.theme import (
    BLUE,
    DIVERGING,
    INK,
    MISSING,
    MUTED,
    ORANGE,
    RULE,
    new_figure,
    quiet_axes,
    save_figure,
    signed,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Held-out scores drawn, by their key in the evaluation, in this order from above.
PREDICTORS = {
    "r2": "Surrogate",
    "r2_linear": "Ridge VAR",
    "r2_ar": "AR per region",
    "r2_ar1": "AR(1) per region",
    "r2_persistence": "Persistence",
}
#: The axis of R2 ends here: persistence can be arbitrarily bad.
LOWEST_R2 = -0.5


@styled
def plot_surrogate_fit(
    evaluation: Mapping[str, Any],
    fc_empirical: ArrayLike | None,
    fc_model: ArrayLike | None,
    out: Path | str,
    *,
    gate: Mapping[str, Any] | None = None,
    model: str = "Surrogate",
    verdict: bool = True,
) -> Path:
    """Draw held-out prediction against its rivals, free-running FC against the recorded one, and the verdict.

    Parameters
    ----------
    evaluation : mapping
        As the surrogate's sidecar has it: ``heldout`` with ``r2``, ``r2_se``, ``r2_persistence``, ``r2_ar1``,
        ``r2_linear`` and the standard errors ``gain_over_*_se`` (absent ones are left out); ``free_running`` with
        ``fc_r``.
    fc_empirical, fc_model : array (n_regions, n_regions) or None
        Correlation matrices of the recording and of a free-running simulation, over the same regions.
    out : path
    gate : mapping, optional
        ``verdict`` ("reliable" or "unreliable") and ``reasons``; by default ``evaluation["gate"]``, if there.
    model : str
        Name of the surrogate, for the bars.
    verdict : bool
        Write the verdict of the gate below; False where the page says it.

    Raises
    ------
    InputError
        When the two FC matrices differ in shape.
    """
    gate = gate if gate is not None else evaluation.get("gate")
    heldout, free = evaluation.get("heldout", {}), evaluation.get("free_running", {})
    heights = [0.5 + 0.34 * max(2, len(_scored(heldout))), 3.6, *([_verdict_height(gate)] if verdict else [])]
    figure = new_figure(width=8.4, height=sum(heights) + 0.9)
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=[1.12, 1])
    _draw_scores(figure.add_subplot(grid[0, :]), heldout, model)
    split, cloud = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
    if fc_empirical is None or fc_model is None:
        for axes in (split, cloud):
            quiet_axes(axes)
        split.text(0, 0.5, "No free-running simulation to compare.", color=MUTED, va="center")
    else:
        observed, simulated = np.asarray(fc_empirical, float), np.asarray(fc_model, float)
        if observed.shape != simulated.shape:
            raise InputError(f"FC of the recording is {observed.shape}, of the surrogate {simulated.shape}.")
        _draw_split(split, observed, simulated)
        _draw_cloud(cloud, observed, simulated, free.get("fc_r"))
    if verdict:
        _draw_verdict(figure.add_subplot(grid[2, :]), gate)
    return save_figure(figure, out, tight=True)


@styled
def plot_ec_direction(
    ec: ArrayLike, out: Path | str, *, label: str = "Effect (SD per SD of push)", title: str = "Direction"
) -> Path:
    """Draw EC from i to j against EC from j to i, one point per pair, with r(EC, EC transposed).

    Parameters
    ----------
    ec : array (n_regions, n_regions)
        Row = source; NaN = undefined.
    out : path
    label : str
        Quantity and unit.
    title : str
    """
    matrix = np.asarray(ec, float)
    forth, back = matrix[np.triu_indices(len(matrix), 1)], matrix.T[np.triu_indices(len(matrix), 1)]
    known = np.isfinite(forth) & np.isfinite(back)
    forth, back = forth[known], back[known]
    figure = new_figure(width=8.0, height=6.6)
    axes = figure.subplots()
    limit = float(np.abs(np.concatenate([forth, back])).max()) * 1.05 if forth.size else 1.0
    limit = limit or 1.0
    _diagonal(axes, -limit, limit)
    axes.axhline(0, color=RULE, lw=0.8, zorder=0)
    axes.axvline(0, color=RULE, lw=0.8, zorder=0)
    _scatter(axes, forth, back)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-limit, limit)
    axes.set_aspect("equal")
    axes.set_xlabel(f"{label}, region i to j")
    axes.set_ylabel(f"{label}, region j to i")
    if title:
        axes.set_title(title, pad=36)
    axes.text(0, 1.015, direction_words(matrix), transform=axes.transAxes, color=MUTED, va="bottom", fontsize=10.5)
    return save_figure(figure, out, tight=True)


def symmetry(ec: Array) -> float:
    """Return the correlation of the off-diagonal entries of a matrix with those of its transpose; NaN if undefined."""
    off = ~np.eye(len(ec), dtype=bool)
    a, b = ec[off], ec.T[off]
    known = np.isfinite(a) & np.isfinite(b)
    return _correlation(a[known], b[known])


def antisymmetric_share(ec: Array) -> float:
    """Return the share of the sum of squares of the off-diagonal entries that is antisymmetric (0 to 1)."""
    off = ~np.eye(len(ec), dtype=bool)
    total = np.where(np.isfinite(ec) & np.isfinite(ec.T), ec, 0.0)[off]
    odd = np.where(np.isfinite(ec) & np.isfinite(ec.T), (ec - ec.T) / 2, 0.0)[off]
    power = float((total**2).sum())
    return float((odd**2).sum()) / power if power else float("nan")


def direction_words(ec: Array) -> str:
    """Say in words how much direction a matrix bears."""
    r, share = symmetry(ec), antisymmetric_share(ec)
    if not np.isfinite(r):
        return "No pair of regions with effects both ways."
    return (
        f"r(EC, EC transposed) = {signed(r)}; the antisymmetric part, which bears direction and noise,\n"
        f"holds {100 * share:.0f} % of the sum of squares. On the line: equal both ways."
    )


def _correlation(a: Array, b: Array) -> float:
    if a.size < 3 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _draw_scores(axes: Axes, heldout: Mapping[str, Any], model: str) -> None:
    from matplotlib.ticker import MaxNLocator

    rows = [(key, model if key == "r2" else PREDICTORS[key]) for key in _scored(heldout)]
    axes.set_title("Prediction of held-out frames", fontsize=11)
    if not rows:
        quiet_axes(axes)
        axes.text(0, 0.5, "No held-out scores.", color=MUTED)
        return
    for place, (key, _) in enumerate(rows):
        value = float(heldout[key])
        error = heldout.get("r2_se" if key == "r2" else f"gain_over_{key.removeprefix('r2_')}_se")
        axes.barh(place, max(value, LOWEST_R2), height=0.62, color=BLUE if key == "r2" else "#b8c1ca")
        if value < LOWEST_R2:
            _mark_cut(axes, place)
        elif _number(error):
            axes.errorbar(max(value, LOWEST_R2), place, xerr=float(error), color=INK, lw=1, capsize=3)  # type: ignore[arg-type]
        _write_score(axes, place, value, float(error) if _number(error) else 0.0)  # type: ignore[arg-type]
    values = [max(float(heldout[key]), LOWEST_R2) for key, _ in rows]
    span = max(*values, 0) - min(*values, 0) or 1.0
    axes.set_xlim(min(*values, 0) - 0.02 * span, max(*values, 0) + 0.28 * span)
    axes.set_yticks(range(len(rows)), [name for _, name in rows])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.axvline(0, color=INK, lw=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(
        "Held-out R², one frame ahead\n"
        "whiskers: standard error; of the rivals, that of their difference to the surrogate",
        fontsize=10,
    )


def _scored(heldout: Mapping[str, Any]) -> list[str]:
    """Keys of the scores that are drawn; a ridge VAR is not its own rival."""
    same = heldout.get("r2_linear") == heldout.get("r2")
    return [key for key in PREDICTORS if _number(heldout.get(key)) and not (same and key == "r2_linear")]


def _mark_cut(axes: Axes, place: int) -> None:
    """Mark a bar that goes on beyond the axis."""
    axes.plot(LOWEST_R2, place, marker="<", ms=9, color="#6b7480", clip_on=False, zorder=4)


def _write_score(axes: Axes, place: int, value: float, error: float) -> None:
    end = value + error if value > 0 else 0.0
    beyond = " (beyond the axis)" if value < LOWEST_R2 else ""
    axes.annotate(
        signed(value) + beyond, (end, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=10
    )


def _draw_split(axes: Axes, observed: Array, simulated: Array) -> None:
    """Draw the recorded FC below the diagonal and the free-running one above it."""
    from matplotlib import colormaps

    n = len(observed)
    both = np.where(np.tri(n, k=-1, dtype=bool), observed, simulated)
    np.fill_diagonal(both, np.nan)
    limit = max(colour_limit(observed), colour_limit(simulated))
    colours = colormaps[DIVERGING].with_extremes(bad=MISSING)
    times = max(1, 500 // n)
    picture = axes.imshow(
        np.ma.masked_invalid(np.kron(both, np.ones((times, times)))),
        cmap=colours,
        vmin=-limit,
        vmax=limit,
        interpolation="none",
        extent=(0, n, n, 0),
    )
    quiet_axes(axes)
    axes.set_title("Functional connectivity", fontsize=11)
    axes.set_xlabel("below the diagonal: recorded\nabove: free-running surrogate", fontsize=10)
    bar = axes.figure.colorbar(picture, cax=axes.inset_axes((1.04, 0.0, 0.05, 1.0)))  # as tall as the matrix
    bar.set_label("Correlation", fontsize=10)
    bar.outline.set_visible(False)


def _draw_cloud(axes: Axes, observed: Array, simulated: Array, told: float | None = None) -> None:
    """Draw free-running against recorded FC; with the r of the evaluation, over many chains, where it is given."""
    upper = np.triu_indices(len(observed), 1)
    x, y = observed[upper], simulated[upper]
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if x.size == 0:
        quiet_axes(axes)
        return
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    margin = 0.05 * (high - low) or 0.1
    _diagonal(axes, low - margin, high + margin)
    _scatter(axes, x, y)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(low - margin, high + margin)
    axes.set_aspect("equal")
    axes.set_xlabel("Recorded FC (correlation)", fontsize=10)
    axes.set_ylabel("Free-running FC (correlation)", fontsize=10)
    r = float(told) if told is not None and np.isfinite(told) else _correlation(x, y)
    axes.set_title(f"Free-running FC, r = {signed(r)}", fontsize=11)


def _scatter(axes: Axes, x: Array, y: Array) -> None:
    """Draw points; many of them as a picture inside the vector drawing, which would weigh megabytes otherwise."""
    alpha = float(np.clip(300 / max(x.size, 1), 0.08, 0.8))
    axes.scatter(x, y, s=9, color=BLUE, alpha=alpha, lw=0, rasterized=x.size > 1500)


def _diagonal(axes: Axes, low: float, high: float) -> None:
    axes.plot([low, high], [low, high], color=ORANGE, lw=1.2, zorder=0)


def _verdict_height(gate: Mapping[str, Any] | None) -> float:
    return 0.2 + 0.26 * len(_verdict_lines(gate))


def _verdict_lines(gate: Mapping[str, Any] | None) -> list[str]:
    """Return the verdict of the gate as lines of text."""
    if not gate:
        return ["No verdict was recorded for this fit."]
    reasons: Sequence[str] = gate.get("reasons") or ()
    if gate.get("verdict") == "reliable":
        return [
            "Verdict: reliable. Nothing in the checks of the fit speaks against reading its effective connectivity."
        ]
    lines = ["Verdict: unreliable. The effective connectivity of this fit should not be interpreted:"]
    for reason in reasons:
        lines += textwrap.wrap(str(reason), 92, initial_indent="\N{BULLET} ", subsequent_indent="   ")
    return lines


def _draw_verdict(axes: Axes, gate: Mapping[str, Any] | None) -> None:
    quiet_axes(axes)
    first, *rest = _verdict_lines(gate)
    axes.text(0, 1, first, va="top", weight="bold", transform=axes.transAxes, fontsize=10.5)
    if rest:
        axes.annotate(
            "\n".join(rest),
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, -18),
            textcoords="offset points",
            va="top",
            fontsize=10.5,
            linespacing=1.35,
        )


def _number(value: object) -> bool:
    return isinstance(value, int | float | np.floating) and bool(np.isfinite(value))
