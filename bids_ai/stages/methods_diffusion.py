"""Which steps ran for a diffusion series, told from the sidecars they left."""

from __future__ import annotations

from bids_ai.bids.index import Diffusion
from bids_ai.stages.context import Context
from bids_ai.stages.steps import Step, read_sidecar, step, tool_version


def diffusion_steps(context: Context, entry: Diffusion) -> list[Step]:
    """Steps of preprocessing, tractography and matrices of one series."""
    return [*_preprocessing(context, entry), *_connectome(context, entry)]


def _preprocessing(context: Context, entry: Diffusion) -> list[Step]:
    if entry.engine == "qsiprep":
        return [step("qsiprep_derivatives", derivatives_version=tool_version(context.index.derivatives.get("qsiprep")))]
    meta = read_sidecar(context.names.path("dwi", dwi=entry.images))
    if meta is None:
        return []
    quality = meta.get("QualityControl", {})
    engine, distortion = quality.get("denoising", {}).get("engine"), quality.get("distortion", {}).get("method")
    steps = [step("dwi_motion"), step("dwi_registration", space="T1w" if entry.anat else "diffusion series")]
    if engine:
        steps.append(step(f"dwi_denoising_{engine}", "dipy" if engine == "dipy" else None))
    if distortion == "reverse phase encoding":
        steps.append(step("dwi_susceptibility_reverse"))
    return [*steps, step("dwi_tensor", "dipy")]


def _connectome(context: Context, entry: Diffusion) -> list[Step]:
    for atlas in context.index.volume_atlases():
        meta = read_sidecar(context.names.path("sc_weight", dwi=entry.images, atlas=atlas.label))
        if meta is None:
            continue
        tracking = meta.get("Tracking", {})
        return [
            step(f"fibres_{str(tracking.get('model')).replace('-', '_')}", "dipy"),
            step(
                f"tracking_{tracking.get('engine')}",
                n_streamlines=tracking.get("streamlines"),
                algorithm=tracking.get("algorithm"),
            ),
            step("streamline_weights", radius_mm=f"{context.config.structural_connectivity.search_radius_mm:g}"),
        ]
    return []
