"""Time and memory of the group level on derivatives of simulated subjects.

python benchmarks/group_level.py [--subjects 500] [--regions 200] [--permutations 5000] [--keep FOLDER]

The matrices are made, not fitted: a pattern of the group, one of the subject and noise of the session, half of the
subjects with stronger edges between two networks. What is timed is `bids-ai run ... group`, in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from bids_ai.bids.description import write_root
from bids_ai.bids.files import write_json
from bids_ai.bids.names import Names, sidecar
from bids_ai.bids.tables import write_relmat, write_table
from bids_ai.parcellation.nodes import network_colors
from bids_ai.report.assemble import assemble_subject
from bids_ai.report.methods import methods_text

ATLAS = "atlas-Simulated"
SPACE = "MNI152NLin2009aSym"
NETWORKS = ("Vis", "SomMot", "Cont", "Default")
UNITS = "SD of the target per SD of the source"


def main() -> None:
    """Write the derivatives, run the group level, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=500)
    parser.add_argument("--regions", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--permutations", type=int, default=5000)
    parser.add_argument("--keep", type=Path, help="folder for dataset and derivatives, kept and used again")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = args.keep or Path(folder)
        if not (root / "out").is_dir():
            started = time.perf_counter()
            write_derivatives(root, args.subjects, args.regions, sessions=args.sessions)
            print(f"derivatives written in {time.perf_counter() - started:.0f} s")
        command = [sys.executable, "-m", "bids_ai", "run", str(root / "dataset"), str(root / "out"), "group"]
        command += ["--contrast", "group", "--covariates", "age", "sex", "--permutations", str(args.permutations)]
        seconds, processor, megabytes = _measured(command, root / "group.log")
        print(f"{args.subjects} subjects x {args.regions} regions x {args.sessions} sessions, EC, FC and SC")
        print(
            f"bids-ai run ... group: {seconds:.0f} s ({processor:.0f} s of processor time), {megabytes:.0f} MB at most"
        )


def _measured(command: list[str], log: Path) -> tuple[float, float, float]:
    """Seconds, seconds of processor time, and largest resident memory of a command."""
    started = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"it failed ({process.returncode}): {log.read_text()[-2000:]}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def write_derivatives(
    root: Path, n_subjects: int, n_regions: int, *, sessions: int = 2, dwi: bool = True, seed: int = 1
) -> Path:
    """Write ``root/dataset/participants.tsv`` and derivatives in ``root/out`` as the participant level leaves them.

    Parameters
    ----------
    root : Path
    n_subjects, n_regions, sessions : int
    dwi : bool
        Whether subjects have structural connectivity.
    seed : int

    Returns
    -------
    Path
        ``root/out``.
    """
    rng = np.random.default_rng(seed)
    out, dataset = root / "out", root / "dataset"
    write_root(out, dataset_name="Simulated group", links={"raw": str(dataset)})
    nodes = node_table(n_regions, rng)
    write_table(out / f"{ATLAS}_dseg.tsv", nodes)
    write_json(out / f"{ATLAS}_dseg.json", {"Name": "Simulated", "SHA256": "0" * 64})
    names = [str(name) for name in nodes["name"]]
    structure = _structure(nodes, rng)
    groups = np.arange(n_subjects) % 2
    _write_participants(dataset, groups, rng)
    wanted = np.outer(nodes["network"] == "Cont", nodes["network"] == "Default")
    for number in range(n_subjects):
        label = f"{number + 1:04d}"
        own = np.exp(0.4 * rng.standard_normal((n_regions, n_regions)))
        own = np.sqrt(own * own.T)  # the wiring of a subject is symmetric
        wiring = structure * own
        ec = 0.1 * wiring * (1 + 0.3 * rng.standard_normal((n_regions, n_regions))) + 0.03 * groups[number] * wanted
        _write_subject(out, label, names, wiring if dwi else None, ec, sessions, rng)
        _write_page(out, label, sessions, rng)
    return out


