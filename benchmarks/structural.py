"""Structural connectivity: time and memory of the matrix step, and a generated subject against its true connectome.

    python benchmarks/structural.py matrix [--streamlines 1000000] [--regions 200]
    python benchmarks/structural.py subject [--size small|full] [--regions 24] [--streamlines 50000]
        [--engine dipy|mrtrix3] [--threads 2] [--seed 1] [--person 1|2]
    python benchmarks/structural.py tracking [--streamlines 1000000] [--no-weights] [the other options of subject]

`subject` makes a diffusion series without motion and distortion on an oblique grid, as perfect preprocessing would
leave it, with the true tissue maps and parcels. Nothing of the truth enters the fit. `tracking` tells what each step
from there to matrices costs: wall and processor time, and the peak of memory up to its end. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import stats

from bids_ai.bids.gradients import check_gradients
from bids_ai.connectome.diffusion_models import fit_orientations
from bids_ai.connectome.fixels import find_fixels
from bids_ai.connectome.reconstruct import reconstruct
from bids_ai.connectome.streamline_weights import fit_weights
from bids_ai.connectome.streamlines import Streamlines
from bids_ai.connectome.structural import structural_connectome
from bids_ai.connectome.tracking import track
from bids_ai.connectome.tractography import FibreField, TrackingSettings
from bids_ai.preprocess.gradients import CANDIDATES, Reorientation, check_orientation, reorient


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    matrix = commands.add_parser("matrix")
    matrix.add_argument("--streamlines", type=int, default=1_000_000)
    matrix.add_argument("--regions", type=int, default=200)
    for name, streamlines in (("subject", 50_000), ("tracking", 1_000_000)):
        subject = commands.add_parser(name)
        subject.add_argument("--size", default="small")
        subject.add_argument("--regions", type=int, default=24)
        subject.add_argument("--streamlines", type=int, default=streamlines)
        subject.add_argument("--engine", default="dipy")
        subject.add_argument("--threads", type=int, default=2)
        subject.add_argument("--seed", type=int, default=1)
        subject.add_argument("--person", type=int, default=2, choices=(1, 2))
        if name == "tracking":
            subject.add_argument("--no-weights", action="store_true", help="leave the fit of weights out")
    return parser.parse_args()


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@contextmanager
def timed(name: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 2)


def arcs(n: int, rng: np.random.Generator) -> Streamlines:
    """Streamlines of 20 to 100 points, 1 mm apart, bowed, within a head of 2 mm voxels."""
    sizes = rng.integers(20, 101, n)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    points = np.empty((offsets[-1], 3), np.float32)
    for start in range(0, n, 20_000):
        part = slice(start, start + 20_000)
        own = sizes[part]
        place = np.concatenate([np.arange(size, dtype=np.float32) for size in own])
        owner = np.repeat(np.arange(len(own)), own)
        way, bow = rng.standard_normal((2, len(own), 3)).astype(np.float32)
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        centre = rng.normal(90, 20, (len(own), 3)).astype(np.float32)
        along = (place - own[owner] / 2)[:, None]
        rows = slice(offsets[start], offsets[start] + len(place))
        points[rows] = centre[owner] + along * way[owner] + 0.003 * along**2 * bow[owner]
    return Streamlines(points, offsets)


def matrix(n_streamlines: int, n_regions: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shape = (90, 90, 90)
    affine = np.diag([2.0, 2, 2, 1])
    centres = rng.uniform(20, 160, (n_regions, 3))
    grid = np.stack(np.meshgrid(*[np.arange(90) * 2.0] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    from scipy.spatial import cKDTree

    parcellation = (cKDTree(centres).query(grid)[1] + 1).reshape(shape).astype(np.int32)
    fa = rng.random(shape).astype(np.float32)
    lines = arcs(n_streamlines, rng)
    held = peak_gb()
    seconds: dict[str, float] = {}
    with timed("matrices", seconds):
        made = structural_connectome(
            lines, parcellation, affine, range(1, n_regions + 1), weights=rng.random(len(lines)), fa=fa
        )
    return {
        "streamlines": n_streamlines,
        "points": len(lines.points),
        "regions": n_regions,
        "seconds": seconds,
        "peak_gb_of_the_streamlines": round(held, 2),
        "peak_gb": round(peak_gb(), 2),
        "assigned": round(made.assigned, 3),
        "density": round(made.density, 3),
    }


def generated(size: str, n_regions: int, seed: int, person: int = 2, laid: Any = None) -> dict[str, Any]:
    """A diffusion series, tissue maps, parcels and the true connectome; the second person lies oblique."""
    from bids_ai.simulate import bundles, connectome, grids, head, parcels, phantom, warp
    from bids_ai.simulate import gradients as tables
    from bids_ai.simulate.diffusion import SignalModel
    from bids_ai.simulate.dwi import DwiScan, dwi_volumes
    from bids_ai.simulate.fibres import fibre_map

    def rng(name: int, whose: int = person) -> np.random.Generator:
        return np.random.default_rng([seed, whose, name])

    brain, nodes = head.load_template_brain(2.0), parcels.template_parcels(n_regions)
    group = connectome.group_connectome(nodes.centroids_mm, nodes.homotopic, rng(0, 0))
    laid = laid or bundles.make_bundles(brain, nodes, group, rng(1, 0))
    own = connectome.individual_connectome(group, rng(0))
    bend = warp.random_warp(rng(1))
    image = phantom.make_phantom(brain, bend, *grids.t1w_grid(2.0, oblique=False), rng(2))
    strands = laid.in_subject(bend)
    own = own.with_lengths(laid.lengths_mm(strands, own.n_regions))
    scheme = tables.dwi_scheme(size)
    centre = grids.brain_centre(image.brain_mask, image.affine)
    affine, shape = grids.bold_grid(scheme.voxel_mm, centre, oblique=person == 2)
    scan = DwiScan(affine, shape, scheme.echo_spacing_s, np.eye(4))
    corners = np.array(np.meshgrid(*[(0.0, n - 1.0) for n in shape])).reshape(3, -1)
    corners = affine[:3, :3] @ corners + affine[:3, 3:]
    fine = np.diag([scheme.voxel_mm * 2 / 3] * 3 + [1.0])
    fine[:3, 3] = corners.min(axis=1)
    size_of = np.ceil((corners.max(axis=1) - fine[:3, 3]) / fine[0, 0]).astype(int) + 1
    fibres = fibre_map(image, bend, laid, own, fine, tuple(int(n) for n in size_of), rng(3))
    table = tables.gradient_table(scheme, rng(4))

    def series(snr: float) -> Any:
        still, no_field = np.zeros((len(table), 6)), np.zeros(shape)
        volumes = dwi_volumes(SignalModel(fibres), scan, table, still, no_field, snr, rng(5))
        return np.stack([volume.astype(np.float32) for volume in volumes], axis=-1)

    points = scan.points_in_head(phantom.voxel_centres(affine, shape))

    def on_grid(volume: Any) -> Any:
        return head.sample(volume.astype(np.float32), image.affine, points)

    return {
        "series": series,
        "data": series(scheme.snr),
        "gradients": check_gradients(table.b_values, tables.fsl_vectors(table.directions, affine)),
        "affine": affine,
        "mask": on_grid(image.fractions["brain"]) > 0.5,
        # Parcels stay on the grid of the T1w: at 3 mm the ends of one strand in five would be given to a neighbour.
        "labels": parcels.in_phantom(nodes, image),
        "labels_affine": image.affine,
        "names": [str(name) for name in nodes.nodes["name"]],
        "maps": {tissue.lower(): on_grid(image.fractions[tissue]) for tissue in ("WM", "GM", "CSF")},
        "true": own,
        "laid": laid,
        "strands": strands,
        "fibres": fibres,
    }


def flips_found(made: dict[str, Any]) -> str:
    """How many of the planted faults of the gradient table are found."""
    found = 0
    for planted in CANDIDATES:
        check = check_orientation(made["data"], reorient(made["gradients"], planted), made["affine"], made["mask"])
        product = np.abs(np.trace(check.best.matrix @ planted.matrix))
        right = check.verdict == ("as given" if planted == Reorientation() else "reoriented")
        found += right and product == 3
    return f"{found} of {len(CANDIDATES)}"


def compare(made: Any, true: Any) -> dict[str, float]:
    """Matrices against the truth, on the upper triangle."""
    upper = np.triu_indices(true.n_regions, 1)
    truth, lengths = true.bundle_weights[upper], true.lengths_mm[upper]
    present = truth > 0
    out = {}
    for name, matrix_ in (("count", made.count), ("weight", made.weight)):
        values = np.nan_to_num(matrix_[upper])
        ranks = stats.rankdata(values)
        n_present, n_absent = present.sum(), (~present).sum()
        area = (ranks[present].sum() - n_present * (n_present + 1) / 2) / (n_present * n_absent)
        out[f"{name}_spearman"] = round(float(stats.spearmanr(values[present], truth[present])[0]), 3)
        out[f"{name}_auc"] = round(float(area), 3)
    known = present & np.isfinite(made.mean_length_mm[upper]) & np.isfinite(lengths)
    out["length_r"] = round(float(stats.pearsonr(made.mean_length_mm[upper][known], lengths[known])[0]), 3)
    out["bundles"], out["bundles_found"] = int(present.sum()), int(known.sum())
    return out


def subject(arguments: argparse.Namespace) -> dict[str, Any]:
    made = generated(arguments.size, arguments.regions, arguments.seed, arguments.person)
    seconds: dict[str, float] = {}
    with timed("gradient check, 24 planted faults", seconds):
        flips = flips_found(made)
    gradients, affine = made["gradients"], made["affine"]
    with timed("model to matrices", seconds):
        sc = reconstruct(
            made["data"],
            gradients.bvals,
            gradients.world(affine),
            made["mask"],
            made["maps"],
            made["labels"],
            made["names"],
            affine=affine,
            parcels_affine=made["labels_affine"],
            seed=arguments.seed,
            engine=arguments.engine,
            n_streamlines=arguments.streamlines,
            n_threads=arguments.threads,
        )
    white = made["mask"] & (made["maps"]["wm"] > 0.9)
    maps = sc.tractogram.orientations.maps
    return {
        "size": arguments.size,
        "shape": list(made["data"].shape),
        "seconds": seconds,
        "peak_gb": round(peak_gb(), 2),
        "gradient_faults_found": flips,
        "white_matter_fa_md": [
            round(float(np.median(maps.fa[white])), 3),
            float(f"{np.median(maps.md[white]):.3g}"),
        ],
        **{name: round(value, 3) if isinstance(value, float) else value for name, value in sc.figures.items()},
        "against_truth": compare(sc, made["true"]),
    }


def processor_s() -> float:
    """Processor time of this process and of the programs that it called."""
    own, called = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + called.ru_utime + called.ru_stime


def tracking(arguments: argparse.Namespace) -> dict[str, Any]:
    """Costs of the steps, one after the other."""
    made = generated(arguments.size, arguments.regions, arguments.seed, arguments.person)
    steps: dict[str, dict[str, float]] = {"before": {"peak_gb": round(peak_gb(), 2)}}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        wall, processor = time.perf_counter(), processor_s()
        yield
        steps[name] = {
            "wall_s": round(time.perf_counter() - wall, 1),
            "cpu_s": round(processor_s() - processor, 1),
            "peak_gb": round(peak_gb(), 2),
        }
        print(f"{name}: {steps[name]}", file=sys.stderr, flush=True)

    gradients, affine, maps = made["gradients"], made["affine"], made["maps"]
    with step("orientations"):
        found = fit_orientations(
            made["data"], gradients.bvals, gradients.world(affine), made["mask"], probabilities=maps
        )
    field = FibreField(found.fod, found.order, maps["wm"], maps["gm"], maps["csf"], affine)
    settings = TrackingSettings(n_streamlines=arguments.streamlines, n_threads=arguments.threads)
    with step("tracking"):
        tracked = track(field, settings, seed=arguments.seed, engine=arguments.engine)
    lines, weights = tracked.streamlines, None
    if not arguments.no_weights:
        with step("weights"):
            fixels = find_fixels(found.fod, found.order, made["mask"] & (maps["wm"] > 0.1))
            weights = fit_weights(lines, fixels, affine).weights
    with step("matrices"):
        sc = structural_connectome(
            lines,
            made["labels"],
            made["labels_affine"],
            range(1, arguments.regions + 1),
            weights=weights,
            fa=found.maps.fa.astype(np.float32),
            fa_affine=affine,
        )
    return {
        "engine": arguments.engine,
        "threads": arguments.threads,
        "streamlines": len(lines),
        "points": len(lines.points),
        "seeds": tracked.n_seeds,
        "rejected": tracked.rejected,
        "assigned": round(sc.assigned, 3),
        "steps": steps,
    }


def main() -> None:
    arguments = parse()
    if arguments.command == "matrix":
        result = matrix(arguments.streamlines, arguments.regions)
    else:
        result = tracking(arguments) if arguments.command == "tracking" else subject(arguments)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
