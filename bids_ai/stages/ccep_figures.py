"""Figures of the responses to stimulation of one recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_ai.bids.index import Recording
from bids_ai.stages.contact_places import Channels
from bids_ai.stages.context import Context

if TYPE_CHECKING:
    from bids_ai.ccep.recording import RecordingCcep


def draw_responses(
    context: Context,
    entry: Recording,
    found: RecordingCcep,
    sites: list[str],
    channels: Channels,
    distance: np.ndarray,
) -> None:
    """Draw mean responses, their matrices, and how they go with distance and number of pulses."""
    from bids_ai.report.figures import ccep, ccep_matrices

    holes = {"ephys": entry.item}
    radius = context.config.ccep.exclusion_mm
    own, responder = [sites[number] for number in found.measured], found.responder == 1
    n_pulses = [len(found.planned[number].pulses) for number in found.measured]
    ccep.plot_responses(
        found.averages,
        found.times_s,
        own,
        channels.names,
        context.names.figure("ccep_responses_figure", **holes),
        responder=responder,
        excluded=found.excluded,
        n_pulses=n_pulses,
        radius_mm=radius,
    )
    if np.isfinite(distance).any():
        path = context.names.figure("ccep_distance_figure", **holes)
        ccep.plot_distance(distance, found.features["rms_uv"], responder, path, radius_mm=radius)
    table = pd.DataFrame({"n_pulses": n_pulses, "n_tested": np.isfinite(found.responder).sum(axis=1)})
    table = table.assign(n_responders=responder.sum(axis=1)).groupby("n_pulses", as_index=False).sum()
    ccep.plot_pulses(table, context.names.figure("ccep_pulses_figure", **holes))
    groups = [str(group) if isinstance(group, str) else "no lead" for group in channels.table["group"]]
    silent = found.responder == 0
    shown = {"amplitude": np.abs(found.features["n1_uv"]), "latency": found.features["n1_latency_ms"]}
    for kind, values in shown.items():
        cells = np.where(responder, values, np.nan)
        path = context.names.figure(f"ccep_{kind}_figure", **holes)
        ccep_matrices.plot_ccep_matrix(
            cells, own, channels.names, groups, path, kind=kind, excluded=found.excluded, silent=silent
        )


def draw_contacts(
    context: Context, entry: Recording, channels: Channels, found: RecordingCcep, contacts: list[str]
) -> None:
    """Draw the contacts in the brain that they lie in; nothing where that is not known."""
    from bids_ai.report.figures.electrodes import plot_electrodes

    electrodes = channels.electrodes
    if electrodes is None or not electrodes.usable:
        return
    stimulated = {contacts[end] for number in found.measured for end in found.planned[number].contacts}
    good = {name for members in channels.members for name in members}
    table = pd.DataFrame(electrodes.positions_mm, columns=["x", "y", "z"]).assign(name=list(electrodes.names))
    table = table.assign(bad=~table["name"].isin(good), stimulated=table["name"].isin(stimulated))
    mask = context.names.path("t1w_mask", anat=entry.anat or "")
    native = electrodes.frame.scanner and entry.anat is not None and mask.is_file()
    if not native and electrodes.frame.kind != "template":
        return  # the outline of another brain would put contacts where they are not
    brain = mask if native else None
    path = context.names.figure("electrodes_figure", ephys=entry.item)
    plot_electrodes(table, path, brain=brain, space=electrodes.frame.label)
