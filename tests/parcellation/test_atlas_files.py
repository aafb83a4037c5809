from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.parcellation.atlas import load_atlas
from bids_ai.parcellation.files import atlas_entities, find_table
from bids_ai.parcellation.mni import MNI152_SPACES, canonical_space
from tests.parcellation.conftest import AFFINE, SHAPE

Write = Callable[..., Path]


def test_an_atlas_from_a_file(write_atlas: Write, tmp_path: Path) -> None:
    path = write_atlas()
    atlas = load_atlas(str(path), cache_dir=tmp_path)
    assert atlas.entities == {"atlas": "mine"}
    assert atlas.label == "atlas-mine"
    assert atlas.space == "MNI152NLin6Asym"
    assert atlas.nodes["name"].tolist() == ["L_a", "L_b", "R_a", "R_b"]
    assert atlas.nodes.loc[0, ["x", "y", "z"]].tolist() == [-12.0, -12.0, -2.0]
    assert atlas.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert atlas.image.get_data_dtype() == np.int16
    assert atlas.notes == ()


def test_float_volumes_of_integers_are_accepted_and_large_labels_kept(
    write_atlas: Write, tmp_path: Path, four_blocks: np.ndarray
) -> None:
    data = np.where(four_blocks == 4, 70000, four_blocks.astype(np.float32))
    path = write_atlas(data=data, table="index\tname\n1\ta\n2\tb\n3\tc\n70000\td\n")
    image = load_atlas(str(path), cache_dir=tmp_path).image
    assert image.get_data_dtype() == np.int32
    assert np.asanyarray(image.dataobj).max() == 70000


def test_a_trailing_axis_of_one_is_dropped(write_atlas: Write, tmp_path: Path, four_blocks: np.ndarray) -> None:
    path = write_atlas(data=four_blocks[..., None])
    assert load_atlas(str(path), cache_dir=tmp_path).image.shape == SHAPE


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda labels: labels.astype(np.float32) * 0.5, "not integers .such as 0.5"),
        (lambda labels: np.where(labels == 1, np.nan, labels).astype(np.float32), "not integers"),
        (lambda labels: -labels, "negative labels .down to -4"),
        (lambda labels: labels * 0, "holds no region"),
        (lambda labels: np.stack([labels, labels], axis=-1), r"\(10, 10, 6, 2\).*Probabilistic maps"),
    ],
)
def test_volumes_that_are_no_labels_are_refused(
    write_atlas: Write,
    tmp_path: Path,
    four_blocks: np.ndarray,
    data: Callable[[np.ndarray], np.ndarray],
    message: str,
) -> None:
    path = write_atlas(data=data(four_blocks))
    with pytest.raises(InputError, match=message):
        load_atlas(str(path), cache_dir=tmp_path)


