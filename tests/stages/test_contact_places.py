"""Where contacts lie by what a user supplies: a transform to the T1w, a segmentation, labels in electrodes.tsv.

The contacts of the dataset are in ACPC, turned against the T1w by an angle that only the user knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_ai.bids.tables import write_table
from bids_ai.config import read_yaml
from bids_ai.errors import InputError
from bids_ai.preprocess.bold_geometry import write_itk_affine
from bids_ai.stages import atlas
from bids_ai.stages.ccep_responses import Responses, places_of
from bids_ai.stages.contact_files import read_contact_transform
from bids_ai.stages.contact_places import Channels, regions_of
from bids_ai.stages.context import Context
from bids_ai.stages.plan import Plan
from tests.conftest import Answer, write_image

from .test_electrophysiology import ITEM, NAMES, write_recording

ATLAS = "atlas-Cuneus"
#: From the T1w to ACPC: 90 degrees about the vertical axis, and a shift.
TO_ACPC = np.array([[0, -1, 0, 3], [1, 0, 0, -4], [0, 0, 1, 5], [0, 0, 0, 1]], float)
#: In the T1w: contacts A on the left, B on the right; the first of each farthest from the middle.
PLACES = np.array([[(-1 if name[0] == "A" else 1) * (38 - 6 * int(name[1:])), 0, 0] for name in NAMES], float)
LABELS = ["ctx-lh-cuneus" if name[0] == "A" else "ctx-rh-cuneus" for name in NAMES]


@pytest.fixture
def acpc(tmp_path: Path) -> Path:
    """A dataset of stimulation with contacts in ACPC, labels and a T1w, and the atlas of two regions beside it."""
    data = write_recording(tmp_path / "data", placed=False)
    write_image(data / "sub-01/anat/sub-01_T1w.nii.gz", (8, 8, 8))
    folder = data / "sub-01/ieeg"
    system = {"iEEGCoordinateSystem": "ACPC", "iEEGCoordinateUnits": "mm"}
    (folder / "sub-01_coordsystem.json").write_text(json.dumps(system))
    write_electrodes(data, nib.affines.apply_affine(TO_ACPC, PLACES), LABELS)
    nib.save(halves(1, 2), tmp_path / f"{ATLAS}_space-MNI152NLin6Asym_dseg.nii.gz")
    (tmp_path / f"{ATLAS}_dseg.tsv").write_text("index\tname\n1\tLH_cuneus\n2\tRH_cuneus\n")
    return data


def write_electrodes(data: Path, places: np.ndarray, labels: list[str]) -> None:
    rows = ["name\tx\ty\tz\tDesikan_label_text"]
    rows += ["\t".join([name, *map(str, at), label]) for name, at, label in zip(NAMES, places, labels, strict=True)]
    (data / "sub-01/ieeg/sub-01_electrodes.tsv").write_text("\n".join(rows) + "\n")


def halves(left: int, right: int) -> nib.Nifti1Image:
    """Labels left and right of the middle, in voxels of 4 mm."""
    labels = np.full((20, 10, 10), left, np.int32)
    labels[10:] = right
    image = nib.Nifti1Image(labels, np.array([[4, 0, 0, -38], [0, 4, 0, -18], [0, 0, 4, -18], [0, 0, 0, 1]], float))
    image.set_sform(image.affine, code="mni")
    return image


@pytest.fixture
def index(acpc: Path, tmp_path: Path, run_cli, shared_work: Path) -> Callable[..., Answer]:
    """Index the dataset with settings of the section ``ieeg``."""

    def call(*lines: str) -> Answer:
        (tmp_path / "settings.yaml").write_text("\n  ".join(["ieeg:", "reference: bipolar", *lines]) + "\n")
        options = ["-w", shared_work, "--config-file", tmp_path / "settings.yaml", "--skip-bids-validation"]
        atlas = tmp_path / f"{ATLAS}_space-MNI152NLin6Asym_dseg.nii.gz"
        return run_cli("index", acpc, tmp_path / "out", *options, "--atlases", atlas, "--device", "cpu")

    return call


def context_of(answer: Answer) -> Context:
    assert answer.code == 0, answer.text
    [config] = re.findall(r"^Configuration: (.*)$", answer.out, re.MULTILINE)
    return Context.load(Path(config))


def placed(answer: Answer) -> tuple[list[str | None], list[str], str]:
    """Region and tissue of every bipolar channel, as the stages find them."""
    context = context_of(answer)
    pairs = [(first, second) for first, second in pairwise(NAMES) if first[0] == second[0]]
    names = [f"{first}-{second}" for first, second in pairs]
    atlas.run(context, ATLAS)
    table = pd.DataFrame({"name": names, "contact_1": [a for a, _ in pairs], "contact_2": [b for _, b in pairs]})
    write_table(context.names.path("ieeg_channels", ieeg=ITEM), table)
    entry = context.index.recording(ITEM)
    channels = Channels.read(context, entry)
    regions, tissue, how = regions_of(context, entry, ATLAS, channels.names, channels.positions_mm, channels)
    return regions.nearest_names(), tissue, " ".join([how, *regions.notes])


def test_labels_that_name_regions_of_the_atlas_are_used_where_coordinates_cannot_be(index):
    answer = index()
    regions, tissue, how = placed(answer)
    assert regions == ["LH_cuneus"] * 5 + ["RH_cuneus"] * 5
    assert set(tissue) == {"GM"}
    assert "desikan_label_text" in how
    entry = context_of(answer).index.recording(ITEM)
    assert (entry.named_in, entry.located) == ((ATLAS,), False)


def test_a_stimulated_pair_has_the_regions_of_its_contacts(index):
    """The pair A6 and B6 is no channel, and has no place of its own in labels."""
    answer = index()
    placed(answer)
    context = context_of(answer)
    entry = context.index.recording(ITEM)
    table = pd.DataFrame({"site": ["A6-B6"], "contact_1": ["A6"], "contact_2": ["B6"]})
    places = places_of(context, entry, ATLAS, Responses(table, Channels.read(context, entry)))
    np.testing.assert_allclose(places.site_shares, [[0.5, 0.5]])
    np.testing.assert_allclose(places.channel_shares[:, 0], [1] * 5 + [0] * 5)
    assert places.site_tissues == ["GM"]


def test_without_them_no_region_is_planned(index):
    context = context_of(index("label_column: none"))
    entry = context.index.recording(ITEM)
    assert (entry.named_in, entry.located) == ((), False)
    assert list(context.index.pairs()) == []


def test_a_column_that_is_not_there_is_refused_with_the_atlas(index):
    answer = index("label_column: Brodmann")
    assert answer.code == 2
    assert re.search(r"ieeg\.label_column 'Brodmann'.*atlas-Cuneus", answer.text)


def test_a_transform_makes_acpc_contacts_those_of_the_t1w(index, tmp_path):
    np.savetxt(tmp_path / "sub-01_contacts.txt", np.linalg.inv(TO_ACPC))
    context = context_of(index(f"contacts_to_t1w: {tmp_path}/{{subject}}_contacts.txt"))
    entry = context.index.recording(ITEM)
    assert entry.located
    assert entry.named_in == ()  # coordinates go before labels, which are compared with them
    assert entry.label_column == "desikan_label_text"
    write_table(context.names.path("ieeg_channels", ieeg=ITEM), contacts_as_channels())
    channels = Channels.read(context, entry)
    np.testing.assert_allclose(channels.positions_mm, PLACES, atol=1e-9)
    assert channels.electrodes.frame.scanner
    # A job is planned anew when the transform changes.
    plan = Plan(read_yaml(context.config_file))
    inputs = plan.anat_of_ieeg(SimpleNamespace(ieeg=ITEM, get=lambda _: ATLAS))
    assert [Path(path).name for path in inputs][1:] == ["sub-01_contacts.txt"]
    # Snakemake would take braces in a setting for wildcards of the rule.
    assert not set("{}") & set(plan.setting("ieeg"))


def contacts_as_channels() -> pd.DataFrame:
    return pd.DataFrame({"name": NAMES, "contact_1": NAMES, "contact_2": [None] * len(NAMES)})


def test_a_segmentation_gives_regions_and_tissue_by_names(index, tmp_path):
    segmentation = halves(1005, 2005)
    acpc = nib.Nifti1Image(np.asarray(segmentation.dataobj), TO_ACPC @ segmentation.affine)
    (tmp_path / "sub-01").mkdir()
    nib.save(acpc, tmp_path / "sub-01" / "aparc+aseg.nii.gz")
    regions, tissue, how = placed(index(f"segmentation: {tmp_path}/{{subject}}/aparc+aseg.nii.gz"))
    assert regions == ["LH_cuneus"] * 5 + ["RH_cuneus"] * 5
    assert set(tissue) == {"GM"}
    assert "2 of 2 regions were taken from the segmentation" in how


def test_a_segmentation_that_the_contacts_are_not_in_is_told(index, tmp_path):
    """In the coordinates of the T1w, a fifth of a metre away from those of the contacts."""
    image = halves(1005, 2005)
    far = np.eye(4)
    far[2, 3] = 200
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), far @ image.affine), tmp_path / "aparc.nii.gz")
    with pytest.raises(InputError, match=r"10 of 10 channels .* outside of the brain .*aparc\.nii\.gz"):
        placed(index(f"segmentation: {tmp_path}/aparc.nii.gz"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("contacts_to_t1w: {tmp}/{{subject}}_none.txt", r"ieeg\.contacts_to_t1w .* is there for no recording"),
        ("segmentation: {tmp}/{{run}}.mgz", r"\{subject\} and \{session\}, and no other braces"),
        ("segmentation: {tmp}/*.txt", r"2 files match for sub-01"),
        ("segmentation: {tmp}/a.txt\n  label_column: x", "give one of them"),
    ],
)
def test_what_is_not_there_or_not_clear_is_refused(index, tmp_path, line, told):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("x")
    answer = index(line.format(tmp=tmp_path))
    assert answer.code == 2
    assert re.search(told, answer.text), answer.text


def test_labels_are_compared_with_coordinates(index, acpc, tmp_path):
    """Contacts in MNI: coordinates decide, and the labels of one lead are wrong."""
    system = {"iEEGCoordinateSystem": "MNI152NLin6Asym", "iEEGCoordinateUnits": "mm"}
    (acpc / "sub-01/ieeg/sub-01_coordsystem.json").write_text(json.dumps(system))
    write_electrodes(acpc, PLACES, ["ctx-lh-cuneus"] * len(NAMES))
    regions, _, how = placed(index())
    assert regions == ["LH_cuneus"] * 5 + ["RH_cuneus"] * 5
    assert "that of the label in 5 of 10 channels" in how


# ---- transforms


def test_directions_of_a_transform_are_those_of_its_name(tmp_path):
    """ITK maps points of the image that is made to the one that it is made of: against the name of an image's way."""
    to_t1w = np.linalg.inv(TO_ACPC)
    np.savetxt(tmp_path / "any.txt", to_t1w)
    write_itk_affine(tmp_path / "sub-01_from-ACPC_to-T1w_mode-image_xfm.txt", TO_ACPC)
    write_itk_affine(tmp_path / "sub-01_from-ACPC_to-T1w_mode-points_xfm.txt", to_t1w)
    write_itk_affine(tmp_path / "sub-01_from-T1w_to-ACPC_mode-image_xfm.txt", to_t1w)
    for path in tmp_path.iterdir():
        np.testing.assert_allclose(read_contact_transform(path), to_t1w, atol=1e-6, err_msg=path.name)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("flirt.mat", "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "FSL counts voxels"),
        ("sub-01_from-T1w_to-ACPC_xfm.txt", "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "goes from the T1w"),
        ("short.txt", "1 0 0 0\n0 1 0 0\n0 0 1 0\n", r"shape \(3, 4\)"),
        ("words.txt", "to ACPC\n", "no matrix of four rows"),
        ("flat.txt", "1 0 0 0\n0 1 0 0\n0 0 0 0\n0 0 0 1\n", "cannot be inverted"),
        ("affine.txt", "#Insight Transform File V1.0\n", "direction of the ITK transform"),
    ],
)
def test_other_files_are_no_transforms(tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=told):
        read_contact_transform(tmp_path / name)


