"""Recordings with known connectivity: series, truth, and structural connectivity of one setting and seed.

Series and truths are simulated once and kept in the output folder, all seeds of a system in one batch. Shorter
recordings are the beginning of longer ones. Observation noise is added here and not by the system, so that recordings
of other noise levels differ in nothing else.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ec.settings import NPI_DATA, Plan, Setting
from bids_ai.simulate.systems.observation import Direct
from bids_ai.simulate.systems.registry import get_system
from bids_ai.simulate.systems.system import System, simulate_batch
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.seeds import member_seed
from bids_ai.surrogate.usable import FloatArray

SLOWEST_EEG_S = 0.2
"""Sampling intervals from here on are those of fMRI."""

NOISY_LOG_SD = 1.0
"""SD of the logarithm of the error of a noisy structural weight."""


@dataclass(frozen=True)
class Target:
    """What the truth of a system is a response to, in terms of a surrogate.

    Parameters
    ----------
    horizon_steps : int
        Frames after the push that the response is averaged over.
    window_s, push_s : float
        End of the window, and how long the push lasts.
    haemodynamic : bool
        Whether the push acts on neural activity under a haemodynamic response.
    """

    horizon_steps: int
    window_s: float
    push_s: float
    haemodynamic: bool


@dataclass(frozen=True)
class Case:
    """One recording and what is known about it.

    Parameters
    ----------
    setting : Setting
    seed : int
    series : (n_frames, n_regions) array
    following : (n_frames, n_regions) array or None
        Frames that came after the recording, where the plan has any.
    truth : (n_regions, n_regions) array
        Row = pushed source; diagonal NaN.
    edges : (n_regions, n_regions) array or None
        The network, row = source; None where it is not known.
    structural : dict
        Kind of structural connectivity -> matrix; empty where weights are signed or part of the equations, since a
        structural connectivity has no sign.
    interval_s : float
    target : Target
    """

    setting: Setting
    seed: int
    series: FloatArray
    following: FloatArray | None
    truth: FloatArray
    edges: FloatArray | None
    structural: dict[str, FloatArray]
    interval_s: float
    target: Target

    @property
    def modality(self) -> str:
        """Modality that the recording is given, by its sampling interval."""
        return modality_of(self.interval_s)

    def recording(self, structural: str = "none", *, following: bool = False) -> Recording:
        """Make the recording that methods are given; the truth is no part of it."""
        series = self.following if following else self.series
        assert series is not None
        return Recording(
            name=f"{self.setting.label} seed {self.seed}" + (" following" if following else ""),
            runs=(series,),
            tr=self.interval_s,
            regions=tuple(f"r{i:02d}" for i in range(series.shape[1])),
            structural=None if structural == "none" else self.structural[structural],
            modality=self.modality,
        )


def modality_of(interval_s: float) -> str:
    """Whether a sampling interval is that of fMRI or of EEG."""
    return "bold" if interval_s >= SLOWEST_EEG_S else "eeg"


def prepare_cases(plan: Plan, setting: Setting, seeds: Sequence[int], folder: Path, npi: Path | None) -> list[Case]:
    """Cases of a setting, simulated where `folder` does not hold them yet."""
    if setting.system == NPI_DATA:
        assert npi is not None
        return [_released_case(setting, seed, npi) for seed in seeds]
    systems = [system_of(setting, seed) for seed in seeds]
    _simulate_missing(systems, setting, seeds, plan.longest, folder)
    return [_case(system, plan, setting, seed, folder) for system, seed in zip(systems, seeds, strict=True)]


def system_of(setting: Setting, seed: int) -> System:
    """System of a setting, without observation noise."""
    system = get_system(setting.system, seed)
    return dataclasses.replace(system, gain=system.gain * setting.gain, noise_sd=0.0)


def target_of(system: System) -> Target:
    """Horizon of the truth of a system."""
    end = system.push.window_s[1]
    haemodynamic = not isinstance(system.observation, Direct)
    steps = max(1, int(end / system.interval_s + 1e-9))
    return Target(steps, end, system.push.duration_s, haemodynamic)


def structurals(system: System, seed: int) -> dict[str, FloatArray]:
    """Structural connectivity of a system: as it is, without direction, and with log-normal errors."""
    weights = system.connectivity
    if system.gain == 0 or weights.min() < 0:
        return {}
    rng = np.random.default_rng(member_seed(seed, f"structural connectivity of {system.name}"))
    noisy = weights * np.exp(NOISY_LOG_SD * rng.standard_normal(weights.shape))
    return {"exact": weights, "symmetrised": (weights + weights.T) / 2, "noisy": noisy}


def structural_kinds(setting: Setting) -> tuple[str, ...]:
    """Names of the structural connectivities that a system has; none where weights are signed or in the equations."""
    return () if setting.system == NPI_DATA else tuple(structurals(system_of(setting, 0), 0))


def observed(clean: FloatArray, noise: float, system: str, seed: int) -> FloatArray:
    """Add white observation noise, as a share of the SD of each region over the series."""
    if noise == 0:
        return clean
    rng = np.random.default_rng(member_seed(seed, f"observation noise of {system}"))
    return clean + noise * clean.std(axis=0) * rng.standard_normal(clean.shape)


def _file(folder: Path, system: System, setting: Setting, seed: int, frames: int) -> Path:
    name = f"{setting.system}_gain-{setting.gain:g}_seed-{seed:03d}_frames-{frames}_{_fingerprint(system)}"
    return folder / f"{name}.npz"


def _fingerprint(system: System) -> str:
    """Hash of all parameters, so that series of a system that has changed since are not taken for its own."""
    digest = hashlib.sha256()
    for field in dataclasses.fields(System):
        value = getattr(system, field.name)
        digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return digest.hexdigest()[:8]


def _simulate_missing(
    systems: Sequence[System], setting: Setting, seeds: Sequence[int], frames: int, folder: Path
) -> None:
    missing = [
        (system, seed)
        for system, seed in zip(systems, seeds, strict=True)
        if not _file(folder, system, setting, seed, frames).is_file()
    ]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    series = simulate_batch([system for system, _ in missing], frames, [seed for _, seed in missing])
    for (system, seed), clean in zip(missing, series, strict=True):
        path = _file(folder, system, setting, seed, frames)
        part = path.with_suffix(".part.npz")
        np.savez(part, series=clean, truth=system.true_effective_connectivity(seed))
        part.replace(path)


def _case(system: System, plan: Plan, setting: Setting, seed: int, folder: Path) -> Case:
    with np.load(_file(folder, system, setting, seed, plan.longest)) as stored:
        series, truth = stored["series"], stored["truth"]
    noisy = observed(series, setting.noise, setting.system, seed)
    after = noisy[setting.frames : 2 * setting.frames]
    return Case(
        setting=setting,
        seed=seed,
        series=noisy[: setting.frames],
        following=after if plan.dynamics and len(after) == setting.frames else None,
        truth=truth,
        edges=system.connectivity,
        structural=structurals(system, seed),
        interval_s=system.interval_s,
        target=target_of(system),
    )


def _released_case(setting: Setting, seed: int, folder: Path) -> Case:
    truth = np.loadtxt(folder / f"real_EC_seed-{seed:02d}.txt")
    np.fill_diagonal(truth, np.nan)
    series = np.load(folder / f"dynamics_seed-{seed:02d}.npy").astype(np.float64)
    noisy = observed(series, setting.noise, setting.system, seed)[: setting.frames]
    return Case(setting, seed, noisy, None, truth, None, {}, 1.0, Target(1, 1.0, 0.0, haemodynamic=False))
