"""What is known of a simulated SEEG and hidden from the workflow: contacts, doses, true responses, CCEP matrices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate.electrodes import SHARE_CUT_MM, SHARE_SD_MM, Implantation
from bids_ai.simulate.folder import write_json, write_table
from bids_ai.simulate.neural import Columns
from bids_ai.simulate.seeg import Montage
from bids_ai.simulate.spes import FULL_DOSE, SpesPlan

Array = NDArray[np.floating]

#: The window of the first wave, s: behind the artefact, up to where the first negative peak is looked for.
#: van Blooijs et al. 2023, doi:10.1038/s41593-023-01272-0.
N1_WINDOW_S = (0.009, 0.09)
#: A response smaller than this share of the largest has no latency.
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Responses:
    """Mean responses under the same noise with and without the pulse.

    Attributes
    ----------
    of_sites : array, shape (n_sites, n_times, n_regions)
        mV, from one interval after the pulse on.
    of_regions : array, shape (n_regions, n_times, n_regions)
        The same for each region with `FULL_DOSE`.
    sampling_hz : float
    gains : array, shape (n_contacts, n_regions)
        Microvolts for each mV.
    """

    of_sites: Array
    of_regions: Array
    sampling_hz: float
    gains: Array

    @property
    def times_s(self) -> Array:
        """Seconds after the pulse."""
        return (np.arange(self.of_sites.shape[1]) + 1) / self.sampling_hz

    def at_channels(self, montage: Montage) -> Array:
        """Responses of sites as the channels see them, microvolts, shape (n_sites, n_times, n_channels)."""
        seen = self.gains[montage.channels] - self.gains[montage.reference]
        out: Array = self.of_sites @ seen.T
        return out


def first_wave(responses: Array, times_s: Array) -> tuple[Array, Array]:
    """Size and latency of the first wave.

    Parameters
    ----------
    responses : array, shape (n_sources, n_times, n_targets)
    times_s : array, shape (n_times,)

    Returns
    -------
    amplitude : array, shape (n_sources, n_targets)
        RMS over `N1_WINDOW_S`.
    latency_s : array, shape (n_sources, n_targets)
        First peak of the absolute response, up to the end of the window, that has at least half the height of the
        highest; NaN where the amplitude is below a hundredth of the largest.
    """
    window = (times_s >= N1_WINDOW_S[0]) & (times_s <= N1_WINDOW_S[1])
    amplitude = np.sqrt((responses[:, window] ** 2).mean(axis=1))
    size = np.abs(responses[:, times_s <= N1_WINDOW_S[1]])
    before = np.concatenate([np.zeros_like(size[:, :1]), size[:, :-1]], axis=1)
    after = np.concatenate([size[:, 1:], np.zeros_like(size[:, :1])], axis=1)
    peak = (size >= before) & (size > after) & (size >= 0.5 * size.max(axis=1, keepdims=True))
    latency = times_s[peak.argmax(axis=1)]
    return amplitude, np.where(amplitude > _LEAST_SHARE * amplitude.max(), latency, np.nan)


def write_contacts(
    where: Path, stem: str, contacts: Implantation, montage: Montage, gains: Array, regions: list[str]
) -> None:
    """Where every contact lies, what it is connected to, and which regions it hears."""
    role = np.full(len(contacts), "channel", dtype=object)
    role[montage.bad], role[montage.reference] = "bad", "reference"
    columns = ["name", "lead", "x", "y", "z", "template_x", "template_y", "template_z", "GM", "WM", "CSF"]
    columns += ["tissue", "region", "region_distance", "role"]
    rows = [
        [
            *[contacts.names[k], contacts.lead[k], *contacts.positions_mm[k], *contacts.template_mm[k]],
            *[*contacts.fractions[k], contacts.tissue[k]],
            *[regions[contacts.region[k]] if contacts.region[k] >= 0 else None, contacts.region_distance_mm[k]],
            role[k],
        ]
        for k in range(len(contacts))
    ]
    write_table(where / f"{stem}_desc-contacts_electrodes.tsv", columns, rows)
    write_json(
        where / f"{stem}_desc-contacts_electrodes.json",
        {
            "x": {"Description": "Middle of the contact in scanner RAS of the T1w; y, z likewise", "Units": "mm"},
            "template_x": {"Description": "In the template that the parcels lie in; y, z likewise", "Units": "mm"},
            "GM": {"Description": "Share of grey matter along the contact; WM, CSF likewise"},
            "region": {"Description": f"Region of the nearest grey matter within {SHARE_CUT_MM:g} mm"},
            "region_distance": {"Description": "Distance to it", "Units": "mm"},
            "role": {"Description": "channel, bad (a channel of high impedance), or reference (no channel)"},
        },
    )
    _write_matrix(
        where / f"{stem}_desc-shares_matrix.tsv",
        ("contact", contacts.names, regions),
        contacts.shares,
        f"Share of each region in the grey matter around a contact (Gaussian, SD {SHARE_SD_MM:g} mm)",
        None,
    )
    _write_matrix(
        where / f"{stem}_desc-gains_matrix.tsv",
        ("contact", contacts.names, regions),
        gains,
        "Potential at a contact for each mV of activity of a region, before the reference",
        "uV/mV",
    )


def write_columns(where: Path, stem: str, columns: Columns, regions: list[str]) -> None:
    """Parameters of the columns that differ between regions."""
    names = ["region", "contacts", "speed", "slow_contacts", "slow_speed"]
    values = zip(regions, columns.contacts, columns.speed, columns.slow_contacts, columns.slow_speed, strict=True)
    write_table(where / f"{stem}_desc-columns_regions.tsv", names, [list(row) for row in values])


def write_rest(where: Path, stem: str, activity: Array, sampling_hz: float, regions: list[str]) -> None:
    """Activity of the regions at rest, mV, as a compressed array file."""
    where.mkdir(parents=True, exist_ok=True)
    path = where / f"{stem}_task-rest_desc-regions_timeseries.npz"
    np.savez_compressed(
        path, activity=activity.astype(np.float32), sampling_hz=np.array(sampling_hz), regions=np.array(regions)
    )


def write_responses(
    where: Path,
    stem: str,
    responses: Responses,
    plan: SpesPlan,
    doses: Array,
    contacts: Implantation,
    montage: Montage,
    regions: list[str],
) -> None:
    """Doses, noise-free responses, and amplitude and latency of the first wave; rows are sources."""
    sites = ["-".join(contacts.names[contact] for contact in pair) for pair in plan.sites]
    channels = [contacts.names[contact] for contact in montage.channels]
    base = f"{stem}_task-spes"
    meaning = "Share of the axons of a region that a pulse excites"
    _write_matrix(where / f"{base}_desc-doses_matrix.tsv", ("site", sites, regions), doses, meaning, None)
    at_channels = responses.at_channels(montage)
    measured = {
        "regionregion": (responses.of_regions, ("region", regions, regions), "mV"),
        "siteregion": (responses.of_sites, ("site", sites, regions), "mV"),
        "sitechannel": (at_channels, ("site", sites, channels), "uV"),
    }
    for name, (waves, labels, unit) in measured.items():
        amplitude, latency = first_wave(waves, responses.times_s)
        if name == "regionregion":
            # What a region does to itself is no connection.
            np.fill_diagonal(amplitude, np.nan)
            np.fill_diagonal(latency, np.nan)
        window = " to ".join(f"{1e3 * edge:g}" for edge in N1_WINDOW_S) + " ms"
        text = f"True CCEP: RMS over {window} of the mean response under the same noise with and without the pulse"
        text += f"; every region with a dose of {FULL_DOSE}" if name == "regionregion" else ""
        _write_matrix(where / f"{base}_desc-{name}_stat-ccepamplitude_relmat.tsv", labels, amplitude, text, unit)
        text = "Latency of the first peak of the true response"
        _write_matrix(where / f"{base}_desc-{name}_stat-cceplatency_relmat.tsv", labels, latency, text, "s")
    np.savez_compressed(
        where / f"{base}_desc-responses_timeseries.npz",
        times_s=responses.times_s,
        sites=np.array(sites),
        channels=np.array(channels),
        regions=np.array(regions),
        site_channel_uv=at_channels.astype(np.float32),
        site_region_mv=responses.of_sites.astype(np.float32),
        region_region_mv=responses.of_regions.astype(np.float32),
    )


def _write_matrix(
    path: Path, labels: tuple[str, list[str], list[str]], matrix: Array, meaning: str, unit: str | None
) -> None:
    corner, rows, columns = labels
    write_table(path, [corner, *columns], [[name, *values] for name, values in zip(rows, matrix.tolist(), strict=True)])
    content: dict[str, object] = {"Description": meaning, "RowRole": corner}
    content |= {"MeasureUnits": unit} if unit else {}
    write_json(path.with_suffix(".json"), content)
