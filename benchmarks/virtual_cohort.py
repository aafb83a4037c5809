"""The virtual cohort: what it costs, whether its FC is like recorded FC, and what its DWI shows of the bundles.

    python benchmarks/virtual_cohort.py time DIR [options of bids-ai simulate]   # CPU seconds of the parts; writes DIR
    python benchmarks/virtual_cohort.py rest [--regions 24] [--seconds 260] [--networks 8]
    python benchmarks/virtual_cohort.py dwi DIR                                  # of a cohort with DWI in DIR

Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import nibabel as nib
import numpy as np


def timed(out_dir: Path, options: list[str]) -> None:
    """Write a cohort as ``bids-ai simulate`` does, with the clock of the processor."""
    from bids_ai.cli import simulate
    from bids_ai.simulate import cohort

    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    cohort.clock_s = time.process_time
    simulate.execute(parser.parse_args([str(out_dir), *options]))
    size = sum(path.stat().st_size for path in out_dir.rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"all, imports included: {time.process_time():.0f} s, {size / 1e6:.0f} MB, peak {peak / 1e6:.2f} GB")


def rest(n_regions: int, seconds: float, n_networks: int) -> None:
    """FC of region series against bundle weights, over all pairs; true EC against weights and its own transpose."""
    from bids_ai.simulate import connectome, parcels, plan, rest

    atlas = parcels.template_parcels(n_regions)
    upper, off = np.triu_indices(n_regions, 1), ~np.eye(n_regions, dtype=bool)
    times = np.arange(plan.REPETITION_TIME_S / 2, seconds, plan.REPETITION_TIME_S)
    found: dict[str, list[float]] = {
        name: [] for name in ("FC-SC", "mean FC", "two runs", "EC-weights", "EC-transpose")
    }
    for seed in range(1, n_networks + 1):
        group = connectome.group_connectome(atlas.centroids_mm, atlas.homotopic, plan.stream(seed, "network"))
        own = connectome.individual_connectome(group, plan.stream(seed, "sub-01", "network"))
        system = rest.rest_system(own.weights)
        series = [run.at(run.percent, times) for run in rest.simulate_rest(system, seconds, [1, 2])]
        functional = [np.corrcoef(one.T)[upper] for one in series]
        effective = rest.true_effective_connectivity(system, 1)
        found["FC-SC"] += [float(np.corrcoef(one, own.bundle_weights[upper])[0, 1]) for one in functional]
        found["mean FC"] += [float(one.mean()) for one in functional]
        found["two runs"].append(float(np.corrcoef(*functional)[0, 1]))
        found["EC-weights"].append(float(np.corrcoef(effective[off], own.weights[off])[0, 1]))
        found["EC-transpose"].append(float(np.corrcoef(effective[off], effective.T[off])[0, 1]))
    for name, values in found.items():
        print(f"{name}: {np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})")


def dwi(root: Path) -> None:
    """The tensor where there is one bundle only, against the truth."""
    from dipy.core.gradients import gradient_table
    from dipy.io.gradients import read_bvals_bvecs
    from dipy.reconst.dti import TensorModel

    for path in sorted(root.glob("sub-*/**/*_dwi.nii.gz")):
        stem = str(path.relative_to(root)).removesuffix(".nii.gz")
        image = nib.load(path)
        b_values, vectors = read_bvals_bvecs(str(root / f"{stem}.bval"), str(root / f"{stem}.bvec"))
        truth = root / "sourcedata" / "truth" / f"{stem}_desc-fibres_dwimap.nii.gz"
        peaks = nib.load(truth).get_fdata().reshape(*image.shape[:3], 3, 3)
        share = np.linalg.norm(peaks, axis=-1)
        single = (share[..., 0] > 0.5) & (share[..., 1] < 0.1)
        fit = TensorModel(gradient_table(b_values, bvecs=vectors)).fit(np.asarray(image.dataobj, float), mask=single)
        axes = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
        # FSL's convention: x is negated where the determinant is positive.
        found = fit.evecs[..., 0][single] * ([-1, 1, 1] if np.linalg.det(axes) > 0 else 1) @ axes.T
        cosine = np.abs(np.sum(found * peaks[..., 0, :][single], axis=-1)) / share[..., 0][single]
        angle = np.rad2deg(np.arccos(np.minimum(cosine, 1.0)))
        without = json.loads(Path(str(truth).replace(".nii.gz", ".json")).read_text())["FibresWithoutRoom"]
        print(
            f"{stem}: {single.sum()} voxels, angle {np.median(angle):.1f} degrees, MD {np.median(fit.md[single]):.2e}, "
            f"FA {np.median(fit.fa[single]):.2f}, without room {without:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("time", "dwi"):
        commands.add_parser(name).add_argument("folder", type=Path)
    resting = commands.add_parser("rest")
    resting.add_argument("--regions", type=int, default=24)
    resting.add_argument("--seconds", type=float, default=260.0)
    resting.add_argument("--networks", type=int, default=8)
    arguments, options = parser.parse_known_args()
    if options and arguments.command != "time":
        parser.error(f"unknown: {' '.join(options)}")
    if arguments.command == "time":
        timed(arguments.folder, options)
    elif arguments.command == "rest":
        rest(arguments.regions, arguments.seconds, arguments.networks)
    else:
        dwi(arguments.folder)


if __name__ == "__main__":
    main()
