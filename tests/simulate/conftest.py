from pathlib import Path

import numpy as np
import pytest

from bids_ai.simulate import head, parcels, phantom, warp
from bids_ai.simulate.demo import write_demo_dataset


@pytest.fixture(scope="session")
def template_brain() -> head.TemplateBrain:
    return head.load_template_brain(6.0)


@pytest.fixture(scope="session")
def subject_warp() -> warp.SubjectWarp:
    return warp.random_warp(np.random.default_rng(5))


@pytest.fixture(scope="session")
def small_head(template_brain: head.TemplateBrain, subject_warp: warp.SubjectWarp) -> phantom.Phantom:
    affine = np.diag([6.0, 6.0, 6.0, 1.0])
    affine[:3, 3] = [-96.0, -136.0, -128.0]
    return phantom.make_phantom(template_brain, subject_warp, affine, (32, 40, 38), np.random.default_rng(6))


@pytest.fixture(scope="session")
def small_parcels() -> parcels.Parcels:
    return parcels.template_parcels(8)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_dataset(tmp_path_factory.mktemp("simulate") / "tiny", seed=1, size="tiny")
