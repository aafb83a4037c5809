"""Make the environment: python tools/install.py VENV. Needs nothing but Python 3.11 or newer.

Versions are those of constraints/ci.txt (slurm.txt with --extras slurm), with which the checks last passed. --newest
leaves that file out: what it installs, once it passes, becomes the next one (make lock).

Where there is no NVIDIA GPU the CPU build of torch is installed, since the default build pulls several gigabytes of
CUDA packages. It is taken from a wheel folder that pip is configured with, if that has one; otherwise uv finds
the CPU build itself. Where there is a GPU, torch comes as pip would bring it. --torch names a build instead.

The image is made by the same steps (containers/Dockerfile), dependencies first and the package, copied, after them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "constraints" / "ci.txt"
#: The executor plugin for Slurm wants a newer numpy than the newest antspyx allows: with it, another set of versions.
SLURM_LOCK = ROOT / "constraints" / "slurm.txt"


def main() -> int:
    """Create the environment and install the package into it, in place, with the tools of the checks."""
    if sys.version_info < (3, 11):
        print(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}.", file=sys.stderr)
        return 2
    args = _arguments()
    folder = args.venv
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    _run(python, "-m", "pip", "install", "--quiet", "uv")
    install = [str(folder / "bin" / "uv"), "pip", "install", "--quiet", "--python", python]
    # Compiled now: else every process compiles anew where Python may not write (PYTHONDONTWRITEBYTECODE, read-only).
    install += ["--compile-bytecode", *(["--no-cache"] if args.no_cache else [])]
    links = [option for path in wheel_folders(python) for option in ("--find-links", path)]
    lock = SLURM_LOCK if "slurm" in args.extras else LOCK
    install += [] if args.newest else ["-c", str(lock)]
    # Without folders: a build for the CPU in one would be preferred to the same version with CUDA.
    from_index, install = install, [*install, *links]
    if args.only_package:
        _run(*install, "--no-deps", str(ROOT))
        return 0
    if args.torch == "cpu":
        _install_cpu_torch(install, None if args.newest else lock, folders=links[1::2])
    else:
        _install_gpu_torch(args.torch, from_index if _cpu_wheels(links[1::2]) else install, python)
    if args.only_dependencies:
        extras = [option for extra in args.extras for option in ("--extra", extra)]
        _run(*install, "-r", str(ROOT / "pyproject.toml"), *extras)
    else:
        _run(*install, "-e", f"{ROOT}[{','.join(args.extras)}]")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the environment of bids_ai.")
    parser.add_argument("venv", type=Path, help="folder of the environment, made if absent")
    parser.add_argument("--newest", action="store_true", help="newest versions instead of the locked ones")
    parser.add_argument(
        "--torch",
        default="default" if shutil.which("nvidia-smi") else "cpu",
        metavar="BUILD",
        help="cpu, default (what the package index offers), or a CUDA version such as cu128",
    )
    parser.add_argument("--extras", nargs="*", default=["test"], help="optional dependencies (test)")
    parser.add_argument("--no-cache", action="store_true", help="keep nothing for a next time, as in an image")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--only-dependencies", action="store_true", help="all but the package itself")
    part.add_argument("--only-package", action="store_true", help="a copy of the package without its dependencies")
    return parser.parse_args()


def _install_gpu_torch(build: str, install: list[str], python: str) -> None:
    """Install another build than that for the CPU; a CPU build that is there counts as the same version, and goes."""
    held = subprocess.run([python, "-m", "pip", "show", "torch"], capture_output=True, text=True, check=False).stdout
    again = ["--reinstall-package", "torch"] if re.search(r"^Version: .*\+cpu", held, re.MULTILINE) else []
    _run(*install, *again, *([] if build == "default" else ["--torch-backend", build]), "torch")


def _cpu_wheels(folders: list[str], version: str = "*") -> list[str]:
    """Versions of CPU builds of torch in folders of wheels, in order."""
    wheels = (wheel for folder in folders for wheel in Path(folder).glob(f"torch-{version}+cpu-*.whl"))
    return sorted(wheel.name.split("-")[1] for wheel in wheels)


def _install_cpu_torch(install: list[str], lock: Path | None, folders: list[str]) -> None:
    """Install the CPU build before anything can ask for the default one."""
    locked = re.search(r"^torch==(\S+)$", lock.read_text(), re.MULTILINE) if lock else None
    at_hand = _cpu_wheels(folders, locked[1] if locked else "*")
    _run(*install, *([f"torch=={at_hand[-1]}"] if at_hand else ["--torch-backend", "cpu", "torch"]))


def wheel_folders(python: str) -> list[str]:
    """Folders of wheels that pip is configured with; uv does not read pip's configuration.

    From its list of settings: "pip config get" of older versions does not find what stands in /etc.
    """
    done = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    values = re.findall(r"^\S*\.find-links='(.*)'$", done.stdout, re.MULTILINE)
    return [path for path in dict.fromkeys(" ".join(values).split()) if Path(path).is_dir()]


def _run(*command: str) -> None:
    print("+", " ".join(command), flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    raise SystemExit(main())
