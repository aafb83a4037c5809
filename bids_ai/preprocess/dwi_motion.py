"""Head motion of a diffusion series and distortion by eddy currents: every volume against its prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from bids_ai.bids.gradients import GradientTable
from bids_ai.preprocess import dwi_eddy, dwi_outliers, motion
from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points, voxel_sizes
from bids_ai.preprocess.bold_reference import realign_volume
from bids_ai.preprocess.dwi_alignment import Level, PredictionAligner, eddy_matrix, split
from bids_ai.preprocess.dwi_outliers import SliceOutliers
from bids_ai.preprocess.dwi_prediction import Smoother, predictions, smoothers
from bids_ai.preprocess.gradients import rotate_by_motion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    VolumeAt = Callable[[int], NDArray[Any]]

#: Rounds of predicting and aligning: the first predictions are blurred by the motion that is sought.
ROUNDS = (Level(6.0, 25_000, 8), Level(5.0, 30_000, 8))
#: Volumes pull each other into place: with much motion and few b0 volumes that takes some rounds more.
_MOST_ROUNDS, _SLOPPY_MOST = 6, 3
_SETTLED_MM = 0.1
SLOPPY_ROUNDS = (Level(8.0, 8_000, 6), Level(6.0, 12_000, 6))
#: Predictions reach this far beyond the sample points, whose values are smoothed, mm.
_MARGIN_MM = 10.0
#: Sample points lie within this distance of the brain, mm.
_RIM_MM = 4.0


@dataclass
class Motion:
    """Where the head was in every volume.

    Attributes
    ----------
    matrices : (n_volumes, 4, 4) array
        Point of the reference (first b0 volume) -> point of the volume, mm RAS; motion, then eddy currents.
    rigid : (n_volumes, 4, 4) array
        Motion alone.
    slopes : (n_volumes, 4) array
        Of `eddy_matrix`, and the offset; zero where eddy currents were not estimated, or none were found.
    correlations : (n_volumes,) array
        With the prediction; NaN for volumes that nothing predicts.
    outliers : SliceOutliers
    smoothers : list of Smoother
        How volumes were predicted in the last round.
    notes : list of str
    """

    matrices: FloatArray
    rigid: FloatArray
    slopes: FloatArray
    correlations: FloatArray
    outliers: SliceOutliers
    smoothers: list[Smoother]
    notes: list[str] = field(default_factory=list)


class MotionEstimator:
    """Alternate between predicting the volumes and aligning them to their predictions.

    Parameters
    ----------
    volume_at : callable
        Gives volume v.
    table : GradientTable
        As set on the scanner.
    affine : (4, 4) array
    mask : (nx, ny, nz) bool array
        Rough brain mask of the first b0 volume.
    phase_axis : (3,) array, optional
        Unit vector of phase encoding; None leaves eddy currents out.
    slice_axis : int
        Voxel axis of the slices.
    sloppy : bool
        Coarse, for tests.
    """

    def __init__(
        self,
        volume_at: VolumeAt,
        table: GradientTable,
        affine: NDArray[Any],
        mask: NDArray[np.bool_],
        *,
        phase_axis: NDArray[Any] | None = None,
        slice_axis: int = 2,
        sloppy: bool = False,
    ) -> None:
        self.volume_at, self.table, self.affine, self.mask = volume_at, table, np.asarray(affine, float), mask
        self.phase_axis, self.slice_axis = phase_axis, slice_axis
        self.rounds = SLOPPY_ROUNDS if sloppy else ROUNDS
        self.most_rounds = _SLOPPY_MOST if sloppy else _MOST_ROUNDS
        sampling = tuple(voxel_sizes(affine))
        distance = ndimage.distance_transform_edt(~mask, sampling=sampling)
        self.counted, self.near = distance <= _RIM_MM, distance <= _RIM_MM + _MARGIN_MM
        self._levels = motion.SLOPPY_LEVELS if sloppy else motion.LEVELS
        self._points = grid_points(mask.shape, self.affine, self.near)
        self.centre = apply_matrix(self.affine, (np.array(mask.shape) - 1)[None] / 2)[0]
        self._inside = mask[self.near]

    def run(self) -> Motion:
        """Estimate motion, eddy currents where a phase axis is known, and outlier slices."""
        n = len(self.table)
        matrices, correlations = self._from_unweighted(), np.full(n, np.nan)
        note = ""
        outliers = SliceOutliers.none(n, self.mask.shape[self.slice_axis])
        chosen: list[Smoother] = []
        slopes = np.zeros((n, 4))
        for number in range(self.most_rounds):
            level, before = self.rounds[min(number, len(self.rounds) - 1)], matrices
            signal = self._realigned(matrices, outliers)
            chosen = smoothers(self._turned(matrices), signal[:, self._inside])
            matrices, correlations = self._align(chosen, signal, matrices, correlations, level)
            if self.phase_axis is not None:
                before_eddy = np.linalg.inv(self._eddy_matrices(slopes[:, :3])) @ matrices
                slopes, note = self._eddy(chosen, signal, matrices, level)
                # The offset stays where the alignment put it: it only gets its name in the end.
                matrices = self._eddy_matrices(slopes[:, :3]) @ before_eddy
            outliers = self._outliers(chosen, signal, matrices)
            if number >= len(self.rounds) - 1 and self._largest_change(before, matrices) < _SETTLED_MM:
                break
        eddy = self._eddy_matrices(slopes)
        rigid = self._join(np.linalg.inv(eddy) @ matrices)
        return Motion(eddy @ rigid, rigid, slopes, correlations, outliers, chosen, [note] if note else [])

    def _eddy(
        self, chosen: list[Smoother], signal: NDArray[Any], matrices: FloatArray, level: Level
    ) -> tuple[FloatArray, str]:
        """Displacement along the phase-encoding axis that follows the gradients; zero where it does not."""
        assert self.phase_axis is not None
        slopes, offsets = np.full((len(self.table), 3), np.nan), np.zeros(len(self.table))
        for volume, values in predictions(chosen, signal):
            if not self.table.unweighted[volume]:
                aligner = PredictionAligner(self._spread(values), self.affine, self.counted, level, self.phase_axis)
                found, _ = aligner.fit(self.volume_at(volume), matrices[volume])
                rigid, slopes[volume] = split(found, self.phase_axis, self.centre)
                offsets[volume] = self.phase_axis @ (rigid[:3, :3] @ self.centre + rigid[:3, 3] - self.centre)
        return dwi_eddy.explained_by_gradients(slopes, offsets, self.table, self.affine)

    def _largest_change(self, before: FloatArray, after: FloatArray) -> float:
        """Largest displacement, over volumes, of the mean point of the brain between two rounds, mm."""
        points = self._points[self._inside][::50].astype(float)
        return max(
            float(np.linalg.norm(apply_matrix(b, points) - apply_matrix(a, points), axis=1).mean())
            for b, a in zip(before, after, strict=True)
        )

    def _eddy_matrices(self, slopes: FloatArray) -> FloatArray:
        """Eddy currents act after the motion. Rigid steps of the alignment come before them and leave them alone."""
        if self.phase_axis is None:
            return np.tile(np.eye(4), (len(slopes), 1, 1))
        return np.array([eddy_matrix(row, self.phase_axis, self.centre) for row in slopes])

    def _from_unweighted(self) -> FloatArray:
        """Motion of the b0 volumes against their mean, relative to the first; of the others interpolated in time."""
        unweighted = np.flatnonzero(self.table.unweighted)
        first = np.array(self.volume_at(int(unweighted[0])))
        aligner = motion.RigidAligner(first, self.affine, self.counted, self._levels)
        found = np.array([np.eye(4), *(aligner.fit(self.volume_at(int(v)))[0] for v in unweighted[1:])])
        if len(unweighted) > 2:
            mean = self._mean(unweighted, found)
            aligner = motion.RigidAligner(mean, self.affine, self.counted, self._levels)
            found = np.array(
                [aligner.fit(self.volume_at(int(v)), m)[0] for v, m in zip(unweighted, found, strict=True)]
            )
            found = found @ np.linalg.inv(found[0])
        parameters = motion.motion_parameters(found, self.centre)
        every = np.column_stack([np.interp(np.arange(len(self.table)), unweighted, row) for row in parameters.T])
        return np.array([motion.rigid_matrix(row, self.centre) for row in every])

    def _join(self, matrices: FloatArray) -> FloatArray:
        """Move the weighted volumes, all by the same, to where the b0 volumes beside them in time say the head was.

        Weighted volumes are aligned with each other only, and where they lie together is what interpolation began with.
        A registration of their mean to the b0 errs by more, since the two look so different.
        """
        pairs = [
            (b0, near)
            for b0 in np.flatnonzero(self.table.unweighted)
            for near in (b0 - 1, b0 + 1)
            if 0 <= near < len(self.table) and not self.table.unweighted[near]
        ]
        steps = np.array([np.linalg.inv(matrices[near]) @ matrices[b0] for b0, near in pairs])
        if len(steps) == 0:
            return matrices
        shift = np.median(motion.motion_parameters(steps, self.centre), axis=0)
        joined = matrices.copy()
        joined[~self.table.unweighted] = matrices[~self.table.unweighted] @ motion.rigid_matrix(shift, self.centre)
        return joined

    def _mean(self, volumes: NDArray[Any], matrices: FloatArray) -> NDArray[np.float32]:
        shape = self.mask.shape
        points = grid_points(shape, self.affine)
        each = [
            realign_volume(self.volume_at(int(v)), self.affine, m, points)
            for v, m in zip(volumes, matrices, strict=True)
        ]
        return np.asarray(np.mean(each, axis=0).reshape(shape), np.float32)

    def _realigned(self, matrices: FloatArray, outliers: SliceOutliers) -> NDArray[np.float32]:
        """Every volume at the points near the brain, (n_volumes, n_points); outlier slices replaced."""
        signal = np.empty((len(self.table), len(self._points)), np.float32)
        for volume, matrix in enumerate(matrices):
            data = outliers.replaced(volume, self.volume_at(volume))
            signal[volume] = realign_volume(data, self.affine, matrix, self._points)
        return signal

    def _turned(self, matrices: FloatArray) -> GradientTable:
        return rotate_by_motion(self.table, self.affine, matrices)

    def _spread(self, values: NDArray[Any]) -> NDArray[np.float32]:
        volume = np.zeros(self.mask.shape, np.float32)
        volume[self.near] = values
        return volume

    def _align(
        self,
        chosen: list[Smoother],
        signal: NDArray[Any],
        matrices: FloatArray,
        correlations: FloatArray,
        level: Level,
    ) -> tuple[FloatArray, FloatArray]:
        matrices, correlations = matrices.copy(), correlations.copy()
        for volume, values in predictions(chosen, signal):
            if self.table.unweighted[volume]:
                continue  # aligned to each other already
            aligner = PredictionAligner(self._spread(values), self.affine, self.counted, level)
            matrices[volume], correlations[volume] = aligner.fit(self.volume_at(volume), matrices[volume])
        return matrices, correlations

    def _outliers(self, chosen: list[Smoother], signal: NDArray[Any], matrices: FloatArray) -> SliceOutliers:
        finder = dwi_outliers.SliceFinder(self.mask, self.affine, self.slice_axis, len(self.table))
        for volume, values in predictions(chosen, signal):
            finder.add(volume, self.volume_at(volume), self._spread(values), matrices[volume])
        return finder.find([smoother.volumes for smoother in chosen])
