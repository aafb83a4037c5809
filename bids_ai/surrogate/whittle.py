"""Spectral (Whittle) likelihood of linear neural dynamics seen through haemodynamics, with its gradient in closed form.

Neural states follow dx = x J dt + dW with noise of covariance Q dt; the BOLD signal is y = h * x + e, with a kernel h
common to all regions and white noise of covariance R, and each region lags behind by a delay of its own (haemodynamics
and slices differ). The density of y at angular frequency w is, with column vectors and K = J',

    S(w) = D (|H(w)|^2 (iw - K)^-1 Q (iw - K)^-H + R) D^H,   D = diag(exp(-iw delay)),

and the negative log-likelihood of observed cross-spectra P is the sum over frequencies of log det S + tr(S^-1 P)
(Whittle 1953; spectral DCM, Friston et al. 2014, doi:10.1016/j.neuroimage.2013.12.009, has the same observation model).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def _skew(product: Tensor) -> Tensor:
    return product - product.mT


def _real_product(left: Tensor, right: Tensor) -> Tensor:
    """Real part of left @ right, summed over frequencies: (batch, frequencies, n, n) twice -> (batch, n, n)."""
    wide = torch.stack([left.real, -left.imag], dim=-3).movedim(-2, -4).flatten(-3)
    tall = torch.stack([right.real, right.imag], dim=-3).flatten(-4, -2)
    return wide @ tall


class _Whittle(torch.autograd.Function):
    """Value and gradient together: the gradient needs what the value computed, and few further products."""

    @staticmethod
    def forward(
        ctx: Any,
        drift: Tensor,
        noise: Tensor,
        gain: Tensor,
        floor: Tensor,
        delay: Tensor,
        omega: Tensor,
        observed: Tensor,
        weight: Tensor,
    ) -> Tensor:
        n = drift.shape[-1]
        k, q = drift.mT[..., None, :, :], noise[..., None, :, :]
        # (iw - K)^-1 = -(K + iw) (K^2 + w^2)^-1 takes a real inverse, a quarter of the work of a complex one.
        eye = torch.eye(n, dtype=drift.dtype, device=drift.device)
        root, info = torch.linalg.inv_ex(k @ k + omega.square()[:, None, None] * eye)
        real, imaginary = -k @ root, -omega[:, None, None] * root
        real_q, imaginary_q = real @ q, imaginary @ q
        neural = torch.complex(real_q @ real.mT + imaginary_q @ imaginary.mT, _skew(imaginary_q @ real.mT))
        density = gain[..., None, None] * neural + floor[..., None, :, :]
        factor, failed = torch.linalg.cholesky_ex(density)
        failed = (failed != 0) | (info != 0)
        # The inverse of a failed factor raises; its value is infinite all the same.
        factor = torch.where(failed[..., None, None], eye.to(factor), factor)
        inverse = torch.cholesky_inverse(factor)
        ahead = torch.exp(1j * omega[:, None] * delay[..., None, :])
        fit = inverse @ (ahead[..., :, None] * observed * ahead.conj()[..., None, :])
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).real.log().sum(-1)
        value = (weight * (log_det + fit.diagonal(dim1=-2, dim2=-1).real.sum(-1))).sum(-1)
        bad = failed.any(-1)
        if any(ctx.needs_input_grad):
            slope = weight[..., None, None] * (inverse - fit @ inverse)
            through = slope @ torch.complex(real, imaginary)
            passed = gain[..., None, None] * through
            # Real parts of products, summed over frequencies: two real products of long matrices.
            by_drift = 2 * _real_product(neural, passed)
            by_noise = _real_product(torch.complex(real, -imaginary).mT, passed)
            by_gain = (slope * neural.mT).sum((-2, -1)).real
            by_floor = slope.real.sum(-3)
            by_delay = (2 * (weight * omega)[..., None] * fit.diagonal(dim1=-2, dim2=-1).imag).sum(-2)
            ctx.save_for_backward(by_drift, by_noise, by_gain, by_floor, by_delay)
        return torch.where(bad | ~torch.isfinite(value), torch.full_like(value, torch.inf), value)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        (up,) = outputs
        by_drift, by_noise, by_gain, by_floor, by_delay = ctx.saved_tensors
        matrix = up[..., None, None]
        slopes = (matrix * by_drift, matrix * by_noise, up[..., None] * by_gain, matrix * by_floor)
        return *slopes, up[..., None] * by_delay, None, None, None


def whittle(
    drift: Tensor,
    noise: Tensor,
    gain: Tensor,
    floor: Tensor,
    delay: Tensor,
    omega: Tensor,
    observed: Tensor,
    weight: Tensor,
) -> Tensor:
    """Negative log-likelihood of cross-spectra.

    Parameters
    ----------
    drift : (batch, n, n) tensor
        J, 1/s, row = source.
    noise : (batch, n, n) tensor
        Q.
    gain : (batch, n_frequencies) tensor
        |H|^2.
    floor : (batch, n, n) tensor
        R.
    delay : (batch, n) tensor
        Seconds.
    omega : (n_frequencies,) tensor
        Angular frequencies, 1/s.
    observed : (batch, n_frequencies, n, n) complex tensor
        P, entry (i, j) the mean of F_i conj(F_j).
    weight : (batch, n_frequencies) tensor

    Returns
    -------
    (batch,) tensor
        Infinite where the density is not positive definite.
    """
    value: Tensor = _Whittle.apply(drift, noise, gain, floor, delay, omega, observed, weight)
    return value
