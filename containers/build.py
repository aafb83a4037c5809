"""Build the image with podman, buildah or docker: python containers/build.py [--torch cu128] [--sif FILE].

Nothing but Python 3.11 and one of the three is needed. What a machine behind a network of its own adds, its
certificates and its folder of wheels, is mounted while the image is built and stays out of it. Where no image can be
pulled, ``--base-from-packages`` makes the base from Debian's packages (mmdebstrap, as root).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tools.install import wheel_folders  # noqa: E402

#: Name of a base made here.
LOCAL_BASE = "localhost/bids-ai-base:bookworm"
#: Where the build finds what is mounted.
MOUNTED = "/run/bids-ai-build"


def main() -> int:
    """Build, and convert to a SIF if asked for; the exit code of the first program that fails."""
    args = _arguments()
    engine = args.engine or next((name for name in ("podman", "buildah", "docker") if shutil.which(name)), None)
    if engine is None or not shutil.which(engine):
        print(f"{engine or 'podman, buildah or docker'} is not on PATH; install it first.", file=sys.stderr)
        return 2
    if args.sif and not shutil.which("apptainer"):
        print("apptainer is not on PATH, and --sif wants it; install it, or leave --sif out.", file=sys.stderr)
        return 2
    # Docker looks for other names than its own on the net.
    args.tag = args.tag or ("bids-ai" if engine == "docker" else "localhost/bids-ai:latest")
    try:
        base = _base_from_packages(engine) if args.base_from_packages else args.base
        with tempfile.TemporaryDirectory() as folder:
            _run(*_build_command(engine, args, base, Path(folder)))
            if args.sif:
                _convert(engine, args.tag, args.sif, Path(folder))
    except subprocess.CalledProcessError as error:
        print(f"{error.cmd[0]} ended with {error.returncode}; what it was asked to do stands above.", file=sys.stderr)
        return error.returncode or 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build the container image of bids_ai.")
    parser.add_argument(
        "--tag", help="name of the image (bids-ai; in podman localhost/bids-ai:latest, which is the same)"
    )
    parser.add_argument(
        "--torch",
        default="cpu",
        metavar="BUILD",
        help="cpu; default (the CUDA build of the package index); or a CUDA version such as cu128",
    )
    parser.add_argument("--engine", choices=("podman", "buildah", "docker"), help="by default the first one there is")
    base = parser.add_mutually_exclusive_group()
    base.add_argument("--base", metavar="IMAGE", help="base image, Debian 12 (debian:bookworm-slim)")
    base.add_argument("--base-from-packages", action="store_true", help="make the base with mmdebstrap, as root")
    parser.add_argument("--sif", type=Path, metavar="FILE", help="also write a SIF with apptainer")
    return parser.parse_args()


def _build_command(engine: str, args: argparse.Namespace, base: str | None, folder: Path) -> list[str]:
    command = [engine, "bud" if engine == "buildah" else "build", "-f", str(ROOT / "containers" / "Dockerfile")]
    # The OCI format knows no health check.
    command += ["--format", "docker", *_mounts(folder)] if engine != "docker" else []
    # A base that is missing is to be seen at once, not after a network was waited for.
    command += ["--pull=never"] if engine != "docker" and args.base_from_packages else []
    command += ["--network", "host"]
    arguments = {"TORCH": args.torch, "VERSION": _version(), "REVISION": _revision()} | ({"BASE": base} if base else {})
    if engine != "docker" and os.environ.get("SSL_CERT_FILE"):
        arguments["SSL_CERT_FILE"] = f"{MOUNTED}/ca.crt"
    command += [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
    return [*command, "-t", args.tag, str(ROOT)]


def _mounts(folder: Path) -> list[str]:
    """Certificates and wheels of this machine, for the time of the build."""
    lines, mounts = ["[global]"], []
    certificates = os.environ.get("SSL_CERT_FILE")
    if certificates and Path(certificates).is_file():
        mounts += ["-v", f"{certificates}:{MOUNTED}/ca.crt:ro"]
        lines.append(f"cert = {MOUNTED}/ca.crt")
    folders = wheel_folders(sys.executable)
    mounts += [part for n, wheels in enumerate(folders) for part in ("-v", f"{wheels}:{MOUNTED}/wheels-{n}:ro")]
    if folders:
        lines.append("find-links = " + " ".join(f"{MOUNTED}/wheels-{n}" for n in range(len(folders))))
    settings = folder / "pip.conf"
    settings.write_text("\n".join(lines) + "\n")
    return [*mounts, "-v", f"{settings}:/etc/pip.conf:ro"]


def _base_from_packages(engine: str) -> str:
    """Import a minimal Debian 12, unless it is there."""
    look = [engine, "inspect"] if engine == "buildah" else [engine, "image", "inspect"]
    if subprocess.run([*look, LOCAL_BASE], capture_output=True).returncode == 0:
        return LOCAL_BASE
    with tempfile.TemporaryDirectory() as folder:
        archive = f"{folder}/base.tar"
        _run("mmdebstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", archive)
        importer = "podman" if engine == "buildah" else engine
        _run(importer, "import", archive, LOCAL_BASE)
    return LOCAL_BASE


def _convert(engine: str, tag: str, sif: Path, folder: Path) -> None:
    """Write the image as a SIF; through an archive, since Apptainer does not read the storage of podman."""
    archive = folder / "image.tar"
    if engine == "buildah":
        _run("buildah", "push", tag, f"docker-archive:{archive}")
    else:
        _run(engine, "save", *(["--format", "docker-archive"] if engine == "podman" else []), "-o", str(archive), tag)
    unfinished = sif.with_name(f".{sif.name}.unfinished")
    # As small as with gzip, in a tenth of the time.
    squash = ["--mksquashfs-args", "-comp zstd -Xcompression-level 6"]
    _run("apptainer", "build", "--force", *squash, str(unfinished), f"docker-archive:{archive}")
    unfinished.rename(sif)


def _version() -> str:
    text = (ROOT / "bids_ai" / "__init__.py").read_text()
    return text.split('__version__ = "')[1].split('"')[0]


def _revision() -> str:
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _run(*command: str) -> None:
    print("+", " ".join(command), flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    raise SystemExit(main())
