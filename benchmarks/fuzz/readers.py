"""The readers: which files each is given, how these are broken, and how it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.fuzz import files as made
from benchmarks.fuzz.files import Files
from benchmarks.fuzz.mutations import BYTES, INI, JSON, TEXT, XML, YAML, Mutation, columns, fields, packed, table

TSV, LINES = table("\t"), table("")
#: Fields of the NIfTI-1 header (nifti1.h).
NIFTI = fields(
    {0: "i", 344: "i", 108: "f", 112: "f", 116: "f", 70: "h", 72: "h", 123: "b", 252: "h", 254: "h", 348: "i", 352: "i"}
    | {356: "i"}
    | dict.fromkeys(range(40, 56, 2), "h")
    | dict.fromkeys(range(76, 108, 4), "f")
    | dict.fromkeys(range(256, 328, 4), "f")
)
#: Fixed fields of an EDF header, and some of those of its eight signals.
EDF = columns(
    (
        *((0, 8), (184, 8), (192, 44), (236, 8), (244, 8), (252, 4), (168, 8), (176, 8)),
        *((256 + 16 * k, 16) for k in range(9)),
        *((256 + 9 * 104 + 8 * k, 8) for k in range(36)),
        *((256 + 9 * 216 + 8 * k, 8) for k in range(9)),
    )
)
FUNC = "sub-01/func/sub-01_task-rest_bold"
IEEG = "sub-01/ieeg/sub-01_task-spes"


@dataclass(frozen=True)
class Reader:
    """A reader with its files.

    Attributes
    ----------
    files : callable
        Makes the valid files, relative name to content.
    ways : dict
        Mutations by the end of the names of the files that are broken; one file a case.
    call : callable
        Reads; gets the folder.
    share : float
        Cases of the whole, against other readers.
    programs : bool
        Whether it may start one.
    """

    files: Callable[[], Files]
    ways: dict[str, tuple[Mutation, ...]]
    call: Callable[[Path], Any]
    share: float = 1.0
    programs: bool = False


def _dataset(extra: Files) -> Files:
    return {"dataset_description.json": made.DESCRIPTION} | extra


# ---- a dataset as a whole


@cache
def _tiny() -> Files:
    bold, t1w = made.packed(made.nifti((8, 8, 8, 12))), made.packed(made.nifti((8, 8, 8)))
    dwi = "sub-01/dwi/sub-01_dwi"
    return _dataset(
        {
            "sub-01/anat/sub-01_T1w.nii.gz": t1w,
            f"{FUNC}.nii.gz": bold,
            f"{FUNC}.json": made.BOLD_JSON,
            "task-rest_bold.json": b'{"EchoTime": 0.03}',
            f"{dwi}.nii.gz": made.packed(made.nifti((8, 8, 8, 10))),
            f"{dwi}.bval": made.BVAL,
            f"{dwi}.bvec": made.BVEC,
            f"{dwi}.json": made.BOLD_JSON,
            f"{IEEG}_ieeg.json": made.BOLD_JSON,
            f"{IEEG}_events.tsv": made.EVENTS,
            f"{IEEG}_events.json": made.EVENTS_JSON,
            f"{IEEG}_channels.tsv": made.CHANNELS,
            "sub-01/ieeg/sub-01_electrodes.tsv": made.ELECTRODES,
            "sub-01/ieeg/sub-01_coordsystem.json": made.COORDSYSTEM,
        }
        | {f"sub-01/ieeg/{name}": content for name, content in made.electric(".vhdr").items()}
    )


def _index(root: Path, tools: dict[str, Path] | None = None) -> Any:
    from bids_ai.bids.dataset import Selection
    from bids_ai.cli.preflight import Findings, build_index
    from bids_ai.config import Config

    index = build_index(None if tools else root, Selection(), tools or {}, Config(), Findings())
    index.save(root / "index.json")
    return index


@cache
def _derivatives() -> Files:
    stem = "sub-01/func/sub-01_task-rest"
    space = f"{stem}_space-MNI152NLin2009cAsym"
    motion = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
    rows = [("framewise_displacement", "csf", *motion), *((0.1, 2.5, *range(k, k + 6)) for k in range(12))]
    return _dataset(
        {
            f"{space}_desc-preproc_bold.nii.gz": made.packed(made.nifti((8, 8, 8, 12))),
            f"{space}_desc-preproc_bold.json": made.BOLD_JSON,
            f"{space}_desc-brain_mask.nii.gz": made.packed(made.nifti((8, 8, 8))),
            f"{stem}_desc-confounds_timeseries.tsv": made.tsv(*rows),
            f"{stem}_seg-Tian_stat-mean_timeseries.tsv": made.SERIES,
            f"{stem}_seg-Tian_stat-mean_timeseries.json": made.BOLD_JSON,
        }
    )


def _other_tools(root: Path) -> Any:
    return [_index(root, {tool: root}) for tool in ("fmriprep", "xcpd")]


# ---- tables of electrophysiology


def _stimulation(root: Path) -> Any:
    from bids_ai.bids.electrophysiology.channels import read_channels
    from bids_ai.bids.electrophysiology.stimulation import read_stimulation

    channels = read_channels(root / f"{IEEG}_channels.tsv")
    found = read_stimulation(root / f"{IEEG}_events.tsv", channels, duration_s=100.0)
    return found.sites(), found.table()


def _electrodes(root: Path) -> Any:
    from bids_ai.bids.electrophysiology.electrodes import choose_electrodes

    table_ = choose_electrodes(root / f"{IEEG}_ieeg.vhdr")
    return table_ and (table_.rows_of(made.CONTACTS), table_.silicon, table_.usable)


def _recording(suffix: str) -> Callable[[Path], Any]:
    def call(root: Path) -> Any:
        from bids_ai.bids.electrophysiology.formats import header_length, header_rate
        from bids_ai.bids.electrophysiology.recording import open_recording

        path = root / f"{IEEG}_ieeg{suffix}"
        return header_rate(path), header_length(path), open_recording(path).usable()

    return call


def _signal(suffix: str) -> Callable[[], Files]:
    @cache
    def files() -> Files:
        tables = {f"{IEEG}_channels.tsv": made.CHANNELS, f"{IEEG}_ieeg.json": made.BOLD_JSON}
        return _dataset(tables | {f"sub-01/ieeg/{name}": content for name, content in made.electric(suffix).items()})

    return files


# ---- tables of regions and signals


def _read_table(reader: str, name: str) -> Callable[[Path], Any]:
    module, _, function = reader.rpartition(".")

    def call(root: Path) -> Any:
        from importlib import import_module

        return getattr(import_module(f"bids_ai.{module}"), function)(root / name)

    return call


def _atlas_table(name: str, content: bytes, ways: tuple[Mutation, ...]) -> Reader:
    return Reader(lambda: {name: content}, {name: ways}, _read_table("parcellation.importers.read_region_table", name))


def _xcp(root: Path) -> Any:
    from bids_ai.parcellation.importers import read_region_table

    return read_region_table(root / "xNodeNames.txt")


def _atlas(root: Path) -> Any:
    from bids_ai.parcellation.atlas import load_atlas

    return load_atlas(str(root / "atlas-X_dseg.nii"), cache_dir=root / "cache")


def _signals(name: str) -> Callable[[Path], Any]:
    return _read_table("cli.signal_table.read_signals", name)


def _structural(name: str) -> Callable[[Path], Any]:
    def call(root: Path) -> Any:
        from bids_ai.cli.structural_table import read_structural, structural_of

        names = root / "names.txt"
        return structural_of(
            read_structural(root / name, names if names.is_file() else None), made.REGIONS, name, symmetric=True
        )

    return call


def _regions(root: Path) -> Any:
    from bids_ai.cli.node_table import read_regions

    return read_regions(root / "nodes.tsv", made.REGIONS)


def _variables(root: Path) -> Any:
    from bids_ai.bids.participants import read_participants
    from bids_ai.group.variables import plan_contrast

    people = read_participants(root / "participants.tsv")
    subjects = [f"sub-{number:02d}" for number in range(12)]
    return plan_contrast(people, "diagnosis", ["age"], subjects)


def _confounds(root: Path) -> Any:
    from bids_ai.bids.tables import read_table
    from bids_ai.preprocess import denoise

    confounds = read_table(root / "confounds.tsv")
    denoise.censor_mask(confounds, fd_threshold_mm=0.5)
    return denoise.confound_matrix(confounds, "24p", global_signal=False)


def _task(root: Path) -> Any:
    from bids_ai.bids.tables import read_table
    from bids_ai.preprocess.denoise import task_regressors

    return task_regressors(read_table(root / "events.tsv"), 2.0, 60)


# ---- images and gradients


def _image(name: str) -> Callable[[Path], Any]:
    def call(root: Path) -> Any:
        from bids_ai.cli.images import image_fault
        from bids_ai.errors import InputError

        fault = image_fault(root / name, ndim=4)
        if fault:
            raise InputError(fault)

    return call


def _gradients(root: Path) -> Any:
    from bids_ai.bids.gradients import read_gradients

    found = read_gradients(root / "x.bval", root / "x.bvec", 10)
    return found.shells, found.n_directions


# ---- settings, transforms, our own files


def _settings(root: Path) -> Any:
    from bids_ai.cli.main import build_parser
    from bids_ai.cli.options import configuration, selection

    files = ["--config-file", str(root / "my.yaml"), "--bids-filter-file", str(root / "filter.json")]
    args = build_parser("index").parse_args(["index", "data", "out", *files])
    return configuration(args).model_dump(mode="json"), selection(args)


def _transform(root: Path) -> Any:
    from bids_ai.stages.contact_files import read_contact_transform

    return read_contact_transform(root / "transform.txt")


def _segmentation(root: Path) -> Any:
    from bids_ai.parcellation.segmentation import read_segmentation

    return read_segmentation(root / "aparc.nii")


def _output_folder(root: Path) -> Any:
    from bids_ai.cli.places import check_places, older_outputs

    return check_places(None, root, root.parent / "work"), older_outputs(root)


def _surrogate(root: Path) -> Any:
    from bids_ai.bids.files import read_json
    from bids_ai.errors import InputError
    from bids_ai.surrogate.io import load

    try:
        meta = read_json(root / "x.json")
    except ValueError as error:  # what the stages tell as a damaged file of ours
        raise InputError(str(error)) from None
    return load(root / "x.safetensors", meta)


LUT = made.text(*(f"{k} {name} {10 * k} 20 30 0" for k, name in enumerate(made.REGIONS, 1)))
LABELS = made.as_json({"rois": {str(k): {"label": name} for k, name in enumerate(made.REGIONS, 1)}})
MATRIX = made.tsv(("node", *made.REGIONS), *((name, *map(abs, (k, 1, 2, 3))) for k, name in enumerate(made.REGIONS)))
IDENTITY = made.text("1 0 0 5", "0 1 0 0", "0 0 1 0", "0 0 0 1")

READERS: dict[str, Reader] = {
    "dataset": Reader(
        _tiny,
        {".json": JSON, ".tsv": TSV, ".nii.gz": packed(NIFTI), ".bval": LINES, ".bvec": LINES, ".vhdr": INI},
        lambda root: _index(root),
        share=0.3,
    ),
    "derivatives": Reader(
        _derivatives, {".json": JSON, ".tsv": TSV, ".nii.gz": packed(NIFTI)}, _other_tools, share=0.7
    ),
    "stimulation": Reader(
        lambda: _dataset({k: v for k, v in _tiny().items() if k.startswith(IEEG) and "_ieeg." not in k}),
        {"events.tsv": TSV, "channels.tsv": TSV, "events.json": JSON},
        _stimulation,
        share=2,
    ),
    "electrodes": Reader(
        lambda: _dataset({k: v for k, v in _tiny().items() if k.endswith(("electrodes.tsv", "coordsystem.json"))}),
        {"electrodes.tsv": TSV, "coordsystem.json": JSON},
        _electrodes,
        share=2,
    ),
    "edf": Reader(_signal(".edf"), {".edf": EDF, "channels.tsv": TSV, "_ieeg.json": JSON}, _recording(".edf")),
    "bdf": Reader(_signal(".bdf"), {".bdf": EDF}, _recording(".bdf")),
    "brainvision": Reader(_signal(".vhdr"), {".vhdr": INI, ".vmrk": INI, ".eeg": BYTES}, _recording(".vhdr")),
    "eeglab": Reader(_signal(".set"), {".set": BYTES}, _recording(".set"), share=0.05, programs=True),
    "participants": Reader(lambda: {"participants.tsv": made.PARTICIPANTS}, {".tsv": TSV}, _variables),
    "relmat": Reader(lambda: {"x.tsv": made.RELMAT}, {".tsv": TSV}, _read_table("bids.tables.read_relmat", "x.tsv")),
    "timeseries": Reader(
        lambda: {"x.tsv": made.SERIES}, {".tsv": TSV}, _read_table("bids.tables.read_timeseries", "x.tsv")
    ),
    "timeseries.gz": Reader(
        lambda: {
            "x.tsv.gz": made.packed(made.SERIES.partition(b"\n")[2]),
            "x.json": made.as_json({"Columns": made.REGIONS}),
        },
        {".gz": packed(TSV), ".json": JSON},
        _read_table("bids.tables.read_timeseries", "x.tsv.gz"),
    ),
    "confounds": Reader(
        lambda: {"confounds.tsv": _derivatives()["sub-01/func/sub-01_task-rest_desc-confounds_timeseries.tsv"]},
        {".tsv": TSV},
        _confounds,
    ),
    "task events": Reader(
        lambda: {"events.tsv": made.tsv(("onset", "duration", "trial_type"), (1, 2, "a"), (9.5, 3, "b"), (20, 0, "a"))},
        {".tsv": TSV},
        _task,
    ),
    "ec signals": Reader(lambda: {"x.tsv": made.SERIES}, {".tsv": TSV}, _signals("x.tsv"), share=1.5),
    "ec signals csv": Reader(
        lambda: {"x.csv": made.SERIES.replace(b"\t", b";").replace(b".", b",")}, {".csv": table(";")}, _signals("x.csv")
    ),
    "ec signals npy": Reader(lambda: {"x.npy": made.npy(made.signals())}, {".npy": BYTES}, _signals("x.npy")),
    "ec structural": Reader(lambda: {"x.tsv": MATRIX}, {".tsv": TSV}, _structural("x.tsv"), share=1.5),
    "ec structural npy": Reader(
        lambda: {"x.npy": made.npy(made.signals()[:4] ** 2), "names.txt": made.text(*made.REGIONS)},
        {".npy": BYTES, ".txt": LINES},
        _structural("x.npy"),
    ),
    "ec nodes": Reader(lambda: {"nodes.tsv": made.NODES}, {".tsv": TSV}, _regions),
    "gradients": Reader(
        lambda: {"x.bval": made.BVAL, "x.bvec": made.BVEC}, {".bval": LINES, ".bvec": LINES}, _gradients, share=2
    ),
    "nifti": Reader(lambda: {"x.nii": made.nifti((8, 8, 8, 12))}, {".nii": NIFTI}, _image("x.nii"), share=2),
    "nifti.gz": Reader(
        lambda: {"x.nii.gz": made.packed(made.nifti((8, 8, 8, 12)))},
        {".gz": packed(NIFTI)},
        _image("x.nii.gz"),
        share=2,
    ),
    "atlas tsv": _atlas_table("x_dseg.tsv", made.NODES, TSV),
    "atlas csv": _atlas_table("x.csv", made.NODES.replace(b"\t", b","), table(",")),
    "atlas lut": _atlas_table("x.lut", LUT, LINES),
    "atlas txt": _atlas_table("x.txt", made.text(*made.REGIONS), TEXT),
    "atlas json": _atlas_table("x.json", LABELS, JSON),
    "atlas xml": _atlas_table("x.xml", made.AAL, XML),
    "atlas xcp": Reader(
        lambda: {
            "xNodeNames.txt": made.text(*made.REGIONS),
            "xNodeIndex.1D": made.text("1", "2", "3", "4"),
            "xCommunityAffiliation.1D": made.text("1", "2", "1", "2"),
            "xCommunityNames.txt": made.text("Vis", "SomMot"),
        },
        {".txt": LINES, ".1D": LINES},
        _xcp,
    ),
    "atlas volume": Reader(
        lambda: {
            "atlas-X_dseg.nii": made.nifti((8, 8, 8), labels=True),
            "atlas-X_dseg.tsv": made.NODES,
            "atlas-X_dseg.json": made.as_json({"Space": "MNI152NLin6Asym", "SpatialReference": {"a": "b"}}),
            "atlas-X_description.json": made.as_json({"License": "x", "ReferencesAndLinks": ["y"]}),
        },
        {".nii": NIFTI, ".tsv": TSV, ".json": JSON},
        _atlas,
    ),
    "segmentation": Reader(lambda: {"aparc.nii": made.nifti((8, 8, 8), labels=True)}, {".nii": NIFTI}, _segmentation),
    "transform": Reader(lambda: {"transform.txt": IDENTITY}, {".txt": LINES}, _transform),
    "settings": Reader(
        lambda: {"my.yaml": made.CONFIG, "filter.json": made.as_json({"bold": {"acquisition": "mb", "run": [1, 2]}})},
        {".yaml": YAML, ".json": JSON},
        _settings,
        share=2,
    ),
    "output folder": Reader(
        lambda: {
            "dataset_description.json": made.as_json(
                {"DatasetType": "derivative", "GeneratedBy": [{"Name": "bids_ai"}]}
            )
        },
        {".json": JSON},
        _output_folder,
    ),
    "surrogate": Reader(made.surrogate, {".safetensors": BYTES, ".json": JSON}, _surrogate, share=0.3),
}