def test_truncated_damaged_and_missing_files(write_atlas: Write, tmp_path: Path) -> None:
    path = write_atlas(data=np.random.default_rng(0).integers(0, 5, (40, 40, 40)).astype(np.int16))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="cannot be read, it may be truncated"):
        load_atlas(str(path), cache_dir=tmp_path)
    path.write_bytes(gzip.compress(b"not a volume"))
    with pytest.raises(InputError, match="cannot be read"):
        load_atlas(str(path), cache_dir=tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        load_atlas(str(tmp_path / "none.nii.gz"), cache_dir=tmp_path)


def test_a_volume_without_orientation_is_refused(tmp_path: Path, write_atlas: Write, four_blocks: np.ndarray) -> None:
    path = write_atlas()
    image = nib.Nifti1Image(four_blocks, None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, path)
    with pytest.raises(InputError, match="left and right cannot be told"):
        load_atlas(str(path), cache_dir=tmp_path)


def test_no_table(write_atlas: Write, tmp_path: Path) -> None:
    path = write_atlas(table=None)
    with pytest.raises(InputError, match=r"No region table.*mine_space-MNI152NLin6Asym.tsv.*--atlas-table"):
        load_atlas(str(path), cache_dir=tmp_path)
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("L_a\nL_b\nR_a\nR_b\n")
    assert len(load_atlas(str(path), cache_dir=tmp_path, table=elsewhere).nodes) == 4


def test_labels_missing_in_the_table_are_listed(write_atlas: Write, tmp_path: Path) -> None:
    path = write_atlas(table="index\tname\n1\ta\n3\tb\n")
    with pytest.raises(InputError, match=r"2 of 4 labels .* are missing in .*: 2, 4"):
        load_atlas(str(path), cache_dir=tmp_path)


def test_regions_missing_in_the_volume_stay_as_missing(write_atlas: Write, tmp_path: Path) -> None:
    path = write_atlas(table="index\tname\n1\ta\n2\tb\n3\tc\n4\td\n9\tghost\n")
    with pytest.warns(UserWarning, match="ghost"):
        atlas = load_atlas(str(path), cache_dir=tmp_path)
    assert atlas.nodes["name"].tolist()[-1] == "ghost"
    assert np.isnan(atlas.nodes["x"].iloc[-1])
    assert "ghost" in atlas.notes[0]


def test_a_colour_table_of_everything_is_cut_to_the_volume(write_atlas: Write, tmp_path: Path) -> None:
    table = "".join(f"{k} region{k} 1 2 3 0\n" for k in range(1, 40))
    path = write_atlas(table=table, ending=".txt")
    assert len(load_atlas(str(path), cache_dir=tmp_path).nodes) == 4


def test_duplicate_names_are_refused(write_atlas: Write, tmp_path: Path) -> None:
    path = write_atlas(table="index\tname\n1\ta\n2\ta\n3\tb\n4\tc\n")
    with pytest.raises(InputError, match="Names that occur more than once"):
        load_atlas(str(path), cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("volume", "table"),
    [
        ("a_space-MNI152NLin6Asym_res-02_dseg", "a.tsv"),
        ("Tian_Subcortex_S1_3T_2009cAsym", "Tian_Subcortex_S1_3T_label.txt"),
        ("Schaefer2018_100Parcels_7Networks_order_FSLMNI152_2mm", "Schaefer2018_100Parcels_7Networks_order.txt"),
        ("tpl-MNI152NLin6Asym_atlas-X_res-01_desc-9_dseg", "tpl-MNI152NLin6Asym_atlas-X_desc-9_dseg.tsv"),
        ("tpl-MNI152NLin6Asym_atlas-X_res-01_dseg", "atlas-X_dseg.tsv"),
        ("b", "b.csv"),
    ],
)
def test_tables_are_found_beside_the_volume(tmp_path: Path, volume: str, table: str) -> None:
    (tmp_path / table).write_text("index,name\n1,a\n")
    (tmp_path / "atlas-Other_dseg.tsv").write_text("index\tname\n1\ta\n")
    assert find_table(tmp_path / f"{volume}.nii.gz") == tmp_path / table


def test_a_sidecar_is_not_taken_for_the_table(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"Space": "MNI152NLin6Asym"}')
    assert find_table(tmp_path / "a.nii.gz") is None


@pytest.mark.parametrize(
    ("name", "entities"),
    [
        ("schaefer100x17MNI", ["Schaefer2018", "17Networks", "100"]),
        ("Schaefer2018_400Parcels_7Networks_order_FSLMNI152_2mm", ["Schaefer2018", "7Networks", "400"]),
        (
            "tpl-MNI152NLin2009cAsym_res-02_atlas-Schaefer2018_desc-100Parcels7Networks_dseg",
            ["Schaefer2018", "7Networks", "100"],
        ),
        ("atlas-Schaefer2018_seg-7Networks_scale-200_dseg", ["Schaefer2018", "7Networks", "200"]),
        ("atlas-HOCPA_desc-th25", ["HOCPA", "th25"]),
        ("Tian_Subcortex_S3_3T_NLin6Asym_2mm", ["Tian2020", "Subcortex", "3"]),
        ("Yeo-7_space-MNI152NLin6_res-2x2x2", ["Yeo7"]),
        ("my own atlas (v2)", ["myownatlasv2"]),
    ],
)
def test_entities_come_from_names_of_any_kind(name: str, entities: list[str]) -> None:
    assert list(atlas_entities(Path(f"{name}.nii.gz")).values()) == entities


@pytest.mark.parametrize(
    ("text", "space"),
    [
        *((space, space) for space in MNI152_SPACES),
        ("mni152nlin2009CASYM", "MNI152NLin2009cAsym"),
        ("ICBM 2009a Nonlinear Symmetric", "MNI152NLin2009aSym"),
        ("2009cAsym", "MNI152NLin2009cAsym"),
        ("MNI152NLin6", "MNI152NLin6Asym"),
        ("FSL", "MNI152NLin6Asym"),
        ("FSLMNI152", "MNI152NLin6Asym"),
    ],
)
def test_spellings_of_spaces(text: str, space: str) -> None:
    assert canonical_space(text) == space


def test_a_family_name_asks_for_the_variant() -> None:
    with pytest.raises(InputError, match=r"names a family.*MNI152NLin2009cAsym"):
        canonical_space("MNI152")


@pytest.mark.parametrize("text", ["fsaverage", "T1w", "MNI305", "Talairach", "Other", "fsLR", "MNI152NLin2009dAsym"])
def test_other_spaces_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="Only volumes in an MNI152 space"):
        canonical_space(text)


