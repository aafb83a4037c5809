"""A fixed nonlinear basis of a region's own recent past, for signals that are sampled fast.

The past frames of one region are strongly correlated, so that a few combinations of them (level, slope, curvature) hold
nearly all there is to know. The basis is a set of hyperbolic tangents of random directions in the space of those
combinations: least squares on such features approximates any smooth function of them, in closed form (Rahimi & Recht
2008, "Weighted sums of random kitchen sinks", Advances in Neural Information Processing Systems 21). The directions are
the same for every recording: they are a basis, as the knots of a spline are, and no initialisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

N_FEATURES = 100
COMPONENT_SCALES = (1.0, 0.5, 0.25, 0.125)
"""SD of the directions along each principal component of the past, which has SD 1: the later ones are
slopes and curvatures, on which dynamics depend more smoothly (held-out error is lower than with equal SDs)."""
BASIS_SEED = 20081208
"""Of the directions; a constant, so that the basis is part of the method and not of the fit."""


@dataclass(frozen=True)
class OwnBasis:
    """Directions and offsets of the features, the same for all regions.

    Parameters
    ----------
    directions : (order, n_features) tensor
        Over the lags, newest last.
    offsets : (n_features,) tensor
    """

    directions: Tensor
    offsets: Tensor


def own_basis(histories: Tensor) -> OwnBasis:
    """Basis from the histories of all regions together.

    Parameters
    ----------
    histories : (n_samples, order, n_regions) tensor
        SD units, newest lag last. Only the covariance of their lags is used.
    """
    order = histories.shape[1]
    covariance = torch.einsum("tpn,tqn->pq", histories, histories) / (len(histories) * histories.shape[2])
    values, vectors = torch.linalg.eigh(covariance)
    n = min(order, len(COMPONENT_SCALES))
    # The sign of an eigenvector is arbitrary, and may differ between machines.
    leading = vectors.flip(1)[:, :n]
    leading = leading * torch.where(leading[-1] < 0, -1.0, 1.0)
    whitened = leading / values.flip(0)[:n].clamp(min=1e-12 * values[-1]).sqrt()
    generator = torch.Generator().manual_seed(BASIS_SEED)
    random = torch.randn(len(COMPONENT_SCALES), N_FEATURES, generator=generator, dtype=torch.float64)[:n]
    offsets = torch.randn(N_FEATURES, generator=generator, dtype=torch.float64)
    scales = torch.tensor(COMPONENT_SCALES[:n], dtype=torch.float64)
    directions = whitened @ (random * scales[:, None]).to(whitened)
    return OwnBasis(directions, offsets.to(whitened))


def own_features(past: Tensor, directions: Tensor, offsets: Tensor) -> Tensor:
    """Features of one region, (..., order) -> (..., n_features)."""
    return torch.tanh(past @ directions + offsets)
