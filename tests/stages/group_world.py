"""Small derivatives of a group: a node table and matrices of subjects, written as the participant level writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_ai.bids.description import write_root
from bids_ai.bids.files import write_json
from bids_ai.bids.names import Names
from bids_ai.bids.tables import write_relmat, write_table

ATLAS = "atlas-Six"
SHA = "a" * 64
REGIONS = ["LH_Vis_1", "LH_Cont_PFCl_1", "LH_Default_PCC_1", "RH_Vis_1", "RH_Cont_PFCl_1", "RH_Default_PCC_1"]
UNITS = "SD of the target per SD of the source"


class World:
    """Derivatives in ``root/out``, participants in ``root/dataset``."""

    def __init__(self, root: Path) -> None:
        self.root, self.out, self.dataset = root, root / "out", root / "dataset"
        write_root(self.out, dataset_name="World", links={})
        self.atlas(ATLAS, REGIONS)
        rng = np.random.default_rng(7)
        self.common = rng.standard_normal((6, 6))

    def atlas(self, label: str, regions: list[str], sha: str = SHA) -> None:
        """Write a node table."""
        n = len(regions)
        nodes = pd.DataFrame(
            {
                "index": range(1, n + 1),
                "name": regions,
                "hemisphere": [name[0] for name in regions],
                "network": [name.split("_")[1] if "_" in name else None for name in regions],
                "x": [-30.0 if name[0] == "L" else 30.0 for name in regions],
                "y": np.linspace(-60, 40, n),
                "z": np.linspace(0, 50, n),
                "color": "#888888",
            }
        )
        write_table(self.out / f"{label}_dseg.tsv", nodes)
        write_json(self.out / f"{label}_dseg.json", {"Name": label, "SHA256": sha})

    def ec(
        self,
        subject: str,
        matrix: np.ndarray | None = None,
        *,
        session: str = "",
        run: str = "",
        pooled: bool = False,
        names: list[str] = REGIONS,
        atlas: str = ATLAS,
        **meta: Any,
    ) -> Path:
        """Write an EC; `matrix` None is one that could not be fitted."""
        common = {"Directed": True, "Status": "fitted", "MeasureUnits": UNITS, "Atlas": {"SHA256": SHA}}
        if matrix is None:
            matrix = np.full((len(names), len(names)), np.nan)
            common |= {"Status": "failed", "Reason": "too short", "MeasureUnits": None}
        pool = "_desc-pooled" if pooled else ""
        return self._write("ec", subject, session, run, matrix, names, common | meta, atlas, model="auto", pool=pool)

    def fc(self, subject: str, matrix: np.ndarray, *, session: str = "", run: str = "") -> Path:
        """Write an FC."""
        meta = {"Directed": False, "Atlas": {"SHA256": SHA}}
        return self._write("pearson", subject, session, run, matrix, REGIONS, meta, ATLAS)

    def sc(self, subject: str, matrix: np.ndarray) -> Path:
        """Write an SC."""
        path = Names(self.out, "").path("sc_weight", dwi=f"sub-{subject}/dwi/sub-{subject}_space-T1w", atlas=ATLAS)
        write_relmat(path, _hollow(matrix), REGIONS, {"RelationshipMeasure": "SC", "Directed": False})
        return path

    def _write(
        self,
        key: str,
        subject: str,
        session: str,
        run: str,
        matrix: np.ndarray,
        names: list[str],
        meta: dict[str, Any],
        atlas: str,
        **holes: str,
    ) -> Path:
        folder = f"sub-{subject}" + (f"/ses-{session}" if session else "")
        parts = [f"sub-{subject}", *([f"ses-{session}"] if session else []), "task-rest"]
        parts += [f"run-{run}"] if run else []
        series = f"{folder}/func/{'_'.join(parts)}_space-MNI"
        path = Names(self.out, "MNI").path(key, series=series, atlas=atlas, **holes)
        write_relmat(path, _hollow(matrix), names, {"RelationshipMeasure": key} | meta)
        return path

    def participants(self, **columns: list[Any]) -> None:
        """Write participants.tsv."""
        self.dataset.mkdir(exist_ok=True)
        write_table(self.dataset / "participants.tsv", pd.DataFrame(columns))


def _hollow(matrix: np.ndarray) -> np.ndarray:
    matrix = np.array(matrix, float)
    np.fill_diagonal(matrix, np.nan)
    return matrix
