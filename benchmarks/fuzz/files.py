"""The valid files that are broken, made by the code itself or written here; small, since thousands are read."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

Files = dict[str, bytes]

REGIONS = ["LH_Vis_1", "LH_SomMot_1", "RH_Vis_1", "RH_SomMot_1"]
CONTACTS = [f"A{number}" for number in range(1, 9)]


def text(*rows: str) -> bytes:
    """Lines as UTF-8."""
    return ("\n".join(rows) + "\n").encode("utf-8")


def tsv(*rows: tuple[Any, ...]) -> bytes:
    """Rows of a table."""
    return text(*("\t".join(map(str, row)) for row in rows))


def as_json(content: Any) -> bytes:
    """JSON as bytes."""
    return json.dumps(content).encode("utf-8")


def made(write: Callable[[Path], Any]) -> Files:
    """Every file that a function leaves in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        paths = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def nifti(shape: tuple[int, ...], *, labels: bool = False) -> bytes:
    """A NIfTI file, not packed: noise, or the labels 1 to 4, each in a quarter of the volume."""
    values = np.random.default_rng(0).integers(80, 120, shape).astype(np.int16)
    if labels:
        values[:4, :4], values[:4, 4:], values[4:, :4], values[4:, 4:] = 1, 2, 3, 4
    image = nib.Nifti1Image(values, np.diag([4.0, 4.0, 4.0, 1.0]))
    image.set_sform(image.affine + np.array([[0, 0, 0, -14]] * 3 + [[0, 0, 0, 0]]), code="mni")
    return bytes(image.to_bytes())


def packed(content: bytes) -> bytes:
    """As gzip."""
    return gzip.compress(content, 1, mtime=0)


def npy(values: np.ndarray) -> bytes:
    """As numpy writes it."""
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def signals(n_times: int = 30) -> np.ndarray:
    """Region signals (n_times, 4)."""
    return np.random.default_rng(1).standard_normal((n_times, len(REGIONS))).round(4)


DESCRIPTION = as_json({"Name": "Tiny", "BIDSVersion": "1.10.0", "DatasetType": "raw"})

EVENTS = tsv(
    ("onset", "duration", "trial_type", "electrical_stimulation_site", "electrical_stimulation_current", "status",
     "electrical_stimulation_frequency", "electrical_stimulation_pulsewidth", "electrodes_involved_onset",
     "sample_start"),
    *((5.0 * k, 1, "electrical_stimulation", f"A{k}-A{k + 1}", "0.006", "good", 0.2, 0.001, "n/a", 2560 * k)
      for k in range(1, 6)),
    (31, 12, "electrical_stimulation", "A1-A2", "0.006", "good", 0.5, 0.001, "n/a", 15872),
    (50, 2, "artefact", "n/a", "n/a", "n/a", "n/a", "n/a", "A1,A2", 25600),
    (60, 2, "seizure", "n/a", "n/a", "n/a", "n/a", "n/a", "all", 30720),
)  # fmt: skip
EVENTS_JSON = as_json(
    {
        "electrical_stimulation_current": {"Units": "A", "Description": "current in mA"},
        "electrical_stimulation_pulsewidth": {"Units": "s"},
        "trial_type": {"Levels": {"artefact": "x"}},
    }
)
CHANNELS = tsv(
    (
        "name",
        "type",
        "units",
        "low_cutoff",
        "high_cutoff",
        "status",
        "status_description",
        "group",
        "sampling_frequency",
    ),
    *((name, "SEEG", "µV", 0.1, 200, "bad" if name == "A8" else "good", "n/a", "A", 512) for name in CONTACTS),
)
ELECTRODES = tsv(
    ("name", "x", "y", "z", "size", "hemisphere", "Destrieux_label_text", "silicon"),
    *((name, 3.5 * k + 20, -10.5, 12, 5, "R", "G_front_middle", "no") for k, name in enumerate(CONTACTS)),
)
COORDSYSTEM = as_json(
    {
        "iEEGCoordinateSystem": "ScanRAS",
        "iEEGCoordinateUnits": "mm",
        "iEEGCoordinateSystemDescription": "of the T1w",
        "IntendedFor": ["anat/sub-01_T1w.nii.gz"],
        "AnatomicalLandmarkCoordinates": {"NAS": [0, 90, 0], "LPA": [-80, 0, 0], "RPA": [80, 0, 0]},
        "AnatomicalLandmarkCoordinateSystem": "ScanRAS",
        "AnatomicalLandmarkCoordinateUnits": "mm",
    }
)
PARTICIPANTS = tsv(
    ("participant_id", "age", "sex", "diagnosis"),
    *((f"sub-{k:02d}", 20 + 3 * k % 7, "F", "ab"[k % 2]) for k in range(12)),
)
NODES = tsv(
    ("index", "name", "hemisphere", "network", "x", "y", "z", "color"),
    *((k, name, name[0], "Vis", -10.5, 2, 30, "#781286") for k, name in enumerate(REGIONS, 1)),
)
RELMAT = tsv(
    ("node", *REGIONS),
    *((name, *("n/a" if k == j else 0.1 * (k + j) for j in range(4))) for k, name in enumerate(REGIONS)),
)
SERIES = tsv(tuple(REGIONS), *map(tuple, signals()))
BVAL = text(" ".join(["0", "5", *["1000"] * 8]))
BVEC = text(*(" ".join(["0", "0", *(f"{value:.6f}" for value in row)]) for row in [[1, 0, 0, 0.6, 0.6, 0, 0.8, 0],
    [0, 1, 0, 0.8, 0, 0.6, 0.6, 0.8], [0, 0, 1, 0, 0.8, 0.8, 0, 0.6]]))  # fmt: skip
