"""The device a surrogate is fitted on."""

from __future__ import annotations

import torch

from bids_ai.errors import InputError


def resolve_device(device: str) -> torch.device:
    """Turn "auto", "cpu", "cuda" or "cuda:N" into a device.

    Raises
    ------
    InputError
        For an unknown name, or for cuda where there is none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device != "cpu" and device != "cuda" and not device.startswith("cuda:"):
        raise InputError(f"Unknown device {device!r}: use auto, cpu or cuda.")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"Device {device!r} was asked for, but torch sees no CUDA GPU: use --device cpu or auto.")
    return torch.device(device)


def memory_budget(device: torch.device) -> int:
    """Bytes that one batch may occupy: a quarter of the free GPU memory, or 1 GiB on a CPU.

    On a CPU larger batches bring no speed (the matrices fill the cores already), only memory.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) // 4
    return 2**30
