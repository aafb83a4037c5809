"""From the activity of regions to what an amplifier records at depth contacts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import lfilter, resample_poly

from bids_ai.simulate.electrodes import Implantation, grey_voxels
from bids_ai.simulate.patient import Patient

Array = NDArray[np.floating]

#: Conductivity of the brain, S/m. Geddes & Baker 1967, doi:10.1007/BF02474537.
CONDUCTIVITY_S_PER_M = 0.33
#: Dipole moment density of the cortex, nAm/mm2, for each mV of activity: evoked activity of 1 to 3 mV spans what was
#: measured, 0.16 to 0.77. Murakami & Okada 2015, doi:10.1016/j.neuroimage.2015.02.003.
MOMENT_NAM_PER_MM2 = 0.25
#: Grey matter of this thickness is one sheet of dipoles, mm. Fischl & Dale 2000, doi:10.1073/pnas.200033797.
CORTEX_MM = 2.5
#: Nearer than this the field of a dipole is flat: contact and cortical layers have an extent, mm.
NEAR_MM = 2.5
#: Distance over which the parts of a region fall out of step by e, mm: a parcel of 30 cm3 does not fire as one, and
#: what is farther away averages out. Coherence of local fields falls over about a centimetre (Destexhe et al. 1999,
#: doi:10.1523/JNEUROSCI.19-11-04595.1999).
SYNCHRONY_MM = 12.0
#: What is farther away, in units of that, is left out.
_HEARD = 5.0
_NORMAL_SMOOTH_MM, _LEAST_GRADIENT = 1.5, 0.02

#: Activity of the tissue around a contact that belongs to no region, SD in microvolts in grey and in white matter, and
#: the distance over which contacts share it, mm.
BACKGROUND_UV = (25.0, 10.0)
BACKGROUND_MM = 5.0
#: Its spectrum falls with the frequency between 1/f and 1/f2: two relaxations, s, and their share of the variance.
#: Miller et al. 2009, doi:10.1371/journal.pcbi.1000609.
BACKGROUND_S = ((0.4, 0.65), (0.02, 0.35))
LINE_HZ = 50.0
#: Line noise: median amplitude over contacts, microvolts; its logarithm has this SD.
LINE_UV, LINE_LOG_SD = 3.0, 0.6
#: A contact of high impedance: part of the signal, line noise and drift of so many microvolts.
BAD_GAIN, BAD_LINE_UV, BAD_DRIFT_UV, BAD_DRIFT_S = 0.3, 150.0, 200.0, 3.0
#: High-pass of the amplifier, Hz; one pole.
HIGH_PASS_HZ = 0.15
#: Low-pass relative to the sampling rate.
LOW_PASS = 0.4
#: Step of the digital values, microvolts: they end at 8.2 mV.
RESOLUTION_UV = 0.25
#: Rate at which the network is integrated; records of a higher rate are interpolated, as it holds nothing above 100 Hz.
NETWORK_HZ = 512.0


@dataclass(frozen=True)
class Montage:
    """What each channel of the amplifier is connected to.

    Attributes
    ----------
    channels : array of int, shape (n_channels,)
        Contacts that are recorded.
    reference : int
        The contact against which: it has no channel of its own.
    bad : array of int
        Contacts of high impedance.
    """

    channels: NDArray[np.intp]
    reference: int
    bad: NDArray[np.intp]


def choose_montage(contacts: Implantation, gains: Array, rng: np.random.Generator, n_bad: int) -> Montage:
    """The quietest contact in white matter as reference, as clinics choose it, and bad contacts by chance.

    Parameters
    ----------
    contacts : Implantation
    gains : array, shape (n_contacts, n_regions)
        `contact_gains`.
    rng : numpy Generator
    n_bad : int
    """
    loud = np.linalg.norm(gains, axis=1)
    white = contacts.fractions[:, 1] > 0.8
    reference = int(np.where(white, loud, np.inf).argmin() if white.any() else contacts.fractions[:, 1].argmax())
    rest = np.setdiff1d(np.arange(len(contacts)), [reference])
    return Montage(rest, reference, np.sort(rng.choice(rest, n_bad, replace=False)))


def contact_gains(patient: Patient, positions_mm: Array) -> Array:
    """Potential at contacts, microvolts, for each mV of activity of every region, shape (n_contacts, n_regions).

    Every grey voxel is a dipole at right angles to the cortex in a homogeneous conductor,
    ``p . r / (4 pi sigma (r^2 + near^2)^(3/2))``. Excited pyramidal cells draw current into their apical dendrites: the
    dipole points into the brain, so that excitation is negative at the surface of the brain and positive beneath the
    cortex. What lies farther from the contact counts less as it falls out of step.

    Parameters
    ----------
    patient : Patient
    positions_mm : array, shape (n_contacts, 3)
        Scanner mm of the T1w.
    """
    points, grey, region = grey_voxels(patient)
    inwards = -_outward_normals(patient)
    area = grey * patient.phantom.voxel_mm**3 / CORTEX_MM
    # nAm over mm2 is millivolts per S/m.
    scale = 1e3 * MOMENT_NAM_PER_MM2 / (4.0 * np.pi * CONDUCTIVITY_S_PER_M)
    moment = scale * area[:, None] * inwards
    gains = np.zeros((len(positions_mm), patient.n_regions))
    for number, position in enumerate(positions_mm):
        away = position - points
        squared = np.einsum("ij,ij->i", away, away)
        heard = np.flatnonzero(squared < (_HEARD * SYNCHRONY_MM) ** 2)
        away, squared = away[heard], squared[heard]
        potential = np.einsum("ij,ij->i", moment[heard], away) / (squared + NEAR_MM**2) ** 1.5
        potential *= np.exp(-np.sqrt(squared) / SYNCHRONY_MM)
        gains[number] = np.bincount(region[heard], potential, patient.n_regions)
    return gains


def upsampled(signal: Array, factor: int) -> Array:
    """A signal (n_times, n_channels) at a rate that is a whole multiple."""
    return signal if factor == 1 else resample_poly(signal, factor, 1, axis=0, padtype="line")


class Surroundings:
    """What contacts pick up beside the regions: activity of the tissue around them, line noise, bad contacts.

    Parameters
    ----------
    contacts : Implantation
    montage : Montage
    sampling_hz : float
    rng : numpy Generator
        Pieces asked for one after the other go on where the last ended.
    """

    def __init__(self, contacts: Implantation, montage: Montage, sampling_hz: float, rng: np.random.Generator) -> None:
        n = len(contacts)
        self.rng, self.sampling_hz, self.position = rng, sampling_hz, 0
        apart = np.linalg.norm(contacts.positions_mm[:, None] - contacts.positions_mm[None], axis=-1)
        self.mixing = np.linalg.cholesky(np.exp(-apart / BACKGROUND_MM) + 1e-9 * np.eye(n))
        grey = np.clip(contacts.fractions[:, 0], 0.0, 1.0)
        self.size_uv = BACKGROUND_UV[1] + (BACKGROUND_UV[0] - BACKGROUND_UV[1]) * grey
        self.line_uv = LINE_UV * np.exp(LINE_LOG_SD * rng.standard_normal(n))
        self.line_uv[montage.bad] = BAD_LINE_UV
        self.line_phase = rng.uniform(-0.3, 0.3, n)
        self.bad = montage.bad
        self.relaxations = [_Relaxation(tau, n, sampling_hz, rng) for tau, _ in BACKGROUND_S]
        self.drift = _Relaxation(BAD_DRIFT_S, len(montage.bad), sampling_hz, rng)

    def next(self, n_times: int) -> Array:
        """The next samples, microvolts, shape (n_times, n_contacts)."""
        parts = zip(self.relaxations, BACKGROUND_S, strict=True)
        tissue = sum(share**0.5 * one.next(n_times) for one, (_, share) in parts)
        out: Array = (tissue @ self.mixing.T) * self.size_uv
        out[:, self.bad] += BAD_DRIFT_UV * self.drift.next(n_times)
        seconds = (self.position + np.arange(n_times))[:, None] / self.sampling_hz
        angle = 2.0 * np.pi * LINE_HZ * seconds + self.line_phase
        out += self.line_uv * (np.sin(angle) + 0.2 * np.sin(3.0 * angle))
        self.position += n_times
        return out


class Amplifier:
    """Reference, high-pass and digitisation; pieces given one after the other are one record.

    Parameters
    ----------
    montage : Montage
    sampling_hz : float
    """

    def __init__(self, montage: Montage, sampling_hz: float) -> None:
        self.montage = montage
        pole = np.exp(-2.0 * np.pi * HIGH_PASS_HZ / sampling_hz)
        self.coefficients = (np.array([1.0, -1.0]) * (1.0 + pole) / 2.0, np.array([1.0, -pole]))
        self.state: Array | None = None

    def next(self, potentials_uv: Array) -> NDArray[np.int16]:
        """Digital values of the channels, shape (n_times, n_channels); one is `RESOLUTION_UV`.

        Parameters
        ----------
        potentials_uv : array, shape (n_times, n_contacts)
        """
        channels = potentials_uv[:, self.montage.channels] - potentials_uv[:, [self.montage.reference]]
        b, a = self.coefficients
        if self.state is None:
            # Settled at the first sample: the amplifier was on before the record.
            self.state = -b[:1, None] * channels[:1]
        filtered, self.state = lfilter(b, a, channels, axis=0, zi=self.state)
        limits = np.iinfo(np.int16)
        return np.clip(np.rint(filtered / RESOLUTION_UV), limits.min + 1, limits.max).astype(np.int16)


class _Relaxation:
    """Independent noises of unit variance that forget with a time constant (first-order autoregression)."""

    def __init__(self, tau_s: float, n: int, sampling_hz: float, rng: np.random.Generator) -> None:
        self.keep = float(np.exp(-1.0 / (tau_s * sampling_hz)))
        self.rng = rng
        self.state = self.keep * rng.standard_normal((1, n))

    def next(self, n_times: int) -> Array:
        drive = np.sqrt(1.0 - self.keep**2) * self.rng.standard_normal((n_times, self.state.shape[1]))
        out, self.state = lfilter([1.0], [1.0, -self.keep], drive, axis=0, zi=self.state)
        noise: Array = out
        return noise


def _outward_normals(patient: Patient) -> Array:
    """Direction out of the brain across the cortex at every labelled grey voxel; short where it has no side."""
    phantom = patient.phantom
    outside = 1.0 - phantom.fractions["GM"] - phantom.fractions["WM"]
    depth = (outside - phantom.fractions["WM"]).astype(np.float32)
    depth = gaussian_filter(depth, _NORMAL_SMOOTH_MM / phantom.voxel_mm)
    voxels = np.argwhere((patient.labels > 0) & (phantom.fractions["GM"] > 0.05))
    slope = np.stack([part[tuple(voxels.T)] for part in np.gradient(depth, phantom.voxel_mm)], axis=1)
    turned = slope.astype(float) @ (phantom.affine[:3, :3] / phantom.voxel_mm).T
    return turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), _LEAST_GRADIENT)