# ---- a real patient


@pytest.mark.real
def test_394_real_contacts_in_the_segmentation_of_their_brain(test_data, tmp_path, run_cli, shared_work):
    """Contacts are in ACPC; regions come from aparc+aseg, behind the transform to the T1w that it is a volume of."""
    import mne

    folder, table = test_data / "ieeg-ecog-mri", test_data / "atlases/desikan-killiany/atlas-desikankilliany.nii.gz"
    if not (folder.is_dir() and table.is_file()):
        pytest.skip("needs real data: ieeg-ecog-mri and atlases are not in the folder that BIDS_AI_TEST_DATA names")
    raw = mne.io.read_raw_fif(folder / "sample_ecog_ieeg.fif", verbose="error")
    to_mri = mne.coreg.estimate_head_mri_t("sample_ecog", folder / "subjects", verbose="error")
    surface = 1e3 * mne.transforms.apply_trans(to_mri, np.array([entry["loc"][:3] for entry in raw.info["chs"]]))
    segmentation = folder / "subjects/sample_ecog/mri/aparc+aseg.mgz"
    image = nib.load(segmentation)
    scanner = nib.affines.apply_affine(image.affine @ np.linalg.inv(image.header.get_vox2ras_tkr()), surface)
    data = write_recording(tmp_path / "data", placed=False)
    write_image(data / "sub-01/anat/sub-01_T1w.nii.gz", (8, 8, 8))
    system = {"iEEGCoordinateSystem": "ACPC", "iEEGCoordinateUnits": "mm"}
    (data / "sub-01/ieeg/sub-01_coordsystem.json").write_text(json.dumps(system))
    rows = [
        f"{name}\t{x}\t{y}\t{z}"
        for name, (x, y, z) in zip(raw.ch_names, nib.affines.apply_affine(TO_ACPC, scanner), strict=True)
    ]
    (data / "sub-01/ieeg/sub-01_electrodes.tsv").write_text("\n".join(["name\tx\ty\tz", *rows]) + "\n")
    write_itk_affine(tmp_path / "sub-01_from-ACPC_to-T1w_mode-image_xfm.txt", TO_ACPC)
    lines = ["ieeg:", f"  segmentation: {segmentation}", f"  contacts_to_t1w: {tmp_path}/{{subject}}_from-ACPC_*.txt"]
    (tmp_path / "settings.yaml").write_text("\n".join(lines))
    call = ["index", data, tmp_path / "out", "-w", shared_work, "--config-file", tmp_path / "settings.yaml"]
    options = ["--atlases", table, "--atlas-space", "MNI152NLin6Asym", "--device", "cpu", "--skip-bids-validation"]
    context = context_of(run_cli(*call, *options))
    entry, names = context.index.recording(ITEM), list(raw.ch_names)
    single = pd.DataFrame({"name": names, "contact_1": names, "contact_2": [None] * len(names)})
    write_table(context.names.path("ieeg_channels", ieeg=ITEM), single)
    label = context.index.atlases[0].label
    atlas.run(context, label)
    channels = Channels.read(context, entry)
    np.testing.assert_allclose(channels.positions_mm, scanner, atol=1e-3)
    regions, tissue, how = regions_of(context, entry, label, names, channels.positions_mm, channels)
    own = np.asarray(image.dataobj)[
        tuple(np.round(nib.affines.apply_affine(np.linalg.inv(image.affine), scanner)).astype(int).T)
    ]
    cortex = np.flatnonzero((own > 1000) & (own < 3000))
    lut = {int(number): name for name, number in mne.read_freesurfer_lut()[0].items()}
    found = regions.nearest_names()
    assert len(cortex) > 150
    assert [found[row] for row in cortex] == [
        lut[own[row]].replace("ctx-lh-", "LH_").replace("ctx-rh-", "RH_") for row in cortex
    ]
    assert all(name is not None for name in found)
    assert "out" not in tissue
    assert "83 of 83 regions" in how
