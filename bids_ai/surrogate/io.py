"""Store a fitted surrogate as safetensors (arrays) and a JSON-able dict (everything else), and read it back.

The observed states travel with the weights: without them a nonlinear surrogate could not be perturbed, nor
any surrogate started, from the brain it was fitted to.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bids_ai.bids.files import atomic
from bids_ai.errors import InputError
from bids_ai.surrogate.base import SurrogateModel
from bids_ai.surrogate.fitted import FittedSurrogate, Gate
from bids_ai.surrogate.prepare import Scaler
from bids_ai.surrogate.registry import get_family

FORMAT_VERSION = 1
JSON_FIELDS = [
    "name",
    "family",
    "requested",
    "tr",
    "order",
    "penalty",
    "selection",
    "evaluation",
    "seed",
    "device",
    "excluded",
]
ARRAY_FIELDS = ("innovation_cov", "series", "targets")


def save(fitted: FittedSurrogate, weights: Path) -> dict[str, Any]:
    """Write the arrays of a surrogate to a safetensors file.

    Parameters
    ----------
    fitted : FittedSurrogate
    weights : Path
        Written under a temporary name, then renamed.

    Returns
    -------
    dict
        The rest, ready for `json.dump` (NaN becomes None); `load` takes it back.
    """
    tensors: dict[str, Tensor] = {
        **{name: torch.as_tensor(np.ascontiguousarray(getattr(fitted, name))) for name in ARRAY_FIELDS},
        "kept": torch.as_tensor(fitted.kept),
        "scaler.mean": torch.as_tensor(fitted.scaler.mean),
        "scaler.sd": torch.as_tensor(fitted.scaler.sd),
    }
    for member, model in enumerate(fitted.models):
        for key, value in model.state_dict().items():
            tensors[f"models.{member}.{key}"] = value.contiguous().cpu()
    weights = Path(weights)
    with atomic(weights) as temporary:
        save_file(tensors, temporary, metadata={"regions": json.dumps(list(fitted.regions))})
    meta: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        **{name: getattr(fitted, name) for name in JSON_FIELDS},
        "regions": list(fitted.regions),
        "warnings": list(fitted.warnings),
        "gate": asdict(fitted.gate),
        "models": [model.hyperparameters() for model in fitted.models],
    }
    plain: dict[str, Any] = _plain(meta)
    return plain


def load(weights: Path, meta: dict[str, Any]) -> FittedSurrogate:
    """Read back what `save` wrote.

    Raises
    ------
    InputError
        A file that cannot be read, or that does not belong to the dict: another version, another atlas.
    """
    version = meta.get("format_version") if isinstance(meta, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{weights}: format {version!r} is not the format {FORMAT_VERSION} of this version of bids_ai; fit again."
        )
    try:
        tensors = load_file(weights)
        with safe_open(weights, framework="pt") as file:
            names = (file.metadata() or {}).get("regions")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{weights}: not a readable safetensors file ({error}); fit again.") from error
    try:
        family = get_family(meta["family"])
        kept = tensors["kept"].numpy()
        fields: dict[str, Any] = {name: meta[name] for name in JSON_FIELDS}
        fields.update({name: tensors[name].numpy() for name in ARRAY_FIELDS})
        if len(kept) != len(meta["regions"]):
            raise InputError(
                f"{weights}: the weights are of {len(kept)} regions, the sidecar names {len(meta['regions'])}."
            )
        if names is not None and (own := json.loads(names)) != list(meta["regions"]):
            named = [f"{a} / {b}" for a, b in zip(own, meta["regions"], strict=True) if a != b]
            raise InputError(
                f"{weights}: the weights are of other regions than the sidecar names; {len(named)} differ "
                f"(weights / sidecar): {', '.join(named[:5])}."
            )
        models = tuple(
            _filled(family.build(**hyperparameters), tensors, f"models.{member}.")
            for member, hyperparameters in enumerate(meta["models"])
        )
        return FittedSurrogate(
            models=models,
            scaler=Scaler(tensors["scaler.mean"].numpy(), tensors["scaler.sd"].numpy()),
            regions=tuple(meta["regions"]),
            kept=kept,
            warnings=tuple(meta["warnings"]),
            gate=Gate(meta["gate"]["verdict"], tuple(meta["gate"]["reasons"])),
            **fields,
        )
    except InputError:
        raise
    except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{weights}: weights and sidecar do not belong together ({error}).") from error


def _filled(model: SurrogateModel, tensors: dict[str, Tensor], prefix: str) -> SurrogateModel:
    state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    model.load_state_dict(state)
    return model.eval()


def _plain(value: Any) -> Any:
    """Plain Python for JSON: NaN and infinities become None, numpy numbers become numbers."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
