"""Which engine tracks, and tracking with it."""

from __future__ import annotations

from bids_ai.connectome.tracking_dipy import DipyEngine
from bids_ai.connectome.tracking_mrtrix3 import Mrtrix3Engine
from bids_ai.connectome.tractography import Engine, FibreField, Tracking, TrackingSettings, interface_weights
from bids_ai.errors import InputError, UsageError


def engines() -> dict[str, Engine]:
    """All engines by name."""
    known: tuple[Engine, ...] = (DipyEngine(), Mrtrix3Engine())
    return {engine.name: engine for engine in known}


def choose_engine(name: str = "auto") -> Engine:
    """Return an engine that can run; "auto" is mrtrix3 where its programs are on PATH, else dipy.

    Raises
    ------
    UsageError
        For an unknown engine, or one that is not installed.
    """
    known = engines()
    if name == "auto":
        return known["dipy"] if known["mrtrix3"].missing() else known["mrtrix3"]
    if name not in known:
        raise UsageError(f"Unknown tractography engine '{name}': use auto, {', '.join(known)}.")
    missing = known[name].missing()
    if missing:
        raise UsageError(f"Tractography engine '{name}' cannot run: {missing} Or use the engine 'dipy'.")
    return known[name]


def track(field: FibreField, settings: TrackingSettings | None = None, *, seed: int, engine: str = "auto") -> Tracking:
    """Track streamlines with an engine.

    Parameters
    ----------
    field : FibreField
    settings : TrackingSettings, optional
    seed : int
    engine : {"auto", "dipy", "mrtrix3"}

    Returns
    -------
    Tracking

    Raises
    ------
    UsageError
        As `choose_engine`.
    InputError
        If the tissue maps have no interface of grey and white matter, or no streamline is valid.
    """
    chosen = choose_engine(engine)
    if not interface_weights(field).any():
        raise InputError("Grey and white matter meet nowhere in the tissue maps; there is nothing to seed from.")
    found = chosen.track(field, settings or TrackingSettings(), seed)
    if not len(found.streamlines):
        told = ", ".join(f"{count} {reason}" for reason, count in found.rejected.items())
        raise InputError(
            f"No valid streamline from {found.n_seeds} seeds ({told}). Look at the gradient table and at the alignment "
            "of the tissue maps with the diffusion images."
        )
    return found
