"""Which steps ran for an EEG or iEEG recording, told from the sidecars they left."""

from __future__ import annotations

from bids_ai.bids.index import Recording
from bids_ai.stages.context import Context
from bids_ai.stages.steps import Step, read_sidecar, step


def signal_steps(context: Context, entry: Recording) -> list[Step]:
    """Steps of preprocessing and of the responses to stimulation."""
    meta = read_sidecar(context.names.path(entry.modality, **{entry.modality: entry.item}))
    if meta is None:
        return []
    quality = meta.get("QualityControl", {})
    steps = [step("electrophysiology", "mne")]
    if entry.modality == "eeg":
        steps.append(step("eeg_bad_channels"))
        if quality.get("ica", {}).get("done"):
            steps.append(step("eeg_ica", probability=context.config.eeg.probability))
        return [*steps, step("eeg_band", high_pass=quality.get("high_pass"), low_pass=quality.get("low_pass"))]
    if quality.get("BlankedSamples"):
        steps.append(step("ieeg_blanking"))
    if "differences" in str(quality.get("Reference")):
        steps.append(step("ieeg_bipolar"))
    responses = read_sidecar(context.names.path("ccep_features", ieeg=entry.item)) if entry.stimulated else None
    if responses is None:
        return steps
    own = context.config.ccep
    radius = f"{own.exclusion_mm:g}"
    if own.responder == "pseudo-onset":
        steps.append(step("ccep_test", n_draws=own.n_draws, radius_mm=radius))
    else:
        steps.append(step("ccep_rule", rule=own.responder, radius_mm=radius))
    return [*steps, step("ccep_measures"), *_prediction_steps(context, entry)]


def _prediction_steps(context: Context, entry: Recording) -> list[Step]:
    """Steps of the prediction of responses, in any atlas."""
    scored = [
        meta
        for atlas in context.index.volume_atlases()
        if (meta := read_sidecar(context.names.path("ccep_scores", ieeg=entry.item, atlas=atlas.label)))
    ]
    if not scored:
        return []
    models = [name for name, told in scored[0]["Models"].items() if not told["WithinPatientCeiling"]]
    names = f"{', '.join(models[:-1])} and {models[-1]}" if len(models) > 1 else "".join(models)
    found = [step("ccep_contact_model")] if scored[0]["ContactModel"] == "fitted" else []
    return [*found, step("ccep_prediction", models=names, radius_mm=f"{context.config.ccep.exclusion_mm:g}")]


def series_steps(context: Context, entry: Recording, atlas: str) -> list[Step]:
    """Steps from channels to regions and to their connectivity."""
    if read_sidecar(context.names.timeseries(entry.series, atlas)) is None:
        return []
    steps = [step("eeg_sources" if entry.modality == "eeg" else "ieeg_regions", atlas=atlas)]
    if context.names.path("envelope", series=entry.series, atlas=atlas, band="alpha").is_file():
        steps.append(step("spectral_connectivity"))
    return steps