@pytest.mark.parametrize(
    "content",
    [
        {"Space": "MNI152NLin2009cAsym"},
        {"SpatialReference": "https://example.org/tpl-MNI152NLin2009cAsym_res-01_T1w.nii.gz"},
        {"SpatialReference": {"res-01": "tpl-MNI152NLin2009cAsym_res-01_T1w.nii.gz"}},
    ],
)
def test_the_sidecar_states_the_space(write_atlas: Write, tmp_path: Path, content: dict) -> None:
    path = write_atlas("mine")
    (tmp_path / "mine.json").write_text(json.dumps(content))
    assert load_atlas(str(path), cache_dir=tmp_path).space == "MNI152NLin2009cAsym"


def test_unknown_space_is_refused_unless_stated(write_atlas: Write, tmp_path: Path) -> None:
    path = write_atlas("mine")
    with pytest.raises(InputError, match=r"space of mine.nii.gz is unknown.*--atlas-space"):
        load_atlas(str(path), cache_dir=tmp_path)
    with pytest.raises(InputError, match="names a family"):
        load_atlas(str(path), cache_dir=tmp_path, space="MNI152")
    assert load_atlas(str(path), cache_dir=tmp_path, space="FSL").space == "MNI152NLin6Asym"


def test_the_users_word_completes_a_family_but_does_not_contradict(write_atlas: Write, tmp_path: Path) -> None:
    vague = write_atlas("mine_space-MNI152")
    with pytest.raises(InputError, match="names a family"):
        load_atlas(str(vague), cache_dir=tmp_path)
    assert load_atlas(str(vague), cache_dir=tmp_path, space="FSL").space == "MNI152NLin6Asym"
    clear = write_atlas("other_space-MNI152NLin6Asym")
    with pytest.raises(InputError, match="states the space MNI152NLin6Asym, but MNI152NLin2009cAsym"):
        load_atlas(str(clear), cache_dir=tmp_path, space="MNI152NLin2009cAsym")
    native = write_atlas("third_space-T1w")
    with pytest.raises(InputError, match="Only volumes"):
        load_atlas(str(native), cache_dir=tmp_path, space="FSL")


def test_licence_from_the_description_beside(write_atlas: Write, tmp_path: Path) -> None:
    path = write_atlas("atlas-Mine_space-MNI152NLin6Asym_dseg")
    content = {"License": "CC0", "ReferencesAndLinks": ["doi:1", "doi:2"]}
    (tmp_path / "atlas-Mine_description.json").write_text(json.dumps(content))
    atlas = load_atlas(str(path), cache_dir=tmp_path)
    assert (atlas.licence, atlas.citation) == ("CC0", "doi:1; doi:2")


def test_names_with_spaces_and_accents(tmp_path: Path, four_blocks: np.ndarray) -> None:
    folder = tmp_path / "dossier été"
    folder.mkdir()
    path = folder / "atlas à moi_space-MNI152NLin6Asym.nii.gz"
    nib.save(nib.Nifti1Image(four_blocks, AFFINE), path)
    (folder / "atlas à moi.txt").write_text("L_a\nL_b\nR_a\nR_b\n", encoding="utf-8")
    assert load_atlas(str(path), cache_dir=tmp_path).entities == {"atlas": "atlasmoi"}


def test_an_unknown_name_lists_what_is_registered(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no atlas 'Nobody2030'.*GrownSeitzman2018.*EqualVolume:N"):
        load_atlas("Nobody2030", cache_dir=tmp_path)


@pytest.mark.parametrize("content", [b"[" * 5000, b"\xff\xfe\x00", b"3", b"[1]", b"true"])
def test_descriptions_beside_an_atlas_that_are_no_description(tmp_path, content):
    labels = np.zeros(SHAPE, np.int16)
    labels[:4], labels[4:] = 1, 2
    path = tmp_path / "atlas-X_space-MNI152NLin6Asym_dseg.nii"
    image = nib.Nifti1Image(labels, AFFINE)
    image.set_sform(AFFINE, code="mni")
    nib.save(image, path)
    path.with_suffix(".tsv").write_text("index\tname\n1\tA\n2\tB\n")
    (tmp_path / "atlas-X_description.json").write_bytes(content)
    if content in (b"3", b"[1]", b"true"):  # JSON that says nothing
        assert load_atlas(str(path), cache_dir=tmp_path).licence == "not stated"
        return
    with pytest.raises(InputError, match=r"atlas-X_description.json is not valid JSON"):
        load_atlas(str(path), cache_dir=tmp_path)


def test_an_atlas_without_a_usable_affine_is_told(tmp_path):
    path = tmp_path / "atlas-X_space-MNI152NLin6Asym_dseg.nii"
    image = nib.Nifti1Image(np.ones(SHAPE, np.int16), AFFINE)
    image.set_sform(AFFINE, code="mni")
    content = bytearray(image.to_bytes())
    content[284:288] = np.float32(np.inf).tobytes()  # srow_x
    path.write_bytes(bytes(content))
    path.with_suffix(".tsv").write_text("index\tname\n1\tA\n")
    with pytest.raises(InputError, match="no usable affine"):
        load_atlas(str(path), cache_dir=tmp_path)
