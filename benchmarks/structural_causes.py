"""Where a structural connectome loses its truth: true strands, true fibres, a clean series, a noisy one.

    python -m benchmarks.structural_causes --seeds 2 3 4 [--persons 1 2] [--size small] [--streamlines 30000]
        [--stages strands fibres clean noisy] [--engine dipy]

Each stage adds one loss to the one before: `strands` gives the ends of the true strands to parcels, `fibres` tracks on
the true fibre orientations at the resolution of the scan, `clean` on orientations from the signal without noise,
`noisy` on those from the series as scanned. One line of JSON per stage and person. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from benchmarks.structural import compare, generated
from bids_ai.connectome.diffusion_models import fit_orientations
from bids_ai.connectome.fixels import find_fixels
from bids_ai.connectome.harmonics import basis, n_coefficients, orders
from bids_ai.connectome.streamline_weights import fit_weights
from bids_ai.connectome.streamlines import Streamlines
from bids_ai.connectome.structural import structural_connectome
from bids_ai.connectome.tracking import track
from bids_ai.connectome.tractography import FibreField, TrackingSettings

#: Order of the true orientations, and their width (standard deviation, deg), so that they are nowhere negative.
_ORDER, _WIDTH_DEG = 8, 10.0
STAGES = ("strands", "fibres", "clean", "noisy")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--persons", type=int, nargs="+", default=[1, 2], choices=(1, 2))
    parser.add_argument("--size", default="small")
    parser.add_argument("--regions", type=int, default=24)
    parser.add_argument("--streamlines", type=int, default=30_000)
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--engine", default="dipy")
    parser.add_argument("--algorithm", default=TrackingSettings.algorithm)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def of_strands(made: dict[str, Any]) -> Any:
    """Matrices of the true strands, each with its share of its bundle's weight."""
    from bids_ai.simulate.fibres import strand_areas

    area = strand_areas(made["strands"], made["laid"], made["true"], 1.0)
    lines = Streamlines.from_list(list(made["strands"][area > 0]))
    labels = range(1, len(made["names"]) + 1)
    return structural_connectome(lines, made["labels"], made["labels_affine"], labels, weights=area[area > 0])


def true_orientations(made: dict[str, Any]) -> Any:
    """FODs of the fibres that the signal was made of, gathered on the grid of the scan."""
    fibres, shape = made["fibres"], made["data"].shape[:3]
    to_scan = np.linalg.inv(made["affine"]) @ fibres.affine
    fine = np.stack(np.unravel_index(fibres.voxel, fibres.shape), axis=1)
    degrees = orders(_ORDER)
    width = np.exp(-degrees * (degrees + 1) * np.deg2rad(_WIDTH_DEG) ** 2 / 2)
    values = basis(fibres.direction, _ORDER) * width
    share = abs(np.linalg.det(to_scan[:3, :3])) / 8.0
    fod = np.zeros((int(np.prod(shape)), n_coefficients(_ORDER)))
    # Fine voxels straddle those of the scan: each is taken in eight parts.
    for part in np.array(list(np.ndindex(2, 2, 2))) / 2.0 - 0.25:
        index = np.rint((fine + part) @ to_scan[:3, :3].T + to_scan[:3, 3]).astype(int)
        inside = ((index >= 0) & (index < shape)).all(axis=1)
        flat = np.ravel_multi_index(tuple(index[inside].T), shape)
        for column in range(fod.shape[1]):
            weights = values[inside, column] * fibres.fraction[inside] * share
            fod[:, column] += np.bincount(flat, weights, len(fod))
    return fod.reshape(*shape, -1)


def of_orientations(made: dict[str, Any], fod: Any, order: int, seed: int, arguments: argparse.Namespace) -> Any:
    """Track, weigh, and give to parcels."""
    maps, affine = made["maps"], made["affine"]
    field = FibreField(fod, order, maps["wm"], maps["gm"], maps["csf"], affine)
    settings = TrackingSettings(
        n_streamlines=arguments.streamlines, n_threads=arguments.threads, algorithm=arguments.algorithm
    )
    lines = track(field, settings, seed=seed, engine=arguments.engine).streamlines
    weights = fit_weights(lines, find_fixels(fod, order, made["mask"] & (maps["wm"] > 0.1)), affine).weights
    labels = range(1, len(made["names"]) + 1)
    return structural_connectome(lines, made["labels"], made["labels_affine"], labels, weights=weights)


def stage(name: str, made: dict[str, Any], seed: int, arguments: argparse.Namespace) -> Any:
    if name == "strands":
        return of_strands(made)
    if name == "fibres":
        return of_orientations(made, true_orientations(made), _ORDER, seed, arguments)
    data = made["data"] if name == "noisy" else made["series"](np.inf)
    gradients = made["gradients"]
    directions = gradients.world(made["affine"])
    found = fit_orientations(data, gradients.bvals, directions, made["mask"], probabilities=made["maps"])
    return of_orientations(made, found.fod, found.order, seed, arguments)


def main() -> None:
    arguments = parse()
    for seed in arguments.seeds:
        laid = None
        for person in arguments.persons:
            made = generated(arguments.size, arguments.regions, seed, person, laid)
            laid = made["laid"]
            for name in arguments.stages:
                found = stage(name, made, seed, arguments)
                row = {"seed": seed, "person": person, "stage": name, "crowding": round(made["fibres"].crowding, 3)}
                row |= compare(found, made["true"])
                row |= {"density": round(found.density, 3), "assigned": round(found.assigned, 3)}
                print(json.dumps(row | {"within": round(found.within, 3)}), flush=True)


if __name__ == "__main__":
    main()
