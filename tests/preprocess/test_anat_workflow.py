"""The whole anatomical path on a coarse head with known anatomy."""

from dataclasses import fields
from pathlib import Path

import ants
import nibabel as nib
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess import volumes
from bids_ai.preprocess.anat import AnatOutputs, preprocess_t1w
from bids_ai.preprocess.templates import Template, bundled_template
from tests.preprocess.head_phantom import Head, make_head

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("anat with space é")


@pytest.fixture(scope="module")
def head(folder: Path) -> Head:
    return make_head(folder)


@pytest.fixture(scope="module")
def template(folder: Path) -> Template:
    return bundled_template(folder, 4.0)


@pytest.fixture(scope="module")
def outputs(head: Head, folder: Path, template: Template) -> AnatOutputs:
    t1w = head.save(folder / "sub-01_T1w.nii.gz")
    return preprocess_t1w(t1w, folder / "work", template=template, sloppy=True)


def load(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_outputs_lie_on_their_grids_in_the_work_folder(outputs: AnatOutputs, head: Head, folder: Path):
    template = nib.load(outputs.template.t1w)
    for field in fields(AnatOutputs):
        path = getattr(outputs, field.name)
        if not isinstance(path, Path):
            continue
        assert path.parent == folder / "work"
        if path.name.endswith(".nii.gz"):
            image = nib.load(path)
            there = "in_template" in field.name
            assert image.shape == (template.shape if there else head.t1w.shape), field.name
            assert np.allclose(image.affine, template.affine if there else head.affine, atol=1e-4), field.name
    assert not (folder / "work" / "anat").exists()


def test_brain_and_tissues_are_those_of_the_phantom(outputs: AnatOutputs, head: Head):
    mask = load(outputs.brain_mask) > 0
    assert volumes.dice(mask, head.mask) > 0.92
    dseg = load(outputs.dseg)
    assert set(np.unique(dseg)) == {0, 1, 2, 3}
    assert np.array_equal(dseg > 0, mask)
    # Voxels of 4 mm hold several tissues: the maps are compared, not the labels.
    for name in ("gm", "wm"):
        ours, truth = load(getattr(outputs, f"{name}_probseg"))[mask], getattr(head, name)[mask]
        assert np.corrcoef(ours, truth)[0, 1] > 0.75, name
    total = sum(load(getattr(outputs, f"{name}_probseg")) for name in ("gm", "wm", "csf"))
    assert np.allclose(total[mask], 1, atol=1e-4)
    assert not load(outputs.t1w_brain)[~mask].any()


def test_transforms_take_the_brain_to_the_template_and_back(outputs: AnatOutputs, head: Head, template: Template):
    inside = load(template.mask) > 0
    assert volumes.dice(load(outputs.brain_mask_in_template) > 0, inside) > 0.93
    t1w, there = ants.image_read(str(outputs.t1w_preproc)), ants.image_read(str(template.t1w))
    # As the rest of the pipeline does: one composite transform.
    gm = ants.apply_transforms(t1w, ants.image_read(str(template.gm)), [str(outputs.template_to_t1w)])
    assert np.corrcoef(gm.numpy()[head.mask], head.gm[head.mask])[0, 1] > 0.7
    forth = ants.apply_transforms(there, gm, [str(outputs.t1w_to_template)])
    assert np.corrcoef(forth.numpy()[inside], load(template.gm)[inside])[0, 1] > 0.8


def test_quality_says_what_was_done(outputs: AnatOutputs):
    qc = outputs.qc
    assert qc["skullstrip_method"] == "deformable"
    assert qc["nmi_headers"] < qc["nmi_before"] < qc["nmi_after"]
    assert sum(qc["tissue_volumes_l"].values()) == pytest.approx(qc["brain_volume_l"], rel=0.01)
    assert qc["dseg_labels"] == {"GM": 1, "WM": 2, "CSF": 3}
    assert set(qc["seconds"]) == {"conform", "bias_head", "extract", "bias_brain", "normalise", "segment"}
    assert qc["template_origin"] == outputs.template.origin
    assert qc["warnings"] == []


def test_a_second_run_gives_the_same_bits(outputs: AnatOutputs, folder: Path, template: Template):
    again = preprocess_t1w(folder / "sub-01_T1w.nii.gz", folder / "again", template=template, sloppy=True)
    for name in ("brain_mask", "dseg", "t1w_in_template", "gm_probseg"):
        assert np.array_equal(load(getattr(outputs, name)), load(getattr(again, name))), name


def test_faults_of_the_image_are_input_errors(folder: Path, template: Template):
    bad = folder / "bad_T1w.nii.gz"
    nib.save(nib.Nifti1Image(np.full((30, 30, 30), np.nan, np.float32), np.diag([4.0, 4, 4, 1])), bad)
    before = Path.cwd()
    with pytest.raises(InputError, match=r"NaN or infinite: .*bad_T1w.nii.gz"):
        preprocess_t1w(bad, folder / "bad", template=template, sloppy=True)
    assert Path.cwd() == before
    with pytest.raises(InputError, match="not a file"):
        preprocess_t1w(folder / "absent.nii.gz", folder / "bad", template=template)
    with pytest.raises(InputError, match="Unknown method"):
        preprocess_t1w(bad, folder / "bad", template=template, skullstrip="magic")
    with pytest.raises(InputError, match="whole-head"):
        preprocess_t1w(bad, folder / "bad", template=template, skullstrip="head-template")
