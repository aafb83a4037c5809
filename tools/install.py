"""Make the environment: python tools/install.py VENV. Needs nothing but Python 3.11 or newer.

Where there is no NVIDIA GPU the CPU build of torch is installed, since the default build pulls several gigabytes of
CUDA packages. It is taken from a wheel folder that pip is configured with, if that has one; otherwise uv finds
the CPU build itself. Where there is a GPU, torch comes as pip would bring it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH = "torch==2.13.0"


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
    if not shutil.which("nvidia-smi"):
        _install_cpu_torch(install, links)
    _run(*install, *links, "-c", str(ROOT / "constraints" / "ci.txt"), "-e", f"{ROOT}[test]")
    return 0


def _install_cpu_torch(install: list[str], links: list[str]) -> None:
    """Install the CPU build before anything can ask for the default one."""
    from_folder = any(list(Path(path).glob("torch-*+cpu-*.whl")) for path in links[1::2])
    backend = [] if from_folder else ["--torch-backend", "cpu"]
    _run(*install, *links, *backend, TORCH)


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
