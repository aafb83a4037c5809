from pathlib import Path

import numpy as np
import pytest

from bids_ai.simulate import bundles, connectome, head, parcels, patient, phantom, warp
from bids_ai.simulate.plan import SUBJECTS


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
def tiny(tiny_dataset: Path) -> Path:
    return tiny_dataset


@pytest.fixture(scope="session")
def fine_brain() -> head.TemplateBrain:
    """Fine enough for white matter to hang together."""
    return head.load_template_brain(2.0)


@pytest.fixture(scope="session")
def bundle_parcels() -> parcels.Parcels:
    return parcels.template_parcels(10)


@pytest.fixture(scope="session")
def bundle_group(bundle_parcels: parcels.Parcels) -> connectome.Connectome:
    centroids, homotopic = bundle_parcels.centroids_mm, bundle_parcels.homotopic
    return connectome.group_connectome(centroids, homotopic, np.random.default_rng(1), density=0.3)


@pytest.fixture(scope="session")
def laid_bundles(
    fine_brain: head.TemplateBrain, bundle_parcels: parcels.Parcels, bundle_group: connectome.Connectome
) -> bundles.Bundles:
    return bundles.make_bundles(fine_brain, bundle_parcels, bundle_group, np.random.default_rng(2))


@pytest.fixture(scope="session")
def seeg_patient() -> patient.Patient:
    """A head of 3 mm voxels with twelve regions."""
    regions = parcels.template_parcels(12)
    group = connectome.group_connectome(regions.centroids_mm, regions.homotopic, np.random.default_rng(1), density=0.35)
    return patient.make_patient(SUBJECTS[0], head.load_template_brain(3.0), regions, group, 1, t1w_mm=3.0)
