"""What was stimulated and recorded in one patient: where (Layout), and with which responses (Recorded)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_ai.ccep.matrices import site_distances
from bids_ai.ccep.trials import Array, BoolArray, IntArray
from bids_ai.errors import InputError

StrArray = NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Layout:
    """Sites and channels of a patient, and what is known of them without any stimulation.

    Nothing in here was measured by stimulation, so that a predictor may see all of it, also of sites it is tested on.

    Attributes
    ----------
    patient : str
    contact_positions_mm : array, shape (n_contacts, 3)
        NaN where unknown.
    contact_leads : array of str, shape (n_contacts,)
    site_contacts : array of int, shape (n_sites, 2)
    channel_contacts : array of int, shape (n_channels, 2)
        Contacts that a channel is made of; twice the same for one contact against a common reference.
    distances_mm : array, shape (n_sites, n_channels), optional
        Of the native space where positions are distorted; by default from the channel to the nearer stimulated contact.
    contact_hemispheres, contact_tissues : array of str, shape (n_contacts,), optional
        "" where unknown.
    current_a : array, shape (n_sites,), optional
    site_shares, channel_shares : array, shape (n_sites, n_regions), (n_channels, n_regions), optional
        As for `matrices.pair_matrices`.
    matrices : mapping of str to array, shape (n_regions, n_regions)
        Row = source, NaN where missing: `sc`, `fc`, `ec`, `ec_multistep`, `group_prior`. A group prior must be made
        without this patient.
    pairs : mapping of str to array, shape (n_sites, n_channels)
        Scores of models that learned nothing from responses, by their names, where matrices are not at hand.
    impulses : array, shape (n_contacts, n_channels, n_steps), optional
        Response of every channel to a push of each contact in a model of stimulation-free iEEG
        (`prediction.impulse_response.contact_impulses`); NaN where the model has no such contact.
    impulse_times_s : array, shape (n_steps,), optional
        Two or more, ascending.
    channel_rest_sd : array, shape (n_channels,), optional
        SD of the channel without stimulation (`prediction.resting_model`); NaN where unknown.

    Raises
    ------
    InputError
        When shapes do not fit.
    """

    patient: str
    contact_positions_mm: Array
    contact_leads: StrArray
    site_contacts: IntArray
    channel_contacts: IntArray
    distances_mm: Array | None = None
    contact_hemispheres: StrArray | None = None
    contact_tissues: StrArray | None = None
    current_a: Array | None = None
    site_shares: Array | None = None
    channel_shares: Array | None = None
    matrices: Mapping[str, Array] = field(default_factory=dict)
    pairs: Mapping[str, Array] = field(default_factory=dict)
    impulses: Array | None = None
    impulse_times_s: Array | None = None
    channel_rest_sd: Array | None = None
    _kept: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        n_contacts, (n_sites, n_channels) = len(self.contact_positions_mm), self.shape
        wanted: dict[str, tuple[int, ...]] = {
            "contact_positions_mm": (n_contacts, 3),
            "contact_leads": (n_contacts,),
            "site_contacts": (n_sites, 2),
            "channel_contacts": (n_channels, 2),
            "distances_mm": (n_sites, n_channels),
            "contact_hemispheres": (n_contacts,),
            "contact_tissues": (n_contacts,),
            "current_a": (n_sites,),
            "channel_rest_sd": (n_channels,),
        }
        if self.impulses is not None:
            if (
                self.impulse_times_s is None
                or len(self.impulse_times_s) < 2
                or (np.diff(self.impulse_times_s) <= 0).any()
            ):
                raise InputError(f"{self.patient}: impulses need impulse_times_s, two or more, ascending.")
            wanted["impulses"] = (n_contacts, n_channels, len(self.impulse_times_s))
        if self.site_shares is not None and self.channel_shares is not None:
            n_regions = self.site_shares.shape[-1]
            wanted |= {"site_shares": (n_sites, n_regions), "channel_shares": (n_channels, n_regions)}
            odd = {name: one.shape for name, one in self.matrices.items() if one.shape != (n_regions, n_regions)}
            if odd:
                raise InputError(
                    f"{self.patient}: matrices of {n_regions} x {n_regions} regions are wanted, got {odd}."
                )
        _check_shapes(self, wanted, self.patient)
        odd_pairs = {name: one.shape for name, one in self.pairs.items() if one.shape != (n_sites, n_channels)}
        if odd_pairs:
            raise InputError(f"{self.patient}: scores of {n_sites} x {n_channels} pairs are wanted, got {odd_pairs}.")
        for name in ("site_contacts", "channel_contacts"):
            contacts = getattr(self, name)
            if contacts.size and (contacts.min() < 0 or contacts.max() >= n_contacts):
                raise InputError(f"{self.patient}: {name} must count from 0 to {n_contacts - 1}.")

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of sites and channels."""
        return len(self.site_contacts), len(self.channel_contacts)

    def remembered(self, name: str, compute: Callable[[Layout], Array]) -> Array:
        """What depends on the layout alone, computed once: splits ask for it again and again."""
        if name not in self._kept:
            self._kept[name] = compute(self)
        return self._kept[name]

    @property
    def distances(self) -> Array:
        """Distance from each channel to the site, mm, shape (n_sites, n_channels); NaN where unknown."""
        if self.distances_mm is not None:
            return self.distances_mm
        channels = self.contact_positions_mm[self.channel_contacts].mean(axis=1)
        return self.remembered(
            "distance", lambda own: site_distances(own.contact_positions_mm, own.site_contacts, channels)
        )

    @property
    def touches(self) -> BoolArray:
        """Channels made of a stimulated contact, shape (n_sites, n_channels)."""

        def compute(own: Layout) -> Array:
            same = own.site_contacts[:, None, :, None] == own.channel_contacts[None, :, None, :]
            return np.asarray(same.any(axis=(2, 3)).astype(float))

        return np.asarray(self.remembered("touches", compute) == 1)

    def shared(self, labels: StrArray) -> Array:
        """1 where site and channel bear the same label (lead, hemisphere), 0 where not, NaN where unknown.

        Parameters
        ----------
        labels : array of str, shape (n_contacts,)

        Returns
        -------
        array, shape (n_sites, n_channels)
        """
        sites, channels = labels[self.site_contacts], labels[self.channel_contacts]
        same = (sites[:, None, :, None] == channels[None, :, None, :]).any(axis=(2, 3)).astype(float)
        unknown = (sites == "").all(axis=1)[:, None] | (channels == "").all(axis=1)
        return np.where(unknown, np.nan, same)

    def near_sites(self, within_mm: float) -> BoolArray:
        """Pairs of sites that share a contact or have contacts within a distance, shape (n_sites, n_sites).

        Sites whose distance is unknown count as near: nobody can tell that they are not.
        """
        ends = self.contact_positions_mm[self.site_contacts]
        apart = np.linalg.norm(ends[:, None, :, None] - ends[None, :, None, :], axis=-1)
        shared = (self.site_contacts[:, None, :, None] == self.site_contacts[None, :, None, :]).any(axis=(2, 3))
        return np.asarray(shared | ~(apart.min(axis=(2, 3)) > within_mm))


