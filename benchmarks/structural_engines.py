"""Structural connectivity of generated patients, from the DWI as scanned, with dipy and with MRtrix3.

    python -m benchmarks.structural_engines OUT [--subjects 2] [--seed 21] [--size small] [--engines dipy mrtrix3]
        [--streamlines 200000] [--threads 1]

Runs the stages of the workflow one after the other on the cohort of `benchmarks.dwi_accuracy` (made if it is not
there, with its lost slices), with denoising and tracking by each engine, and compares the matrices with the true
bundles. `distance` ranks the pairs by the distance of their centroids alone. One line of JSON per engine and subject,
and a table. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from benchmarks.diffusion_stages import Chain, Cost, in_order, make_chains
from benchmarks.dwi_accuracy import make_cohort
from bids_ai.bids.files import read_json
from bids_ai.bids.index import Diffusion
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import read_relmat
from bids_ai.simulate import plan

Array = NDArray[np.floating]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--subjects", type=int, default=2)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--size", default="small", choices=sorted(plan.SIZES))
    parser.add_argument("--engines", nargs="+", default=["dipy", "mrtrix3"])
    parser.add_argument("--streamlines", type=int, default=200_000)
    parser.add_argument("--lost-slices", type=int, default=12, help="of every series")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def score(found: Array, truth: Array) -> dict[str, float]:
    """Spearman's correlation over the bundles that exist, and the area under the curve for their being there.

    Parameters
    ----------
    found, truth : (n_pairs,) arrays
        Pairs of the upper triangle; 0 where there is nothing.
    """
    present = truth > 0
    ranks, n, rest = stats.rankdata(found), int(present.sum()), int((~present).sum())
    area = (ranks[present].sum() - n * (n + 1) / 2) / (n * rest)
    return {"spearman": float(stats.spearmanr(found[present], truth[present])[0]), "auc": float(area)}


class Truth:
    """What is known of a subject's bundles, on the upper triangle."""

    def __init__(self, dataset: Path, subject: str) -> None:
        folder = dataset / "sourcedata" / "truth" / subject
        self.names = read_relmat(next(folder.glob("*_stat-bundle_relmat.tsv")))[1]
        self.upper = np.triu_indices(len(self.names), 1)
        self.bundles = self._matrix(folder, "bundle")
        self.lengths = self._matrix(folder, "length")
        image: Any = nib.load(next(folder.glob("**/anat/*_desc-parcels_dseg.nii.gz")))
        labels = np.asarray(image.dataobj)
        centres = np.array([np.argwhere(labels == k + 1).mean(axis=0) for k in range(len(self.names))])
        centres = centres @ image.affine[:3, :3].T
        self.distances = np.linalg.norm(centres[self.upper[0]] - centres[self.upper[1]], axis=1)

    def _matrix(self, folder: Path, name: str) -> Array:
        return np.nan_to_num(read_relmat(next(folder.glob(f"*_stat-{name}_relmat.tsv")))[0][self.upper])

    def compare(self, chain: Chain, entry: Diffusion) -> dict[str, float]:
        """Matrices of a chain against the truth, and what their sidecars say of them."""

        def path(key: str) -> Path:
            return chain.context.names.path(key, dwi=entry.images, atlas=chain.atlas)

        def values(key: str) -> Array:
            matrix, names = read_relmat(path(key))
            if names != self.names:
                raise ValueError(f"{path(key)}: regions are not those of the truth.")
            return np.asarray(matrix[self.upper])

        found = {}
        for key in ("count", "weight"):
            scores = score(np.nan_to_num(values(f"sc_{key}")), self.bundles)
            found |= {f"{key}_{name}": value for name, value in scores.items()}
        lengths = values("sc_length")
        known = (self.bundles > 0) & np.isfinite(lengths)
        found["length_r"] = float(np.corrcoef(lengths[known], self.lengths[known])[0, 1])
        found["length_bias_mm"] = float(np.median(lengths[known] - self.lengths[known]))
        found |= {"bundles": int((self.bundles > 0).sum()), "bundles_found": int(known.sum())}
        false = np.nan_to_num(values("sc_count"))[self.bundles == 0]
        found |= {"pairs_without_bundle": len(false), "false": int((false > 0).sum())}
        meta = read_json(sidecar(path("sc_weight")))
        found |= {"streamlines": meta["NumberOfStreamlines"], "density": meta["Density"]}
        found |= {"assigned": meta["ShareAssigned"], "split_half_r": meta["SplitHalfCorrelation"]}
        return found

    def of_distance(self) -> dict[str, float]:
        """Scores of distance alone."""
        return {f"distance_{name}": value for name, value in score(-self.distances, self.bundles).items()}


def together(costs: dict[str, Cost]) -> dict[str, float]:
    """Processor time of the stages; wall time and the largest peak of all."""
    found: dict[str, float] = {f"cpu_s_{name}": cost.cpu_s for name, cost in costs.items()}
    found["cpu_s"] = sum(cost.cpu_s for cost in costs.values())
    found["wall_s"] = sum(cost.wall_s for cost in costs.values())
    return found | {"peak_gb": max(cost.peak_gb for cost in costs.values())}


def main() -> None:
    arguments = parse()
    size = arguments.size
    dataset = make_cohort(
        arguments.out, n_subjects=arguments.subjects, seed=arguments.seed, size=size, n_lost=arguments.lost_slices
    )
    atlas = f"EqualVolume:{plan.size_named(size).n_regions}"
    options = {"atlas": atlas, "threads": arguments.threads, "streamlines": arguments.streamlines}
    columns = {}
    for chain, entry in in_order(make_chains(dataset, arguments.out, arguments.engines, **options)):
        chain.stage("atlas", atlas=chain.atlas)
        costs = {name: chain.stage(name, dwi=entry.images) for name in ("dwi_preprocess", "tractography")}
        costs["matrices"] = chain.stage("structural_connectivity", dwi=entry.images, atlas=chain.atlas)
        truth = Truth(dataset, entry.subject)
        found = truth.compare(chain, entry) | truth.of_distance() | together(costs)
        row = {name: float(f"{value:.4g}") for name, value in found.items()}
        print(json.dumps({"engine": chain.engine, "subject": entry.subject, **row}), flush=True)
        columns[f"{chain.engine} {entry.subject}"] = row
    print(pd.DataFrame(columns).to_string(float_format=lambda value: f"{value:.4g}"))


if __name__ == "__main__":
    main()
