"""Cases of one reader, one after the other, in a process of its own that may die."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import shutil
import tempfile
import traceback
import warnings
import zlib
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.fuzz.files import Files
from benchmarks.fuzz.mutations import mutate
from benchmarks.fuzz.readers import READERS
from benchmarks.fuzz.watch import Deed, Hang, install, limit_memory, watched
from bids_ai.errors import BidsAiError

VALUE, REFUSED, CRASH = "value", "refused", "crash"
#: A process that says nothing for so long is stuck where Python cannot be interrupted, s. On a busy machine imports
#: take half a minute.
_SILENCE_S = 150.0


@dataclass
class Tally:
    """How the cases of a reader ended.

    Attributes
    ----------
    ends : Counter
        ``value``, ``refused`` and ``crash``.
    crashes : dict
        What went wrong and where -> the number of the first such case.
    slowest_s : float
    """

    ends: Counter[str] = field(default_factory=Counter)
    crashes: dict[str, int] = field(default_factory=dict)

    def add(self, case: int, end: str, what: str) -> None:
        """Count a case."""
        self.ends[end] += 1
        if end == CRASH:
            self.crashes.setdefault(what, case)


def broken_files(name: str, seed: int, case: int) -> tuple[Files, str]:
    """The files of a case, with the name of the one that is broken."""
    reader = READERS[name]
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), case])
    files = dict(reader.files())
    targets = sorted(path for path in files if path.endswith(tuple(reader.ways)))
    target = targets[int(rng.integers(len(targets)))]
    ways = next(ways for end, ways in reader.ways.items() if target.endswith(end))
    files[target] = mutate(files[target], ways, rng)
    return files, target


def write_files(root: Path, files: Files) -> None:
    """Write the files of a case."""
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def run_case(name: str, seed: int, case: int, folder: Path) -> tuple[str, str]:
    """Run a case: how it ended, and what went wrong where.

    Parameters
    ----------
    name : str
        Of the reader.
    seed, case : int
    folder : Path
        For its files, which are removed afterwards.
    """
    root = folder / f"case-{case}"
    files, target = broken_files(name, seed, case)
    write_files(root, files)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            with watched(str(folder), programs=READERS[name].programs):
                READERS[name].call(root)
    except BidsAiError as error:
        return (REFUSED, "") if str(error).strip() else (CRASH, f"an error without a message, {target}")
    except (Exception, Hang, Deed, SystemExit) as error:
        return CRASH, f"{type(error).__name__} {_place(error)} ({target}): {' '.join(str(error).split())[:120]}"
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return VALUE, ""


def _place(error: BaseException) -> str:
    """The innermost line of our own code that an error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "bids_ai/" in frame.filename]
    return (
        f"in {own[-1].filename.partition('bids_ai/')[2]}:{own[-1].name}:{own[-1].lineno}"
        if own
        else "outside of bids_ai"
    )


def _serve(name: str, seed: int, first: int, last: int, answers: Connection) -> None:
    """Run cases in this process and tell how each ended."""
    install()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        root = Path(folder).resolve() / "whole"
        write_files(root, READERS[name].files())
        try:
            READERS[name].call(root)  # what is imported is imported before memory is limited
        except BaseException as error:
            answers.send((-1, CRASH, f"{type(error).__name__} {_place(error)}: {error}"))
            return
        shutil.rmtree(root)
        limit_memory()
        for case in range(first, last):
            answers.send((case, *run_case(name, seed, case, Path(folder).resolve())))
    answers.close()


def run_cases(name: str, seed: int, first: int, last: int) -> Tally:
    """Run cases ``first`` to ``last`` of a reader in processes of their own.

    A process that dies or falls silent counts as a crash of the case that it was at; the next one goes on behind it.
    """
    tally, context = Tally(), multiprocessing.get_context("fork")
    while first < last:
        answers, there = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(name, seed, first, last, there))
        process.start()
        there.close()
        end = "silence"
        try:
            while first < last and answers.poll(_SILENCE_S):
                case, how, what = answers.recv()
                if case < 0:
                    raise RuntimeError(f"{name}: the files are not valid before they are broken: {what}")
                tally.add(case, how, what)
                first = case + 1
        except EOFError:
            end = "death"
        if first < last:
            process.kill() if end == "silence" else None
            process.join()
            tally.add(first, CRASH, f"{end} of the process (exit code {process.exitcode})")
            first += 1
        process.join()
    return tally
