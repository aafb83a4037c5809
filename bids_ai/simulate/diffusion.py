"""The diffusion signal of tissues and fibres: a multi-compartment model with published constants."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate.fibres import FibreMap

Array = NDArray[np.floating]

#: Diffusivity along fibres, inside axons and between them, and of free water at body temperature, mm2/s.
#: Zhang et al. 2012, doi:10.1016/j.neuroimage.2012.03.072.
ALONG = 1.7e-3
FREE_WATER = 3.0e-3
#: Share of a fibre's volume inside axons (in the range that NODDI finds in white matter; same paper).
INSIDE_AXONS = 0.6
#: Diffusivity across fibres, between axons: tortuosity. Szafer et al. 1995, doi:10.1002/mrm.1910330516.
ACROSS = ALONG * (1.0 - INSIDE_AXONS)
#: Mean diffusivity of grey matter, mm2/s. Pierpaoli et al. 1996, doi:10.1148/radiology.201.3.8939209.
GREY = 0.8e-3
#: Of skin and muscle, mm2/s (about that of muscle).
SOFT = 1.5e-3
#: White matter in no bundle: fibres in all directions, with the mean diffusivity of those in bundles.
BACKGROUND = (INSIDE_AXONS * ALONG + (1.0 - INSIDE_AXONS) * (ALONG + 2.0 * ACROSS)) / 3.0

#: Signal at b = 0 relative to white matter: proton density times exp(-TE / T2) at TE 85 ms and 3 T. T2 of white and
#: grey matter 69 and 99 ms, muscle 29 ms: Stanisz et al. 2005, doi:10.1002/mrm.20605. Proton density of white and grey
#: matter 0.70 and 0.82; fluid, with a T1 of 4 s, has lost a seventh at TR 8 s.
S0 = {"WM": 1.0, "GM": 1.7, "CSF": 4.0, "soft": 0.25}
_ISOTROPIC = {"GM": GREY, "CSF": FREE_WATER, "soft": SOFT}


def fibre_signal(b_value: float, cosine: Array) -> Array:
    """Attenuation of a fibre: a stick inside axons and a zeppelin between them.

    Parameters
    ----------
    b_value : float
        s/mm2.
    cosine : array
        Of the angle between fibre and gradient.

    Returns
    -------
    array, shape of `cosine`

    References
    ----------
    Panagiotaki et al. 2012, doi:10.1016/j.neuroimage.2011.09.081 (taxonomy of compartments).
    """
    square = cosine**2
    stick = np.exp(-b_value * ALONG * square)
    zeppelin = np.exp(-b_value * (ACROSS + (ALONG - ACROSS) * square))
    return INSIDE_AXONS * stick + (1.0 - INSIDE_AXONS) * zeppelin


@dataclass
class SignalModel:
    """Noise-free signal of a head at any gradient; what does not depend on direction is kept.

    Attributes
    ----------
    fibres : FibreMap
    """

    fibres: FibreMap
    _isotropic: dict[float, Array] = field(default_factory=dict)

    def __call__(self, b_value: float, direction: Array) -> Array:
        """Signal relative to white matter at b = 0, shape of the map.

        Parameters
        ----------
        b_value : float
            s/mm2.
        direction : array, shape (3,)
            Unit vector in the frame of the head; any at b = 0.
        """
        fibres = self.fibres
        isotropic = self._without_direction(b_value)
        cosine = fibres.direction @ direction.astype(np.float32)
        each = fibres.fraction * fibre_signal(b_value, cosine)
        return isotropic + S0["WM"] * np.bincount(fibres.voxel, each, isotropic.size).reshape(fibres.shape)

    def _without_direction(self, b_value: float) -> Array:
        if b_value not in self._isotropic:
            tissues = self.fibres.tissues
            background = np.clip(tissues["WM"] - self.fibres.fibre_fraction(), 0.0, 1.0)
            signal = S0["WM"] * background * np.exp(-b_value * BACKGROUND)
            for name, diffusivity in _ISOTROPIC.items():
                signal += S0[name] * tissues[name] * np.exp(-b_value * diffusivity)
            self._isotropic[b_value] = signal.astype(np.float32)
        return self._isotropic[b_value]