def node_table(n_regions: int, rng: np.random.Generator) -> pd.DataFrame:
    """Regions of both hemispheres in four networks, some with the names of landmarks."""
    sides = np.where(np.arange(n_regions) < n_regions // 2, "L", "R")
    networks = [NETWORKS[i * len(NETWORKS) // (n_regions // 2 + 1) % len(NETWORKS)] for i in range(n_regions // 2)]
    networks = (networks * 2 + list(NETWORKS))[:n_regions]
    parts = {"Cont": "PFCl_", "Default": "pCunPCC_"}
    directions = rng.standard_normal((n_regions, 3))
    places = directions / np.linalg.norm(directions, axis=1, keepdims=True) * [55.0, 80.0, 50.0] + [0, -18, 18]
    places[:, 0] = np.where(sides == "L", -1, 1) * np.abs(places[:, 0])
    return pd.DataFrame(
        {
            "index": np.arange(1, n_regions + 1),
            "name": [
                f"{side}H_{network}_{parts.get(network, '')}{i + 1}"
                for i, (side, network) in enumerate(zip(sides, networks, strict=True))
            ],
            "hemisphere": sides,
            "network": networks,
            "x": places[:, 0],
            "y": places[:, 1],
            "z": places[:, 2],
            "color": network_colors(networks),
        }
    )


def _structure(nodes: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Weights of the group: denser where regions are near or share a network, half of them absent."""
    places = nodes[["x", "y", "z"]].to_numpy()
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    same = np.equal.outer(nodes["network"].to_numpy(), nodes["network"].to_numpy())
    weights = np.exp(-distance / 40.0) * (1 + 2 * same) * np.exp(0.5 * rng.standard_normal(distance.shape))
    weights = (weights + weights.T) / 2
    np.fill_diagonal(weights, 0)
    weights[weights < np.median(weights)] = 0
    return np.asarray(weights / weights[weights > 0].mean())


def _write_participants(dataset: Path, groups: np.ndarray, rng: np.random.Generator) -> None:
    dataset.mkdir(parents=True, exist_ok=True)
    n = len(groups)
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{i + 1:04d}" for i in range(n)],
            "group": np.where(groups == 1, "patient", "control"),
            "age": rng.integers(20, 70, n),
            "sex": rng.choice(["F", "M"], n),
            "site": rng.choice(["A", "B", "C"], n),
        }
    )
    write_table(dataset / "participants.tsv", table)


def _write_subject(
    out: Path,
    label: str,
    names: list[str],
    wiring: np.ndarray | None,
    ec: np.ndarray,
    sessions: int,
    rng: np.random.Generator,
) -> None:
    path, n = Names(out, SPACE).path, len(names)
    series = [f"sub-{label}/ses-{s + 1}/func/sub-{label}_ses-{s + 1}_task-rest_space-{SPACE}" for s in range(sessions)]
    noise = 0.05
    for one in series:
        matrix = ec + noise * rng.standard_normal((n, n))
        np.fill_diagonal(matrix, np.nan)
        _write_ec(path("ec", series=one, atlas=ATLAS, model="auto"), matrix, names)
        fc = np.tanh(1.5 * (ec + ec.T) + noise * _symmetric(rng, n))
        np.fill_diagonal(fc, np.nan)
        meta = {"RelationshipMeasure": "Pearson correlation", "Directed": False}
        write_relmat(path("pearson", series=one, atlas=ATLAS), fc, names, meta)
    if sessions > 1:
        pooled = f"sub-{label}/func/sub-{label}_task-rest_space-{SPACE}"
        matrix = ec + noise / np.sqrt(sessions) * rng.standard_normal((n, n))
        np.fill_diagonal(matrix, np.nan)
        _write_ec(path("ec", series=pooled, atlas=ATLAS, model="auto", pool="_desc-pooled"), matrix, names)
    if wiring is not None:
        sc = wiring * 1000
        np.fill_diagonal(sc, np.nan)
        dwi = path("sc_weight", dwi=f"sub-{label}/ses-1/dwi/sub-{label}_ses-1_space-T1w", atlas=ATLAS)
        write_relmat(dwi, sc, names, {"RelationshipMeasure": "sum of streamline weights", "Directed": False})


def _symmetric(rng: np.random.Generator, n: int) -> np.ndarray:
    noise = rng.standard_normal((n, n))
    return (noise + noise.T) / np.sqrt(2)


def _write_ec(path: Path, matrix: np.ndarray, names: list[str]) -> None:
    meta = {
        "RelationshipMeasure": "effective connectivity (push)",
        "Directed": True,
        "Status": "fitted",
        "MeasureUnits": UNITS,
        "Gate": {"Verdict": "reliable", "Reasons": []},
    }
    write_relmat(path, matrix, names, meta)
    assert sidecar(path).is_file()


def _write_page(out: Path, label: str, sessions: int, rng: np.random.Generator) -> None:
    """Page of a subject with the numbers that quality is judged by."""
    recordings = [
        {
            "name": f"sub-{label}_ses-{s + 1}_task-rest",
            "rows": [
                {
                    "label": "Framewise displacement, median",
                    "value": float(np.exp(rng.normal(-2, 0.3))),
                    "unit": "mm",
                    "digits": 2,
                    "key": "fd_median_mm",
                },
                {"label": "Temporal SNR", "value": float(rng.normal(60, 8)), "digits": 0, "key": "tsnr_median"},
            ],
        }
        for s in range(sessions)
    ]
    assemble_subject(
        out,
        label,
        summary={"dataset": "Simulated group", "recordings": recordings},
        errors=[],
        methods=methods_text([]),
        version="0",
        command="benchmarks/group_level.py",
    )


if __name__ == "__main__":
    main()
