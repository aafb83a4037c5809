"""Real atlases, named by BIDS_AI_TEST_DATA."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.parcellation.apply import region_series
from bids_ai.parcellation.atlas import load_atlas
from bids_ai.parcellation.names import find_regions, homotopic_partners
from bids_ai.parcellation.spaces import resample_labels

pytestmark = pytest.mark.real

CASES = [
    ("schaefer2018/schaefer100x7MNI", None, "atlas-Schaefer2018_seg-7Networks_scale-100", "MNI152NLin2009cAsym", 100),
    ("schaefer2018/schaefer100x17MNI", None, "atlas-Schaefer2018_seg-17Networks_scale-100", "MNI152NLin2009cAsym", 100),
    ("schaefer2018/schaefer200x7MNI", None, "atlas-Schaefer2018_seg-7Networks_scale-200", "MNI152NLin2009cAsym", 200),
    ("schaefer2018/schaefer400x7MNI", None, "atlas-Schaefer2018_seg-7Networks_scale-400", "MNI152NLin2009cAsym", 400),
    *(
        (f"tian2020/Tian_Subcortex_S{s}_3T_{tail}", None, f"atlas-Tian2020_seg-Subcortex_scale-{s}", space, n)
        for s, n in ((1, 16), (2, 32), (3, 50), (4, 54))
        for tail, space in (("2009cAsym", "MNI152NLin2009cAsym"), ("NLin6Asym_2mm", "MNI152NLin6Asym"))
    ),
    ("desikan-killiany/atlas-desikankilliany", "FSL", "atlas-desikankilliany", "MNI152NLin6Asym", 83),
    ("yeo2011/Yeo-7_space-MNI152NLin6_res-2x2x2", None, "atlas-Yeo7", "MNI152NLin6Asym", 7),
    ("yeo2011/Yeo-17_space-MNI152NLin6_res-2x2x2", None, "atlas-Yeo17", "MNI152NLin6Asym", 17),
]


@pytest.mark.parametrize(("stem", "given", "label", "space", "n_regions"), CASES)
def test_real_atlases_load_by_themselves(
    real_data: Path, tmp_path: Path, stem: str, given: str | None, label: str, space: str, n_regions: int
) -> None:
    atlas = load_atlas(str(real_data / "atlases" / f"{stem}.nii.gz"), cache_dir=tmp_path, space=given)
    assert (atlas.label, atlas.space, len(atlas.nodes)) == (label, space, n_regions)
    side, x = atlas.nodes["hemisphere"], atlas.nodes["x"]
    assert (x[side == "L"] < 0).all()
    assert (x[side == "R"] > 0).all()
    assert not [note for note in atlas.notes if "opposite" in note]
    if "Yeo" not in label:
        assert side.isin(["L", "R"]).sum() >= n_regions - 1


def test_tian_centroids_agree_with_the_published_centres(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "atlases" / "tian2020"
    nodes = load_atlas(str(folder / "Tian_Subcortex_S2_3T_NLin6Asym_2mm.nii.gz"), cache_dir=tmp_path).nodes
    published = np.loadtxt(folder / "Tian_Subcortex_S2_3T_COG.txt")
    gap = np.linalg.norm(nodes[["x", "y", "z"]].to_numpy() - published, axis=1)
    assert np.median(gap) < 2  # mm; published centres are rounded to voxels of 2 mm


def test_desikan_killiany_needs_its_space(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "atlases" / "desikan-killiany" / "atlas-desikankilliany.nii.gz"
    with pytest.raises(InputError, match="--atlas-space"):
        load_atlas(str(path), cache_dir=tmp_path)
    nodes = load_atlas(str(path), cache_dir=tmp_path, space="MNI152NLin6Asym").nodes
    partner = homotopic_partners(nodes)
    assert partner.isna().sum() == 1  # the brainstem
    name = dict(zip(nodes["index"], nodes["name"], strict=True))
    assert all(name[a].replace("LH", "RH") == name[b] for a, b in partner.dropna().items() if name[a][0] == "L")


def test_schaefer_names_networks_and_aliases(real_data: Path, tmp_path: Path) -> None:
    atlas = load_atlas(str(real_data / "atlases/schaefer2018/schaefer100x7MNI.nii.gz"), cache_dir=tmp_path)
    assert atlas.nodes["network"].nunique() == 7
    assert find_regions(["7Networks_RH_Vis_1"], atlas.nodes) == [51]
    assert atlas.licence == "MIT"


def test_series_of_a_real_run(real_data: Path, tmp_path: Path) -> None:
    bold = nib.load(real_data / "bids-studyforrest/sub-02/func/sub-02_task-oneback_run-1_bold.nii.gz")
    atlas = load_atlas("EqualVolume:20", cache_dir=tmp_path)
    grid = nib.Nifti1Image(np.zeros(bold.shape[:3], np.uint8), bold.affine)
    labels = resample_labels(atlas.image, grid)  # not registered: the numbers of the mean alone are checked
    path = bold.get_filename()
    result = region_series(path, labels, atlas.nodes, chunk_bytes=30 * 4 * 80 * 80 * 35)
    data = bold.get_fdata(dtype=np.float32)
    volume = np.asanyarray(labels.dataobj)
    for k in result.coverage.loc[result.coverage["kept"], "index"].iloc[:5]:
        voxels = data[volume == k]
        voxels = voxels[voxels.std(axis=1) > 0]
        np.testing.assert_allclose(result.series[:, k - 1], voxels.mean(axis=0), rtol=1e-4)
    assert result.series.shape == (156, 20)
