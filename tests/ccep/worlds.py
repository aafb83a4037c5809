"""Virtual patients with responses between regions, for prediction and scoring: arrays, no signals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_ai.ccep.scoring.recorded import Layout, Recorded

#: Contacts of a lead are this far apart, mm.
SPACING_MM = 3.5
#: Responses fall by e over this, mm.
LENGTH_MM = 25.0
#: Step of the model and of the waveforms, s.
STEP_S = 0.004
#: Gains of the first and the second contact of a site.
GAINS = (1.0, 0.6)
#: A quarter of the pairs beyond the near field responds.
SHARE = 0.25


@dataclass(frozen=True)
class World:
    """A recorded patient, and the log amplitude without noise behind it, shape (n_sites, n_channels)."""

    recorded: Recorded
    truth: np.ndarray


def layout_of(
    rng: np.random.Generator,
    *,
    patient: str = "01",
    n_leads: int = 6,
    n_contacts: int = 8,
    n_sites: int = 18,
    n_regions: int = 24,
) -> Layout:
    """Straight leads in a head of 70 mm, sites of neighbouring contacts spread over leads, shares in random regions."""
    start = rng.uniform(-50, 50, (n_leads, 3))
    axis = rng.standard_normal((n_leads, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    positions = (start[:, None] + SPACING_MM * np.arange(n_contacts)[:, None] * axis[:, None]).reshape(-1, 3)
    leads = np.repeat([f"L{k}" for k in range(n_leads)], n_contacts)
    places = [(lead, k) for k in range(0, n_contacts - 1, 2) for lead in range(n_leads)][:n_sites]
    sites = np.array([[lead * n_contacts + k, lead * n_contacts + k + 1] for lead, k in places])
    channels = np.repeat(np.arange(len(positions))[:, None], 2, axis=1)
    regions = rng.uniform(-60, 60, (n_regions, 3))
    near = np.exp(-0.5 * (np.linalg.norm(positions[:, None] - regions, axis=-1) / 12.0) ** 2) + 1e-9
    shares = near / near.sum(axis=1, keepdims=True)
    apart = np.linalg.norm(regions[:, None] - regions, axis=-1)
    sc = np.exp(-apart / 40.0) * rng.lognormal(0, 1.0, apart.shape)
    sc = np.sqrt(sc * sc.T)
    ec = sc * rng.lognormal(0, 1.0, apart.shape)
    fc = np.sqrt(sc) + 0.1 * rng.standard_normal(apart.shape)
    matrices = {"sc": sc, "fc": 0.5 * (fc + fc.T), "ec": ec, "ec_multistep": ec + 0.3 * ec @ ec, "group_prior": sc}
    for matrix in matrices.values():
        np.fill_diagonal(matrix, np.nan)
    return Layout(
        patient,
        positions,
        leads,
        sites,
        channels,
        contact_hemispheres=np.where(positions[:, 0] < 0, "L", "R"),
        contact_tissues=rng.choice(["GM", "WM", ""], len(positions)),
        current_a=rng.choice([0.004, 0.006], len(sites)),
        site_shares=shares[sites].mean(axis=1),
        channel_shares=shares,
        matrices=matrices,
        impulses=_impulses(positions, rng),
        impulse_times_s=STEP_S * np.arange(1, 81),
        channel_rest_sd=1.0 + 0.1 * (np.arange(len(channels)) % 7),
    )


def _impulses(positions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A wave of some size and sign from each contact to each, 12 ms after the push and later by distance."""
    apart = np.linalg.norm(positions[:, None] - positions, axis=-1)
    late = 0.015 + apart / 4000
    size = rng.standard_normal(apart.shape) * np.exp(-apart / 60)
    wave = np.exp(-0.5 * ((STEP_S * np.arange(1, 81) - late[..., None]) / 0.006) ** 2)
    return size[..., None] * wave


def record(layout: Layout, truth: np.ndarray, rng: np.random.Generator, noise: float = 0.5) -> World:
    """Amplitudes of a log amplitude with noise; both halves have as much more as half of the pulses have."""
    n, d = rng.standard_normal((2, *truth.shape)), layout.distances
    halves = [np.exp(truth + noise * np.sqrt(2) * one) for one in n]
    amplitude = np.exp(truth + noise * n.mean(axis=0) * np.sqrt(2))
    beyond = ~layout.touches & (d > 13)
    amplitude, *halves = (np.where(layout.touches, np.nan, one) for one in (amplitude, *halves))
    level = np.quantile(amplitude[beyond], 1 - SHARE)
    responder = np.where(layout.touches, np.nan, (amplitude > level).astype(float))
    latency = np.where(responder == 1, 0.012 + d / 4000 + 0.002 * rng.standard_normal(d.shape), np.nan)
    assert layout.impulses is not None
    first, second = (layout.impulses[layout.site_contacts[:, side]] for side in (0, 1))
    waves = GAINS[0] * first - GAINS[1] * second
    noisy = waves + 0.1 * rng.standard_normal((2, *waves.shape))
    recorded = Recorded(
        layout, amplitude, responder, halves[0], halves[1], latency,
        waveforms=noisy.mean(axis=0), waveforms_odd=noisy[0], waveforms_even=noisy[1], times_s=layout.impulse_times_s,
    )  # fmt: skip
    return World(recorded, truth)


def distance_world(seed: int, *, noise: float = 0.5, **size: int) -> World:
    """Nothing but distance, and offsets of sites and channels, decides."""
    rng = np.random.default_rng(seed)
    layout = layout_of(rng, **size)
    return record(layout, 4.0 + 2.0 * np.exp(-layout.distances / LENGTH_MM) + _offsets(layout, rng), rng, noise)


def network_world(seed: int, *, noise: float = 0.5, patient: str = "01", **size: int) -> World:
    """Directed connections between regions decide, and distance a little."""
    rng = np.random.default_rng(seed)
    layout = layout_of(rng, patient=patient, **size)
    assert layout.site_shares is not None
    ec = np.nan_to_num(layout.matrices["ec"])
    drive = np.log(layout.site_shares @ ec @ layout.channel_shares.T + 1e-3)
    truth = 4.0 + drive + np.exp(-layout.distances / LENGTH_MM) + _offsets(layout, rng)
    return record(layout, truth, rng, noise)


def _offsets(layout: Layout, rng: np.random.Generator) -> np.ndarray:
    n_sites, n_channels = layout.shape
    return 0.3 * rng.standard_normal((n_sites, 1)) + 0.2 * rng.standard_normal(n_channels)
