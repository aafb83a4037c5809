"""From the files of the origin to an atlas that is taken by its name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bids_ai.errors import FetchError, InputError
from bids_ai.fetch.download import Downloads
from bids_ai.fetch.install import install_edition, install_template
from bids_ai.fetch.manifest import faults, is_finished
from bids_ai.parcellation import published
from bids_ai.parcellation.atlas import load_atlas
from bids_ai.parcellation.fetched import fetched_atlas, fetched_template, sha256_of, volume_of
from bids_ai.parcellation.published import Edition, Registry
from tests.conftest import listing
from tests.fetch.place import TABLE, Site, archive, nifti, volume

FETCH = """
import sys
from pathlib import Path
from bids_ai.parcellation import published
published.REGISTRY_FILE = Path(sys.argv[1])
from bids_ai.cli.main import main
sys.exit(main(["fetch", *sys.argv[2:]]))
"""


def named(registry: Registry, spec: str) -> Edition:
    return registry.resolve(spec)[0]


def install(registry: Registry, spec: str, folder: Path, **options: str) -> Edition:
    wanted = named(registry, spec)
    assert install_edition(wanted, folder, Downloads(), **options)
    return wanted


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start ``bids-ai fetch`` with the registry of the test as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(published.REGISTRY_FILE), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
        env=dict(os.environ) | {"OMP_NUM_THREADS": "1"},
        # A parent in the background may have passed on that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_a_fetched_atlas_is_loaded_by_its_name(registry: Registry, site: Site, folder: Path) -> None:
    edition = install(registry, "Blocks2020:4", folder)
    place = folder / "atlases" / "Blocks2020_4"
    stem = "atlas-Blocks2020_seg-Blocks_scale-4_dseg"
    assert listing(place) == [f"{stem}.json", f"{stem}.nii.gz", f"{stem}.tsv"]
    atlas = load_atlas("blocks:FOUR", cache_dir=folder / "cache", atlas_dir=folder)
    assert atlas.label == "atlas-Blocks2020_seg-Blocks_scale-4"
    assert atlas.space == "MNI152NLin6Asym"
    assert list(atlas.nodes["name"]) == ["L_a", "L_b", "R_a", "R_b"]
    assert list(atlas.nodes["hemisphere"]) == ["L", "L", "R", "R"]
    assert atlas.nodes["network"].isna().all()
    assert atlas.sha256 == sha256_of(volume_of(edition, folder))
    # the published bytes, so that the checksum is that of the publication
    assert (place / f"{stem}.nii.gz").read_bytes() == site.files["four.nii.gz"]
    assert atlas.licence.startswith("Test licence: Do as you like.")
    assert atlas.citation == "Somebody 2020, Journal, doi:10.1000/atlas; https://example.org/atlas"
    sidecar = json.loads((place / f"{stem}.json").read_text())
    assert sidecar["Name"] == "An atlas"
    assert sidecar["Space"] == "MNI152NLin6Asym"
    assert sidecar["Sha256"] == atlas.sha256
    assert [source["origin"] for source in sidecar["SourceFiles"]] == [
        f"{site.url}/four.nii.gz",
        f"{site.url}/four.tsv",
    ]


def test_manifest_says_what_came_from_where(registry: Registry, site: Site, folder: Path) -> None:
    install_edition(named(registry, "Strict2021"), folder, Downloads(), accepted=True)
    install(registry, "Blocks2020:4", folder)
    manifest = json.loads((folder / "manifest.json").read_text())["atlases"]
    assert list(manifest) == ["Strict2021", "Blocks2020_4"]
    entry = manifest["Strict2021"]
    assert entry["licence_accepted_by"]
    assert manifest["Blocks2020_4"]["licence_accepted_by"] is None
    assert entry["licence"] == "Test licence (https://example.org/terms)"
    assert entry["date"].endswith("Z")
    assert entry["sources"][0]["sha256"] == entry["files"]["atlas-Strict2021_dseg.nii.gz"]["sha256"]
    assert set(entry["files"]["atlas-Strict2021_dseg.tsv"]) == {"sha256", "size"}


def test_what_is_there_is_not_fetched_again(registry: Registry, site: Site, folder: Path) -> None:
    edition = install(registry, "Blocks2020:4", folder)
    asked = list(site.asked)
    assert is_finished(edition, folder)
    assert not install_edition(edition, folder, Downloads())
    assert site.asked == asked


def test_what_was_damaged_is_told_and_made_again(registry: Registry, site: Site, folder: Path) -> None:
    edition = install(registry, "Blocks2020:4", folder)
    volume = volume_of(edition, folder)
    volume.write_bytes(nifti(2))
    assert faults(edition, folder) == [f"{volume} is not the file that was fetched"]
    with pytest.raises(InputError, match=r"is not the file that was fetched .*bids-ai fetch Blocks2020:4"):
        load_atlas("Blocks2020:4", cache_dir=folder, atlas_dir=folder)
    volume.unlink()
    assert faults(edition, folder) == [f"{volume} is missing"]
    assert install_edition(edition, folder, Downloads())
    assert load_atlas("Blocks2020:4", cache_dir=folder, atlas_dir=folder).sha256 == sha256_of(volume)


def test_a_wrong_file_is_refused_and_kept_aside(registry: Registry, site: Site, folder: Path) -> None:
    site.files["four.nii.gz"] = nifti(scramble=1)
    with pytest.raises(FetchError, match="not the one wanted: its sha256 is") as refusal:
        install(registry, "Blocks2020:4", folder)
    sources = folder / "sources" / "Blocks2020_4"
    assert listing(sources) == ["four.nii.gz.refused"]
    assert f"{site.url}/four.tsv\n  into {sources}" in str(refusal.value)
    assert not (folder / "atlases").exists()
    assert not (folder / "manifest.json").exists()
    site.files["four.nii.gz"] = nifti()
    install(registry, "Blocks2020:4", folder)


def test_a_file_of_unknown_checksum_must_not_change(registry: Registry, site: Site, folder: Path) -> None:
    edition = install(registry, "Blocks2020:2", folder)
    for path in (volume_of(edition, folder), folder / "sources" / edition.key / "two.nii.gz"):
        path.unlink()
    site.files["two.nii.gz"] = nifti(2, scramble=1)
    with pytest.raises(FetchError, match="at the first fetch it was"):
        install_edition(edition, folder, Downloads())
    site.files["two.nii.gz"] = nifti(2)
    assert install_edition(edition, folder, Downloads())


def test_another_number_of_regions_is_another_atlas(registry: Registry, site: Site, folder: Path) -> None:
    site.files |= {"two.nii.gz": nifti(4), "two.tsv": TABLE.encode()}
    with pytest.raises(FetchError, match=r"holds 4 regions, and Blocks2020:2 has 2"):
        install(registry, "Blocks2020:2", folder)
    assert listing(folder / "atlases") == []


def test_an_archive_and_a_space_that_is_stated(registry: Registry, site: Site, folder: Path) -> None:
    edition = install(registry, "Nowhere", folder, space="MNI152NLin2009aSym")
    atlas = load_atlas("Nowhere", cache_dir=folder, atlas_dir=folder)
    assert atlas.space == "MNI152NLin2009aSym"
    assert list(atlas.nodes["name"]) == ["A_L", "B_L", "A_R", "B_R"]
    np.testing.assert_array_equal(np.asanyarray(atlas.image.dataobj), np.asanyarray(volume().dataobj))
    assert site.paths == ["packed.tar.gz"]
    assert listing(folder / "sources" / edition.key) == ["packed.nii", "packed.xml"]
    sidecar = json.loads(volume_of(edition, folder).with_name("atlas-Nowhere_dseg.json").read_text())
    assert sidecar["Note"] == "They do not say."


def test_another_space_makes_it_again(registry: Registry, folder: Path) -> None:
    edition = install(registry, "Nowhere", folder, space="MNI152NLin6Asym")
    assert not install_edition(edition, folder, Downloads(), space="FSL")  # another spelling
    assert not install_edition(edition, folder, Downloads())
    assert install_edition(edition, folder, Downloads(), space="MNI152NLin2009cAsym")
    assert load_atlas("Nowhere", cache_dir=folder, atlas_dir=folder).space == "MNI152NLin2009cAsym"


def test_what_a_killed_call_left_is_swept_away(registry: Registry, folder: Path) -> None:
    leftover = folder / "atlases" / ".fetching_abc"
    leftover.mkdir(parents=True)
    (leftover / "half").touch()
    install(registry, "Blocks2020:4", folder)
    assert [path.name for path in (folder / "atlases").iterdir()] == ["Blocks2020_4"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (archive({"IN/other.nii": b""}), "holds no IN/packed.nii"),
        (b"<html>moved</html>", "no archive that can be read"),
    ],
    ids=["without the file", "a page"],  # bytes of an archive bear the time it was made, and so would a name
)
def test_an_archive_that_is_none(registry: Registry, site: Site, folder: Path, content: bytes, words: str) -> None:
    site.files["packed.tar.gz"] = content
    with pytest.raises(FetchError, match=words):
        install(registry, "Nowhere", folder, space="MNI152NLin6Asym")
    assert not (folder / "atlases").exists()


def test_what_was_brought_by_hand_is_taken(registry: Registry, site: Site, folder: Path) -> None:
    with pytest.raises(FetchError, match=r"hand_2mm\.nii\.gz or hand_1mm\.nii\.gz from https://example\.org/atlas"):
        install(registry, "Handmade", folder)
    place = folder / "sources" / "Handmade"
    (place / "hand_1mm.nii.gz").write_bytes(nifti())
    install(registry, "Handmade", folder)
    atlas = load_atlas("Handmade", cache_dir=folder, atlas_dir=folder)
    assert list(atlas.nodes["name"]) == ["Hand_001", "Hand_002", "Hand_003", "Hand_004"]
    assert list(atlas.nodes["hemisphere"]) == ["L", "L", "R", "R"]
    assert site.asked == []


def test_a_downloadable_one_may_be_brought_too(registry: Registry, site: Site, folder: Path) -> None:
    """From a machine with internet, on a stick."""
    place = folder / "sources" / "Blocks2020_4"
    place.mkdir(parents=True)
    for name in ("four.nii.gz", "four.tsv"):
        (place / name).write_bytes(site.files[name])
    edition = install(registry, "Blocks2020:4", folder)
    assert site.asked == []
    entry = json.loads((folder / "manifest.json").read_text())["atlases"][edition.key]
    assert {source["origin"] for source in entry["sources"]} == {"brought by hand"}


def test_template_by_its_name(registry: Registry, site: Site, folder: Path) -> None:
    with pytest.raises(InputError, match="bids-ai fetch templates"):
        fetched_template("MNI152NLin6Asym", folder)
    template = registry.templates[0]
    assert install_template(template, folder, Downloads())
    assert not install_template(template, folder, Downloads())
    place = folder / "templates" / "MNI152NLin6Asym"
    assert fetched_template("mni152nlin6asym", folder) == {
        "space": "MNI152NLin6Asym",
        "t1w": place / "tpl_t1w.nii.gz",
        "mask": place / "tpl_mask.nii.gz",
    }
    assert (place / "tpl_mask.nii.gz").read_bytes() == site.files["tpl_mask.nii.gz"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_call_leaves_nothing_half_written(
    registry: Registry, site: Site, folder: Path, how: signal.Signals
) -> None:
    site.gate.clear()
    process = start("Blocks2020:4", "--dir", folder)
    assert site.waiting.wait(60)  # half of the first file is on its way
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == (130 if how is signal.SIGINT else -signal.SIGKILL), (out, err)
    assert ("the same command goes on where this one stopped" in err) is (how is signal.SIGINT)
    site.gate.set()
    whole = [name for name in listing(folder) if not name.endswith(".part")]  # how much has come is not ours to say
    assert whole == [".lock", "sources", "sources/Blocks2020_4"]
    with pytest.raises(InputError, match="is not in"):
        fetched_atlas("Blocks2020:4", folder)
    install(registry, "Blocks2020:4", folder)
    assert load_atlas("Blocks2020:4", cache_dir=folder, atlas_dir=folder).sha256


def test_two_at_once_fetch_once(registry: Registry, site: Site, folder: Path) -> None:
    site.gate.clear()
    first = start("Blocks2020", "--dir", folder)
    assert site.waiting.wait(60)
    second = start("Blocks2020", "MNI152NLin6Asym", "--dir", folder)
    assert second.stderr is not None
    lines = []
    for line in second.stderr:
        lines.append(line)
        if "waiting for it" in line:
            break
    assert "waiting for it" in lines[-1], lines
    site.gate.set()
    for process in (first, second):
        process.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert sorted(site.paths) == [
        "four.nii.gz",
        "four.tsv",
        "tpl_mask.nii.gz",
        "tpl_t1w.nii.gz",
        "two.nii.gz",
        "two.tsv",
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["atlases"]) == {"Blocks2020_4", "Blocks2020_2"}
    assert set(manifest["templates"]) == {"MNI152NLin6Asym"}
    assert not [name for name in listing(folder) if ".fetching_" in name or name.endswith(".part")]
