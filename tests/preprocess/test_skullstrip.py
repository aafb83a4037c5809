from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess import bias_field, brain_surface, skullstrip, volumes
from bids_ai.preprocess.anat_inputs import read_t1w
from bids_ai.preprocess.brain_affine import locate_brain
from bids_ai.preprocess.templates import Template, bundled_template, user_template
from tests.preprocess.head_phantom import Head, make_head, read_template


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template")


@pytest.fixture(scope="module")
def template(folder: Path) -> Template:
    return bundled_template(folder, 4.0)


@pytest.fixture(scope="module")
def head(folder: Path) -> Head:
    return make_head(folder)


# ---- where the brain is


def test_brain_is_found_in_a_pitched_smaller_head(head: Head, template: Template):
    parts = read_template(template)
    affine = nib.load(template.t1w).affine
    found = locate_brain(head.t1w, head.affine, parts["t1w"], parts["mask"] > 0.5, affine, sloppy=True)
    points = nib.affines.apply_affine(affine, np.argwhere(parts["mask"] > 0.5)[::50])
    apart = nib.affines.apply_affine(found.matrix, points) - nib.affines.apply_affine(head.pose, points)
    # Half a voxel of 4 mm on average, one and a half at the worst point.
    assert np.linalg.norm(apart, axis=1).mean() < 3.0
    assert np.linalg.norm(apart, axis=1).max() < 6.0
    assert found.scale == pytest.approx(0.94, abs=0.04)
    assert found.mutual_information > 0.3


# ---- the surface


