"""Opening signal files lazily: one opener for each format, and what is wrong with a file told before it is read."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.bids.electrophysiology.findings import Finding, shown
from bids_ai.errors import InputError

if TYPE_CHECKING:
    import mne

Opened = tuple["mne.io.BaseRaw", list[Finding]]

#: Formats of BIDS for EEG and iEEG, by what the name of the file ends in.
EXTENSIONS = (".edf", ".bdf", ".vhdr", ".set", ".mefd", ".nwb")
#: Bytes of a number in BrainVision's data files.
_BRAINVISION_BYTES = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4, "IEEE_FLOAT_64": 8}
_POINTERS = (b"/annex/objects/", b"version https://git-lfs")


def open_raw(path: Path) -> Opened:
    """Open a signal file without reading its samples.

    Parameters
    ----------
    path : Path
        EDF, BDF, BrainVision (``.vhdr``), EEGLAB (``.set``), MEF3 (``.mefd``) or NWB.

    Returns
    -------
    raw : mne.io.BaseRaw
        Not preloaded; volts.
    findings : list of Finding

    Raises
    ------
    InputError
        If the format is not known, the file is missing, not downloaded, corrupt or cut short, or a package that this
        format needs is not installed.
    """
    path = Path(path)
    openers: dict[str, Callable[[Path], Opened]] = {
        **{".edf": _edf, ".bdf": _edf, ".vhdr": _brainvision, ".set": _eeglab, ".mefd": _mef3, ".nwb": _nwb}
    }
    if path.suffix.lower() not in openers:
        raise InputError(f"{path.name}: wanted a recording as one of {', '.join(EXTENSIONS)}, got {path.suffix!r}.")
    check_present(path)
    return openers[path.suffix.lower()](path)


def header_rate(path: Path) -> float | None:
    """Sampling rate as the file itself has it, Hz, read from its first bytes; None where that is not cheap or fails.

    Parameters
    ----------
    path : Path
        EDF, BDF (the highest of its signals) or BrainVision; of other formats the sidecar has to be believed.
    """
    rate = None
    try:
        if path.is_file() and path.suffix.lower() in (".edf", ".bdf"):
            rate = _edf_rate(path)
        elif path.is_file() and path.suffix.lower() == ".vhdr":
            text = path.read_text(encoding="utf-8", errors="replace")
            found = re.search(r"^SamplingInterval\s*=\s*([\d.eE+-]+)", text, re.MULTILINE)
            rate = 1e6 / float(found[1]) if found else None  # microseconds
    except (OSError, ValueError, ZeroDivisionError):
        return None  # what is wrong with the file is told when it is opened
    # An interval of 1e999 makes a rate of 0.
    return rate if rate and rate > 0 and np.isfinite([rate, 1 / rate]).all() else None


def header_length(path: Path) -> float | None:
    """Length of a recording as the file itself has it, s; None where that is not cheap or fails.

    Parameters
    ----------
    path : Path
        EDF, BDF or BrainVision.
    """
    if not path.is_file():
        return None
    try:
        if path.suffix.lower() in (".edf", ".bdf"):
            with path.open("rb") as file:
                fixed = file.read(256)
            length = int(fixed[236:244]) * float(fixed[244:252])
        elif path.suffix.lower() == ".vhdr":
            length = _brainvision_samples(path) / (header_rate(path) or np.nan)
        else:
            return None
    except (OSError, ValueError, KeyError, ZeroDivisionError, InputError):
        return None  # what is wrong with the file is told when it is opened
    return length if np.isfinite(length) and length > 0 else None


def _brainvision_samples(path: Path) -> float:
    text = path.read_text(encoding="utf-8", errors="replace")
    fields = {key: value.strip() for key, value in re.findall(r"^(\w+)\s*=(.*)$", text, re.MULTILINE)}
    sample = _BRAINVISION_BYTES[fields["BinaryFormat"]] * int(fields["NumberOfChannels"])
    return _brainvision_files(path)["DataFile"].stat().st_size / sample


def _edf_rate(path: Path) -> float | None:
    with path.open("rb") as file:
        fixed = file.read(256)
        record_s, n_signals = float(fixed[244:252]), int(fixed[252:256])
        labels = [file.read(16).decode("latin-1") for _ in range(n_signals)]
        file.seek(256 + 216 * n_signals)
        samples = [int(file.read(8)) for _ in range(n_signals)]
    kept = [count for name, count in zip(labels, samples, strict=True) if "Annotations" not in name]
    rate = max(kept, default=0) / record_s
    return rate if rate > 0 else None


def is_there(path: Path) -> bool:
    """Whether there is a file or a link; a name that no file system takes is that of none."""
    try:
        return path.exists() or path.is_symlink()
    except (OSError, ValueError):
        return False


def check_present(path: Path) -> None:
    """Refuse a file that is missing, empty, or a pointer to one that was not downloaded.

    Raises
    ------
    InputError
        Saying which.
    """
    advice = "Fetch the data first ('datalad get', 'git annex get' or a download from OpenNeuro)."
    if path.is_symlink() and not path.exists():
        raise InputError(f"{path} is a link to a file that is not here. {advice}")
    if not path.exists():
        raise InputError(f"The recording {path} does not exist.")
    if path.is_dir():
        return
    if not path.is_file():
        raise InputError(f"{path} is no file but a pipe or a device; give the recording itself.")
    size = path.stat().st_size
    if not size:
        raise InputError(f"{path} is empty (0 bytes). {advice}")
    if size < 1024:
        with path.open("rb") as file:
            content = file.read()
        if any(word in content for word in _POINTERS):
            raise InputError(f"{path} is a pointer of git ({size} bytes), not the recording. {advice}")


def _wrapped(path: Path, reader: Callable[..., Any], **options: Any) -> mne.io.BaseRaw:
    """Call a reader of MNE; whatever goes wrong in it is told as a fault of the file."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw: mne.io.BaseRaw = reader(path, preload=False, verbose="error", **options)
    except ImportError as error:
        package = error.name or "an optional package"
        raise InputError(f"{path.name} needs {package} to be read: pip install {package}") from error
    except Exception as error:  # the readers raise whatever their parsers raise
        kind = type(error).__name__
        raise InputError(
            f"{path} cannot be read: it is corrupt, or no {path.suffix} file ({kind}: {error}). "
            "Compare its size with the origin and fetch or export it again."
        ) from error
    return raw


