"""Every reader against files that are broken on purpose, a few of each; the harness against readers that misbehave."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fuzz import watch
from benchmarks.fuzz.__main__ import main
from benchmarks.fuzz.mutations import TEXT
from benchmarks.fuzz.readers import READERS, Reader
from benchmarks.fuzz.work import CRASH, REFUSED, VALUE, Tally, broken_files, run_cases
from bids_ai.errors import InputError

CASES = 8


@pytest.mark.parametrize("name", READERS)
def test_a_broken_file_ends_in_a_value_or_in_an_error_that_is_told(name):
    tally = run_cases(name, 0, 0, max(2, round(CASES * READERS[name].share)))
    assert tally.crashes == {}
    assert tally.ends[VALUE] + tally.ends[REFUSED] == tally.ends.total()


@pytest.mark.parametrize("name", READERS)
def test_cases_are_the_same_again_and_differ_from_each_other(name):
    assert broken_files(name, 3, 7) == broken_files(name, 3, 7)
    valid = READERS[name].files()
    broken = [broken_files(name, 0, case) for case in range(12)]
    changed = [files for files, target in broken if files[target] != valid[target]]
    assert len(changed) > 6
    assert len({str(files) for files in changed}) > len(changed) // 2


def outcome(monkeypatch: pytest.MonkeyPatch, read: Callable[[bytes], Any], cases: int = 2) -> Tally:
    """Run cases of a reader that does something with the bytes, if they are not the valid ones."""

    def call(root: Path) -> Any:
        content = (root / "x.txt").read_bytes()
        return content == b"valid\n" or read(content)

    monkeypatch.setitem(
        READERS, "test", Reader(lambda: {"x.txt": b"valid\n"}, {".txt": (lambda c, rng: c + rng.bytes(4),)}, call)
    )
    return run_cases("test", 0, 0, cases)


def refuse(content: bytes) -> None:
    raise InputError("no")


def refuse_without_a_word(content: bytes) -> None:
    raise InputError("")


def stay(content: bytes) -> None:
    end = time.process_time() + 60
    while time.process_time() < end:
        pass


def swallow_time(content: bytes) -> None:
    with contextlib.suppress(Exception):
        stay(content)


def grow(content: bytes) -> int:
    return len(bytearray(2**31))


def write(content: bytes) -> None:
    Path("/tmp/fuzz-outside.txt").write_bytes(content)


def program(content: bytes) -> None:
    os.system("true")


def die(content: bytes) -> None:
    os._exit(3)


def unpickle(content: bytes) -> None:
    import pickle

    pickle.loads(b"cposix\ngetpid\n(tR.")


@pytest.mark.parametrize(
    ("read", "end", "words"),
    [
        (len, VALUE, ""),
        (refuse, REFUSED, ""),
        (refuse_without_a_word, CRASH, "without a message"),
        (lambda content: {}[content], CRASH, "KeyError"),
        (stay, CRASH, "Hang"),
        (swallow_time, CRASH, "Hang"),
        (grow, CRASH, "MemoryError"),
        (write, CRASH, "Deed outside of bids_ai (x.txt): open: /tmp/fuzz-outside.txt"),
        (program, CRASH, "os.system"),
        (unpickle, CRASH, "pickle.find_class"),
        (die, CRASH, "death of the process (exit code 3)"),
    ],
)
def test_the_harness_tells_what_a_reader_does(monkeypatch, read, end, words):
    monkeypatch.setattr(watch, "LIMIT_S", 0.2)
    tally = outcome(monkeypatch, read)
    assert tally.ends == {end: 2}
    assert all(words in what for what in tally.crashes)
    assert bool(tally.crashes) == (end == CRASH)
    assert not Path("/tmp/fuzz-outside.txt").exists()


def test_files_that_are_not_valid_before_they_are_broken_stop_the_harness(monkeypatch):
    def call(root: Path) -> None:
        raise InputError("never")

    monkeypatch.setitem(READERS, "test", Reader(lambda: {"x.txt": b""}, {".txt": TEXT}, call))
    with pytest.raises(RuntimeError, match="not valid before they are broken: InputError"):
        run_cases("test", 0, 0, 2)


def test_the_command_prints_a_table_and_fails_on_a_crash(monkeypatch, capsys):
    assert main(["--reader", "transform", "gradients", "--cases", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["reader", "cases", "values", "refused", "crashes", "s"]
    assert [line.split()[:2] for line in lines[1:]] == [["transform", "10"], ["gradients", "20"], ["all", "30"]]
    monkeypatch.setitem(
        READERS, "transform", Reader(lambda: {"x": b"1"}, {"x": TEXT}, lambda root: int((root / "x").read_bytes()))
    )
    assert main(["--reader", "transform", "--cases", "10"]) == 1
    assert "transform, case " in capsys.readouterr().out