BOLD_JSON = as_json(
    {
        "TaskName": "rest",
        "RepetitionTime": 2,
        "EchoTime": 0.03,
        "SliceTiming": [0.0, 0.5, 1.0, 1.5, 0.0, 0.5, 1.0, 1.5],
        "SliceEncodingDirection": "k",
        "PhaseEncodingDirection": "j-",
        "TotalReadoutTime": 0.05,
        "IntendedFor": ["bids::sub-01/func/x.nii.gz"],
        "StartTime": 0.5,
        "SamplingFrequency": 512,
        "RecordingDuration": 60,
        "PowerLineFrequency": 50,
    }
)
AAL = text(
    "<?xml version='1.0'?>",
    "<atlas><data>",
    *(f"<label><index>{k}</index><name>{name}</name></label>" for k, name in enumerate(REGIONS, 1)),
    "</data></atlas>",
)
CONFIG = text(
    *("random_seed: 1", "device: cpu", "func:", "  confounds: 24p", "  high_pass_hz: 0.01", "  fd_threshold_mm: null"),
    *("parcellation:", "  atlases: [EqualVolume:20]", "  min_coverage: 0.5", "anat:", "  template:", "    t1w: null"),
    *("surrogate:", "  model: auto", "ccep:", "  responder: crp", "prediction:", "  group_prior: null"),
)


def electric(suffix: str) -> Files:
    """A recording of eight contacts and 600 samples as EDF, BDF, BrainVision or EEGLAB."""
    import mne

    data = np.random.default_rng(2).standard_normal((len(CONTACTS), 600)) * 1e-5

    def write(folder: Path) -> None:
        if suffix == ".vhdr":
            from bids_ai.bids.electrophysiology.brainvision import write_brainvision

            write_brainvision(
                folder / "sub-01_task-spes_ieeg", [(data.T * 1e7).astype(np.int16)], names=CONTACTS, sampling_hz=512.0,
                reference="A8", resolution_uv=0.1,
            )  # fmt: skip
        elif suffix == ".set":
            _write_set(folder / "sub-01_task-spes_ieeg.set", data)
        else:
            raw = mne.io.RawArray(data, mne.create_info(CONTACTS, 100.0, "eeg", verbose="error"), verbose="error")
            raw.export(folder / f"sub-01_task-spes_ieeg{suffix}", verbose="error")

    return made(write)


def _write_set(path: Path, data: np.ndarray) -> None:
    from scipy.io import savemat

    places = np.array([(name, 0.0) for name in CONTACTS], dtype=[("labels", object), ("X", object)])
    content = {
        **{"setname": "x", "nbchan": len(data), "pnts": data.shape[1], "trials": 1, "srate": 512.0, "xmin": 0.0},
        **{
            "xmax": 1.0,
            "data": data.astype(np.float32),
            "chanlocs": places,
            "event": np.empty((0, 0)),
            "ref": "common",
        },
        **{"icawinv": np.empty((0, 0)), "icasphere": np.empty((0, 0)), "icaweights": np.empty((0, 0)), "comments": ""},
    }
    savemat(path, {"EEG": content}, appendmat=False)


@cache
def surrogate() -> Files:
    """A fitted model, with its JSON."""
    from bids_ai.surrogate.fit import fit_recordings
    from bids_ai.surrogate.io import save
    from bids_ai.surrogate.recording import Recording

    recording = Recording("x", (np.random.default_rng(3).standard_normal((120, 4)),), 2.0, tuple(REGIONS))
    [fitted] = fit_recordings([recording], model="ridge-var", seed=0, device="cpu")

    def write(folder: Path) -> None:
        (folder / "x.json").write_bytes(as_json(save(fitted, folder / "x.safetensors")))

    return made(write)
