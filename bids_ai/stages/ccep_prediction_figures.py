"""Figures of predicted against recorded responses of one recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_ai.bids.index import Recording
from bids_ai.errors import InputError
from bids_ai.stages.ccep_responses import Places, Responses
from bids_ai.stages.context import Context

if TYPE_CHECKING:
    from bids_ai.ccep.scoring.predicted import Predicted
    from bids_ai.ccep.scoring.recorded import Recorded

#: Models whose prediction is drawn, the first that says anything; chosen before anything is scored.
SHOWN = ("distance+sc+fc+ec", "distance+sc+fc", "ec", "impulse-refined", "impulse-response", "distance")
#: Models whose waveforms are drawn, the first that gives any.
SHOWN_WAVES = ("evoked-kernel", "impulse-refined", "impulse-response", "jansen-rit")
#: Most responses whose waveforms are drawn.
_MAX_WAVES = 12


def draw(
    context: Context,
    entry: Recording,
    atlas: str,
    nodes: pd.DataFrame,
    responses: Responses,
    places: Places,
    recorded: Recorded,
    primary: dict[str, Predicted],
    scores: pd.DataFrame,
    effective: np.ndarray | None,
    units: str,
) -> None:
    """Draw scores, matrices, maps of a stimulated and of a recorded region, amplitudes by site, and waveforms.

    Parameters
    ----------
    context : Context
    entry : Recording
    atlas : str
    nodes : DataFrame
    responses : Responses
    places : Places
    recorded : Recorded
    primary : dict of str to Predicted
        Under the primary split.
    scores : DataFrame
        Of the primary split and radius.
    effective : array (n_regions, n_regions) or None
        Effective connectivity at rest.
    units : str
        Of it.
    """
    holes = {"ephys": entry.item, "atlas": atlas}
    _draw_scores(context, holes, scores)
    shown = next((name for name in SHOWN if _says(primary.get(name))), None)
    if shown is None:
        return
    _draw_sites(context, holes, responses, recorded, shown, primary[shown])
    _draw_regions(context, holes, nodes, places, recorded, shown, primary[shown], effective, units)
    timed = next((name for name in SHOWN_WAVES if name in primary and primary[name].waveforms is not None), None)
    if timed is not None:
        _draw_waveforms(context, holes, responses, recorded, timed, primary[timed])


def _says(predicted: Predicted | None) -> bool:
    return predicted is not None and bool(np.isfinite(predicted.score[0]).any())


def _draw_scores(context: Context, holes: dict[str, str], scores: pd.DataFrame) -> None:
    from bids_ai.ccep.prediction.kinds import KINDS, kind_of
    from bids_ai.report.figures.prediction import plot_scores

    table = scores[scores["metric"] == "spearman"]
    if table.empty:  # only models that the split does not define
        return
    order = sorted(table["model"], key=lambda model: KINDS.index(kind_of(model)))
    table = table.set_index("model").loc[order].reset_index()
    kinds = [kind_of(model) for model in order]
    plot_scores(table, kinds, context.names.figure("prediction_scores_figure", **holes))


def _draw_sites(
    context: Context, holes: dict[str, str], responses: Responses, recorded: Recorded, model: str, predicted: Predicted
) -> None:
    from bids_ai.ccep.scoring.ranks import row_spearman
    from bids_ai.report.figures.prediction import plot_sites

    counted = recorded.beyond(context.config.ccep.exclusion_mm)
    score = np.asarray(predicted.score[0])
    values = score if predicted.probability is None else np.asarray(predicted.probability[0])
    pairs = counted & np.isfinite(score)
    plot_sites(
        np.where(counted, values, np.nan),
        np.where(counted, recorded.amplitude, np.nan),
        np.full(values.shape, np.nan) if recorded.responder is None else recorded.responder,
        responses.sites,
        context.names.figure("prediction_sites_figure", **holes),
        rho=row_spearman(recorded.amplitude, score, pairs),
        label=("Score" if predicted.probability is None else "Predicted probability of a response") + f" ({model})",
    )


def _draw_regions(
    context: Context,
    holes: dict[str, str],
    nodes: pd.DataFrame,
    places: Places,
    recorded: Recorded,
    model: str,
    predicted: Predicted,
    effective: np.ndarray | None,
    units: str,
) -> None:
    from bids_ai.ccep.matrices import pair_matrices
    from bids_ai.report.figures.brain_maps import plot_region_maps
    from bids_ai.report.figures.prediction_regions import Panel, plot_prediction_matrices
    from bids_ai.stages.ec_words import SHORT_UNITS

    expected = region_probability(recorded, places, predicted)
    if expected is None or recorded.responder is None:
        return
    found = pair_matrices(recorded.responder, {}, places.site_shares, places.channel_shares)
    if not (found.tested > 0).any():
        return
    panels = [
        Panel("Recorded", "Probability of a response", found.probability),
        Panel(f"Predicted for sites not seen ({model})", "Probability of a response", expected),
    ]
    if effective is not None:
        panels.append(
            Panel(
                "Effective connectivity at rest",
                f"Size ({SHORT_UNITS.get(units, units)})" if units else "Size",
                np.abs(effective),
                None,
            )
        )
    plot_prediction_matrices(panels, found.tested, nodes, context.names.figure("prediction_matrices_figure", **holes))
    for key, axis, words in (("output", 1, "Responses to stimulation of"), ("input", 0, "Responses recorded in")):
        region = _region(context, key, nodes, found.tested.sum(axis=axis))
        if region is None:
            continue
        both = {"Recorded": found.probability, "Predicted": expected}
        maps = {what: matrix[region] if axis else matrix[:, region] for what, matrix in both.items()}
        title = f"{words} {nodes['name'].iloc[region]}"
        path = context.names.figure(f"prediction_{key}_figure", **holes)
        try:
            plot_region_maps(
                maps, nodes, region, path, title=title, label="Probability of a response", limits=(0.0, 1.0)
            )
        except InputError:  # a table without coordinates
            return


def _region(context: Context, key: str, nodes: pd.DataFrame, tested: np.ndarray) -> int | None:
    """Region to map: the one asked for if the atlas has it, otherwise a landmark, otherwise that with most pairs."""
    from bids_ai.group.landmarks import find_landmarks

    names = [str(name) for name in nodes["name"]]
    asked = getattr(context.config.prediction, f"{key}_region")
    if asked in names:
        return names.index(asked)
    strength = np.where(tested > 0, tested, np.nan)
    if not np.isfinite(strength).any():
        return None
    place = find_landmarks(names, strength).get("dlPFC" if key == "output" else "PCC")
    return int(np.nanargmax(strength)) if place is None else place


def region_probability(recorded: Recorded, places: Places, predicted: Predicted) -> np.ndarray | None:
    """Mean predicted probability between regions over tested pairs; None without probabilities, or without regions."""
    from bids_ai.ccep.matrices import pair_matrices

    known = places.site_shares.any() and places.channel_shares.any()
    if predicted.probability is None or recorded.responder is None or not known:
        return None
    probability = np.asarray(predicted.probability[0])
    tested = np.where(np.isfinite(recorded.responder) & np.isfinite(probability), 1.0, np.nan)
    found = pair_matrices(tested, {"p": probability}, places.site_shares, places.channel_shares)
    return found.features["p"]


def _draw_waveforms(
    context: Context, holes: dict[str, str], responses: Responses, recorded: Recorded, model: str, predicted: Predicted
) -> None:
    """Draw the largest response of each site, largest first: what is shown does not depend on the prediction."""
    from bids_ai.report.figures.prediction import plot_waveforms

    whole, odd, even, times_s = recorded.waveforms, recorded.waveforms_odd, recorded.waveforms_even, recorded.times_s
    if whole is None or odd is None or even is None or times_s is None:
        return
    if recorded.responder is None or predicted.waveforms is None:
        return
    foreseen = np.asarray(predicted.waveforms[0], float)
    shown = recorded.beyond(context.config.ccep.exclusion_mm) & (recorded.responder == 1)
    shown &= np.isfinite(foreseen).any(axis=-1)
    size = np.where(shown, recorded.amplitude, -np.inf)
    pairs = [(site, int(size[site].argmax())) for site in range(len(size)) if shown[site].any()]
    pairs = sorted(pairs, key=lambda pair: -size[pair])[:_MAX_WAVES]
    if not pairs:
        return
    picked = tuple(np.array(pairs).T)
    names = [f"{responses.sites[site]} to {responses.channels.names[channel]}" for site, channel in pairs]
    path = context.names.figure("prediction_waveforms_figure", **holes)
    plot_waveforms(
        whole[picked],
        odd[picked],
        even[picked],
        foreseen[picked],
        times_s,
        names,
        path,
        model=f"predicted by {model}",
    )
