"""Choice of the strength of a prior from held-out errors."""

from __future__ import annotations

import torch
from torch import Tensor, as_tensor

from bids_ai.surrogate.lags import IntArray


def strongest_within_one_se(errors: Tensor, folds: IntArray | None = None) -> int:
    """Position of the strongest penalty whose held-out error is within one standard error of the best.

    Parameters
    ----------
    errors : (n_folds, n_penalties) tensor
        Held-out errors, strongest penalty first. The standard error is that of the paired difference over folds.
    folds : array of int, optional
        The folds to look at; default all.

    Raises
    ------
    ArithmeticError
        If no penalty has a finite error.
    """
    chosen = errors if folds is None else errors[as_tensor(folds)]
    means = chosen.mean(0).nan_to_num(nan=torch.inf, posinf=torch.inf)
    best = int(means.argmin())
    if not torch.isfinite(means[best]):
        raise ArithmeticError("no strength of the prior gives a finite likelihood of held-out blocks.")
    excess = chosen - chosen[:, best : best + 1]
    tolerance = excess.std(0) / chosen.shape[0] ** 0.5
    return int((excess.mean(0) <= tolerance).nonzero()[0])