def _edf(path: Path) -> Opened:
    import mne

    findings = _check_edf(path)
    reader = mne.io.read_raw_edf if path.suffix.lower() == ".edf" else mne.io.read_raw_bdf
    return _wrapped(path, reader, infer_types=False, stim_channel=False), findings


def _check_edf(path: Path) -> list[Finding]:
    """Compare the size of an EDF or BDF file with what its header says.

    The header is text of fixed width: length of the header at byte 184, number of records at 236, number of signals at
    252, samples of every signal in a record 216 bytes into each signal's part (Kemp et al. 1992,
    doi:10.1016/0013-4694(92)90009-7).
    """
    width = 3 if path.suffix.lower() == ".bdf" else 2
    with path.open("rb") as file:
        fixed = file.read(256)
        try:
            n_header, n_records, n_signals = (int(fixed[a:b]) for a, b in ((184, 192), (236, 244), (252, 256)))
            file.seek(256 + 216 * n_signals)
            samples = [int(file.read(8)) for _ in range(n_signals)]
            file.seek(256)
            labels = [file.read(16).decode("latin-1").strip() for _ in range(n_signals)]
        except ValueError:
            raise InputError(
                f"{path} is no {path.suffix[1:].upper()} file or its header is corrupt: numbers were wanted at bytes "
                "184, 236 and 252. Fetch or export it again."
            ) from None
    if n_signals < 1 or n_header != 256 * (n_signals + 1) or min(samples) < 1:
        raise InputError(
            f"{path}: the header is corrupt ({n_signals} signals, {n_header} bytes of header where "
            f"{256 * (n_signals + 1)} were wanted). Fetch or export it again."
        )
    findings = _check_edf_rates(path, labels, samples)
    record = width * sum(samples)
    present = (path.stat().st_size - n_header) / record
    if n_records < 0:
        text = (
            f"{path.name} was not closed by its recorder (number of records unknown); {int(present)} records are read."
        )
        return [*findings, Finding("edf-not-closed", text)]
    if present < n_records:
        raise InputError(
            f"{path} is cut short: its header says {n_records} records of {record} bytes, {present:.1f} are there "
            f"({100 * present / n_records:.0f} %). Fetch it again."
        )
    if present > n_records:
        text = f"{path.name} holds {present:.1f} records, its header says {n_records}; the rest is not read."
        return [*findings, Finding("edf-longer", text)]
    return findings


