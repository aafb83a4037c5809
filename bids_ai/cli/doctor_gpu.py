"""Whether surrogates can be fitted on a GPU here, and if not, why not; torch is asked in a process of its own."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from bids_ai.cli.doctor_findings import Finding

SECTION = "GPU"
_DRIVER = Path("/proc/driver/nvidia/version")
_COST = "surrogates are fitted on the CPU, and --gpu is refused; nothing else uses a GPU"
_ANOTHER_TORCH = "the CUDA build of torch: python tools/install.py .venv --torch default, or pip install torch anew"
_PATIENCE_S = 120
_ASK_TORCH = """
import torch
try:
    torch.cuda.init()
    print("SEEN", torch.cuda.device_count(), torch.cuda.get_device_name(0))
except Exception as error:
    print("NOT", str(error).strip().splitlines()[0])
"""


def gpu() -> list[Finding]:
    """The cards and their driver, and whether torch sees them."""
    cards, fault = _cards()
    if not cards:
        remedy = "a machine with an NVIDIA GPU and its driver; in a container: docker --gpus all, apptainer --nv"
        return [Finding(SECTION, "NVIDIA GPU", "absent", fault, None, _COST, remedy)]
    shown = [Finding(SECTION, "NVIDIA GPU", "ok", "; ".join(cards), cards)]
    return [*shown, _seen_by_torch()]


def torch_build() -> str:
    """What the installed torch was built for, in words; read from its file of versions, without importing it."""
    if find_spec("torch") is None:
        return "not installed"
    said = _torch_constants()
    cuda = said.get("cuda")
    if cuda:
        return f"CUDA {cuda} build"
    return "ROCm build" if said.get("hip") else "CPU build"


def _torch_constants() -> dict[str, object]:
    spec = find_spec("torch")
    path = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    if path is None or not path.is_file():
        return {}
    constants: dict[str, object] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(targets[0], ast.Name) and isinstance(value, ast.Constant):
            constants[targets[0].id] = value.value
    return constants


def _cards() -> tuple[list[str], str]:
    """Name, memory and driver of each card, or no card and the reason."""
    if not shutil.which("nvidia-smi"):
        if _DRIVER.is_file():
            return ["a driver, and no nvidia-smi that would tell of its cards"], ""
        return [], "no driver (no nvidia-smi on PATH)"
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"nvidia-smi gives no answer: {error}"
    if done.returncode:
        words = (done.stdout + done.stderr).strip().splitlines() or [f"it ends with {done.returncode}"]
        return [], f"nvidia-smi: {words[0]}"
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
    return [_card(row) for row in rows], "nvidia-smi tells of no card"


def _card(row: list[str]) -> str:
    if len(row) != 3:
        return ", ".join(row)
    name, memory, driver = row
    size = f"{int(memory) / 1024:.0f} GiB" if memory.isdigit() else f"memory {memory}"
    return f"{name}, {size}, driver {driver}"


def _seen_by_torch() -> Finding:
    build = torch_build()
    if not build.startswith("CUDA"):
        words = f"torch does not see it: {build}" if build != "not installed" else "torch is not installed"
        return Finding(SECTION, "GPU in torch", "absent", words, None, _COST, _ANOTHER_TORCH)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    answer = _ask_torch()
    if answer.startswith("SEEN "):
        return Finding(SECTION, "GPU in torch", "ok", f"seen: {answer[5:]}", answer[5:])
    remedy = f"a driver that is new enough for a {build}, or an older CUDA build of torch"
    if hidden is not None and not hidden.strip():
        remedy = "unset CUDA_VISIBLE_DEVICES, which is empty and hides every GPU"
    return Finding(SECTION, "GPU in torch", "absent", f"torch does not see it: {answer}", None, _COST, remedy)


def _ask_torch() -> str:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_PATIENCE_S} s"
    words = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["no answer"]
    return words[-1].removeprefix("NOT ")
