"""The configuration: every scientific setting, typed, with unknown keys refused.

Threads, memory and executors are not science and live in Snakemake profiles.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bids_ai.errors import UsageError

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)


class TemplateConfig(_Section):
    """A template of the user's own; all paths absent means the template bundled with nilearn.

    The name of a fetched template (``template: MNI152NLin2009cAsym``) is replaced by its files before it comes here.
    """

    t1w: Path | None = Field(None, description="Skull-stripped T1w template.")
    mask: Path | None = Field(None, description="Brain mask on the grid of the template.")
    space: str | None = Field(None, description="BIDS label of its space, such as MNI152NLin2009cAsym.")
    head: Path | None = Field(None, description="Whole-head T1w on the same grid, for brain extraction.")
    gm: Path | None = Field(None, description="Grey-matter probability on the same grid.")
    wm: Path | None = Field(None, description="White-matter probability on the same grid.")

    @model_validator(mode="after")
    def _whole(self) -> TemplateConfig:
        given = {name for name in ("t1w", "mask", "space") if getattr(self, name) is not None}
        optional = {name for name in ("head", "gm", "wm") if getattr(self, name) is not None}
        if (given or optional) and given != {"t1w", "mask", "space"}:
            missing = ", ".join(sorted({"t1w", "mask", "space"} - given))
            raise ValueError(f"a template needs t1w, mask and space together; missing: {missing}")
        return self


class AnatConfig(_Section):
    """T1w preprocessing."""

    skullstrip: Literal["auto", "deformable", "head-template", "none"] = Field(
        "auto", description="Brain extraction; 'none' for images that are skull-stripped already."
    )
    template: TemplateConfig = TemplateConfig()


class FuncConfig(_Section):
    """BOLD preprocessing and denoising."""

    resolution_mm: Positive | None = Field(
        None, description="Voxel size in template space, mm; null: the BOLD's own, not below 2 mm."
    )
    dummy_scans: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Non-steady-state volumes at the start; null: detected."
    )
    confounds: Literal["24p+acompcor", "24p", "36p", "6p", "none"] = Field(
        "24p+acompcor", description="Confound regressors taken out of the region series."
    )
    global_signal: bool = Field(False, description="Also regress the global signal.")
    high_pass_hz: Annotated[float, Field(ge=0)] = Field(0.008, description="High-pass cut-off, Hz; 0: none.")
    fd_threshold_mm: Positive | None = Field(
        0.5, description="Frames above this framewise displacement, mm, are censored; null: none."
    )
    regress_task: bool = Field(False, description="Regress the blocks of events.tsv out (convolved with an HRF).")

    @model_validator(mode="after")
    def _global_signal_is_asked_for(self) -> FuncConfig:
        if self.confounds == "36p" and not self.global_signal:
            raise ValueError(
                "confounds '36p' contain the global signal; ask for it with global_signal: true, or use 24p+acompcor"
            )
        return self


class DwiConfig(_Section):
    """DWI preprocessing."""

    engine: Literal["auto", "mrtrix3", "dipy"] = Field(
        "auto", description="Tool that denoises; auto: MRtrix3 where its programs are on PATH, otherwise dipy."
    )
    denoise: bool = Field(True, description="Denoise (and take Gibbs ringing out, where MRtrix3 is there).")
    reorient_gradients: bool = Field(
        True, description="Mend a gradient table whose axes are flipped or swapped, where the images say so clearly."
    )


class StructuralConnectivityConfig(_Section):
    """Structural connectome: tractography and matrices."""

    engine: Literal["auto", "mrtrix3", "dipy"] = Field(
        "auto", description="Tool that tracks; auto: MRtrix3 where its programs are on PATH, otherwise dipy."
    )
    algorithm: Literal["deterministic", "probabilistic"] = Field(
        "deterministic", description="Whether streamlines follow the peaks of the orientations, or draw from them."
    )
    streamlines: Annotated[int, Field(ge=1000)] = Field(200_000, description="Valid streamlines wanted.")
    min_length_mm: Positive = Field(20.0, description="Shorter streamlines are left out, mm.")
    max_length_mm: Positive = Field(250.0, description="Longer streamlines are left out, mm.")
    search_radius_mm: Positive = Field(4.0, description="An end belongs to the nearest region within, mm.")
    save_tractogram: bool = Field(False, description="Write the streamlines to the output folder (TCK).")
    group: Path | None = Field(
        None,
        description="Structural connectivity of a group (table with the names of the atlas), for subjects without DWI.",
    )


class EegConfig(_Section):
    """EEG preprocessing."""

    high_pass_hz: Annotated[float, Field(ge=0)] = Field(0.5, description="High-pass cut-off, Hz; 0: none.")
    low_pass_hz: Positive = Field(45.0, description="Low-pass cut-off, Hz.")
    line_noise: Literal["notch", "spectrum-fit"] = Field("notch", description="How the mains are taken out.")
    find_bad_channels: bool = Field(True, description="Look for bad channels beyond those in channels.tsv.")
    ica: bool = Field(True, description="Take out independent components of eyes, muscles, heart and mains.")
    probability: Fraction = Field(0.7, description="A component is removed from this probability of its label on.")


class IeegConfig(_Section):
    """SEEG and ECoG preprocessing."""

    reference: Literal["auto", "bipolar", "recorded"] = Field(
        "auto", description="auto: depth contacts against their neighbour on the lead, grids and strips as recorded."
    )
    line_noise: Literal["notch", "spectrum-fit", "none"] = Field("notch", description="How the mains are taken out.")
    find_bad_contacts: bool = Field(True, description="Look for bad contacts beyond those in channels.tsv.")
    contacts_to_t1w: str | None = Field(
        None,
        description="Transform of each subject from the coordinates of its contacts (ACPC, ...) to its T1w, with "
        "{subject} and {session} in the path: 4 x 4 matrix in mm RAS, or ITK text named *_from-ACPC_to-T1w_mode-*.",
    )
    segmentation: str | None = Field(
        None,
        description="FreeSurfer segmentation of each subject (aparc+aseg) in the coordinates of its contacts, with "
        "{subject} and {session} in the path: regions of the atlas are taken from it by their names.",
    )
    label_column: str = Field(
        "auto",
        description="Column of electrodes.tsv with the region of each contact; auto: one that holds names of the "
        "atlas, where coordinates give no region; none: never.",
    )

    @model_validator(mode="after")
    def _one_source_of_regions(self) -> IeegConfig:
        if self.segmentation and self.label_column not in ("auto", "none"):
            raise ValueError("segmentation and label_column both say where regions come from; give one of them")
        return self


class CcepConfig(_Section):
    """Responses to single-pulse stimulation (CCEP)."""

    responder: Literal["pseudo-onset", "umcu-n1", "ftract-z5", "crp", "er-detect"] = Field(
        "pseudo-onset", description="What decides whether a channel responds: the calibrated test, or a published rule."
    )
    detectors: list[str] = Field(
        default_factory=lambda: ["umcu-n1", "ftract-z5", "crp", "er-detect"],
        description="Published detectors that are run beside the test against pseudo-onsets.",
    )
    exclusion_mm: Annotated[float, Field(ge=0)] = Field(
        13.0, description="Channels nearer to the stimulated contacts record volume conduction and are excluded, mm."
    )
    min_pulses: Annotated[int, Field(ge=2)] = Field(5, description="Sites with fewer usable pulses are left out.")
    every_current: bool = Field(
        False, description="A site for every current of a pair; false: the current with most pulses."
    )
    n_draws: Annotated[int, Field(ge=1000)] = Field(2000, description="Averages of pseudo-onsets that are drawn.")
    current_unit: Literal["A", "mA", "uA"] | None = Field(
        None, description="Unit of stimulation currents, where neither events.tsv nor its sidecar says one."
    )


class PredictionConfig(_Section):
    """Prediction of responses to stimulation at sites that were not seen, and its scores."""

    predictors: list[str] | None = Field(None, description="Models that predict; null: all that are known.")
    group_prior: Path | None = Field(
        None,
        description="Table of responses of other patients between the regions of the atlas (rows stimulated), a model.",
    )
    n_bootstrap: Annotated[int, Field(ge=100)] = Field(1000, description="Draws of the intervals of scores.")
    n_permutations: Annotated[int, Field(ge=0)] = Field(
        1000, description="Permutations within site and distance, for p."
    )
    output_region: str | None = Field(
        None,
        description="Stimulated region whose responses are mapped; null: a dorsolateral prefrontal one if stimulated, "
        "otherwise the one with most sites.",
    )
    input_region: str | None = Field(
        None,
        description="Recorded region whose responses are mapped; null: a posterior cingulate one if recorded, "
        "otherwise the one with most channels.",
    )


class ParcellationConfig(_Section):
    """Atlases and how they are applied."""

    atlases: Annotated[list[str], Field(min_length=1)] = Field(
        default_factory=lambda: ["EqualVolume:100"], description="Names of registered or fetched atlases, or files."
    )
    atlas_dir: Path | None = Field(
        None, description="Folder of fetched atlases and templates; null: BIDS_AI_ATLAS_DIR, or the user's data folder."
    )
    table: Path | None = Field(None, description="Region table of a single atlas file; null: the one beside it.")
    space: str | None = Field(None, description="Space of the atlas files, where they do not say it themselves.")
    template: Path | None = Field(
        None,
        description="Skull-stripped T1w template of the atlas files' space; the atlases are then brought over by a "
        "registration of the templates, otherwise by their coordinates alone.",
    )
    min_coverage: Fraction = Field(0.5, description="A region with less of its voxels in the data is n/a.")


class FunctionalConnectivityConfig(_Section):
    """Functional connectivity."""

    shrinkage: Literal["ledoit-wolf", "oas"] = Field(
        "ledoit-wolf", description="Shrinkage of the covariance for partial correlation."
    )


class SurrogateConfig(_Section):
    """The dynamical model fitted to each recording."""

    model: str = Field(
        "auto", description="A registered family (ridge-var, mlp, ...), or auto: the best by held-out prediction."
    )
    order_max: Annotated[int, Field(ge=1, le=10)] | None = Field(
        None, description="Largest number of lags tried; null: 3 for BOLD, 8 for EEG and iEEG."
    )
    ensemble: Annotated[int, Field(ge=1)] = Field(5, description="Initialisations of a nonlinear model.")
    structural: Literal["own", "none"] = Field(
        "own", description="Give the models the structural connectivity of the subject, where there is one; or never."
    )
    pool_runs: bool = Field(True, description="Also fit all runs of a task of a subject together (desc-pooled).")
    recordings_per_job: Annotated[int, Field(ge=1)] = Field(16, description="Recordings fitted in one job.")


class EffectiveConnectivityConfig(_Section):
    """Effective connectivity by virtual perturbation."""

    push_sd: Positive = Field(1.0, description="Size of the push, in standard deviations of the region.")
    horizon_s: Positive | None = Field(
        None, description="Response averaged over this time, s; null: one TR for BOLD, 0.1 s for EEG and iEEG."
    )


class NiprepsConfig(_Section):
    """Options of the official images, beyond those that bids_ai gives them (--nipreps)."""

    fmriprep_options: str = Field(
        "--fs-no-reconall --output-spaces MNI152NLin2009cAsym:res-2", description="Of fMRIPrep, as on its command line."
    )
    qsiprep_options: str = Field("--output-resolution 2", description="Of QSIPrep; it demands a resolution, mm.")


class Config(_Section):
    """All settings of a run."""

    random_seed: Annotated[int, Field(ge=0)] = Field(20260101, description="One seed; spread by recording.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where surrogates are fitted.")
    sloppy: bool = Field(False, description="Coarse registration, for tests only.")
    anat: AnatConfig = AnatConfig()
    func: FuncConfig = FuncConfig()
    dwi: DwiConfig = DwiConfig()
    eeg: EegConfig = Field(default_factory=EegConfig)
    ieeg: IeegConfig = Field(default_factory=IeegConfig)
    ccep: CcepConfig = Field(default_factory=CcepConfig)
    prediction: PredictionConfig = Field(default_factory=PredictionConfig)
    parcellation: ParcellationConfig = ParcellationConfig()
    structural_connectivity: StructuralConnectivityConfig = StructuralConnectivityConfig()
    functional_connectivity: FunctionalConnectivityConfig = Field(default_factory=FunctionalConnectivityConfig)
    surrogate: SurrogateConfig = SurrogateConfig()
    effective_connectivity: EffectiveConnectivityConfig = EffectiveConnectivityConfig()
    nipreps: NiprepsConfig = Field(default_factory=NiprepsConfig)


#: There are about a hundred settings, three levels deep; lists of predictors and atlases may be long.
_MOST_VALUES, _MOST_LEVELS = 10_000, 30
#: Keys that `bids-ai run` and `bids-ai index` add for the workflow: where things are, not science.
LOCATION_KEYS = ("bids_dir", "output_dir", "work_dir", "run_dir", "stages", "command", "assemble_reports", "container")


def build(values: dict[str, Any], source: str) -> Config:
    """Validate settings.

    Parameters
    ----------
    values : dict
        Nested settings; :data:`LOCATION_KEYS` are ignored.
    source : str
        Where they come from, for messages.

    Raises
    ------
    UsageError
        With every fault found, and the nearest known key for an unknown one.
    """
    science = {key: value for key, value in values.items() if key not in LOCATION_KEYS}
    try:
        return Config.model_validate(science)
    except ValidationError as error:
        faults = "\n".join(f"  - {_explain(fault)}" for fault in error.errors())
        raise UsageError(f"{source} cannot be used:\n{faults}") from None


def load(path: Path) -> Config:
    """Read and validate a YAML (or JSON) file of settings."""
    return build(read_yaml(path), str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises
    ------
    UsageError
        If the file cannot be read, is not YAML, or is not a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        fault = _size_fault(values)
    except OSError as error:
        raise UsageError(f"The configuration file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"The configuration file {path} cannot be read as UTF-8 text: {error}") from None
    except RecursionError:
        raise UsageError(f"The configuration file {path} is nested too deeply to be settings.") from None
    except (yaml.YAMLError, ValueError, AttributeError, TypeError) as error:  # of a date that is none, for one
        raise UsageError(f"The configuration file {path} is not valid YAML: {error}") from None
    if fault:
        raise UsageError(f"The configuration file {path} holds {fault}; write settings out.")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"The configuration file {path} must hold 'key: value' settings.")
    return values


def _size_fault(values: Any) -> str | None:
    """Say what makes settings endless: aliases (``*name``) that multiply each other, or that hold themselves."""
    level, n_values, depth = [values], 0, 0
    while level:
        n_values, depth = n_values + len(level), depth + 1
        if n_values > _MOST_VALUES or depth > _MOST_LEVELS:
            return f"more than {_MOST_VALUES} values or {_MOST_LEVELS} levels, once its aliases are followed"
        level = [child for item in level for child in _children(item)]
    return None


def _children(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    return list(item) if isinstance(item, list | tuple | set) else []


def json_schema() -> dict[str, Any]:
    """JSON Schema of the settings, for `snakemake.utils.validate` and for editors.

    The location keys are admitted, since the resolved configuration bears them.
    """
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Config.model_json_schema()
    schema["properties"] |= {key: {"type": ["string", "boolean"]} for key in LOCATION_KEYS}
    return schema


def _explain(fault: Any) -> str:
    """Put one fault of pydantic in words, with the nearest key where a key is unknown."""
    where = [str(part) for part in fault["loc"]]
    if fault["type"] != "extra_forbidden":
        return f"{'.'.join(where) or 'settings'}: {fault['msg']} (got {fault.get('input')!r})"
    known = list(_section_at(where[:-1]).model_fields)
    near = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
    return f"unknown key '{'.'.join(where)}': {hint}"


def _section_at(path: list[str]) -> type[BaseModel]:
    section: type[BaseModel] = Config
    for key in path:
        section = section.model_fields[key].annotation  # type: ignore[assignment]
    return section
