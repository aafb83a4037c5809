"""From neural activity to BOLD: response kernels, and the Balloon-Windkessel model."""

from __future__ import annotations

from dataclasses import dataclass
from math import gamma

import torch
from torch import Tensor

from bids_ai.dynamics.base import Value, stack_variables
from bids_ai.errors import InputError


def _gamma_density(t: Tensor, shape: float, scale: float) -> Tensor:
    """Density of the gamma distribution, zero for negative times."""
    later = t.clamp(min=0.0)
    return later ** (shape - 1) * torch.exp(-later / scale) / (scale**shape * gamma(shape)) * (t >= 0)


def boynton_kernel(t_s: Tensor, *, tau_s: float = 1.25, n: int = 3, delay_s: float = 2.25) -> Tensor:
    """Gamma kernel of Boynton et al. 1996 (doi:10.1523/JNEUROSCI.16-13-04207.1996), of unit area, 1/s.

    Time constant and delay are those of the whole-brain model of Neural Perturbational Inference (Luo et al. 2025,
    which takes n = 2); tau 1.08 s and a delay of 2.05 s are in use as well.

    Parameters
    ----------
    t_s : tensor
        Times after the neural event, s.
    tau_s : float, default=1.25
    n : int, default=3
    delay_s : float, default=2.25
        The kernel peaks at delay_s + (n - 1) tau_s.
    """
    return _gamma_density(t_s - delay_s, n, tau_s)


def double_gamma_kernel(
    t_s: Tensor,
    *,
    peak_s: float = 6.0,
    undershoot_s: float = 16.0,
    dispersion_s: float = 1.0,
    undershoot_dispersion_s: float = 1.0,
    ratio: float = 1 / 6,
) -> Tensor:
    """Canonical double-gamma kernel with undershoot, of unit area, 1/s.

    The form is that of Glover 1999 (doi:10.1006/nimg.1998.0419) with the delays that became canonical
    (response 6 s, undershoot 16 s, ratio 1:6; Friston et al. 1998, doi:10.1006/nimg.1997.0306). The response
    is largest at peak_s - dispersion_s.
    """
    response = _gamma_density(t_s, peak_s / dispersion_s, dispersion_s)
    undershoot = _gamma_density(t_s, undershoot_s / undershoot_dispersion_s, undershoot_dispersion_s)
    return (response - ratio * undershoot) / (1 - ratio)


def convolve(activity: Tensor, kernel: Tensor, step_s: float) -> Tensor:
    """Causal convolution along time: activity (..., n_times, n_regions) with a kernel (n_lags,) in 1/s.

    Values before the first one count as zero. Output k is what bins 0 ... k contribute, kernel[0] weighing bin k.
    """
    n_times, n_lags = activity.shape[-2], len(kernel)
    size = n_times + n_lags - 1
    spectrum = torch.fft.rfft(activity, n=size, dim=-2) * torch.fft.rfft(kernel, n=size)[:, None]
    return torch.fft.irfft(spectrum, n=size, dim=-2)[..., :n_times, :] * step_s


@dataclass(frozen=True)
class BalloonWindkessel:
    """Balloon-Windkessel model: neural activity to vasodilation, flow, volume, deoxyhaemoglobin, BOLD.

    s' = z - kappa s - gamma (f - 1), f' = s, tau v' = f - v^(1/alpha),
    tau q' = f E(f) / rho - v^(1/alpha) q / v, E(f) = 1 - (1 - rho)^(1/f),
    BOLD = V0 (k1 (1 - q) + k2 (1 - q / v) + k3 (1 - v)).

    Friston et al. 2003 (doi:10.1016/S1053-8119(03)00202-7) with the observation equation of Stephan et al. 2007
    (doi:10.1016/j.neuroimage.2007.07.040): k1 = 4.3 nu0 rho TE, k2 = eps r0 rho TE, k3 = 1 - eps.

    Parameters
    ----------
    kappa : float, default=0.65
        Decay of the vasodilatory signal, 1/s.
    gamma : float, default=0.41
        Flow-dependent elimination, 1/s^2.
    tau_s : float, default=0.98
        Haemodynamic transit time, s.
    alpha : float, default=0.32
        Grubb's exponent.
    rho : float, default=0.34
        Resting oxygen extraction fraction.
    V0 : float, default=0.02
        Resting blood volume fraction.
    echo_time_s : float, default=0.04
    nu0 : float, default=40.3
        Frequency offset at the surface of magnetised vessels at 1.5 T, 1/s.
    r0 : float, default=25.0
        Slope of the intravascular relaxation rate, 1/s.
    epsilon : float, default=0.4
        Ratio of intra- to extravascular signal; it depends on field strength and region.
    """

    kappa: Value = 0.65
    gamma: Value = 0.41
    tau_s: Value = 0.98
    alpha: Value = 0.32
    rho: Value = 0.34
    V0: Value = 0.02
    echo_time_s: float = 0.04
    nu0: float = 40.3
    r0: float = 25.0
    epsilon: float = 0.4

    def rest(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Haemodynamic state (*shape, 4) at rest: s = 0 and log f = log v = log q = 0."""
        return like.new_zeros(*shape, 4)

    def drift(self, state: Tensor, activity: Tensor) -> Tensor:
        """Time derivative of (s, log f, log v, log q), 1/s; logarithms keep flow, volume and content positive."""
        s, log_f, log_v, log_q = state.unbind(-1)
        f, v, q = log_f.exp(), log_v.exp(), log_q.exp()
        outflow = (log_v / self.alpha).exp()
        extracted = (1 - (1 - self.rho) ** (1 / f)) / self.rho
        return stack_variables(
            activity - self.kappa * s - self.gamma * (f - 1),
            s / f,
            (f - outflow) / (self.tau_s * v),
            (f * extracted / q - outflow / v) / self.tau_s,
        )

    def bold(self, state: Tensor) -> Tensor:
        """BOLD signal change, as a fraction of the resting signal."""
        v, q = state[..., 2].exp(), state[..., 3].exp()
        k1 = 4.3 * self.nu0 * self.rho * self.echo_time_s
        k2 = self.epsilon * self.r0 * self.rho * self.echo_time_s
        return self.V0 * (k1 * (1 - q) + k2 * (1 - q / v) + (1 - self.epsilon) * (1 - v))

    def simulate(self, activity: Tensor, step_s: float) -> Tensor:
        """BOLD for activity (..., n_times, n_regions) held over steps of step_s, by Heun's scheme.

        Returns
        -------
        (..., n_times, n_regions) tensor
            Fraction of the resting signal, at the end of each step. Starts at haemodynamic rest.

        Raises
        ------
        InputError
            For steps above 0.1 s, where the scheme is not accurate.
        """
        if not 0 < step_s <= 0.1:
            raise InputError(f"The Balloon-Windkessel model needs steps of at most 0.1 s, got {step_s!r}.")
        state = self.rest((*activity.shape[:-2], activity.shape[-1]), activity)
        frames = []
        for now in activity.unbind(-2):
            slope = self.drift(state, now)
            state = state + step_s / 2 * (slope + self.drift(state + step_s * slope, now))
            frames.append(self.bold(state))
        return torch.stack(frames, dim=-2)
