"""Build the image, make a SIF of it, and run the tests of both: python tools/container_tier.py VENV [PYTEST ARGUMENTS].

On Debian and as root, what is missing is installed: podman from Debian's packages, Apptainer into a folder of its own
(Debian 12 has none; that of a later release runs with the C library it was built for). Elsewhere podman must be
there; without Apptainer its tests are skipped and say so. The tests themselves are in tests/container.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGE = "localhost/bids-ai:test"
PODMAN_PACKAGES = ["podman", "runc", "netavark", "aardvark-dns", "iptables", "mmdebstrap", "ca-certificates"]
SIF_PACKAGES = ["squashfs-tools", "patchelf"]
#: Podman asks for these limits; a machine that grants less must say so in its settings.
PODMAN_NOFILE, PODMAN_NPROC = 1_048_576, 32_768


def main() -> int:
    """Prepare, build, test; the exit code of the first that fails."""
    venv, arguments = Path(sys.argv[1]).resolve(), sys.argv[2:]
    folder = ROOT / ".container"
    folder.mkdir(exist_ok=True)
    environment = dict(os.environ)
    if not shutil.which("podman") and not _install(PODMAN_PACKAGES):
        print("podman is not on PATH and cannot be installed here; install it first.", file=sys.stderr)
        return 2
    if "CONTAINERS_CONF" not in environment:
        environment |= _podman_settings(folder)
    apptainer = shutil.which("apptainer") or _private_apptainer(folder / "apptainer")
    if apptainer:
        environment["PATH"] = f"{Path(apptainer).parent}{os.pathsep}{environment['PATH']}"
    build = [sys.executable, str(ROOT / "containers" / "build.py"), "--engine", "podman", "--tag", IMAGE]
    build += ["--sif", str(folder / "bids-ai.sif")] if apptainer else []
    if subprocess.run(["podman", "pull", "--quiet", "debian:bookworm-slim"], env=environment).returncode:
        build.append("--base-from-packages")
    done = subprocess.run(build, env=environment)
    if done.returncode:
        return done.returncode
    environment["BIDS_AI_TEST_IMAGE"] = IMAGE
    if apptainer:
        environment["BIDS_AI_TEST_SIF"] = str(folder / "bids-ai.sif")
    tests = [str(venv / "bin" / "python"), "-m", "pytest", str(ROOT / "tests" / "container"), "-v", *arguments]
    return subprocess.run(tests, env=environment, cwd=ROOT).returncode


def _install(packages: list[str]) -> bool:
    """Install Debian packages; False where that is not possible."""
    if os.getuid() or not shutil.which("apt-get"):
        return False
    quiet = {"stdout": subprocess.DEVNULL, "env": dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["apt-get", "update"], check=False, **quiet)
    done = subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *packages], check=False, **quiet)
    return done.returncode == 0


def _podman_settings(folder: Path) -> dict[str, str]:
    """Settings for machines with low limits or the old control groups, as those of a CI within a sandbox; else none."""
    _, nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
    hybrid = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
    if os.getuid() or (nofile >= PODMAN_NOFILE and not hybrid):
        return {}
    settings = folder / "containers.conf"
    settings.write_text(
        f'[containers]\ndefault_ulimits = ["nofile={nofile}:{nofile}","nproc={PODMAN_NPROC}:{PODMAN_NPROC}"]\n'
        'netns = "host"\n'
        '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )
    return {"CONTAINERS_CONF": str(settings)}


def _private_apptainer(prefix: Path) -> str | None:
    """Unpack Debian's newest Apptainer with its own C library beside it; None where that fails."""
    program = prefix / "usr" / "bin" / "apptainer"
    if program.exists():
        return str(program)
    if not _install(SIF_PACKAGES):
        return None
    try:
        _download(prefix / "packages")
        _unpack(prefix)
        subprocess.run([str(program), "--version"], check=True)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"Apptainer could not be set up ({error}); its tests will be skipped.", file=sys.stderr)
        shutil.rmtree(prefix, ignore_errors=True)
        return None
    return str(program)


def _download(folder: Path) -> None:
    """Download from two releases of Debian, through a state of apt of its own: that of the machine is left alone."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    lines = [f"deb {_mirror()} {release} main\n" for release in ("sid", "trixie")]
    (folder / "sources.list").write_text("".join(lines))
    state = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
    }
    options = [part for name, value in state.items() for part in ("-o", f"{name}={value}")]
    subprocess.run(["apt-get", *options, "update"], check=True, stdout=subprocess.DEVNULL)
    libraries = ["libc6/trixie", "libseccomp2/trixie", "libsqlite3-0/trixie"]
    subprocess.run(["apt-get", *options, "download", "apptainer", *libraries], check=True, cwd=folder)


def _mirror() -> str:
    """Where this machine's own Debian comes from."""
    form = ["--format", "$(REPO_URI) $(ORIGIN) $(LABEL)"]
    done = subprocess.run(["apt-get", "indextargets", *form], check=True, capture_output=True, text=True)
    return next(line.split()[0] for line in done.stdout.splitlines() if line.endswith(" Debian Debian"))


def _unpack(prefix: Path) -> None:
    libraries = prefix / "glibc"
    libraries.mkdir(parents=True, exist_ok=True)
    for package in sorted((prefix / "packages").glob("*.deb")):
        target = prefix if package.name.startswith("apptainer") else prefix / "packages" / package.stem
        subprocess.run(["dpkg-deb", "-x", str(package), str(target)], check=True)
        if target != prefix:
            for library in target.rglob("*.so*"):
                if library.is_file():
                    shutil.copy2(library, libraries / library.name)
    starter = next((prefix / "usr" / "lib").rglob("apptainer/bin/starter"))
    for program in (prefix / "usr" / "bin" / "apptainer", starter):
        loader = str(libraries / "ld-linux-x86-64.so.2")
        subprocess.run(
            ["patchelf", "--set-interpreter", loader, "--force-rpath", "--set-rpath", str(libraries), str(program)],
            check=True,
        )
    # It looks for its settings and its mount point relative to itself.
    for root in (prefix / "usr", prefix / "usr" / "lib"):
        shutil.copytree(prefix / "etc", root / "etc", dirs_exist_ok=True)
        (root / "var" / "lib" / "apptainer" / "mnt" / "session").mkdir(parents=True, exist_ok=True)
    for settings in prefix.rglob("apptainer.conf"):
        # A root that lacks a capability, as in a sandbox, cannot hand on "all of them".
        settings.write_text(
            settings.read_text().replace("root default capabilities = full", "root default capabilities = no")
        )


if __name__ == "__main__":
    raise SystemExit(main())