def _check_edf_rates(path: Path, labels: list[str], samples: list[int]) -> list[Finding]:
    """Signals of several rates; MNE brings all to the highest."""
    kept = {name: count for name, count in zip(labels, samples, strict=True) if "Annotations" not in name}
    slower = tuple(name for name, count in kept.items() if count < max(kept.values()))
    if not slower:
        return []
    text = f"{len(slower)} of {len(kept)} channels of {path.name} were sampled more slowly ({shown(slower)}): "
    return [Finding("mixed-rates", text + "they are interpolated to the highest rate.", len(slower), slower)]


def _brainvision(path: Path) -> Opened:
    import mne

    companions = _brainvision_files(path)
    for key, companion in companions.items():
        if not is_there(companion):
            raise InputError(
                f"{path.name} names {companion.name} as its {key}, which is not beside it; add or rename it."
            )
        if key == "DataFile":
            check_present(companion)
    _check_channel_count(path)
    raw = _wrapped(path, mne.io.read_raw_brainvision)
    return raw, _check_brainvision(path, companions.get("DataFile"), raw)


def _check_channel_count(path: Path) -> None:
    """Refuse a header that promises more channels than it describes; MNE would make room for any number of them."""
    text = path.read_text(encoding="utf-8", errors="replace")
    stated = re.search(r"^NumberOfChannels\s*=\s*(\d+)\s*$", text, re.MULTILINE)
    described = len(re.findall(r"^Ch\d+\s*=", text, re.MULTILINE))
    if stated and (len(stated[1]) > 9 or int(stated[1]) > described):
        raise InputError(
            f"{path}: the header is corrupt: it says {stated[1][:20]} channels and describes {described}. "
            "Export it again."
        )


def _brainvision_files(path: Path) -> dict[str, Path]:
    found = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition("=")
        if key.strip() in ("DataFile", "MarkerFile") and value.strip():
            name = value.strip().replace("$b", path.stem)
            found[key.strip()] = path.parent / name
    if "DataFile" not in found:
        raise InputError(f"{path} names no DataFile: it is corrupt, or no BrainVision header. Export it again.")
    return found


def _check_brainvision(path: Path, data: Path | None, raw: mne.io.BaseRaw) -> list[Finding]:
    """A file that does not end with a whole sample of all channels was cut short or belongs to another header."""
    text = path.read_text(encoding="utf-8", errors="replace")
    width = next((size for name, size in _BRAINVISION_BYTES.items() if f"BinaryFormat={name}" in text), None)
    if data is None or width is None:
        return []
    sample = width * len(raw.ch_names)
    rest = data.stat().st_size % sample
    if not rest:
        return []
    message = f"{data.name} does not end with a whole sample ({rest} of {sample} bytes): it may be cut short."
    return [Finding("brainvision-partial", message)]


def _eeglab(path: Path) -> Opened:
    import mne

    from bids_ai.bids.electrophysiology.eeglab import check_eeglab

    check_eeglab(path)
    return _wrapped(path, mne.io.read_raw_eeglab), []


def _mef3(path: Path) -> Opened:
    import mne

    reader = getattr(mne.io, "read_raw_mef", None)
    if reader is None:
        raise InputError(f"{path.name} is MEF3, which MNE {mne.__version__} cannot read: pip install 'mne>=1.12' pymef")
    _need("pymef", path, "MEF3")
    return _wrapped(path, reader), []


def _need(package: str, path: Path, what: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise InputError(f"{path.name} is {what}, which needs the package {package}: pip install {package}")


def _nwb(path: Path) -> Opened:
    _need("pynwb", path, "NWB")
    from bids_ai.bids.electrophysiology.nwb import open_nwb

    return open_nwb(path)


def signal_scale(raw: mne.io.BaseRaw, channels: list[str], *, seconds: float = 2.0) -> float:
    """Median SD of channels in the middle of a recording, to see whether the unit is right.

    Parameters
    ----------
    raw : mne.io.BaseRaw
    channels : list of str
    seconds : float
        What is read of it.

    Returns
    -------
    float
        Volts; NaN where there is nothing to read.
    """
    length = min(raw.n_times, max(2, round(seconds * raw.info["sfreq"])))
    start = (raw.n_times - length) // 2
    if not channels or length < 2:
        return float("nan")
    data = raw.get_data(picks=channels, start=start, stop=start + length)
    return float(np.median(data.std(axis=1)))
