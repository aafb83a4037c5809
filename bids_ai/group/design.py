"""Design of a contrast of a group: the effect, what it is adjusted for, and whether it can be estimated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_ai.errors import InputError
from bids_ai.surrogate.usable import BoolArray, FloatArray

LEAST_OF_A_GROUP = 2
"""Subjects of each of two groups; one alone has no spread to compare with."""


@dataclass(frozen=True)
class Design:
    """A contrast and what it is adjusted for.

    Parameters
    ----------
    effect : (n_subjects,) array
        0 and 1 for two groups, or a number per subject.
    covariates : (n_subjects, n_covariates) array
        Without the intercept, which is always there.
    """

    effect: FloatArray
    covariates: FloatArray

    def __post_init__(self) -> None:
        n = len(self.effect)
        if self.effect.ndim != 1 or self.covariates.shape[:1] != (n,) or self.covariates.ndim != 2:
            raise InputError(f"An effect of shape {self.effect.shape} and covariates {self.covariates.shape} differ.")
        if not (np.isfinite(self.effect).all() and np.isfinite(self.covariates).all()):
            raise InputError("A design has a value for each subject; leave out those without.")

    @property
    def rows(self) -> FloatArray:
        """Effect and covariates of each subject, (n_subjects, 1 + n_covariates)."""
        return np.column_stack([self.effect, self.covariates])

    @property
    def two_groups(self) -> bool:
        """Whether the effect has two values only."""
        return len(np.unique(self.effect)) == 2

    def fault(self, kept: BoolArray | None = None) -> str:
        """Say why the contrast cannot be estimated in some of the subjects; empty if it can."""
        kept = np.ones(len(self.effect), dtype=bool) if kept is None else kept
        effect, n = self.effect[kept], int(kept.sum())
        values, counts = np.unique(effect, return_counts=True)
        if n < 3:
            return f"{n} subject{'s' * (n != 1)}, and 3 are needed at least"
        if len(values) < 2:
            return "all subjects have the same value"
        if self.two_groups and counts.min() < LEAST_OF_A_GROUP:
            return f"a group of {counts.min()}, and {LEAST_OF_A_GROUP} are needed at least"
        basis, residual = self.without_covariates(kept)
        if float(residual @ residual) <= 1e-10 * float(((effect - effect.mean()) ** 2).sum()):
            return "the covariates explain it in full"
        if n - basis.shape[1] - 1 < 1:
            return f"{n} subjects for {basis.shape[1] + 1} coefficients leave nothing to estimate an error from"
        return ""

    def without_covariates(self, kept: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return an orthonormal basis of intercept and covariates, the intercept first; and the effect without them."""
        covariates = self.covariates[kept] - self.covariates[kept].mean(axis=0)
        sizes = np.linalg.norm(covariates, axis=0)
        covariates = covariates / np.where(sizes > 0, sizes, 1.0)  # years beside cubic millimetres
        n = int(kept.sum())
        columns, sizes, _ = np.linalg.svd(covariates, full_matrices=False)
        independent = sizes > 1e-10 * max(float(sizes.max(initial=0.0)), 1e-300)
        basis = np.column_stack([np.full(n, n**-0.5), columns[:, independent]])
        effect = self.effect[kept]
        return basis, effect - basis @ (basis.T @ effect)
