"""Prediction of the responses to sites that were not seen, against those recorded: scores, tables, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_ai.bids.files import write_json
from bids_ai.bids.index import Recording
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import write_relmat, write_table
from bids_ai.stages import ccep_prediction_figures as figures
from bids_ai.stages.ccep_connectivity import Connectivity, connectivity_of
from bids_ai.stages.ccep_recorded import AMPLITUDE, recorded_of
from bids_ai.stages.ccep_responses import Places, Responses, places_of
from bids_ai.stages.contact_model import contact_model_reason
from bids_ai.stages.context import Context, model_label
from bids_ai.stages.evoked import Mean, write_evoked
from bids_ai.stages.inputs import read_nodes
from bids_ai.stages.sidecars import atlas_identity, sources, versions

if TYPE_CHECKING:
    from bids_ai.ccep.scoring.predicted import Predicted
    from bids_ai.ccep.scoring.recorded import Recorded

#: The split that tables and figures show: no site near the test site, none that shares a contact, no reversed pair.
PRIMARY = "leave-site-out"
#: What the question needs, in words.
_WANTED = {
    "sc": "structural connectivity (of DWI, or structural_connectivity.group)",
    "fc": "functional connectivity (of BOLD)",
    "ec": "effective connectivity (of BOLD)",
}
#: Models whose matrices between regions are written; the table of comparison has all of them.
MATRICES = ("distance", "sc", "fc", "ec", "ec-ieeg", "distance+sc+fc", "distance+sc+fc+ec")
_UV = 1e6


def run(context: Context, ieeg: str, atlas: str) -> None:
    """Predict and score the responses of one recording in one atlas."""
    from bids_ai.ccep.prediction.cross import predict_all
    from bids_ai.ccep.prediction.registry import PREDICTORS
    from bids_ai.ccep.scoring.splits import PLAIN

    entry = context.index.recording(ieeg)
    nodes = read_nodes(context, atlas)
    names = [str(name) for name in nodes["name"]]
    responses = Responses.read(context, entry)
    places = places_of(context, entry, atlas, responses)
    connectivity = connectivity_of(context, entry, atlas, names)
    recorded = recorded_of(context, entry, responses, places, connectivity)
    wanted = context.config.prediction.predictors or list(PREDICTORS)
    # Other patients are scored at the group level.
    predictions = predict_all(recorded, wanted, [PRIMARY, "leave-lead-out", PLAIN])
    scores = _scores(context, recorded, predictions)
    meta = {
        "Amplitude": f"{AMPLITUDE}: RMS of the average from 11 to 100 ms",
        "ContactModel": contact_model_reason(context, ieeg) or "fitted",
        "Connectivity": sorted(connectivity.matrices),
        "AtlasTransformation": places.method,
        "Sources": sources(
            context,
            context.names.path("ccep_features", ieeg=ieeg),
            context.names.path("ccep_average", ieeg=ieeg),
            context.names.path("contact_ec", ieeg=ieeg),
            *connectivity.sources,
        ),
        "RandomSeed": context.config.random_seed,
        "PackageVersions": versions("numpy", "scipy", "torch"),
    } | atlas_identity(context, atlas)
    primary = {model: by_split[PRIMARY] for model, by_split in predictions.items() if PRIMARY in by_split}
    _publish_matrices(context, entry, atlas, names, places, recorded, primary, meta)
    _publish_waveforms(context, entry, atlas, responses, recorded, primary, meta)
    _publish_comparison(context, entry, atlas, names, places, responses, recorded, primary, meta)
    shown = scores[(scores["split"] == PRIMARY) & (scores["radius"] == context.config.ccep.exclusion_mm)]
    effective = connectivity.matrices.get("ec")
    units = connectivity.units
    figures.draw(context, entry, atlas, nodes, responses, places, recorded, primary, shown, effective, units)
    _publish_scores(context, entry, atlas, scores, predictions, connectivity, meta)


def _scores(context: Context, recorded: Recorded, predictions: dict[str, dict[str, Predicted]]) -> pd.DataFrame:
    """Scores of everything, and the primary measure again for other radii of exclusion."""
    from bids_ai.ccep.matrices import SENSITIVITY_MM
    from bids_ai.ccep.scoring.table import score_table

    own, radius = context.config.prediction, context.config.ccep.exclusion_mm
    common: dict[str, Any] = {"n_bootstrap": own.n_bootstrap, "seed": context.config.random_seed}
    table = score_table(recorded, predictions, radius_mm=radius, n_permutations=own.n_permutations, **common)
    table.insert(3, "radius", radius)
    primary = {model: {PRIMARY: by_split[PRIMARY]} for model, by_split in predictions.items() if PRIMARY in by_split}
    parts = [table]
    for other in SENSITIVITY_MM:
        if other != radius:
            again = score_table(recorded, primary, radius_mm=other, n_permutations=0, **common)
            again.insert(3, "radius", other)
            parts.append(again[again["metric"] == "spearman"])
    return pd.concat(parts, ignore_index=True)


def _publish_scores(
    context: Context,
    entry: Recording,
    atlas: str,
    scores: pd.DataFrame,
    predictions: dict[str, dict[str, Predicted]],
    connectivity: Connectivity,
    meta: dict[str, Any],
) -> None:
    from bids_ai.ccep.prediction.registry import get_predictor
    from bids_ai.ccep.scoring.verdict import verdict

    lacking = [words for key, words in _WANTED.items() if key not in connectivity.matrices]
    caution = "The effective connectivity is of a fit that its own checks call unreliable." * bool(
        connectivity.unreliable
    )
    found = verdict(
        scores[scores["radius"] == context.config.ccep.exclusion_mm],
        missing=f"there is no {' and no '.join(lacking)}" if lacking else "",
        caution=caution,
    )
    models = {model: get_predictor(model) for model in predictions}
    described = {
        model: {
            "Description": one.label,
            "Source": one.source,
            "WithinPatientCeiling": one.within_patient,
            "Reason": next(iter(predictions[model].values())).reason,
        }
        for model, one in models.items()
    }
    path = context.names.path("ccep_scores", ieeg=entry.item, atlas=atlas)
    write_table(path, scores)
    columns = {
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
        "p": "Permutation within site and bins of distance",
        "q": "p adjusted for the false discovery rate over models",
        "reason": "Why a number is missing",
    }
    described_columns = {name: {"Description": text} for name, text in columns.items()}
    write_json(
        sidecar(path),
        meta
        | {
            "Columns": described_columns,
            "Models": described,
            "Verdict": found.text,
            "Adds": found.adds,
            "UnreliableFits": connectivity.unreliable,
        },
    )


def _publish_comparison(
    context: Context,
    entry: Recording,
    atlas: str,
    names: list[str],
    places: Places,
    responses: Responses,
    recorded: Recorded,
    predicted: dict[str, Predicted],
    meta: dict[str, Any],
) -> None:
    """One row per site and channel: recorded beside what every model said before it saw the site."""
    n_sites, n_channels = recorded.layout.shape
    members = responses.channels.members
    columns: dict[str, Any] = {
        "site": np.repeat(responses.sites, n_channels),
        "contact_1": np.repeat([ends[0] for ends in responses.ends], n_channels),
        "contact_2": np.repeat([ends[1] for ends in responses.ends], n_channels),
        "channel": np.tile(responses.channels.names, n_sites),
        "channel_contact_1": np.tile([own[0] for own in members], n_sites),
        "channel_contact_2": np.tile([own[-1] for own in members], n_sites),
        "site_region": np.repeat(_regions(places.site_shares, names), n_channels),
        "channel_region": np.tile(_regions(places.channel_shares, names), n_sites),
        "distance": recorded.layout.distances.ravel(),
        "counted": recorded.beyond(context.config.ccep.exclusion_mm).ravel(),
        "responder": responses.grid("responder").ravel(),
    }
    columns |= {name: responses.grid(name).ravel() for name in (AMPLITUDE, "rms_odd_uv", "rms_even_uv")}
    columns |= {"n1_latency_ms": responses.grid("n1_latency_ms").ravel()}
    for model, one in predicted.items():
        columns[f"score_{model}"] = np.asarray(one.score[0]).ravel()
        if one.probability is not None:
            columns[f"probability_{model}"] = np.asarray(one.probability[0]).ravel()
        if one.latency_s is not None:
            columns[f"latency_ms_{model}"] = 1e3 * np.asarray(one.latency_s[0]).ravel()
    path = context.names.path("ccep_comparison", ieeg=entry.item, atlas=atlas)
    write_table(path, pd.DataFrame(columns))
    words = {
        "contact_1": "First contact of the site; the second is beside it",
        "channel_contact_1": "First contact of the channel; the second is the same where there is one alone",
        "site_region": "Region with the largest share of the middle of the site",
        "channel_region": "Region with the largest share of the channel",
        "distance": "From the channel to the nearer stimulated contact, mm",
        "counted": "Whether the pair is scored",
        "responder": "1: responds, 0: not, n/a: excluded or no data",
        AMPLITUDE: "Recorded amplitude, microvolts; beside it those of odd and of even pulses",
        "n1_latency_ms": "Recorded latency of the N1",
        "score_MODEL": "Larger for larger responses, in the unit of the model",
        "probability_MODEL": "Of a response, by a logistic regression on the scores of training sites",
        "latency_ms_MODEL": "Predicted latency, for models that know time",
    }
    own = meta | {"Split": PRIMARY, "ExclusionRadius": context.config.ccep.exclusion_mm}
    write_json(sidecar(path), own | {"Columns": {k: {"Description": v} for k, v in words.items()}})


def _regions(shares: np.ndarray, names: list[str]) -> np.ndarray:
    """Region with the largest share, None for ends outside of all."""
    return np.array([names[int(row.argmax())] if row.any() else None for row in shares], object)


def _publish_matrices(
    context: Context,
    entry: Recording,
    atlas: str,
    names: list[str],
    places: Places,
    recorded: Recorded,
    predicted: dict[str, Predicted],
    meta: dict[str, Any],
) -> None:
    """Predicted probability of a response between regions, on the pairs that were tested."""
    for model in MATRICES:
        matrix = figures.region_probability(recorded, places, predicted[model]) if model in predicted else None
        if matrix is None:
            continue
        path = context.names.path("ccep_predicted", ieeg=entry.item, atlas=atlas, model=model_label(model))
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
        write_relmat(path, matrix, names, meta | own)


def _publish_waveforms(
    context: Context,
    entry: Recording,
    atlas: str,
    responses: Responses,
    recorded: Recorded,
    predicted: dict[str, Predicted],
    meta: dict[str, Any],
) -> None:
    """Predicted mean responses of the models that know time."""
    times_s = recorded.times_s
    for model, one in predicted.items():
        if one.waveforms is None or times_s is None or not np.isfinite(one.waveforms[0]).any():
            continue
        path = context.names.path("ccep_predicted_average", ieeg=entry.item, atlas=atlas, model=model_label(model))
        means = [
            Mean(site, data / _UV, 1)
            for site, data in zip(responses.sites, np.asarray(one.waveforms[0], float), strict=True)
        ]
        rate = 1.0 / float(times_s[1] - times_s[0])
        write_evoked(path, means, responses.channels.names, rate, float(times_s[0]))
        write_json(sidecar(path), meta | {"Model": model, "Split": PRIMARY})
