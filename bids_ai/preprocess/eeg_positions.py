"""Where the electrodes of a recording are: as given, or of a standard montage by their names."""

from __future__ import annotations

import re
from typing import Any, TypedDict

import numpy as np

#: Places of the extended 10-20 system on a head in MNI space (Colin27); the name changed in MNE 1.13. Oostenveld &
#: Praamstra 2001, doi:10.1016/S1388-2457(00)00527-7.
STANDARD_MONTAGES = ("colin27_1005", "standard_1005")
#: What recorders write around the name of an electrode: "EEG Fp1-REF", "Fp1-LE", "Fp1.".
_AROUND = re.compile(r"^(?:EEG[ _-]+)|(?:[ _-]*(?:REF|LE|AVG|AV|A1A2|M1M2)|\.+)$", re.IGNORECASE)


class PositionRecord(TypedDict):
    """Where positions came from; the names of channels that have none."""

    source: str
    n_with_position: int
    without_position: list[str]


def standard_montage() -> Any:
    """The standard montage (`mne.channels.DigMontage`), head of MNI space."""
    import mne

    known = mne.channels.get_builtin_montages()
    return mne.channels.make_standard_montage(next(name for name in STANDARD_MONTAGES if name in known))


def site_of_name(name: str) -> str:
    """Name of the electrode within that of its channel, in lower case: ``"EEG Fp1-REF"`` is ``"fp1"``."""
    return _AROUND.sub("", _AROUND.sub("", name.strip())).strip().lower()


def has_position(info: Any) -> np.ndarray:
    """Which channels of an `mne.Info` have a place, shape (n_channels,) of bool.

    Zeros are how MNE writes a position that nobody gave.
    """
    places = np.array([channel["loc"][:3] for channel in info["chs"]])
    return np.isfinite(places).all(axis=1) & (np.abs(places).sum(axis=1) > 0.0)


def give_positions(raw: Any) -> PositionRecord:
    """Complete the positions of a recording, in place.

    Positions that were given stay, and nothing is added to them: a template's places beside measured ones would be
    another head. Where no channel has one, they come from the standard montage by the channels' names.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        EEG channels only.

    Returns
    -------
    PositionRecord
    """
    given = has_position(raw.info)
    source = "given"
    if not given.any():
        source = "none: the names are not of the extended 10-20 system"
        montage = standard_montage()
        site = {name.lower(): name for name in montage.ch_names}
        found = {name: site[site_of_name(name)] for name in raw.ch_names if site_of_name(name) in site}
        # Two channels at one place (Fp1 and "EEG Fp1") are no cap: the first has it.
        found = {name: at for number, (name, at) in enumerate(found.items()) if at not in list(found.values())[:number]}
        if found:
            _set(raw, montage, found)
            source = f"standard montage {STANDARD_MONTAGES[0]}, by names"
    given = has_position(raw.info)
    missing = [name for name, there in zip(raw.ch_names, given, strict=True) if not there]
    return {"source": source, "n_with_position": int(given.sum()), "without_position": missing}


def _set(raw: Any, montage: Any, found: dict[str, str]) -> None:
    import mne

    places = montage.get_positions()
    own = mne.channels.make_dig_montage(
        {name: places["ch_pos"][site] for name, site in found.items()},
        nasion=places["nasion"],
        lpa=places["lpa"],
        rpa=places["rpa"],
        coord_frame=places["coord_frame"],
    )
    raw.set_montage(own, on_missing="ignore", verbose="error")
