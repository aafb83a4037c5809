"""Tractography with dipy: in parallel threads, stopped by tissue maps. Runs everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from bids_ai.connectome.harmonics import FloatArray, axes_on_sphere, basis, into_frame, n_coefficients
from bids_ai.connectome.streamlines import Streamlines
from bids_ai.connectome.tractography import (
    FibreField,
    Tracking,
    TrackingSettings,
    interface_seeds,
    judge,
    peak_amplitudes,
    typical_peak,
)

#: Directions a step can take, about 8 degrees apart.
_SPHERE = "symmetric642"
#: Amplitudes tabulated for every voxel make tracking three times as fast, but may not take more than this, bytes.
_LARGEST_TABLE = 1.5e9
#: Amplitudes below that part of the largest in a voxel are not followed (dipy's default).
_LOCAL_THRESHOLD = 0.1
_LARGEST_ANGLE_DEG = 60.0
#: Seeds per round at most: streamlines of a round are held before they are judged.
_SEEDS_PER_ROUND = 50_000


class DipyEngine:
    """Trackers of `dipy.tracking.tracker` with the stopping criterion of anatomical constraints."""

    name = "dipy"

    def missing(self) -> str | None:
        """Nothing: dipy is a dependency."""
        return None

    def track(self, field: FibreField, settings: TrackingSettings, seed: int) -> Tracking:
        """Track in rounds of seeds until enough streamlines are valid or the seeds run out.

        dipy follows directions of the voxel grid, so that tracking is done in its axes, in millimetres.

        Returns
        -------
        Tracking
        """
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0x7AC7]))
        fod, box = _on_grid(field, settings.cutoff)
        amplitudes = _amplitudes(fod, field.order)
        most = int(settings.seeds_per_streamline * settings.n_streamlines)
        found: list[Streamlines] = []
        rejected: dict[str, int] = {}
        n_valid = n_seeds = 0
        while n_valid < settings.n_streamlines and n_seeds < most:
            share = n_valid / n_seeds if n_valid else 0.25
            wanted = int(1.1 * (settings.n_streamlines - n_valid) / share) + 100
            seeds = interface_seeds(field, min(wanted, _SEEDS_PER_ROUND, most - n_seeds), rng)
            if not len(seeds):
                break
            n_seeds += len(seeds)
            lines = self._round(field, fod, amplitudes, box, seeds, settings, rng)
            valid, faults = judge(lines, field, settings)
            rejected = {reason: rejected.get(reason, 0) + count for reason, count in faults.items()}
            rejected["no fibre at the seed"] = rejected.get("no fibre at the seed", 0) + len(seeds) - len(lines)
            found.append(lines.select(valid))
            n_valid += int(valid.sum())
        streamlines = Streamlines.concatenate(found)
        notes: tuple[str, ...] = ()
        if len(streamlines) < settings.n_streamlines:
            notes = (f"{len(streamlines)} of {settings.n_streamlines} streamlines were found from {n_seeds} seeds.",)
        kept = streamlines.select(np.arange(min(len(streamlines), settings.n_streamlines)))
        return Tracking(kept, n_seeds, rejected, self.name, settings, notes)

    def _round(
        self,
        field: FibreField,
        fod: FloatArray,
        amplitudes: dict[str, Any],
        box: tuple[slice, ...],
        seeds: FloatArray,
        settings: TrackingSettings,
        rng: np.random.Generator,
    ) -> Streamlines:
        from dipy.data import get_sphere
        from dipy.tracking.stopping_criterion import ActStoppingCriterion
        from dipy.tracking.tracker import deterministic_tracking, probabilistic_tracking

        edges = field.voxel_mm
        # World -> the box's own millimetres: voxel axes without rotation, which is how dipy takes directions.
        corner = np.array([part.start for part in box])
        inverse = np.linalg.inv(field.affine)
        local = (seeds @ inverse[:3, :3].T + inverse[:3, 3] - corner) * edges
        step = settings.step_mm or float(edges.mean()) / 2
        angle = min(settings.max_angle_deg * step / (edges.mean() / 2), _LARGEST_ANGLE_DEG)
        directions = _draw_directions(fod, field.order, local / edges, rng)
        started = np.linalg.norm(directions, axis=1) > 0
        if not started.any():
            return Streamlines.from_list([])
        maps = [np.ascontiguousarray(image[box], dtype=float) for image in (field.wm, field.gm, field.csf)]
        tracker = deterministic_tracking if settings.algorithm == "deterministic" else probabilistic_tracking
        lines = tracker(
            local[started],
            ActStoppingCriterion.from_pve(*maps),
            np.diag([*edges, 1.0]),
            seed_directions=directions[started],
            # Limits are judged by `judge`, the same for every engine; here they only bound the work.
            min_len=0,
            max_len=settings.max_length_mm + 2 * step,
            step_size=step,
            voxel_size=edges,
            max_angle=angle,
            pmf_threshold=_LOCAL_THRESHOLD,
            sphere=get_sphere(name=_SPHERE),
            **amplitudes,
            nbr_threads=settings.n_threads,
            random_seed=int(rng.integers(1, 2**31)),
            return_all=True,
        )
        kept = Streamlines.from_list([line for line in lines if len(line) > 1])
        voxels = kept.points / edges + corner
        return Streamlines(
            np.asarray(voxels @ field.affine[:3, :3].T + field.affine[:3, 3], dtype=np.float32), kept.offsets
        )


def _on_grid(field: FibreField, cutoff: float) -> tuple[FloatArray, tuple[slice, ...]]:
    """FOD of directions on the voxel grid, zero where too weak, cut to the box that holds brain; and the box."""
    brain = (field.wm + field.gm) > 0
    box = tuple(
        slice(max(part.start - 2, 0), min(part.stop + 2, n))
        for part, n in zip(ndimage.find_objects(brain.astype(np.uint8))[0], brain.shape, strict=True)
    )
    rotation = field.affine[:3, :3] / field.voxel_mm
    fod = np.ascontiguousarray(field.fod[box] @ into_frame(field.order, rotation).T)
    peaks = peak_amplitudes(fod, field.order)
    fod[peaks < cutoff * typical_peak(peaks, field.wm[box])] = 0
    return fod, box


def _amplitudes(fod: FloatArray, order: int) -> dict[str, Any]:
    """FODs as dipy's tracker takes them: amplitudes on a sphere, or harmonics where these would take too much room."""
    from dipy.data import get_sphere

    vertices = np.asarray(get_sphere(name=_SPHERE).vertices)
    if np.prod(fod.shape[:3]) * len(vertices) * 8 > _LARGEST_TABLE:
        return {"sh": fod, "basis_type": "descoteaux07", "legacy": False}
    table = fod @ basis(vertices, order).T
    return {"sf": np.maximum(table, 0, out=table)}


def _draw_directions(fod: FloatArray, order: int, voxels: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw one direction per point from the FOD there, in proportion to its amplitude; zero where there is none."""
    axes = axes_on_sphere()
    values = basis(axes, order)
    directions = np.zeros((len(voxels), 3))
    for start in range(0, len(voxels), 10_000):
        part = slice(start, start + 10_000)
        nearest = np.clip(np.round(voxels[part]).astype(int), 0, np.array(fod.shape[:3]) - 1)
        amplitudes = fod[tuple(nearest.T)].reshape(-1, n_coefficients(order)) @ values.T
        amplitudes[amplitudes < _LOCAL_THRESHOLD * amplitudes.max(axis=1, keepdims=True)] = 0
        steps = np.cumsum(np.maximum(amplitudes, 0), axis=1)
        drawn = (steps < rng.random((len(steps), 1)) * steps[:, -1:]).sum(axis=1)
        some = steps[:, -1] > 0
        signs = rng.choice([-1.0, 1.0], len(steps))
        directions[part][some] = (axes[np.minimum(drawn, len(axes) - 1)] * signs[:, None])[some]
    return directions
