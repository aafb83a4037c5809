"""Published group matrices through the comparison of the group level: symmetry of EC, and its agreement with SC and FC.

python benchmarks/group_published.py DATA

DATA holds ``npi-group-ec`` (Whole-brain_EC of ncclab-sustech/NPI, with a list of names beside each matrix) and
``enigma-hcp-group`` (hcp_connectivity of the ENIGMA Toolbox). Both are derived from HCP data, under whose terms they
stand; nothing of them is kept here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from bids_ai.group.comparison import align, compare

SCALES = (100, 200)


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    table = compare_published(parser.parse_args().data)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def compare_published(data: Path) -> pd.DataFrame:
    """One row per atlas and quantity.

    Parameters
    ----------
    data : Path
        Folder that holds both collections.
    """
    rows = []
    for scale in SCALES:
        ec, names = read_npi(data, f"Schaefer2018_{scale}Parcels_7Networks_order")
        fc = align(*read_enigma(data, "func", scale), names)
        sc = align(*read_enigma(data, "struc", scale), names)
        rows += [(f"Schaefer {scale}", *entry) for entry in compare(ec, fc=fc, sc=sc)]
    ec, _ = read_npi(data, "MNI-AAL1")
    rows += [("AAL", *entry) for entry in compare(ec)]
    return pd.DataFrame(rows, columns=["atlas", "quantity", "value", "n_edges"])


def read_npi(data: Path, atlas: str) -> tuple[np.ndarray, list[str]]:
    """Read a group EC, row = source, and the names of its regions; the diagonal, which is 0 there, is undefined."""
    folder = data / "npi-group-ec"
    matrix = np.loadtxt(folder / f"EC_{atlas}.txt")
    np.fill_diagonal(matrix, np.nan)
    return matrix, (folder / f"labels_{atlas}.txt").read_text(encoding="utf-8").split()


def read_enigma(data: Path, kind: str, scale: int) -> tuple[np.ndarray, list[str]]:
    """Read a group SC (``struc``) or FC (``func``), and the names of its regions."""
    folder = data / "enigma-hcp-group"
    matrix = np.loadtxt(folder / f"{kind}Matrix_ctx_schaefer_{scale}.csv", delimiter=",")
    names = (folder / f"{kind}Labels_ctx_schaefer_{scale}.csv").read_text(encoding="utf-8").strip().split(",")
    return matrix, [name.strip() for name in names]


if __name__ == "__main__":
    main()
