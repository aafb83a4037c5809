"""Start a Slurm of one node and run the tests of the cluster profile: python tools/slurm_tier.py VENV [ARGUMENTS].

On Debian and as root: Slurm and MUNGE are installed where they are missing, started, and ended with the tests. A Slurm
that is already there and has a node is used as it is. Arguments go to pytest.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["slurm-wlm", "slurm-client", "munge"]
SETTINGS = Path("/etc/slurm/slurm.conf")
#: Memory of the node, MB, of which a job of the test asks for too little.
MEMORY_MB = 12_000

# Jobs over their memory are killed by the accounting of the node, since there are no control groups to do it.
SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
MinJobAge=600
ReturnToService=2
PropagateResourceLimits=NONE
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES State=UP
"""


def main() -> int:
    """Start, test, end; the exit code of the tests."""
    venv, arguments = Path(sys.argv[1]).resolve(), sys.argv[2:]
    if not shutil.which("slurmctld") and not _install():
        print("Slurm is not installed and cannot be installed here.", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        if not _has_node():
            stack.enter_context(_slurm())
        environment = dict(os.environ) | {"BIDS_AI_TEST_SLURM": "1"}
        environment["PATH"] = f"{venv / 'bin'}{os.pathsep}{environment['PATH']}"
        tests = [str(venv / "bin" / "python"), "-m", "pytest", str(ROOT / "tests" / "cluster"), "-v", *arguments]
        return subprocess.run(tests, env=environment, cwd=ROOT).returncode


def _install() -> bool:
    if os.getuid() or not shutil.which("apt-get"):
        return False
    environment = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update"], stdout=subprocess.DEVNULL, env=environment)
    command = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
    return subprocess.run(command, stdout=subprocess.DEVNULL, env=environment).returncode == 0


def _has_node() -> bool:
    """Whether a Slurm answers and has a node that takes jobs."""
    if not SETTINGS.exists():
        return False
    done = subprocess.run(["sinfo", "--noheader", "--format", "%T"], capture_output=True, text=True, timeout=60)
    return any(state in done.stdout for state in ("idle", "mixed", "allocated"))


@contextmanager
def _slurm() -> Iterator[None]:
    """A Slurm of this machine alone. Its settings lie in the default place: jobs start without our environment."""
    if SETTINGS.exists():
        raise SystemExit(f"{SETTINGS} is there, and its Slurm does not answer; start it, or take the file away.")
    folder = Path(tempfile.mkdtemp(prefix="bids-ai-slurm-"))
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for name in ("state", "spool"):
            (folder / name).mkdir()
        SETTINGS.parent.mkdir(parents=True, exist_ok=True)
        host = socket.gethostname().split(".")[0]
        text = SLURM_CONF.format(folder=folder, host=host, cores=os.cpu_count(), memory=MEMORY_MB)
        SETTINGS.write_text(text)
        if not Path("/run/munge/munge.socket.2").exists():
            Path("/run/munge").mkdir(exist_ok=True)
            shutil.chown("/run/munge", "munge", "munge")
            daemons.append(subprocess.Popen(["runuser", "-u", "munge", "--", "munged", "--foreground"]))
            _wait(lambda: Path("/run/munge/munge.socket.2").exists(), "MUNGE")
        daemons += [subprocess.Popen([program, "-D"], stderr=subprocess.DEVNULL) for program in ("slurmctld", "slurmd")]
        _wait(_has_node, "the node")
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(timeout=60)
        SETTINGS.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(ready, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come up within {seconds:g} s.")
        time.sleep(0.5)


if __name__ == "__main__":
    raise SystemExit(main())
