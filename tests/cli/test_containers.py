"""What a container sees of the machine, and how that is told to Snakemake."""

import shlex
from pathlib import Path

import pytest

from bids_ai.cli.containers import checked_image, image_record, paths_in, snakemake_arguments
from bids_ai.errors import UsageError


def binds(arguments: list[str]) -> list[str]:
    [words] = [word.partition("=")[2] for word in arguments if word.startswith("--apptainer-args=")]
    found = shlex.split(words)
    return [found[n + 1] for n, word in enumerate(found) if word == "--bind"]


def test_inputs_are_bound_to_be_read_and_outputs_to_be_written(tmp_path):
    data, out = tmp_path / "da ta", tmp_path / "out"
    for folder in (data / "sub-01", out):
        folder.mkdir(parents=True)
    (data / "sub-01" / "x").touch()
    made = snakemake_arguments(readable=[data / "sub-01" / "x", data], writable=[out], options=["--nv"])
    assert made[:2] == ["--sdm", "apptainer"]
    assert binds(made) == [f"{data}:{data}:ro", f"{out}:{out}"]
    assert made[2].endswith(" --nv")


def test_files_in_folders_of_the_system_come_alone(tmp_path):
    """The folder around them would hide that of the image, with the programs in it."""
    assert binds(snakemake_arguments(readable=[Path("/etc/hostname")], writable=[tmp_path])) == [
        "/etc/hostname:/etc/hostname:ro",
        f"{tmp_path}:{tmp_path}",
    ]


def test_a_colon_or_a_comma_is_refused(tmp_path):
    for name in ("a,b", "out"):
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="a,b"):
        snakemake_arguments(readable=[tmp_path / "a,b"], writable=[tmp_path / "out"])


def test_links_are_followed(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "store" / "file")
    found = list(paths_in({"a": [{"b": str(tmp_path / "link")}, 3, None, "/nowhere/at/all", "text"]}))
    assert found == [tmp_path / "link", tmp_path / "store" / "file"]


def test_images_are_looked_at_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="neither apptainer nor singularity"):
        checked_image("x.sif")
    (tmp_path / "apptainer").write_text("#!/bin/sh\n")
    (tmp_path / "apptainer").chmod(0o755)
    with pytest.raises(UsageError, match="does not exist"):
        checked_image(str(tmp_path / "x.sif"))
    with pytest.raises(UsageError, match="spaces or quotes"):
        checked_image(str(tmp_path / "x y.sif"))
    assert checked_image("docker://a/b:1") == "docker://a/b:1"
    (tmp_path / "x.sif").write_bytes(b"abc")
    assert checked_image(str(tmp_path / "x.sif")) == str(tmp_path / "x.sif")


def test_a_file_has_a_digest(tmp_path):
    (tmp_path / "x.sif").write_bytes(b"abc")
    assert image_record(str(tmp_path / "x.sif")) == {
        "Type": "apptainer",
        "Tag": "x.sif",
        "Digest": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }
    assert image_record("docker://a/b:1") == {"Type": "apptainer", "Tag": "docker://a/b:1"}
    assert image_record(None) is None
