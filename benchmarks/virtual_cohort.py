"""The virtual cohort: its cost, whether FC is like recorded FC, what DWI shows of the bundles, and EC of the truth.

    python benchmarks/virtual_cohort.py time DIR [options of bids-ai simulate]   # CPU seconds of the parts; writes DIR
    python benchmarks/virtual_cohort.py rest [--regions 24] [--seconds 260] [--networks 8]
    python benchmarks/virtual_cohort.py dwi DIR                                  # of a cohort with DWI in DIR
    python benchmarks/virtual_cohort.py ec DIR OUT                             # after `bids-ai run DIR OUT participant`

Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd


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


def effective(root: Path, out_dir: Path, label: str) -> None:
    """EC of the pipeline and what else it knows of a subject, against the true EC; rows are sources.

    The signed matrices are compared as they are, off the diagonal, by Spearman r; by Pearson r their antisymmetric
    parts, which say who drives whom.
    """
    from scipy.stats import spearmanr

    from bids_ai.bids.tables import read_relmat

    nodes = out_dir / f"atlas-{label}_dseg.tsv"
    centres = pd.read_csv(nodes, sep="\t")[["x", "y", "z"]].to_numpy(float)
    distance = np.linalg.norm(centres[:, None] - centres, axis=-1)
    rows: list[dict[str, object]] = []
    pattern = f"sub-*/**/func/*_atlas-{label}_*stat-effectiveconnectivity*_relmat.tsv"
    for path in sorted(out_dir.glob(pattern)):
        subject = path.relative_to(out_dir).parts[0]
        (true_file,) = (root / "sourcedata/truth" / subject).rglob("*_stat-effectiveconnectivity_relmat.tsv")
        truth, stem = read_relmat(true_file)[0], re.sub(r"_model-.*", "", path.name)
        known = {"distance": -distance, "EC": read_relmat(path)[0]}
        pooled = "_desc-pooled" in path.name
        # Of all runs together there is no FC: that of the runs is averaged.
        runs = f"{subject}_*_atlas-{label}" if pooled else stem
        for name, stat in {"FC": "pearsoncorrelation", "partial correlation": "partialcorrelation"}.items():
            files = [one for one in (out_dir / subject).rglob(f"{runs}_stat-{stat}_relmat.tsv") if "func" in one.parts]
            known[name] = np.mean([read_relmat(one)[0] for one in files], axis=0)
        for file in (out_dir / subject).rglob(f"*_atlas-{label}_*stat-sift2sum_relmat.tsv"):
            known["SC"] = read_relmat(file)[0]
            known["SC x FC"] = known["SC"] * known["FC"]
        model = json.loads(path.with_suffix(".json").read_text()).get("Model", "none")
        for name, matrix in known.items():
            off = ~np.eye(len(truth), dtype=bool) & np.isfinite(truth) & np.isfinite(matrix)
            odd = [np.where(off & off.T, m - m.T, np.nan)[np.triu_indices(len(m), 1)] for m in (truth, matrix)]
            both = np.isfinite(odd).all(axis=0)
            direction = np.corrcoef(odd[0][both], odd[1][both])[0, 1] if np.ptp(odd[1][both]) > 1e-9 else np.nan
            score = spearmanr(truth[off], matrix[off]).statistic
            rows.append(
                {
                    "recording": stem + "_desc-pooled" * pooled,
                    "what": name,
                    "model": model,
                    "r": score,
                    "antisymmetric": direction,
                }
            )
    table = pd.DataFrame(rows)
    table.loc[table.what != "EC", "model"] = ""
    pooled = table[table.recording.str.contains("_desc-pooled")]
    for title, part in (("single runs", table.drop(pooled.index)), ("runs of a subject together", pooled)):
        print(f"\n{title}: {part.recording.nunique()}")
        if part.empty:
            continue
        print(part.groupby("what")[["r", "antisymmetric"]].agg(["mean", "min", "max"]).round(2).to_string())
        gain = part.pivot_table(index="recording", columns="what", values="r")
        for other in gain.columns.drop("EC"):
            print(f"EC above {other}: {(gain.EC - gain[other]).mean():+.2f}, in {(gain[other] < gain.EC).mean():.0%}")
        print("chosen:", part.model[part.what == "EC"].value_counts().to_dict())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("time", "dwi"):
        commands.add_parser(name).add_argument("folder", type=Path)
    compared = commands.add_parser("ec")
    compared.add_argument("folder", type=Path)
    compared.add_argument("output", type=Path)
    compared.add_argument("--atlas", default="EqualVolume_scale-24", help="label in the names of the files")
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
    elif arguments.command == "dwi":
        dwi(arguments.folder)
    else:
        effective(arguments.folder, arguments.output, arguments.atlas)


if __name__ == "__main__":
    main()
