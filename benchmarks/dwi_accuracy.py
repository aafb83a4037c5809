"""DWI preprocessing of generated patients against what is known of them, and what it costs.

    python -m benchmarks.dwi_accuracy OUT [--subjects 2] [--seed 21] [--size small] [--engines dipy mrtrix3]
        [--lost-slices 12] [--threads 1]

Writes a cohort with T1w and DWI to OUT (or takes the one that is there), takes signal out of a few slices of known
place, runs the workflow's own stages on it, once per engine of denoising, and compares with ``sourcedata/truth``. One
line of JSON per engine and subject, and a table. Tensor maps are compared with those of the same head on the same
grid without noise, motion and distortion. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.diffusion_stages import Chain, in_order, make_chains
from bids_ai.bids.gradients import GradientTable, read_gradients
from bids_ai.bids.index import Diffusion
from bids_ai.connectome.tensor import fit_tensor
from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points, read_itk_affine, sample
from bids_ai.simulate import cohort, dwi_files, plan
from bids_ai.simulate.diffusion import SignalModel
from bids_ai.simulate.dwi import DwiScan, dwi_volumes
from bids_ai.simulate.fibres import fibre_map
from bids_ai.simulate.gradients import ScannerGradients, dwi_scheme
from bids_ai.simulate.motion import MOTION_COLUMNS
from bids_ai.simulate.patient import make_patient
from bids_ai.simulate.warp import rigid_matrix

Array = NDArray[np.floating]

#: White matter, for the errors of the tensor: at least this part of the voxel.
_WHITE = 0.9
#: Directions of the tensor are compared where they are defined.
_LEAST_FA = 0.3
#: What a lost slice keeps of its signal.
_KEPT = (0.2, 0.7)
_MODALITIES = ("t1w", "dwi")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--subjects", type=int, default=2)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--size", default="small", choices=sorted(plan.SIZES))
    parser.add_argument("--engines", nargs="+", default=["dipy", "mrtrix3"])
    parser.add_argument("--lost-slices", type=int, default=12, help="of every series")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def make_cohort(out: Path, *, n_subjects: int, seed: int, size: str, n_lost: int) -> Path:
    """Write the cohort, unless it is there, and lose slices."""
    folder = out / "cohort"
    if not folder.is_dir():
        cohort.write_cohort(folder, n_subjects=n_subjects, seed=seed, size=size, modalities=_MODALITIES, say=print)
    for path in sorted(folder.glob("sub-*/**/*_dwi.nii.gz")):
        lose_slices(path, truth_of(folder, path, "_lostslices.json"), n_lost, seed)
    return folder


def truth_of(dataset: Path, path: Path, ending: str) -> Path:
    relative = path.relative_to(dataset)
    return dataset / "sourcedata" / "truth" / relative.with_name(relative.name.removesuffix(".nii.gz") + ending)


def lose_slices(path: Path, record: Path, n: int, seed: int) -> None:
    """Take signal out of slices of weighted volumes, in the middle half of the field of view; once."""
    if record.is_file():
        return
    rng = np.random.default_rng([seed, *path.name.encode()])
    image: Any = nib.load(path)
    table = read_gradients(*tables_beside(path), image.shape[3])
    data = np.array(image.dataobj.get_unscaled())
    weighted = np.flatnonzero(~table.unweighted)
    middle = np.arange(data.shape[2] // 4, data.shape[2] * 3 // 4)
    places = rng.choice(len(weighted) * len(middle), n, replace=False)
    lost = [(int(weighted[place // len(middle)]), int(middle[place % len(middle)])) for place in places]
    for volume, number in lost:
        data[:, :, number, volume] = np.rint(data[:, :, number, volume] * rng.uniform(*_KEPT)).astype(data.dtype)
    nib.save(nib.Nifti1Image(data, image.affine, image.header), path)
    record.write_text(json.dumps(lost))


def tables_beside(path: Path) -> tuple[Path, Path]:
    stem = path.name.removesuffix(".nii.gz")
    return path.with_name(f"{stem}.bval"), path.with_name(f"{stem}.bvec")


class Heads:
    """The patients of a cohort once more, for series without fault.

    Parameters
    ----------
    arguments : Namespace
        Of `parse`.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.size, self.seed = arguments.size, arguments.seed
        self.plan = plan.make_plan(
            arguments.subjects,
            None,
            _MODALITIES,
            size=arguments.size,
            n_regions=None,
            seed=arguments.seed,
            ragged=False,
            lesion=False,
        )

    @cached_property
    def group(self) -> Any:
        """What they share."""
        return cohort._make_group(self.plan)

    def series(self, label: str, affine: Array, shape: tuple[int, ...], bvals: Array, directions: Array) -> Array:
        """A series of a still head, in the frame of its T1w, without noise and distortion.

        Parameters
        ----------
        label : str
            Of the subject.
        affine, shape
            Grid in the space of the T1w.
        bvals : (n_volumes,) array
        directions : (n_volumes, 3) array
            In the world of the T1w.
        """
        [subject] = [one for one in self.plan.subjects if one.label == label]
        group, t1w_mm = self.group, plan.size_named(self.size).t1w_mm
        patient = make_patient(
            subject, group.brain, group.parcels, group.connectome, self.seed, t1w_mm=t1w_mm, bundles=group.bundles
        )
        scheme = dwi_scheme(self.size)
        scan = DwiScan(affine, (shape[0], shape[1], shape[2]), scheme.echo_spacing_s, np.eye(4))
        fine = dwi_files._fine_grid(scan, scheme.voxel_mm * dwi_files._FINE)
        # The stream of the series: fibres of the same texture.
        rng = plan.stream(self.seed, plan.entities(subject, subject.t1w_session), "dwi", "fibres")
        assert patient.bundles is not None
        fibres = fibre_map(patient.phantom, patient.warp, patient.bundles, patient.connectome, *fine, rng)
        volumes = dwi_volumes(
            SignalModel(fibres),
            scan,
            ScannerGradients(bvals, directions),
            np.zeros((len(bvals), 6)),
            np.zeros(shape),
            np.inf,
            rng,
        )
        return np.stack([volume.astype(np.float32) for volume in volumes], axis=-1)


