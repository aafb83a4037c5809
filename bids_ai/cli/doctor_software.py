"""Which libraries and programs are installed; no library is imported to find out."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from bids_ai import __version__
from bids_ai.cli.doctor_findings import Finding
from bids_ai.cli.doctor_gpu import torch_build

SECTION = "software"
#: Libraries with a line of their own; the others share one.
SHOWN = ("torch", "nilearn", "dipy", "mne", "antspyx", "snakemake")
#: Distributions whose module has another name.
_MODULES = {
    "antspyx": "ants",
    "pybids": "bids",
    "python-picard": "picard",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}
_PATIENCE_S = 5
_IMPORT_PATIENCE_S = 300
_TRY_IMPORTS = """
import importlib, sys
for name in sys.argv[1:]:
    print("TRYING", name, flush=True)
    try:
        importlib.import_module(name)
    except BaseException as error:
        print("FAILED", name, type(error).__name__, str(error).strip().splitlines()[:1], flush=True)
print("DONE", flush=True)
"""


@dataclass(frozen=True)
class Program:
    """Programs that come together, and what they are for; what is lost without them is true of the code."""

    name: str
    commands: tuple[str, ...]
    cost: str
    remedy: str
    any_of_them: bool = False


PROGRAMS = (
    Program(
        "MRtrix3, denoising",
        ("dwidenoise", "mrdegibbs"),
        "DWI is denoised by dipy (MP-PCA as well), and Gibbs ringing stays in; dwi.engine 'mrtrix3' is refused",
        "apt install mrtrix3, or conda install -c mrtrix3 mrtrix3",
    ),
    Program(
        "MRtrix3, tractography",
        ("tckgen", "5tt2gmwmi"),
        "streamlines are tracked by dipy: as fast, with more false connections and fewer missing ones "
        "(docs/structural_connectivity.md); weights of streamlines are made by bids_ai in either case",
        "apt install mrtrix3, or conda install -c mrtrix3 mrtrix3",
    ),
    Program(
        "Apptainer",
        ("apptainer", "singularity"),
        "--container and --nipreps are refused; all else runs where bids-ai does",
        "install Apptainer, or load its module; not needed in an image of bids_ai",
        any_of_them=True,
    ),
    Program(
        "Slurm client",
        ("sbatch",),
        "no jobs can be handed to a Slurm cluster from here; a run uses this machine",
        "call bids-ai on a node of the cluster that has sbatch",
    ),
)


def python_packages() -> list[Finding]:
    """Python, bids_ai, and every library that it depends on, by what their metadata say."""
    try:
        required = [_parsed(text) for text in metadata.requires("bids-ai") or [] if "extra ==" not in text]
    except metadata.PackageNotFoundError:
        lost = Finding(SECTION, "bids_ai", "broken", f"{__version__}, not installed", __version__)
        return [_python(), _with_words(lost, "which libraries it needs is not known", "pip install . in the checkout")]
    found = {name: _library(name, least) for name, least in required}
    others = [entry for name, entry in found.items() if name not in SHOWN]
    fine = [entry for entry in others if entry.state == "ok"]
    shared = Finding(
        SECTION,
        "other libraries",
        "ok" if len(fine) == len(others) else "note",
        f"{len(fine)} of {len(others)}",
        [f"{entry.name} {entry.value}" for entry in fine],
    )
    rows = [_python(), Finding(SECTION, "bids_ai", "ok", _own_version(), __version__)]
    rows += [found[name] for name in SHOWN if name in found]
    return [*rows, shared, *(entry for entry in others if entry.state != "ok")]


def tried_imports() -> list[Finding]:
    """Import every library in a process of its own; those that fail, and how."""
    names = [_parsed(text)[0] for text in metadata.requires("bids-ai") or [] if "extra ==" not in text]
    modules = {module_of(name): name for name in names}
    command = [sys.executable, "-c", _TRY_IMPORTS, *modules]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_IMPORT_PATIENCE_S, check=False)
        said, ending = done.stdout, f"ended with {done.returncode}"
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        ending = f"did not end within {_IMPORT_PATIENCE_S} s"
    faults = dict(line.split(" ", 2)[1:] for line in said.splitlines() if line.startswith("FAILED "))
    if "DONE" not in said.splitlines():
        last = [line.split()[1] for line in said.splitlines() if line.startswith("TRYING ")]
        faults[last[-1] if last else "python"] = f"the process {ending}"
    if not faults:
        return [Finding(SECTION, "imports", "ok", f"all {len(modules)} libraries", len(modules))]
    return [
        Finding(
            SECTION,
            f"import {module}",
            "broken",
            f"fails: {fault}",
            fault,
            "stages that need it fail",
            f"pip install --force-reinstall {modules.get(module, module)}",
        )
        for module, fault in faults.items()
    ]


def optional_packages() -> list[Finding]:
    """Libraries that only some runs need, and the image that this is."""
    validator = _version("bids-validator-deno")
    beside = Path(sys.executable).with_name("bids-validator-deno")
    there = beside.is_file() or shutil.which("bids-validator-deno")
    rows = [
        _optional(
            "bids-validator",
            (validator or "on PATH") if there else None,
            "the dataset is not validated; files that cannot be used are found and left out all the same",
            "pip install bids-validator-deno",
        ),
        _optional(
            "Slurm executor",
            _version("snakemake-executor-plugin-slurm"),
            "--profile slurm, and others with 'executor: slurm', are refused by Snakemake",
            "pip install snakemake-executor-plugin-slurm",
        ),
    ]
    image = os.environ.get("BIDS_AI_IMAGE")
    return rows + ([Finding(SECTION, "container image", "ok", image, image)] if image else [])


def programs() -> list[Finding]:
    """Programs on PATH."""
    return [_program(entry) for entry in PROGRAMS]


def module_of(distribution: str) -> str:
    """Name under which a distribution is imported."""
    return _MODULES.get(distribution, distribution.replace("-", "_"))


def _python() -> Finding:
    version = platform.python_version()
    return Finding(SECTION, "Python", "ok", version, version)


def _own_version() -> str:
    installed = _version("bids-ai")
    return __version__ if installed == __version__ else f"{__version__} (its metadata say {installed})"


def _library(name: str, least: str) -> Finding:
    version = _version(name)
    remedy = f"pip install '{name}>={least}'" if least else f"pip install {name}"
    if version is None or find_spec(module_of(name)) is None:
        return Finding(SECTION, name, "broken", "not installed", None, "no run is possible", remedy)
    if _release(version) < _release(least):
        words = f"{version}, older than {least}"
        return Finding(SECTION, name, "broken", words, version, "no run is possible", remedy)
    return Finding(SECTION, name, "ok", f"{version} ({torch_build()})" if name == "torch" else version, version)


def _optional(name: str, version: str | None, cost: str, remedy: str) -> Finding:
    if version is None:
        return Finding(SECTION, name, "absent", "not installed", None, cost, remedy)
    return Finding(SECTION, name, "ok", version, version)


def _program(program: Program) -> Finding:
    here = [command for command in program.commands if shutil.which(command)]
    missing = [command for command in program.commands if command not in here]
    if here and (program.any_of_them or not missing):
        version = _program_version(here[0])
        return Finding(SECTION, program.name, "ok", f"{version} ({', '.join(here)})", version)
    words = f"not on PATH: {', '.join(missing)}"
    return Finding(SECTION, program.name, "absent", words, None, program.cost, program.remedy)


def _program_version(command: str) -> str:
    """First number with a point that a program says of itself; MRtrix3 and others know ``--version``."""
    try:
        done = subprocess.run(
            [command, "--version"], capture_output=True, text=True, timeout=_PATIENCE_S, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return "version unknown"
    found = re.search(r"\d+(\.\d+)+\S*", done.stdout + done.stderr)
    return found[0] if found else "version unknown"


def _parsed(requirement: str) -> tuple[str, str]:
    """Name and least version of a requirement of bids_ai, all of which have the form ``name>=version``."""
    name, _, least = requirement.partition(";")[0].partition(">=")
    return name.strip(), least.strip()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _release(version: str) -> tuple[int, ...]:
    """Numbers of a version, without what follows them: (2, 13, 0) of 2.13.0+cpu."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _with_words(finding: Finding, cost: str, remedy: str) -> Finding:
    return Finding(finding.section, finding.name, finding.state, finding.found, finding.value, cost, remedy)
