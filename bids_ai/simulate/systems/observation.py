"""What is seen of a simulated system: its signal, or BOLD, sampled and with observation noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from bids_ai.dynamics.haemodynamics import BalloonWindkessel, boynton_kernel, convolve, double_gamma_kernel

BOLD_BIN_S = 0.04
"""Width of the bins of activity that haemodynamics are driven by: far below their time constants of a second."""

KERNELS: dict[str, Callable[[Tensor], Tensor]] = {"boynton": boynton_kernel, "double-gamma": double_gamma_kernel}


class Observation(Protocol):
    """How the activity of the regions becomes frames.

    Attributes
    ----------
    memory_s : float
        How long past activity shows in a frame.
    linear : bool
        Whether the response to a push does not depend on the activity before it.
    """

    @property
    def memory_s(self) -> float:
        """Seconds of past activity that show in a frame."""
        ...

    @property
    def linear(self) -> bool:
        """Whether the past cancels in the difference between a pushed and an unpushed run."""
        ...

    def bins_per_frame(self, interval_s: float, steps_per_frame: int) -> int:
        """Bins of activity that one frame is made of."""
        ...

    def signal(self, activity: Tensor, bin_s: float) -> Tensor:
        """Signal (..., n_bins, n_regions) at the end of each bin, from the activity in the bins."""
        ...


@dataclass(frozen=True)
class Direct:
    """The observed signal of the model itself, sampled at the end of each frame."""

    memory_s: ClassVar[float] = 0.0
    linear: ClassVar[bool] = True

    def bins_per_frame(self, interval_s: float, steps_per_frame: int) -> int:
        """One value per frame."""
        return 1

    def signal(self, activity: Tensor, bin_s: float) -> Tensor:
        """Return the activity."""
        return activity


@dataclass(frozen=True)
class KernelBold:
    """Activity convolved with a haemodynamic response: "boynton" or "double-gamma".

    Unit: that of the activity (kernels have unit area).
    """

    kernel: str = "boynton"
    memory_s: float = 32.0
    linear: ClassVar[bool] = True

    def bins_per_frame(self, interval_s: float, steps_per_frame: int) -> int:
        """Bins of about `BOLD_BIN_S`."""
        return bins(interval_s, steps_per_frame)

    def signal(self, activity: Tensor, bin_s: float) -> Tensor:
        """Convolve; the mean of a bin acts at its middle."""
        lags = (torch.arange(round(self.memory_s / bin_s), dtype=activity.dtype, device=activity.device) + 0.5) * bin_s
        return convolve(activity, KERNELS[self.kernel](lags), bin_s)


@dataclass(frozen=True)
class BalloonBold:
    """Activity through the Balloon-Windkessel model. Unit: fraction of the resting signal.

    Parameters
    ----------
    model : BalloonWindkessel
    """

    model: BalloonWindkessel = field(default_factory=BalloonWindkessel)
    memory_s: float = 40.0
    linear: ClassVar[bool] = False

    def bins_per_frame(self, interval_s: float, steps_per_frame: int) -> int:
        """Bins of about `BOLD_BIN_S`."""
        return bins(interval_s, steps_per_frame)

    def signal(self, activity: Tensor, bin_s: float) -> Tensor:
        """Integrate the haemodynamics."""
        return self.model.simulate(activity, bin_s)


def bins(interval_s: float, steps_per_frame: int) -> int:
    """Bins per frame: of at most `BOLD_BIN_S`, each a whole number of integration steps."""
    wanted = min(interval_s / BOLD_BIN_S * (1 - 1e-9), steps_per_frame)
    return next(n for n in range(1, steps_per_frame + 1) if n >= wanted and steps_per_frame % n == 0)