class Compared:
    """One preprocessed series beside its truth.

    Parameters
    ----------
    dataset : Path
    chain : Chain
        That preprocessed it.
    entry : Diffusion
    """

    def __init__(self, dataset: Path, chain: Chain, entry: Diffusion) -> None:
        self.dataset, self.entry, self.source = dataset, entry, Path(entry.source)
        context = chain.context
        self.path = lambda key: context.names.path(key, dwi=entry.images)
        self.scratch = context.scratch("dwi_preprocess", entry.images)
        image: Any = nib.load(self.source)
        self.affine, self.shape = np.asarray(image.affine, float), image.shape
        self.scan = json.loads(truth_of(dataset, self.source, "_scan.json").read_text())
        self.pose = np.array(self.scan["FromT1wToFirstVolume"])
        self.centre = np.array(self.scan["RotationCentre"])
        self.raw = read_gradients(*tables_beside(self.source), self.shape[3])
        made: Any = nib.load(self.path("dwi"))
        self.made, self.grid = made, np.asarray(made.affine, float)
        self.table: GradientTable = read_gradients(self.path("dwi_bval"), self.path("dwi_bvec"), made.shape[3])

    def volume(self, key: str) -> Array:
        """A published image."""
        image: Any = nib.load(self.path(key))
        return np.asarray(image.get_fdata(dtype=np.float32))

    def truth(self, ending: str) -> Array:
        """An image of the truth, on the raw grid."""
        image: Any = nib.load(truth_of(self.dataset, self.source, ending))
        return np.asarray(image.get_fdata(dtype=np.float32))

    @cached_property
    def true_motion(self) -> Array:
        """First volume to each, (n_volumes, 4, 4), mm RAS."""
        rows = pd.read_csv(truth_of(self.dataset, self.source, "_desc-motion_timeseries.tsv"), sep="\t")
        return np.array([rigid_matrix(row, self.centre) for row in rows[list(MOTION_COLUMNS)].to_numpy()])

    @cached_property
    def brain(self) -> NDArray[np.bool_]:
        """On the raw grid, first volume, undistorted."""
        return np.asarray(self.truth("_desc-brain_mask.nii.gz") > 0)

    @cached_property
    def points(self) -> Array:
        """Of the brain, mm, first volume undistorted."""
        return grid_points(self.brain.shape, self.affine, self.brain).astype(float)

    def motion(self) -> dict[str, float]:
        """RMS over the volumes: shift of the centre of the field of view, turn, displacement of the brain."""
        with np.load(self.scratch / "motion.npz") as stored:
            found = stored["rigid"]
        out = {}
        for name, given in (("before", np.tile(np.eye(4), (len(found), 1, 1))), ("after", found)):
            error = np.array([np.linalg.inv(t) @ g for t, g in zip(self.true_motion, given, strict=True)])
            shift = [np.linalg.norm(apply_matrix(matrix, self.centre[None])[0] - self.centre) for matrix in error]
            some = self.points[::20]
            moved = [np.linalg.norm(apply_matrix(matrix, some) - some, axis=1).mean() for matrix in error]
            out[f"translation_{name}_mm"] = rms(shift)
            out[f"rotation_{name}_deg"] = rms([turn_deg(matrix) for matrix in error])
            out[f"motion_{name}_mm"] = rms(moved)
        return out

    def gradients(self) -> dict[str, float]:
        """Angle of directions to the true ones in the T1w; before: as set on the scanner, head as in volume 0."""
        weighted = ~self.raw.unweighted
        scanner, made = self.raw.world(self.affine)[weighted], self.table.world(self.grid)[weighted]
        turns = (self.true_motion @ self.pose)[weighted, :3, :3]
        true = np.einsum("vij,vi->vj", turns, scanner)
        return {
            "gradients_before_deg": rms(angles_deg(scanner @ self.pose[:3, :3], true)),
            "gradients_after_deg": rms(angles_deg(made, true)),
        }

    def distortion(self) -> dict[str, float]:
        """Displacement by susceptibility along the phase encoding, in the brain."""
        edge = float(np.linalg.norm(self.affine[:3, self.phase_axis]))
        true, found = self.true_shift()[self.brain] * edge, self.found_shift()[self.brain] * edge
        return {
            "distortion_before_mm": rms(true),
            "distortion_after_mm": rms(found - true),
            "distortion_before_95_mm": float(np.percentile(np.abs(true), 95)),
            "distortion_after_95_mm": float(np.percentile(np.abs(found - true), 95)),
        }

    @property
    def phase_axis(self) -> int:
        """Voxel axis."""
        return "ijk".index(str(self.entry.phase_encoding)[0])

    def true_shift(self) -> Array:
        """Voxels, raw grid."""
        sign = -1.0 if str(self.entry.phase_encoding).endswith("-") else 1.0
        return sign * self.truth("_desc-field_fieldmap.nii.gz") * float(self.entry.readout_time or 0)

    def found_shift(self) -> Array:
        """Voxels, raw grid."""
        [path] = self.scratch.glob("shift.nii*")
        image: Any = nib.load(path)
        return np.asarray(image.get_fdata(dtype=np.float32))

    def registration(self) -> dict[str, float]:
        """How far off points of the brain come to lie in the T1w, and where their signal is read in volume 0.

        The second is what matters: where distortion is taken for a shift of the head, both errors cancel in it.
        """
        at_t1w = apply_matrix(np.linalg.inv(self.pose), self.points)
        before = at_t1w - self.points
        to_t1w = read_itk_affine(self.scratch / "dwi_to_frame.txt")
        back = apply_matrix(np.linalg.inv(to_t1w), at_t1w)
        along = self.affine[:3, self.phase_axis]
        read = back + sample(self.found_shift(), self.affine, back.astype(np.float32))[:, None] * along
        true = self.points + self.true_shift()[self.brain][:, None] * along
        whole = np.linalg.norm(read - true, axis=1)
        return {
            "registration_before_mm": float(np.linalg.norm(before, axis=1).mean()),
            "registration_after_mm": float(np.linalg.norm(back - self.points, axis=1).mean()),
            "place_median_mm": float(np.median(whole)),
            "place_95_mm": float(np.percentile(whole, 95)),
        }

    def mask(self) -> dict[str, float]:
        """Dice of the brain mask with the true brain, on the grid of the outputs."""
        found = self.volume("dwi_mask") > 0
        at = apply_matrix(self.pose, grid_points(found.shape, self.grid).astype(float)).astype(np.float32)
        true = sample(self.brain.astype(np.float32), self.affine, at).reshape(found.shape) > 0.5
        return {"mask_dice": float(2 * (found & true).sum() / (found.sum() + true.sum()))}

    def tensor(self, heads: Heads, white: NDArray[np.bool_]) -> dict[str, float]:
        """FA, MD and principal direction in true white matter, against a series without fault on the same grid."""
        inside = (self.volume("dwi_mask") > 0) & white
        directions = self.table.world(self.grid)
        label = self.entry.subject.removeprefix("sub-")
        ideal = heads.series(label, self.grid, inside.shape, self.table.bvals, directions)
        true = fit_tensor(ideal, self.table.bvals, directions, inside)
        data = self.made.get_fdata(dtype=np.float32)
        found = fit_tensor(data, self.table.bvals, directions, inside)
        fa, md = self.volume("fa")[inside], self.volume("md")[inside]
        clear = inside & (true.fa > _LEAST_FA)
        return {
            "fa_true": float(np.nanmedian(true.fa[inside])),
            "fa_bias": float(np.nanmedian(fa - true.fa[inside])),
            "fa_error": float(np.nanmedian(np.abs(fa - true.fa[inside]))),
            "fa_r": correlation(fa, true.fa[inside]),
            "md_true": float(np.nanmedian(true.md[inside])),
            "md_bias_percent": float(100 * np.nanmedian(md / true.md[inside] - 1)),
            "md_error_percent": float(100 * np.nanmedian(np.abs(md / true.md[inside] - 1))),
            "direction_error_deg": float(np.nanmedian(angles_deg(found.direction[clear], true.direction[clear]))),
        }

    def white_matter(self) -> NDArray[np.bool_]:
        """True white matter on the grid of the outputs."""
        [path] = (self.dataset / "sourcedata" / "truth" / self.entry.subject).glob("**/*_label-WM_probseg.nii.gz")
        image: Any = nib.load(path)
        at = grid_points(self.made.shape[:3], self.grid)
        values = sample(image.get_fdata(dtype=np.float32), np.asarray(image.affine, float), at)
        return np.asarray(values.reshape(self.made.shape[:3]) > _WHITE)

    def outliers(self) -> dict[str, int]:
        """Lost slices found, and others that were taken for lost."""
        with np.load(self.scratch / "motion.npz") as stored:
            found = {(int(volume), int(number)) for volume, number in np.argwhere(stored["outlier"])}
        record = truth_of(self.dataset, self.source, "_lostslices.json")
        lost = {(volume, number) for volume, number in json.loads(record.read_text())}
        return {"slices_lost": len(lost), "slices_found": len(found & lost), "slices_false": len(found - lost)}


def rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def turn_deg(matrix: Array) -> float:
    return float(np.rad2deg(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1))))


def angles_deg(first: Array, second: Array) -> Array:
    """Between axes: opposite vectors are the same."""
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return np.rad2deg(np.arccos(np.clip(np.abs((first * second).sum(axis=-1)) / lengths, 0, 1)))


def correlation(first: Array, second: Array) -> float:
    known = np.isfinite(first) & np.isfinite(second)
    return float(np.corrcoef(first[known], second[known])[0, 1])


def compare(dataset: Path, chain: Chain, entry: Diffusion, heads: Heads) -> dict[str, float]:
    made = Compared(dataset, chain, entry)
    found: dict[str, float] = made.motion() | made.gradients() | made.distortion() | made.registration()
    return found | made.mask() | made.tensor(heads, made.white_matter()) | made.outliers()


def main() -> None:
    arguments = parse()
    size = arguments.size
    dataset = make_cohort(
        arguments.out, n_subjects=arguments.subjects, seed=arguments.seed, size=size, n_lost=arguments.lost_slices
    )
    atlas = f"EqualVolume:{plan.size_named(size).n_regions}"
    chains = make_chains(dataset, arguments.out, arguments.engines, atlas=atlas, threads=arguments.threads)
    heads, columns = Heads(arguments), {}
    for chain, entry in in_order(chains):
        cost = chain.stage("dwi_preprocess", dwi=entry.images)
        found = compare(dataset, chain, entry, heads) | asdict(cost)
        row = {name: float(f"{value:.4g}") for name, value in found.items()}
        print(json.dumps({"engine": chain.engine, "subject": entry.subject, **row}), flush=True)
        columns[f"{chain.engine} {entry.subject}"] = row
    print(pd.DataFrame(columns).to_string(float_format=lambda value: f"{value:.4g}"))


if __name__ == "__main__":
    main()
