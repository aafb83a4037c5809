"""Tables of predicted beside recorded responses: scores, pairs, matrices between regions, mean responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bids_ai.bids.files import write_json
from bids_ai.bids.index import Recording
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import write_relmat, write_table
from bids_ai.stages.ccep_prediction_figures import region_probability
from bids_ai.stages.ccep_recorded import AMPLITUDE
from bids_ai.stages.ccep_responses import Places, Responses
from bids_ai.stages.context import Context, model_label
from bids_ai.stages.evoked import Mean, write_evoked

if TYPE_CHECKING:
    from bids_ai.ccep.scoring.predicted import Predicted
    from bids_ai.ccep.scoring.recorded import Recorded
    from bids_ai.ccep.scoring.verdict import Verdict

#: The split that tables and figures show: no site near the test site, none that shares a contact, no reversed pair.
PRIMARY = "leave-site-out"
#: Models whose matrices between regions are written; the table of comparison has all of them.
MATRICES = ("distance", "sc", "fc", "ec", "ec-ieeg", "distance+sc+fc", "distance+sc+fc+ec")
_UV = 1e6
_HIDDEN = "all other splits hide the pair the other way round, and nothing else is known to it"
#: What the columns of the tables mean.
_COMPARISON_COLUMNS = {
    "contact_1": "First contact of the site; the second is beside it",
    "channel_contact_1": "First contact of the channel; the second is the same where there is one alone",
    "site_region": "Region with the largest share of the middle of the site",
    "channel_region": "Region with the largest share of the channel",
    "distance": "From the channel to the nearer stimulated contact, mm",
    "counted": "Whether the pair is scored",
    "responder": "1: responds, 0: not, n/a: excluded or no data",
    AMPLITUDE: "Recorded amplitude, microvolts; beside it those of odd and of even pulses",
    "n1_latency_ms": "Recorded latency of the N1",
    "score_MODEL": "Larger for larger responses; sc, ec and amplitudes as natural logarithms",
    "probability_MODEL": "Of a response, by a logistic regression on the scores of training sites",
    "latency_ms_MODEL": "Predicted latency, for models that know time",
}
_SCORE_COLUMNS = {
    "model": "Predictor",
    "split": "Which sites trained",
    "metric": "Measure of agreement",
    "radius": "Channels up to this distance from the site are left out, mm",
    "value": "Mean over sites",
    "lower": "Lower end of the 95 % interval (hierarchical bootstrap)",
    "upper": "Upper end",
    "chance": "What a prediction without knowledge has",
    "ceiling": "What a prediction without noise would have, by odd and even pulses",
    "of_ceiling": "value over ceiling",
    "gain_over_distance": "Difference to the prediction by distance, positive if better, with its interval",
    "gain_over_combination": "Difference to distance, SC and FC together, with its interval",
    "gain_over_distance_rest": "Difference to distance and loudness at rest together, with its interval",
    "gain_over_combination_rest": "Difference to distance, loudness at rest, SC and FC together, with its interval",
    "p": "Permutation within site and bins of distance",
    "q": "p adjusted for the false discovery rate over models",
    "reason": "Why a number is missing",
}


class Predictions(NamedTuple):
    """What was predicted and recorded of one recording in one atlas.

    Attributes
    ----------
    entry : Recording
    atlas : str
        Label.
    names : list of str
        Of the regions.
    responses : Responses
    places : Places
    recorded : Recorded
    by_split : dict of str to dict of str to Predicted
        By model, then by split.
    meta : dict
        Of every sidecar.
    """

    entry: Recording
    atlas: str
    names: list[str]
    responses: Responses
    places: Places
    recorded: Recorded
    by_split: dict[str, dict[str, Predicted]]
    meta: dict[str, Any]

    @property
    def primary(self) -> dict[str, Predicted]:
        """Of the primary split, by model."""
        return {model: by_split[PRIMARY] for model, by_split in self.by_split.items() if PRIMARY in by_split}


def write_matrices(context: Context, done: Predictions) -> None:
    """Predicted probability of a response between regions, on the pairs that were tested."""
    for model in MATRICES:
        if model not in done.primary:
            continue
        matrix = region_probability(done.recorded, done.places, done.primary[model])
        if matrix is None:
            continue
        path = context.names.path("ccep_predicted", ieeg=done.entry.item, atlas=done.atlas, model=model_label(model))
        own = {
            "Model": model,
            "Split": PRIMARY,
            "Directed": True,
            "ValidDiagonal": True,
            "NonNegative": True,
            "RowRole": "stimulated region",
            "ColumnRole": "recorded region",
            "RelationshipMeasure": "predicted probability of a response",
            "MeasureUnits": "1",
        }
        write_relmat(path, matrix, done.names, done.meta | own)


def write_waveforms(context: Context, done: Predictions) -> None:
    """Predicted mean responses of the models that know time."""
    times_s = done.recorded.times_s
    for model, one in done.primary.items():
        if one.waveforms is None or times_s is None or not np.isfinite(one.waveforms[0]).any():
            continue
        path = context.names.path(
            "ccep_predicted_average", ieeg=done.entry.item, atlas=done.atlas, model=model_label(model)
        )
        means = [
            Mean(site, data / _UV, 1)
            for site, data in zip(done.responses.sites, np.asarray(one.waveforms[0], float), strict=True)
        ]
        rate = 1.0 / float(times_s[1] - times_s[0])
        write_evoked(path, means, done.responses.channels.names, rate, float(times_s[0]))
        write_json(sidecar(path), done.meta | {"Model": model, "Split": PRIMARY})


def write_comparison(context: Context, done: Predictions) -> None:
    """One row per site and channel: recorded beside what every model said before it saw the site."""
    n_sites, n_channels = done.recorded.layout.shape
    members = done.responses.channels.members
    columns: dict[str, Any] = {
        "site": np.repeat(done.responses.sites, n_channels),
        "contact_1": np.repeat([ends[0] for ends in done.responses.ends], n_channels),
        "contact_2": np.repeat([ends[1] for ends in done.responses.ends], n_channels),
        "channel": np.tile(done.responses.channels.names, n_sites),
        "channel_contact_1": np.tile([own[0] for own in members], n_sites),
        "channel_contact_2": np.tile([own[-1] for own in members], n_sites),
        "site_region": np.repeat(_regions(done.places.site_shares, done.names), n_channels),
        "channel_region": np.tile(_regions(done.places.channel_shares, done.names), n_sites),
        "distance": done.recorded.layout.distances.ravel(),
        "counted": done.recorded.beyond(context.config.ccep.exclusion_mm).ravel(),
        "responder": done.responses.grid("responder").ravel(),
    }
    columns |= {name: done.responses.grid(name).ravel() for name in (AMPLITUDE, "rms_odd_uv", "rms_even_uv")}
    columns |= {"n1_latency_ms": done.responses.grid("n1_latency_ms").ravel()}
    for model, one in done.primary.items():
        columns[f"score_{model}"] = np.asarray(one.score[0]).ravel()
        if one.probability is not None:
            columns[f"probability_{model}"] = np.asarray(one.probability[0]).ravel()
        if one.latency_s is not None:
            columns[f"latency_ms_{model}"] = 1e3 * np.asarray(one.latency_s[0]).ravel()
    path = context.names.path("ccep_comparison", ieeg=done.entry.item, atlas=done.atlas)
    write_table(path, pd.DataFrame(columns))
    own = done.meta | {"Split": PRIMARY, "ExclusionRadius": context.config.ccep.exclusion_mm}
    write_json(sidecar(path), own | {"Columns": _described(_COMPARISON_COLUMNS)})


def _regions(shares: np.ndarray, names: list[str]) -> np.ndarray:
    """Region with the largest share, None for ends outside of all."""
    return np.array([names[int(row.argmax())] if row.any() else None for row in shares], object)


def write_scores(
    context: Context,
    done: Predictions,
    scores: pd.DataFrame,
    found: Verdict,
    surrogate: Verdict | None,
    unreliable: list[str],
) -> None:
    """Write the scores of every model, split and measure, with what they say in a sentence or two.

    Parameters
    ----------
    context : Context
    done : Predictions
    scores : DataFrame
        One row per model, split, measure and radius.
    found : Verdict
        Of effective connectivity.
    surrogate : Verdict, optional
        Of the model of resting iEEG.
    unreliable : list of str
        Fits of effective connectivity that their own checks call unreliable.
    """
    from bids_ai.ccep.prediction.registry import get_predictor

    models = {model: get_predictor(model) for model in done.by_split}
    described = {
        model: {
            "Description": one.label,
            "Source": one.source,
            "WithinPatientCeiling": one.within_patient,
            "Splits": list(done.by_split[model]),
            "Reason": _HIDDEN if one.needs_reversed else next(iter(done.by_split[model].values())).reason,
        }
        for model, one in models.items()
    }
    path = context.names.path("ccep_scores", ieeg=done.entry.item, atlas=done.atlas)
    write_table(path, scores)
    write_json(
        sidecar(path),
        done.meta
        | {
            "Columns": _described(_SCORE_COLUMNS),
            "Models": described,
            "Verdict": found.text,
            "Adds": found.adds,
            "AddsBeyondLoudness": found.beyond_loudness,
            "SurrogateVerdict": surrogate.text if surrogate else None,
            "SurrogateAdds": surrogate.adds if surrogate else None,
            "UnreliableFits": unreliable,
        },
    )


def _described(columns: dict[str, str]) -> dict[str, dict[str, str]]:
    return {name: {"Description": text} for name, text in columns.items()}
