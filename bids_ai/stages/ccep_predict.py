"""Prediction of the responses to sites that were not seen, scored against those recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from bids_ai.stages import ccep_prediction_figures as figures
from bids_ai.stages import ccep_prediction_tables as tables
from bids_ai.stages.ccep_connectivity import Connectivity, connectivity_of
from bids_ai.stages.ccep_prediction_tables import PRIMARY, Predictions
from bids_ai.stages.ccep_recorded import AMPLITUDE, recorded_of
from bids_ai.stages.ccep_responses import Responses, places_of
from bids_ai.stages.contact_model import contact_model_reason
from bids_ai.stages.context import Context
from bids_ai.stages.inputs import read_nodes
from bids_ai.stages.sidecars import atlas_identity, sources, versions

if TYPE_CHECKING:
    from bids_ai.ccep.scoring.predicted import Predicted
    from bids_ai.ccep.scoring.recorded import Recorded
    from bids_ai.ccep.scoring.verdict import Verdict

#: What the question needs, in words.
_WANTED = {
    "sc": "structural connectivity (of DWI, or structural_connectivity.group)",
    "fc": "functional connectivity (of BOLD)",
    "ec": "effective connectivity (of BOLD)",
}


def run(context: Context, ieeg: str, atlas: str) -> None:
    """Predict and score the responses of one recording in one atlas."""
    from bids_ai.ccep.prediction.cross import predict_all
    from bids_ai.ccep.prediction.registry import PREDICTORS
    from bids_ai.ccep.scoring.splits import PLAIN
    from bids_ai.ccep.scoring.verdict import surrogate_verdict

    entry = context.index.recording(ieeg)
    nodes = read_nodes(context, atlas)
    names = [str(name) for name in nodes["name"]]
    responses = Responses.read(context, entry)
    places = places_of(context, entry, atlas, responses)
    connectivity = connectivity_of(context, entry, atlas, names)
    recorded = recorded_of(context, entry, responses, places, connectivity)
    wanted = context.config.prediction.predictors or list(PREDICTORS)
    # Other patients are scored at the group level.
    predictions = _defined(predict_all(recorded, wanted, [PRIMARY, "leave-lead-out", PLAIN]))
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
    done = Predictions(entry, atlas, names, responses, places, recorded, predictions, meta)
    tables.write_matrices(context, done)
    tables.write_waveforms(context, done)
    tables.write_comparison(context, done)
    shown = scores[(scores["split"] == PRIMARY) & (scores["radius"] == context.config.ccep.exclusion_mm)]
    effective = connectivity.matrices.get("ec")
    units = connectivity.units
    figures.draw(context, entry, atlas, nodes, responses, places, recorded, done.primary, shown, effective, units)
    asked = scores[scores["radius"] == context.config.ccep.exclusion_mm]
    found = _verdict(asked, connectivity, located=recorded.layout.site_shares is not None)
    tables.write_scores(context, done, scores, found, surrogate_verdict(asked), connectivity.unreliable)


def _defined(predictions: dict[str, dict[str, Predicted]]) -> dict[str, dict[str, Predicted]]:
    """Without the splits in which a model is undefined whatever the data: rows of nothing but n/a say nothing."""
    from bids_ai.ccep.prediction.registry import get_predictor
    from bids_ai.ccep.scoring.splits import PLAIN

    found = {}
    for model, by_split in predictions.items():
        hidden = get_predictor(model).needs_reversed
        found[model] = {split: one for split, one in by_split.items() if split == PLAIN or not hidden}
    return found


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


def _verdict(scores: pd.DataFrame, connectivity: Connectivity, *, located: bool) -> Verdict:
    from bids_ai.ccep.scoring.verdict import verdict

    lacking = [words for key, words in _WANTED.items() if key not in connectivity.matrices]
    missing = f"there is no {' and no '.join(lacking)}" if lacking else ""
    caution = "The effective connectivity is of a fit that its own checks call unreliable."
    return verdict(
        scores,
        missing=missing if located else "it is not known which regions the contacts lie in",
        caution=caution if connectivity.unreliable else "",
    )
