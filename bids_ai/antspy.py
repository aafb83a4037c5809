"""ANTs registration with a seed, whatever version of antspyx is installed."""

from __future__ import annotations

import inspect
from typing import Any


def register(fixed: Any, moving: Any, *, seed: int, **settings: Any) -> dict[str, Any]:
    """Register two images with a fixed seed of the metric's sampling.

    Parameters
    ----------
    fixed, moving : ANTsImage
    seed : int
    **settings
        Those of ``ants.registration``.

    Returns
    -------
    dict
        As of ``ants.registration``.
    """
    import ants

    if "random_seed" in inspect.signature(ants.registration).parameters:
        result: dict[str, Any] = ants.registration(fixed, moving, random_seed=seed, **settings)
        return result
    # antspyx 0.6.3 takes the seed from a global setting, and passes over the old argument in silence. It is set with
    # on=False, since on=True would also reseed numpy and random.
    ants.config.set_ants_deterministic(on=False, seed_value=seed)
    try:
        result = ants.registration(fixed, moving, **settings)
    finally:
        ants.config.set_ants_deterministic(on=False, seed_value=None)
    return result