def ball_mask(radius_mm: float, mm: float = 2.0, centre: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    grid = (np.indices((50, 50, 50)) - 24.5) * mm
    return sum((grid[k] - centre[k]) ** 2 for k in range(3)) <= radius_mm**2


def test_surface_grows_and_shrinks_to_the_edge():
    brain = ball_mask(36)
    evidence = np.where(brain, 1, -1).astype(np.float32)
    for guess in (ball_mask(29), ball_mask(41), ball_mask(34, centre=(3, -3, 2))):
        mask, stuck = brain_surface.fit_surface(evidence, guess, 2.0, brain_surface.FROM_AFFINE)
        assert volumes.dice(mask, brain) > 0.975
        assert stuck < 0.05


def test_surface_bridges_sulci_and_does_not_reach_muscle_behind_bone():
    brain = ball_mask(34)
    evidence = np.where(brain, 1, -1).astype(np.float32)
    evidence[24:26, 24:, :][brain[24:26, 24:, :]] = -1  # a fissure of 4 mm down to the middle
    muscle = ball_mask(46) & ~ball_mask(38)
    muscle[:25] = False
    evidence[muscle] = 1
    mask, _ = brain_surface.fit_surface(evidence, ball_mask(32), 2.0, brain_surface.FROM_AFFINE)
    assert (mask & muscle).sum() < 0.01 * mask.sum()
    assert volumes.dice(mask, brain) > 0.96


def test_tissue_intensities_are_recovered_from_overlapping_classes():
    rng = np.random.default_rng(2)
    truth = rng.choice(3, 60_000, p=[0.15, 0.5, 0.35])
    mean, sd = np.array([30.0, 70.0, 100.0]), np.array([9.0, 8.0, 6.0])
    values = rng.normal(mean[truth], sd[truth])
    priors = 0.2 + 0.4 * np.eye(3)[truth]
    found = brain_surface.estimate_tissues(values, priors)
    assert found.mean == pytest.approx(mean, abs=1.5)
    # The floor of 1 % of the median and the classes' overlap widen them a little.
    assert found.sd == pytest.approx(sd, abs=2.0)
    evidence = brain_surface.brain_evidence(np.array([0, 50, 70, 100, 160], np.float32), found)
    assert evidence[[0, 2, 3, 4]] == pytest.approx([-1, 1, 1, -1], abs=0.1)
    assert abs(evidence[1]) < 0.15


# ---- the whole


def test_deformable_extraction_of_a_head(head: Head, template: Template):
    found = skullstrip.extract_brain(head.t1w, head.affine, template, sloppy=True)
    assert found.method == "deformable"
    # 4 mm voxels: a shell of half a voxel is 6 % of the volume.
    assert volumes.dice(found.mask, head.mask) > 0.92
    assert found.volume_l == pytest.approx(head.mask.sum() * 0.064 / 1000, rel=0.15)
    assert found.warnings == []
    again = skullstrip.extract_brain(head.t1w, head.affine, template, sloppy=True)
    assert np.array_equal(found.mask, again.mask)


def test_stripped_image_is_recognised_and_left_alone(head: Head, template: Template):
    stripped = np.where(head.mask, head.t1w, 0).astype(np.float32)
    assert skullstrip.is_skull_stripped(stripped, head.affine)
    assert not skullstrip.is_skull_stripped(head.t1w, head.affine)
    assert not skullstrip.is_skull_stripped(np.where(head.t1w > 20, head.t1w, 0), head.affine)
    found = skullstrip.extract_brain(stripped, head.affine, template, sloppy=True)
    assert found.method == "none"
    assert volumes.dice(found.mask, head.mask) > 0.99
    forced = skullstrip.extract_brain(stripped, head.affine, template, method="deformable", sloppy=True)
    assert forced.method == "none"
    assert "skull-stripped already" in forced.warnings[0]


def test_none_on_a_whole_head_warns(head: Head, template: Template):
    found = skullstrip.extract_brain(head.t1w, head.affine, template, method="none", sloppy=True)
    assert any("more than the brain" in text for text in found.warnings)
    assert any("l are expected" in text for text in found.warnings)


def test_methods_that_cannot_be_are_refused(head: Head, template: Template):
    with pytest.raises(InputError, match="Unknown method"):
        skullstrip.extract_brain(head.t1w, head.affine, template, method="magic")
    with pytest.raises(InputError, match="needs a template with a whole-head image"):
        skullstrip.extract_brain(head.t1w, head.affine, template, method="head-template")


@pytest.mark.slow
def test_head_template(head: Head, folder: Path):
    other = make_head(folder, pitch_deg=0.0, scale=1.0, shift_mm=(0.0, 0.0, 0.0), noise=0.0)
    paths = {}
    brain = np.where(other.mask, other.t1w, 0)
    for name, data in (("t1w", brain), ("mask", other.mask.astype(np.uint8)), ("head", other.t1w)):
        paths[name] = folder / f"other_{name}.nii.gz"
        nib.save(nib.Nifti1Image(data, other.affine), paths[name])
    given = user_template(paths["t1w"], paths["mask"], "Other", head=paths["head"])
    found = skullstrip.extract_brain(head.t1w, head.affine, given, sloppy=True)
    assert found.method == "head-template"
    assert volumes.dice(found.mask, head.mask) > 0.92


@pytest.mark.slow
@pytest.mark.real
def test_real_brains(test_data: Path, folder: Path):
    """De-faced T1w of one subject, and an average head with a mask of its own (benchmarks/anatomical.py has more)."""
    template = bundled_template(folder, 2.0)
    data, affine = read_t1w(test_data / "bids-studyforrest/sub-02/anat/sub-02_T1w.nii.gz")
    data, affine = volumes.isotropic(data, affine, 2.0)
    data, _ = bias_field.correct_bias(data, affine, bias_field.foreground(data), sloppy=True)
    found = skullstrip.extract_brain(data, affine, template, sloppy=True)
    assert 1.45 < found.volume_l < 1.75
    assert found.warnings == []
    parts = test_data / "templates/mni-nlin6-2mm"
    data, affine = read_t1w(parts / "MNI152NLin6_res-2x2x2_T1w.nii.gz")
    mask, _ = read_t1w(parts / "MNI152NLin6_res-2x2x2_T1w_descr-brainmask.nii.gz")
    truth = volumes.closing(mask > 0, 6.0, 2.0)
    assert volumes.dice(skullstrip.extract_brain(data, affine, template, sloppy=True).mask, truth) > 0.95
