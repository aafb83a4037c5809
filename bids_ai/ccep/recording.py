"""All sites of one recording: trials, measures, detectors and the test against pseudo-onsets, site after site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.ccep.epochs import SPACING_S, Pulses, Read, Site, iter_sites, plan_sites
from bids_ai.ccep.matrices import EXCLUSION_MM, excluded
from bids_ai.ccep.registry import DETECTORS, RESPONDERS, get_detector, measure
from bids_ai.ccep.reliability import NoiseCeiling, noise_ceiling
from bids_ai.ccep.responders import N_DRAWS, PseudoOnsetNull, pseudo_onsets, responders
from bids_ai.ccep.trials import Array, BoolArray, halves
from bids_ai.errors import InputError

#: Averages are kept over this time around the pulse, s, for figures and files.
KEPT_S = (-0.1, 0.6)
#: Pseudo-onsets begin so long after a pulse, s; the second where pulses follow each other too fast for the first.
QUIET_CHOICES_S = (2.0, 1.0)
#: The measure whose halves are compared.
CEILING_MEASURE = "rms_uv"


@dataclass(frozen=True)
class CcepSettings:
    """How the responses of a recording are measured.

    Attributes
    ----------
    detectors : sequence of str
        Published detectors that are run beside the test.
    exclusion_mm : float
        Channels this near to a stimulated contact are excluded.
    min_pulses : int
        Sites with fewer usable pulses are left out.
    every_current : bool
        A site for every current of a pair.
    n_draws : int
        Averages of pseudo-onsets.
    seed : int or sequence of int
    responder : str
        What decides whether a channel responds: of `registry.RESPONDERS`.
    """

    detectors: Sequence[str] = tuple(DETECTORS)
    exclusion_mm: float = EXCLUSION_MM
    min_pulses: int = 5
    every_current: bool = False
    n_draws: int = N_DRAWS
    seed: int | Sequence[int] = 0
    responder: str = RESPONDERS[0]

    def __post_init__(self) -> None:
        """Refuse unknown rules."""
        for name in (self.responder, *self.detectors):
            if name not in RESPONDERS:
                raise InputError(f"Unknown rule for responders {name!r}: choose of {', '.join(RESPONDERS)}.")


@dataclass(frozen=True)
class RecordingCcep:
    """Responses of all channels to all sites.

    Attributes
    ----------
    planned : list of Site
        Every site, those without enough pulses included.
    measured : array of int, shape (n_sites,)
        Which of them were measured; the other arrays have these.
    rejected : list of dict
        Reason -> trials that were rejected in single channels, in all.
    n_pulses : array of int, shape (n_sites, n_channels)
        Trials that were averaged.
    features : dict of str to array, shape (n_sites, n_channels)
        Measures of `registry.FAMILIES`, and ``detected_NAME`` of every detector: 1, 0 or NaN.
    p, z, q : array, shape (n_sites, n_channels)
        Of the test against pseudo-onsets; q over all that are not excluded.
    latency_ms, length_ms : array, shape (n_sites, n_channels)
        Of the window with the largest deflection.
    responder : array, shape (n_sites, n_channels)
        1, 0; NaN where excluded or without data.
    excluded : bool array, shape (n_sites, n_channels)
        Too near to the stimulated contacts, or of unknown place where a radius is asked for and places are known.
    times_s : array, shape (n_times,)
    averages : array, shape (n_sites, n_channels, n_times)
        Volts.
    half_averages : array, shape (2, n_sites, n_channels, n_times)
        Of odd and of even pulses (`trials.halves`).
    odd_uv, even_uv : array, shape (n_sites, n_channels)
        `CEILING_MEASURE` of both; NaN where excluded.
    ceiling : NoiseCeiling
        Of `CEILING_MEASURE`, odd against even pulses.
    n_pseudo_onsets : int
    quiet_s : float
        How long after a pulse their epochs begin.
    """

    planned: list[Site]
    measured: Array
    rejected: list[dict[str, int]]
    n_pulses: Array
    features: dict[str, Array]
    p: Array
    z: Array
    q: Array
    latency_ms: Array
    length_ms: Array
    responder: Array
    excluded: BoolArray
    times_s: Array
    averages: Array
    half_averages: Array
    odd_uv: Array
    even_uv: Array
    ceiling: NoiseCeiling
    n_pseudo_onsets: int
    quiet_s: float = QUIET_CHOICES_S[0]


def measure_recording(
    read: Read,
    pulses: Pulses,
    sampling_hz: float,
    n_samples: int,
    *,
    involves: BoolArray | None = None,
    distances_mm: Array | None = None,
    settings: CcepSettings | None = None,
) -> RecordingCcep:
    """Measure the responses of a recording that is read piece by piece.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives volts, shape (n_channels, stop - start), free of stimulation artefacts.
    pulses : Pulses
    sampling_hz : float
    n_samples : int
        Length of the recording.
    involves : bool array, shape (n_channels, n_contacts), optional
        Contacts that a channel is made of; by default channel k is contact k.
    distances_mm : array, shape (n_contacts, n_channels), optional
        From contacts to channels; NaN where unknown. Without it nothing is excluded but stimulated contacts.
    settings : CcepSettings, optional

    Returns
    -------
    RecordingCcep

    Raises
    ------
    InputError
        If no site has enough pulses, or too little of the recording is free of stimulation.
    """
    settings = settings or CcepSettings()
    planned = plan_sites(pulses, sampling_hz, n_samples, every_current=settings.every_current)
    _check_enough(planned, settings.min_pulses)
    onsets, quiet_s = _pseudo_onsets(pulses, sampling_hz, n_samples)
    null = PseudoOnsetNull.from_recording(read, onsets, sampling_hz, n_draws=settings.n_draws, seed=settings.seed)
    rows = _Rows()
    rules = [name for name in DETECTORS if name in (*settings.detectors, settings.responder)]
    # Blanked already: no line is drawn a second time.
    options: dict[str, object] = {"blank_s": None, "involves": involves, "min_pulses": settings.min_pulses}
    for number, trials, rejected in iter_sites(read, planned, pulses, sampling_hz, **options):  # type: ignore[arg-type]
        tested = null.test(trials)
        found = measure(trials) | {f"detected_{name}": get_detector(name).detect(trials).responder for name in rules}
        found |= {"p": tested.p, "z": tested.z, "latency_ms": tested.latency_ms, "length_ms": tested.length_ms}
        found |= {"n_pulses": trials.valid.sum(axis=0)}
        both = halves(trials)
        kept = trials.between(*KEPT_S)
        rows.add(number, found, [measure(half, ["rms"])[CEILING_MEASURE] for half in both])
        rows.add_averages(*(one.average[:, kept] for one in (trials, *both)))
        rows.rejected.append({reason: int(lost.sum()) for reason, lost in rejected.counts.items()})
        times_s = trials.times_s[kept]
    columns = {name: np.array(values, float) for name, values in rows.columns.items()}
    near = np.zeros(columns["p"].shape, bool)
    if distances_mm is not None:
        pairs = np.array([planned[number].contacts for number in rows.sites])
        apart = np.asarray(np.nanmin(_finite(distances_mm)[pairs], axis=1))
        near = np.isnan(excluded(np.zeros_like(apart), np.where(np.isinf(apart), np.nan, apart), settings.exclusion_mm))
    p = np.where(near, np.nan, columns.pop("p"))
    z = columns.pop("z")
    responder, q = responders(p, z)
    if settings.responder != RESPONDERS[0]:
        responder = np.where(near, np.nan, columns[f"detected_{settings.responder}"])
    odd, even = (np.where(near, np.nan, np.array(half)) for half in zip(*rows.halves, strict=True))
    return RecordingCcep(
        planned,
        np.array(rows.sites),
        rows.rejected,
        columns.pop("n_pulses"),
        {name: columns[name] for name in columns if name not in ("latency_ms", "length_ms")},
        p,
        z,
        q,
        columns["latency_ms"],
        columns["length_ms"],
        responder,
        near,
        times_s,
        np.array(rows.averages),
        np.array(rows.half_averages).swapaxes(0, 1),
        odd,
        even,
        noise_ceiling(odd, even),
        len(onsets),
        quiet_s,
    )


def _check_enough(sites: Sequence[Site], min_pulses: int) -> None:
    """Refuse a recording in which no site can be measured."""
    most = max((len(site.pulses) for site in sites), default=0)
    if most >= min_pulses:
        return
    counts = _dropped(sites)
    crowded = sum(count for reason, count in counts.items() if "another pulse" in reason)
    advice = "Lower ccep.min_pulses if fewer are enough."
    if crowded > sum(counts.values()) / 2:
        advice = (
            f"Pulses less than {SPACING_S:g} s apart meet the late response of the one before: this is no single-pulse "
            "stimulation for measuring responses. Leave the recording out, or correct the onsets."
        )
    raise InputError(
        f"No site has {min_pulses} usable pulses; of {len(sites)} sites the best has {most}. Dropped: "
        f"{'; '.join(f'{count} {reason}' for reason, count in counts.items()) or 'none'}. {advice}"
    )


def _pseudo_onsets(pulses: Pulses, sampling_hz: float, n_samples: int) -> tuple[NDArray[np.intp], float]:
    """Moments without a pulse, and how long after one they begin: longer where there is room."""
    for quiet_s in QUIET_CHOICES_S:
        try:
            return pseudo_onsets(pulses.samples, sampling_hz, n_samples, quiet_s=quiet_s), quiet_s
        except InputError as error:
            last = error
    gaps = np.diff(np.sort(pulses.samples)) / sampling_hz
    spacing = f"half of the pulses follow another within {np.median(gaps):.2g} s" if len(gaps) else "one pulse"
    raise InputError(
        f"Too little of the recording is free of stimulation to know what averages look like without a pulse ({last}; "
        f"{spacing}). Use a file that holds some seconds without stimulation before, between or after the pulses; the "
        "test cannot be done without."
    ) from last


class _Rows:
    """What is kept of every site."""

    def __init__(self) -> None:
        self.sites: list[int] = []
        self.columns: dict[str, list[Array]] = {}
        self.halves: list[list[Array]] = []
        self.averages: list[Array] = []
        self.half_averages: list[Array] = []
        self.rejected: list[dict[str, int]] = []

    def add(self, number: int, found: dict[str, Array], both: list[Array]) -> None:
        self.sites.append(number)
        for name, values in found.items():
            self.columns.setdefault(name, []).append(values)
        self.halves.append(both)

    def add_averages(self, whole: Array, odd: Array, even: Array) -> None:
        self.averages.append(whole.astype(np.float32))
        self.half_averages.append(np.stack([odd, even]).astype(np.float32))


def _dropped(sites: Sequence[Site]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for site in sites:
        counts.update({reason: len(which) for reason, which in site.dropped.items()})
    return dict(counts)


def _finite(distances: Array) -> Array:
    """Unknown distances as infinite, so that of two contacts the known one counts."""
    return np.where(np.isnan(distances), np.inf, distances)
