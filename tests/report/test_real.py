"""Figures of a real scan; needs BIDS_AI_TEST_DATA."""

from __future__ import annotations

import base64
import io
import os
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from bids_ai.report.figures.anat import plot_brain_mask
from bids_ai.report.figures.func import plot_coregistration

DATA = os.environ.get("BIDS_AI_TEST_DATA", "")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA, reason="BIDS_AI_TEST_DATA is not set: no real scan to draw"),
]


@pytest.fixture(scope="module")
def scan() -> tuple[Path, nib.Nifti1Image]:
    """The T1w and the first BOLD volume of one subject."""
    subject = Path(DATA) / "bids-studyforrest" / "sub-02"
    bold = nib.load(subject / "func" / "sub-02_task-oneback_run-1_bold.nii.gz")
    first = np.asarray(bold.dataobj[..., 0], np.float32)
    return subject / "anat" / "sub-02_T1w.nii.gz", nib.Nifti1Image(first, bold.affine)


def agreement(t1w: Path, bold: nib.Nifti1Image, out: Path) -> float:
    """Mean correlation of the grey levels of the two layers over the slices of a coregistration figure."""
    head = nib.Nifti1Image((bold.get_fdata() > 300).astype(np.uint8), bold.affine)
    text = plot_coregistration(bold, t1w, head, out).read_text()
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), float).ravel()
        for data in re.findall(r'data:image/jpeg;base64,([^"]+)"', text)
    ]
    pairs = zip(pictures[:21], pictures[21:], strict=True)
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs if a.std() > 5 and b.std() > 5]))


def test_images_of_other_grids_and_orientations_lie_on_each_other(scan, tmp_path):
    """BOLD is oblique and stored from right to left, the T1w is not: in scanner space they show the same head."""
    t1w, bold = scan
    assert nib.aff2axcodes(bold.affine)[0] == "L"
    shifted = bold.affine.copy()
    shifted[:3, 3] += 30
    away = nib.Nifti1Image(np.asarray(bold.dataobj), shifted)
    assert agreement(t1w, bold, tmp_path / "a.svg") > agreement(t1w, away, tmp_path / "b.svg") + 0.2


def test_full_resolution_figure_stays_under_the_limit(scan, tmp_path):
    t1w, bold = scan
    mask = nib.Nifti1Image((bold.get_fdata() > 300).astype(np.uint8), bold.affine)
    assert plot_brain_mask(t1w, mask, tmp_path / "m.svg").stat().st_size < 1_500_000
