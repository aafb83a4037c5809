"""Make the environment: python tools/install.py VENV [--newest]. Needs nothing but Python 3.11 or newer.

Versions are those of constraints/ci.txt, with which the checks last passed. --newest leaves that file out: what it
installs, once it passes, becomes the next one (make lock).

Where there is no NVIDIA GPU the CPU build of torch is installed, since the default build pulls several gigabytes of
CUDA packages. It is taken from a wheel folder that pip is configured with, if that has one; otherwise uv finds
the CPU build itself. Where there is a GPU, torch comes as pip would bring it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "constraints" / "ci.txt"


def main() -> int:
    """Create the environment and install the package into it, in place, with the tools of the checks."""
    if sys.version_info < (3, 11):
        print(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}.", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    _run(python, "-m", "pip", "install", "--quiet", "uv")
    install = [str(folder / "bin" / "uv"), "pip", "install", "--quiet", "--python", python]
    links = [option for path in _wheel_folders(python) for option in ("--find-links", path)]
    lock = [] if "--newest" in sys.argv[2:] else ["-c", str(LOCK)]
    if not shutil.which("nvidia-smi"):
        _install_cpu_torch([*install, *links, *lock], folders=links[1::2])
    _run(*install, *links, *lock, "-e", f"{ROOT}[test]")
    return 0


def _install_cpu_torch(install: list[str], folders: list[str]) -> None:
    """Install the CPU build before anything can ask for the default one."""
    locked = re.search(r"^torch==(\S+)$", LOCK.read_text(), re.MULTILINE) if str(LOCK) in install else None
    pattern = f"torch-{locked[1] if locked else '*'}+cpu-*.whl"
    at_hand = sorted(wheel.name.split("-")[1] for folder in folders for wheel in Path(folder).glob(pattern))
    _run(*install, *([f"torch=={at_hand[-1]}"] if at_hand else ["--torch-backend", "cpu", "torch"]))


def _wheel_folders(python: str) -> list[str]:
    """Folders of wheels that pip is configured with; uv does not read pip's configuration."""
    done = subprocess.run(
        [python, "-m", "pip", "config", "get", "global.find-links"], capture_output=True, text=True, check=False
    )
    return [path for path in done.stdout.split() if Path(path).is_dir()]


def _run(*command: str) -> None:
    print("+", " ".join(command), flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    raise SystemExit(main())
