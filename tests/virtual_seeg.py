"""A virtual patient with SEEG, made once for the tests of several rooms."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path

import numpy as np

from bids_ai.simulate import connectome, head, parcels, patient
from bids_ai.simulate.folder import write_json, write_text
from bids_ai.simulate.ieeg_files import write_ieeg
from bids_ai.simulate.plan import SUBJECTS

STEM = "sub-01/ses-1/ieeg/sub-01_ses-1"


@lru_cache(maxsize=1)
def virtual_patient() -> patient.Patient:
    """A head of 3 mm voxels with twelve regions."""
    regions = parcels.template_parcels(12)
    group = connectome.group_connectome(regions.centroids_mm, regions.homotopic, np.random.default_rng(1), density=0.35)
    return patient.make_patient(SUBJECTS[0], head.load_template_brain(3.0), regions, group, 1, t1w_mm=3.0)


def write_dataset(root: Path):
    """Write ten contacts at rest and under forty pulses."""
    write_json(root / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.11.0", "DatasetType": "raw"})
    write_text(root / "README.md", "SEEG of a generated patient.")
    implanted = write_ieeg(root, virtual_patient(), 1, size="tiny", session="1")
    return implanted


def copy_dataset(source: Path, target: Path) -> Path:
    """Copy what a reader reads."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.npz"))
    return target
