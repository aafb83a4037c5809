"""One contract over every registered atlas."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from bids_ai.errors import InputError
from bids_ai.parcellation.atlas import Atlas, load_atlas
from bids_ai.parcellation.greymatter import BRAINSTEM, GREY_THRESHOLD, GreyMatter, template_grey_matter
from bids_ai.parcellation.nodes import homotopic_partners, label_geometry, validate_nodes
from bids_ai.parcellation.registry import labels_sha256, registered_names

# every registered atlas; those of any size at the default, an odd and a fine one
SPECS = [
    spec.replace(":N", f":{n}")
    for spec in registered_names()
    for n in ((100, 101, 400) if spec.endswith(":N") else (0,))
]


@pytest.fixture(scope="module")
def grey() -> GreyMatter:
    return template_grey_matter(2)


@pytest.fixture(scope="module", params=SPECS)
def atlas(request: pytest.FixtureRequest, atlas_cache: Path) -> Atlas:
    return load_atlas(request.param, cache_dir=atlas_cache)


def _labels(atlas: Atlas) -> np.ndarray:
    return np.asanyarray(atlas.image.dataobj)


def test_node_table_is_valid_and_belongs_to_the_volume(atlas: Atlas) -> None:
    nodes = validate_nodes(atlas.nodes)
    labels = _labels(atlas)
    assert sorted(np.unique(labels[labels > 0])) == nodes["index"].tolist()
    geometry = label_geometry(labels, atlas.image.affine)
    # the cached table keeps all digits of the centroids
    np.testing.assert_allclose(nodes[["x", "y", "z"]], geometry[["x", "y", "z"]], atol=1e-9)


def test_identity(atlas: Atlas) -> None:
    assert atlas.space == "MNI152NLin2009aSym"
    assert atlas.sha256 == labels_sha256(atlas.image)
    assert len(atlas.sha256) == 64
    assert atlas.label.startswith("atlas-")
    assert all((atlas.origin, atlas.licence, atlas.citation))
    assert np.issubdtype(atlas.image.get_data_dtype(), np.integer)


def test_regions_lie_in_grey_matter(atlas: Atlas, grey: GreyMatter) -> None:
    labels = _labels(atlas)
    assert labels.shape == grey.probability.shape
    np.testing.assert_array_equal(atlas.image.affine, grey.affine)
    assert (grey.probability[labels > 0] > GREY_THRESHOLD).all()
    assert not (grey.compartment[labels > 0] == BRAINSTEM).any()


def test_regions_stay_in_their_hemisphere(atlas: Atlas) -> None:
    left = label_geometry(_labels(atlas), atlas.image.affine)["left"].to_numpy()
    side = atlas.nodes["hemisphere"].to_numpy()
    assert (left[side == "L"] > 0.5).all()
    assert (left[side == "R"] < 0.5).all()
    x = np.where(_labels(atlas) > 0)[0] * 2 - 98
    owner = _labels(atlas)[_labels(atlas) > 0]
    side_of = dict(zip(atlas.nodes["index"], side, strict=True))
    sides = np.array([side_of[k] for k in owner])
    assert (x[sides == "L"] <= 0).all()
    assert (x[sides == "R"] >= 0).all()


def test_regions_are_in_one_piece(atlas: Atlas) -> None:
    labels = _labels(atlas)
    neighbours = np.ones((3, 3, 3))
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        assert ndimage.label(labels[box] == label, structure=neighbours)[1] == 1, label


def test_regions_are_large_enough_to_average(atlas: Atlas) -> None:
    size = np.bincount(_labels(atlas).ravel())[1:]
    assert size.min() >= 25  # 0.2 mL


def test_partners_face_each_other(atlas: Atlas) -> None:
    partner = homotopic_partners(atlas.nodes).dropna().astype(int)
    assert len(partner) > 0.5 * len(atlas.nodes)
    table = atlas.nodes.set_index("index")
    assert (partner.loc[partner].to_numpy() == partner.index).all()
    xyz = table[["x", "y", "z"]]
    gap = np.linalg.norm(xyz.loc[partner.index].to_numpy() * [-1, 1, 1] - xyz.loc[partner].to_numpy(), axis=1)
    assert gap.max() <= 15
    assert set(table.loc[partner.index, "hemisphere"]) == {"L", "R"}


def test_a_second_making_gives_the_same_bits(atlas: Atlas, tmp_path: Path) -> None:
    if atlas.label.endswith("scale-400"):
        pytest.skip("the same code as at 100")
    name = atlas.entities["atlas"] + (f":{atlas.entities['scale']}" if "scale" in atlas.entities else "")
    again = load_atlas(name, cache_dir=tmp_path)
    assert again.sha256 == atlas.sha256
    assert again.nodes.equals(atlas.nodes)


def test_equal_volumes_are_equal_and_mirror(atlas_cache: Path) -> None:
    labels = _labels(load_atlas("EqualVolume:100", cache_dir=atlas_cache))
    size = np.bincount(labels.ravel())[1:]
    assert np.abs(size / size.mean() - 1).max() < 0.05
    right = labels[::-1]
    np.testing.assert_array_equal(labels[:49], np.where(right > 50, right - 50, 0)[:49])
    assert not labels[49].any()
    fine = np.bincount(_labels(load_atlas("EqualVolume:400", cache_dir=atlas_cache)).ravel())[1:]
    assert np.abs(fine / fine.mean() - 1).max() < 0.10


def test_specs_are_understood_in_any_case_and_by_alias(atlas_cache: Path) -> None:
    hashes = {load_atlas(s, cache_dir=atlas_cache).sha256 for s in ("EqualVolume:100", "equalvolume100")}
    assert len(hashes) == 1
    assert load_atlas("seitzman300", cache_dir=atlas_cache).label == "atlas-GrownSeitzman2018"
    assert load_atlas("Power264", cache_dir=atlas_cache).label == "atlas-GrownPower2011"
    assert load_atlas("DOSENBACH160", cache_dir=atlas_cache).label == "atlas-GrownDosenbach2010"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("EqualVolume", "needs its number of regions, as in EqualVolume:100"),
        ("EqualVolume:", "needs its number"),
        ("EqualVolume:1", "takes 2 to .* not 1"),
        ("EqualVolume:-5", "not -5"),
        ("EqualVolume:9999999", "not 9999999"),
        ("EqualVolumeX", "no atlas"),
    ],
)
def test_impossible_specs(spec: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_atlas(spec, cache_dir=tmp_path)


def test_a_damaged_cache_is_made_again(tmp_path: Path) -> None:
    first = load_atlas("EqualVolume:10", cache_dir=tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".gz", ".tsv"]
    for file in tmp_path.iterdir():
        good = file.read_bytes()
        file.write_bytes(good[: len(good) // 2])
        assert load_atlas("EqualVolume:10", cache_dir=tmp_path).sha256 == first.sha256
        assert hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(good).digest()


def test_names_tell_structures_and_networks(atlas_cache: Path) -> None:
    seitzman = load_atlas("Seitzman300", cache_dir=atlas_cache).nodes
    assert len(seitzman) == 300
    assert seitzman["network"].notna().all()
    cerebellar = seitzman[seitzman["name"].str.contains("Cerebellum")]
    assert len(cerebellar) == 27
    assert cerebellar["z"].max() < -10
    power = load_atlas("Power264", cache_dir=atlas_cache).nodes
    assert power["network"].notna().sum() >= 239  # the places that Seitzman et al. took over
    assert power.set_index("index").loc[13, "network"] == "SomatomotorDorsal"
    dosenbach = load_atlas("Dosenbach160", cache_dir=atlas_cache).nodes
    assert dosenbach["name"].str.match(r"^(LH|RH|MID)_[A-Za-z]+_\d{3}$").all()


@pytest.mark.slow
def test_one_millimetre(tmp_path: Path) -> None:
    from bids_ai.parcellation.registry import build_registered

    fields = build_registered("EqualVolume:20", tmp_path, resolution=1)
    assert fields is not None
    labels = np.asanyarray(fields["image"].dataobj)
    assert labels.shape == (197, 233, 189)
    np.testing.assert_array_equal(labels > 0, (labels > 0)[::-1])
    size = np.bincount(labels.ravel())[1:]
    assert np.abs(size / size.mean() - 1).max() < 0.1


def test_other_resolutions_are_refused() -> None:
    with pytest.raises(InputError, match="1 or 2 mm, not 3"):
        template_grey_matter(3)
