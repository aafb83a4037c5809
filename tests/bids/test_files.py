import json
from pathlib import Path

import numpy as np
import pytest

from bids_ai.bids.files import atomic, copy, read_json, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "deep" / "x.nii.gz"
    write_text(path, "old")

    def broken() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            assert temporary.parent == path.parent
            assert temporary.name.endswith(".nii.gz")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert path.read_text() == "old"
    assert names(path.parent) == ["x.nii.gz"]


def test_a_block_that_wrote_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "x"):
        pass
    assert names(tmp_path) == []


def test_the_new_file_replaces_the_old_at_once(tmp_path):
    write_text(tmp_path / "source", "new é")
    write_text(tmp_path / "target", "old")
    copy(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == "new é".encode()
    assert names(tmp_path) == ["source", "target"]


def test_a_source_that_is_gone_leaves_the_target(tmp_path):
    write_text(tmp_path / "target", "old")
    with pytest.raises(FileNotFoundError):
        copy(tmp_path / "absent", tmp_path / "target")
    assert names(tmp_path) == ["target"]
    assert (tmp_path / "target").read_text() == "old"


def test_json_holds_only_what_json_knows(tmp_path):
    content = {
        "nan": float("nan"),
        "inf": np.float32("inf"),
        "array": np.array([[1.0, np.nan]]),
        "int": np.int64(3),
        "flag": np.bool_(True),
        "path": Path("/a/é"),
        "tuple": (1, "x"),
        3: None,
    }
    write_json(tmp_path / "x.json", content)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert "/a/é" in text
    assert json.loads(text) == {
        "nan": None,
        "inf": None,
        "array": [[1.0, None]],
        "int": 3,
        "flag": True,
        "path": "/a/é",
        "tuple": [1, "x"],
        "3": None,
    }


def test_byte_order_mark_is_tolerated(tmp_path):
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "x.json") == {"a": 1}


def test_two_who_write_the_same_file_do_not_share_its_temporary_name(tmp_path):
    with atomic(tmp_path / "x") as one, atomic(tmp_path / "x") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "x").read_text() == "one"
    assert names(tmp_path) == ["x"]