@dataclass(frozen=True, eq=False)
class Recorded:
    """Recorded responses of a patient; NaN where excluded or missing.

    Attributes
    ----------
    layout : Layout
    amplitude : array, shape (n_sites, n_channels)
        Size of the response, not negative, in any one unit.
    responder : array, shape (n_sites, n_channels), optional
        1, 0 or NaN.
    odd, even : array, shape (n_sites, n_channels), optional
        Amplitude from either half of the pulses.
    latency_s : array, shape (n_sites, n_channels), optional
    waveforms, waveforms_odd, waveforms_even : array, shape (n_sites, n_channels, n_times), optional
        Averages of all pulses and of either half, relative to the baseline.
    times_s : array, shape (n_times,), optional

    Raises
    ------
    InputError
        When shapes do not fit, or for a negative or infinite amplitude, or a responder other than 0 and 1.
    """

    layout: Layout
    amplitude: Array
    responder: Array | None = None
    odd: Array | None = None
    even: Array | None = None
    latency_s: Array | None = None
    waveforms: Array | None = None
    waveforms_odd: Array | None = None
    waveforms_even: Array | None = None
    times_s: Array | None = None

    def __post_init__(self) -> None:
        pairs = self.layout.shape
        names = ("amplitude", "responder", "odd", "even", "latency_s")
        wanted: dict[str, tuple[int, ...]] = dict.fromkeys(names, pairs)
        waves = ("waveforms", "waveforms_odd", "waveforms_even")
        if any(getattr(self, name) is not None for name in waves):
            if self.times_s is None:
                raise InputError(f"{self.layout.patient}: waveforms need times_s.")
            wanted |= dict.fromkeys(waves, (*pairs, len(self.times_s)))
        _check_shapes(self, wanted, self.layout.patient)
        for name in ("amplitude", "odd", "even"):
            values = getattr(self, name)
            if values is not None and not (np.isnan(values) | ((values >= 0) & np.isfinite(values))).all():
                raise InputError(
                    f"{self.layout.patient}: {name} must be sizes, NaN where missing; got negative or infinite."
                )
        if self.responder is not None and not (np.isnan(self.responder) | np.isin(self.responder, (0, 1))).all():
            raise InputError(f"{self.layout.patient}: responder must be 1, 0 or NaN.")

    def beyond(self, radius_mm: float) -> BoolArray:
        """Pairs that count: an amplitude, no stimulated contact, farther than the radius; (n_sites, n_channels)."""
        usable = np.isfinite(self.amplitude) & ~self.layout.touches
        return np.asarray(usable & (self.layout.distances > radius_mm) if radius_mm > 0 else usable)

    def hidden(self, pairs: BoolArray, *, waveforms: bool = False) -> Recorded:
        """The same without the responses of these pairs.

        Parameters
        ----------
        pairs : array of bool, shape (n_sites, n_channels)
        waveforms : bool
            Keep waveforms, which are large: most predictors do not learn from them.
        """
        gone: dict[str, Any] = {}
        for one in fields(self):
            values = getattr(self, one.name)
            if one.name in ("layout", "times_s") or values is None:
                continue
            if values.ndim == 3:
                gone[one.name] = np.where(pairs[..., None], np.nan, values) if waveforms else None
            else:
                gone[one.name] = np.where(pairs, np.nan, values)
        return replace(self, **gone)


def log_amplitude(recorded: Recorded, radius_mm: float = 0.0) -> Array:
    """Natural logarithm of the amplitudes beyond a radius, shape (n_sites, n_channels); NaN for an amplitude of 0."""
    known = recorded.beyond(radius_mm) & (np.nan_to_num(recorded.amplitude) > 0)
    return np.log(np.where(known, recorded.amplitude, np.nan))


def _check_shapes(owner: object, wanted: Mapping[str, tuple[int, ...]], patient: str) -> None:
    for name, shape in wanted.items():
        values = getattr(owner, name)
        if values is not None and values.shape != shape:
            raise InputError(f"{patient}: {name} must have shape {shape}, got {values.shape}.")
