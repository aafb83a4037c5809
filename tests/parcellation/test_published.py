"""The registry of published atlases: one contract over every entry, and names that lead to one thing."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bids_ai.errors import FetchError, InputError
from bids_ai.fetch.download import Downloads, fault_of
from bids_ai.fetch.install import install_edition
from bids_ai.parcellation.atlas import load_atlas
from bids_ai.parcellation.fetched import VARIABLE, default_folder, fetched_atlas
from bids_ai.parcellation.files import atlas_entities
from bids_ai.parcellation.mni import MNI152_SPACES
from bids_ai.parcellation.published import Edition, Work, published
from bids_ai.parcellation.registry import is_registered

REGISTRY = published()
WORKS = [*REGISTRY.works, *(template.work for template in REGISTRY.templates)]
ITEMS = [*REGISTRY.editions, *REGISTRY.templates]
DOI = re.compile(r"10\.\d{4,9}/[^\s]+")


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_every_entry_is_complete(work: Work) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]+", work.name)  # it becomes the value of a BIDS entity
    assert work.title
    assert re.search(r" et al\. (19|20)\d\d, ", work.citation)
    assert DOI.fullmatch(work.doi)
    assert work.origin
    assert urlsplit(work.page).scheme == "https"
    assert work.space is None or work.space in MNI152_SPACES
    licence = work.licence
    assert licence.name
    assert licence.text.endswith(".")
    assert urlsplit(licence.url).scheme == "https"
    assert licence.commercial in {"yes", "no", "unclear"}
    assert isinstance(licence.accept, bool)
    # Whatever is not plainly free has to be accepted.
    assert licence.accept is (licence.commercial != "yes")


@pytest.mark.parametrize("work", REGISTRY.works, ids=lambda work: work.name)
def test_an_unstated_space_is_explained(work: Work) -> None:
    assert (work.space is None) is bool(work.space_note)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.spec)
def test_every_file_has_an_address_or_a_name(item: Edition) -> None:
    assert item.files
    names = [name for file in item.files for name in file.names]
    assert len(set(names)) == len(names)
    for file in item.files:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", file.name), file.name
        for checksum, length in ((file.sha256, 64), (file.md5, 32)):
            assert checksum is None or re.fullmatch(rf"[0-9a-f]{{{length}}}", checksum)
        if file.url:
            assert urlsplit(file.url).scheme == "https"
            assert _last(file.member or urlsplit(file.url).path) == file.name
            # What is downloaded as it is has a checksum and a size; a commit is named where there are commits.
            assert file.member or ((file.sha256 or file.md5) and file.size), file.url
            assert "githubusercontent" not in file.url or re.search(r"/[0-9a-f]{40}/", file.url)


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


@pytest.mark.parametrize("edition", REGISTRY.editions, ids=lambda edition: edition.spec)
def test_the_reader_takes_the_label_of_an_edition_from_its_file_name(edition: Edition) -> None:
    entities = atlas_entities(Path(f"{edition.stem}_dseg.nii.gz"))
    assert entities == {"atlas": edition.work.name} | dict(edition.entities)
    assert edition.regions > 1
    assert edition.files[0].name.endswith((".nii", ".nii.gz"))


def test_the_twelve_are_there() -> None:
    wanted = {
        "Brodmann", "AAL3", "Desikan-Killiany", "Yeo", "Power2011Spheres", "Craddock", "Shen", "Gordon", "Brainnetome",
        "HCP-MMP", "Schaefer", "Tian",
    }  # fmt: skip
    assert {REGISTRY.resolve(name)[0].work.name for name in wanted} == {work.name for work in REGISTRY.works}
    assert len(REGISTRY.works) == 12


def test_a_name_leads_to_one_thing() -> None:
    names = [name.lower() for work in WORKS for name in {work.name, *work.aliases}]
    assert sorted(set(names)) == sorted(names)
    assert not [name for name in names if is_registered(name)]
    assert not {"all", "templates"} & set(names)
    stems = [edition.stem for edition in REGISTRY.editions]
    keys = [item.key for item in ITEMS]
    assert len(set(stems)) == len(stems)
    assert len(set(keys)) == len(keys)
    for work in REGISTRY.works:
        scales = [scale.lower() for entry in REGISTRY.of(work) for scale in {entry.scale, *entry.aliases}]
        assert len(set(scales)) == len(scales), work.name


@pytest.mark.parametrize("edition", REGISTRY.editions, ids=lambda edition: edition.spec)
def test_aliases_resolve(edition: Edition) -> None:
    for name in (edition.work.name, *edition.work.aliases):
        for scale in (edition.scale, *edition.aliases):
            spec = f"{name}:{scale}" if scale else name
            assert REGISTRY.resolve(spec.upper()) == [edition], spec


def test_a_name_without_a_scale_means_all() -> None:
    assert [entry.scale for entry in REGISTRY.resolve("Tian2020")] == ["1", "2", "3", "4"]
    assert REGISTRY.resolve("nobody") == []
    with pytest.raises(InputError, match="Tian2020 has no scale '5'; there is Tian2020:1, Tian2020:2"):
        REGISTRY.resolve("Tian:5")


def test_no_atlas_is_in_the_package() -> None:
    import bids_ai

    images = [path for path in Path(bids_ai.__file__).parent.rglob("*") if path.name.endswith((".nii", ".nii.gz"))]
    assert images == []


@pytest.mark.parametrize("work", REGISTRY.works, ids=lambda work: work.name)
def test_the_page_says_what_the_registry_says(work: Work) -> None:
    page = (Path(__file__).parents[2] / "docs" / "fetch.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{work.name}"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2] == (work.space or "not stated ?")
    assert cells[4] == work.licence.name + (" *" if work.licence.accept else "")
    assert cells[5] == work.licence.commercial


# ---- in a run


def test_one_that_was_not_fetched_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bids-ai fetch Schaefer2018:100 --dir DIR") as refusal:
        load_atlas("schaefer:100x7", cache_dir=tmp_path, atlas_dir=tmp_path)
    assert str(tmp_path) in str(refusal.value)
    with pytest.raises(InputError, match="say which: Yeo2011:7, Yeo2011:17"):
        load_atlas("Yeo", cache_dir=tmp_path, atlas_dir=tmp_path)


def test_an_unknown_name_lists_both_kinds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"EqualVolume:N.*Schaefer2018.*bids-ai fetch --list"):
        load_atlas("Nobody2030", cache_dir=tmp_path)


def test_the_folder_is_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named"))
    assert default_folder() == tmp_path / "named"
    with pytest.raises(InputError, match=str(tmp_path / "named")):
        fetched_atlas("Schaefer2018:100", None)
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_folder() == tmp_path / "data" / "bids_ai"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # to be ignored, by the XDG specification
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".local" / "share" / "bids_ai"


# ---- real files


REAL = {
    "Tian2020:1": "tian2020",
    "Tian2020:4": "tian2020",
    "Yeo2011:7": "yeo2011",
    "Yeo2011:17": "yeo2011",
    "DesikanKilliany": "desikan-killiany",
}


@pytest.mark.real
@pytest.mark.parametrize("spec", REAL)
def test_published_files_become_atlases(spec: str, real_data: Path, tmp_path: Path) -> None:
    """Brought by hand, they have the checksums of the registry and the regions that it says."""
    edition = REGISTRY.resolve(spec)[0]
    place = tmp_path / "sources" / edition.key
    place.mkdir(parents=True)
    for file in edition.files:
        (place / file.name).write_bytes((real_data / "atlases" / REAL[spec] / file.name).read_bytes())
    space = None if edition.work.space else "MNI152NLin2009aSym"
    assert install_edition(edition, tmp_path, Downloads(), space=space)
    atlas = load_atlas(spec, cache_dir=tmp_path, atlas_dir=tmp_path)
    assert len(atlas.nodes) == edition.regions
    assert atlas.label == edition.stem
    assert atlas.space == (edition.work.space or space)
    assert atlas.sha256 == edition.files[0].sha256


@pytest.mark.real
@pytest.mark.parametrize("scale", ["100", "100x17", "200", "400"])
def test_checksums_of_schaefer_are_those_of_real_files(scale: str, real_data: Path) -> None:
    edition = REGISTRY.resolve(f"Schaefer2018:{scale}")[0]
    name = f"schaefer{scale if 'x' in scale else scale + 'x7'}MNI.nii.gz"
    assert fault_of(real_data / "atlases" / "schaefer2018" / name, edition.files[0]) is None


@pytest.mark.real
def test_another_real_file_is_refused(real_data: Path, tmp_path: Path) -> None:
    edition = REGISTRY.resolve("Tian2020:1")[0]
    place = tmp_path / "sources" / edition.key
    place.mkdir(parents=True)
    source = real_data / "atlases" / "tian2020" / "Tian_Subcortex_S1_3T_NLin6Asym_2mm.nii.gz"
    (place / edition.files[0].name).write_bytes(source.read_bytes())
    downloads = Downloads()
    downloads.unreachable["raw.githubusercontent.com"] = "no internet in tests"
    with pytest.raises(FetchError, match="cannot be reached: no internet in tests"):
        install_edition(edition, tmp_path, downloads)
    assert (place / f"{edition.files[0].name}.refused").is_file()
