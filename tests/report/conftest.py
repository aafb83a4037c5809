from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from report_world import AFFINE, SHAPE, world


@pytest.fixture
def head() -> nib.Nifti1Image:
    """A T1w-like ball of 16 mm radius, brighter inside 10 mm, with noise."""
    radius = np.sqrt((world() ** 2).sum(0))
    noise = np.random.default_rng(0).normal(0, 2, SHAPE)
    return nib.Nifti1Image(((radius < 16) * 100 + (radius < 10) * 50 + noise).astype(np.float32), AFFINE)


@pytest.fixture
def tissues() -> nib.Nifti1Image:
    """Labels: white matter (2) within 7 mm, grey (1) to 12 mm, CSF (3) to 15 mm."""
    radius = np.sqrt((world() ** 2).sum(0))
    labels = np.select([radius < 7, radius < 12, radius < 15], [2, 1, 3], 0)
    return nib.Nifti1Image(labels.astype(np.uint8), AFFINE)


@pytest.fixture
def nodes() -> pd.DataFrame:
    """Six regions in two networks, interleaved over the hemispheres."""
    return pd.DataFrame(
        {
            "index": [1, 2, 3, 4, 5, 6],
            "name": ["R_Vis_1", "L_Vis_1", "L_Def_1", "R_Def_1", "L_Vis_2", "Mid_1"],
            "hemisphere": ["R", "L", "L", "R", "L", None],
            "network": ["Vis", "Vis", "Def", "Def", "Vis", None],
            "x": [20.0, -20, -30, 30, -10, 0],
            "y": [-80.0, -80, 40, 40, -70, 0],
            "z": [0.0, 0, 30, 30, 10, 10],
            "color": ["#781286", "#781286", "#cd3e4e", "#cd3e4e", "#781286", "#aaaaaa"],
        }
    )
