"""The one path builder: the name of every file that bids_ai writes.

A name is a pattern with named holes. The workflow turns the holes into wildcards and the stages fill them
in, so that a file name stands in this table and nowhere else.

Holes
-----
anat : ``sub-01[/ses-1]/anat/sub-01[_ses-1]``, the chosen T1w of a subject
bold : ``sub-01[/ses-1]/func/sub-01[_ses-1]_task-rest[_run-1]``, a recording
series : the same, or a recording in ``eeg`` or ``ieeg``, with ``_space-...`` where it has one; region series bear it
ephys : ``sub-01[/ses-1]/ieeg/sub-01[_ses-1]_task-spes[_run-1]``, a recording in ``eeg`` or ``ieeg``
dwi : ``sub-01[/ses-1]/dwi/sub-01[_ses-1][_dir-AP][_space-T1w]``, the images of a diffusion series
eeg, ieeg : ``sub-01[/ses-1]/eeg/sub-01[_ses-1]_task-rest[_run-1]``, a recording
implant : ``sub-01[/ses-1]/ieeg/sub-01[_ses-1]``, what the recordings of a session have in common
atlas : ``atlas-NAME[_seg-...][_scale-...]``
space : label of the template's space
model : label of a surrogate family
band : name of a frequency band
pool : empty, or ``_desc-pooled`` for a fit over all runs
cohort : ``func/[task-rest_][space-..._]``, ``dwi/``: what the recordings of a group have in common
measure : ``[model-..._]stat-...``, the kind of matrix of a group
part : label of what a table of a group holds, such as ``mean`` or ``sessionIcc``
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bids_ai.errors import InputError

#: Order of the entities in a file name: BIDS 1.11.1, with `model` and `stat` (BIDS extension drafts) before `label`.
ENTITIES: dict[str, str] = {
    "subject": "sub",
    "session": "ses",
    "sample": "sample",
    "task": "task",
    "acquisition": "acq",
    "ceagent": "ce",
    "reconstruction": "rec",
    "direction": "dir",
    "run": "run",
    "echo": "echo",
    "part": "part",
    "hemisphere": "hemi",
    "space": "space",
    "recording": "recording",
    "atlas": "atlas",
    "segmentation": "seg",
    "scale": "scale",
    "resolution": "res",
    "density": "den",
    "model": "model",
    "statistic": "stat",
    "label": "label",
    "description": "desc",
}

PATTERNS: dict[str, str] = {
    # anatomy
    "t1w": "{anat}_desc-preproc_T1w.nii.gz",
    "t1w_mask": "{anat}_desc-brain_mask.nii.gz",
    "t1w_dseg": "{anat}_dseg.nii.gz",
    "gm": "{anat}_label-GM_probseg.nii.gz",
    "wm": "{anat}_label-WM_probseg.nii.gz",
    "csf": "{anat}_label-CSF_probseg.nii.gz",
    "t1w_to_template": "{anat}_from-T1w_to-{space}_mode-image_xfm.h5",
    "template_to_t1w": "{anat}_from-{space}_to-T1w_mode-image_xfm.h5",
    "t1w_in_template": "{anat}_space-{space}_desc-preproc_T1w.nii.gz",
    "t1w_mask_in_template": "{anat}_space-{space}_desc-brain_mask.nii.gz",
    "t1w_dseg_in_template": "{anat}_space-{space}_dseg.nii.gz",
    # BOLD
    "bold": "{bold}_space-{space}_desc-preproc_bold.nii.gz",
    "bold_mask": "{bold}_space-{space}_desc-brain_mask.nii.gz",
    "bold_dseg": "{bold}_space-{space}_dseg.nii.gz",
    "boldref": "{bold}_boldref.nii.gz",
    "boldref_mask": "{bold}_desc-brain_mask.nii.gz",
    "boldref_in_t1w": "{bold}_space-T1w_boldref.nii.gz",
    "boldref_in_template": "{bold}_space-{space}_boldref.nii.gz",
    "bold_to_t1w": "{bold}_from-boldref_to-T1w_mode-image_xfm.txt",
    "confounds": "{bold}_desc-confounds_timeseries.tsv",
    "bold_qc": "{bold}_desc-qc_stats.tsv",
    # diffusion
    "dwi": "{dwi}_desc-preproc_dwi.nii.gz",
    "dwi_bval": "{dwi}_desc-preproc_dwi.bval",
    "dwi_bvec": "{dwi}_desc-preproc_dwi.bvec",
    "dwi_mask": "{dwi}_desc-brain_mask.nii.gz",
    "dwi_ref": "{dwi}_dwiref.nii.gz",
    "dwi_gm": "{dwi}_label-GM_probseg.nii.gz",
    "dwi_wm": "{dwi}_label-WM_probseg.nii.gz",
    "dwi_csf": "{dwi}_label-CSF_probseg.nii.gz",
    "dwi_confounds": "{dwi}_desc-confounds_timeseries.tsv",
    "fa": "{dwi}_desc-FA_dwimap.nii.gz",
    "md": "{dwi}_desc-MD_dwimap.nii.gz",
    "ad": "{dwi}_desc-AD_dwimap.nii.gz",
    "rd": "{dwi}_desc-RD_dwimap.nii.gz",
    "tractogram": "{dwi}_desc-streamlines_tractography.tck",
    "dwi_to_template": "{dwi}_from-dwi_to-{space}_mode-image_xfm.h5",
    "template_to_dwi": "{dwi}_from-{space}_to-dwi_mode-image_xfm.h5",
    "dwi_to_t1w": "{dwi}_from-dwi_to-T1w_mode-image_xfm.txt",
    "dwi_parcellation": "{dwi}_{atlas}_dseg.nii.gz",
    "sc_count": "{dwi}_{atlas}_stat-streamlinecount_relmat.tsv",
    "sc_weight": "{dwi}_{atlas}_stat-sift2sum_relmat.tsv",
    "sc_length": "{dwi}_{atlas}_stat-meanlength_relmat.tsv",
    "sc_fa": "{dwi}_{atlas}_stat-meanfa_relmat.tsv",
    "sc_group": "{atlas}_stat-sift2sum_desc-consensus_relmat.tsv",
    # EEG, iEEG and the responses to stimulation
    "eeg": "{eeg}_desc-preproc_eeg.vhdr",
    "eeg_channels": "{eeg}_desc-preproc_channels.tsv",
    "eeg_segments": "{eeg}_desc-preproc_events.tsv",
    "eeg_components": "{eeg}_desc-components_stats.tsv",
    "ieeg": "{ieeg}_desc-preproc_ieeg.vhdr",
    "ieeg_channels": "{ieeg}_desc-preproc_channels.tsv",
    "electrodes": "{implant}_electrodes.tsv",
    "coordsystem": "{implant}_coordsystem.json",
    "contacts": "{ieeg}_{atlas}_desc-contacts_stats.tsv",
    "ccep_sites": "{ieeg}_stimsites.tsv",
    "ccep_features": "{ieeg}_desc-ccep_features.tsv",
    "ccep_average": "{ieeg}_desc-recorded_ave.fif",
    "ccep_halves": "{ieeg}_desc-halves_ave.fif",
    "ccep_probability": "{ieeg}_{atlas}_stat-ccepprobability_relmat.tsv",
    "ccep_count": "{ieeg}_{atlas}_stat-ccepcount_relmat.tsv",
    "ccep_interval": "{ieeg}_{atlas}_stat-ccepci_relmat.tsv",
    "ccep_amplitude": "{ieeg}_{atlas}_stat-n1amplitude_desc-recorded_relmat.tsv",
    "ccep_latency": "{ieeg}_{atlas}_stat-n1latency_desc-recorded_relmat.tsv",
    "contact_ec": "{ieeg}_stat-effectiveconnectivity_desc-contacts_relmat.tsv",
    "ccep_comparison": "{ieeg}_{atlas}_desc-comparison_ccep.tsv",
    "ccep_scores": "{ieeg}_{atlas}_desc-cceppred_scores.tsv",
    "ccep_predicted": "{ieeg}_{atlas}_model-{model}_stat-ccepprobability_desc-predicted_relmat.tsv",
    "ccep_predicted_average": "{ieeg}_{atlas}_model-{model}_desc-predicted_ave.fif",
    "ccep_group": "{atlas}_stat-ccepprobability_desc-group_relmat.tsv",
    "ccep_group_count": "{atlas}_stat-ccepcount_desc-group_relmat.tsv",
    "ccep_group_interval": "{atlas}_stat-ccepci_desc-group_relmat.tsv",
    "ccep_group_patients": "{atlas}_stat-patientcount_desc-group_relmat.tsv",
    "ccep_group_reliable": "{atlas}_stat-ccepreliable_desc-group_relmat.tsv",
    # parcellation
    "atlas_table": "{atlas}_dseg.tsv",
    "parcellation": "{series}_{atlas}_dseg.nii.gz",
    "coverage": "{series}_{atlas}_desc-coverage_stats.tsv",
    "timeseries": "{series}_{atlas}_stat-mean_timeseries.tsv",
    "ephys_timeseries": "{series}_{atlas}_timeseries.tsv.gz",
    # connectivity
    "pearson": "{series}_{atlas}_stat-pearsoncorrelation_relmat.tsv",
    "partial": "{series}_{atlas}_stat-partialcorrelation_relmat.tsv",
    "envelope": "{series}_{atlas}_stat-envelopecorrelation_desc-{band}_relmat.tsv",
    "imcoh": "{series}_{atlas}_stat-imaginarycoherence_desc-{band}_relmat.tsv",
    # surrogate and effective connectivity
    "weights": "{series}_{atlas}_model-{model}{pool}_surrogate.safetensors",
    "surrogate": "{series}_{atlas}_model-{model}{pool}_surrogate.json",
    "ec": "{series}_{atlas}_model-{model}_stat-effectiveconnectivity{pool}_relmat.tsv",
    "jacobian": "{series}_{atlas}_model-{model}_stat-jacobian{pool}_relmat.tsv",
    # groups of subjects
    "group_matrix": "group/{cohort}{atlas}_{measure}_desc-{part}_relmat.tsv",
    "group_similarity": "group/{cohort}{atlas}_{measure}_desc-similarity_stats.tsv",
    "group_edges": "group/{cohort}{atlas}_{measure}_desc-{part}Edges_stats.tsv",
    "group_subjects": "group/{cohort}{atlas}_desc-subjects_stats.tsv",
    "group_numbers": "group/{cohort}{atlas}_desc-numbers_stats.tsv",
    "ccep_group_scores": "group/ieeg/{atlas}_desc-cceppred_scores.tsv",
    "group_quality": "group/desc-quality_stats.tsv",
}

#: Figures of the report, in ``sub-XX/figures``; a hole that is a path stands for its last part.
FIGURES: dict[str, str] = {
    "mask_figure": "{anat}_desc-brain_mask.svg",
    "tissues_figure": "{anat}_desc-tissues_dseg.svg",
    "normalisation_figure": "{anat}_space-{space}_desc-normalisation_T1w.svg",
    "coregistration_figure": "{bold}_space-T1w_desc-coregistration_bold.svg",
    "bold_template_figure": "{bold}_space-{space}_desc-normalisation_bold.svg",
    "gradients_figure": "{dwi}_desc-gradients_dwi.svg",
    "dwi_motion_figure": "{dwi}_desc-motion_dwi.svg",
    "denoising_figure": "{dwi}_desc-denoising_dwi.svg",
    "dwi_coregistration_figure": "{dwi}_desc-coregistration_dwi.svg",
    "dwi_distortion_figure": "{dwi}_desc-distortion_dwi.svg",
    "fa_figure": "{dwi}_desc-FA_dwimap.svg",
    "orientations_figure": "{dwi}_desc-orientations_dwi.svg",
    "tractogram_figure": "{dwi}_desc-tractogram_dwi.png",
    "sc_figure": "{dwi}_{atlas}_stat-sift2sum_relmat.svg",
    "sc_glass_figure": "{dwi}_{atlas}_stat-sift2sum_desc-glassbrain_relmat.svg",
    "sc_length_figure": "{dwi}_{atlas}_stat-sift2sum_desc-distance_relmat.svg",
    "carpet_figure": "{series}_{atlas}_desc-carpet_timeseries.svg",
    "parcellation_figure": "{series}_{atlas}_desc-overlay_dseg.svg",
    "coverage_figure": "{series}_{atlas}_desc-coverage_stats.svg",
    "fc_figure": "{series}_{atlas}_stat-pearsoncorrelation_relmat.svg",
    "fit_figure": "{series}_{atlas}_model-{model}{pool}_desc-fit_surrogate.svg",
    "ec_figure": "{series}_{atlas}_model-{model}_stat-effectiveconnectivity{pool}_relmat.svg",
    "ec_glass_figure": "{series}_{atlas}_model-{model}_stat-effectiveconnectivity{pool}_desc-glassbrain_relmat.svg",
    "ec_direction_figure": "{series}_{atlas}_model-{model}_stat-effectiveconnectivity{pool}_desc-direction_relmat.svg",
    "eeg_spectra_figure": "{ephys}_desc-spectra_eeg.svg",
    "eeg_components_figure": "{ephys}_desc-components_eeg.svg",
    "eeg_bads_figure": "{ephys}_desc-bads_eeg.svg",
    "ieeg_spectra_figure": "{ephys}_desc-spectra_ieeg.svg",
    "ieeg_contacts_figure": "{ephys}_desc-contacts_ieeg.svg",
    "ieeg_blanking_figure": "{ephys}_desc-blanking_ieeg.svg",
    "electrodes_figure": "{ephys}_desc-electrodes_ieeg.svg",
    "ccep_responses_figure": "{ephys}_desc-responses_ccep.svg",
    "ccep_amplitude_figure": "{ephys}_stat-amplitude_desc-recorded_ccep.svg",
    "ccep_latency_figure": "{ephys}_stat-latency_desc-recorded_ccep.svg",
    "ccep_probability_figure": "{ephys}_stat-probability_desc-recorded_ccep.svg",
    "ccep_distance_figure": "{ephys}_desc-distance_ccep.svg",
    "ccep_pulses_figure": "{ephys}_desc-pulses_ccep.svg",
    "ccep_regions_figure": "{ephys}_{atlas}_stat-ccepprobability_relmat.svg",
    "prediction_matrices_figure": "{ephys}_{atlas}_desc-matrices_scores.svg",
    "prediction_scores_figure": "{ephys}_{atlas}_desc-scores_scores.svg",
    "prediction_sites_figure": "{ephys}_{atlas}_desc-sites_scores.svg",
    "prediction_output_figure": "{ephys}_{atlas}_desc-output_scores.svg",
    "prediction_input_figure": "{ephys}_{atlas}_desc-input_scores.svg",
    "prediction_waveforms_figure": "{ephys}_{atlas}_desc-waveforms_scores.svg",
    "source_power_figure": "{series}_{atlas}_desc-power_timeseries.svg",
    "fc_bands_figure": "{series}_{atlas}_stat-envelopecorrelation_relmat.svg",
}

#: Figures of groups, in ``group/<datatype>/figures``.
GROUP_FIGURES: dict[str, str] = {
    "group_matrices_figure": "{cohort}{atlas}_desc-matrices_relmat.svg",
    "group_comparison_figure": "{cohort}{atlas}_desc-comparison_relmat.svg",
    "group_similarity_figure": "{cohort}{atlas}_desc-similarity_relmat.svg",
    "group_reliability_figure": "{cohort}{atlas}_desc-reliability_relmat.svg",
    "group_seed_figure": "{cohort}{atlas}_{measure}_desc-{part}Seed_relmat.svg",
    "group_prediction_figure": "{cohort}{atlas}_desc-prediction_scores.svg",
    "group_contrast_figure": "{cohort}{atlas}_{measure}_desc-{part}_relmat.svg",
}

_LABEL = r"[A-Za-z0-9+]+"
_SUBJECT = rf"sub-{_LABEL}(?:/ses-{_LABEL})?"
_STEM = r"(?:(?!_(?:space|atlas|seg|scale|model|stat|label|desc)-)[A-Za-z0-9+_-])+"

#: Regular expressions of the holes when they are wildcards of the workflow.
WILDCARDS: dict[str, str] = {
    "anat": rf"{_SUBJECT}/anat/{_STEM}",
    "bold": rf"{_SUBJECT}/func/{_STEM}",
    "series": rf"{_SUBJECT}/(?:func|eeg|ieeg)/{_STEM}(?:_space-{_LABEL})?",
    "ephys": rf"{_SUBJECT}/(?:eeg|ieeg)/{_STEM}",
    "dwi": rf"{_SUBJECT}/dwi/{_STEM}(?:_space-{_LABEL})?",
    "eeg": rf"{_SUBJECT}/eeg/{_STEM}",
    "ieeg": rf"{_SUBJECT}/ieeg/{_STEM}",
    "implant": rf"{_SUBJECT}/ieeg/{_STEM}",
    "atlas": rf"atlas-{_LABEL}(?:_seg-{_LABEL})?(?:_scale-{_LABEL})?",
    "model": r"[A-Za-z0-9]+",
    "pool": r"(?:_desc-pooled)?",
    "band": r"[a-z]+",
    "batch": r"[0-9a-f]+",
    "cohort": rf"(?:func|eeg|ieeg|dwi)/(?:task-{_LABEL}_)?(?:space-{_LABEL}_)?",
    "measure": rf"(?:model-{_LABEL}_)?stat-{_LABEL}",
    "part": r"[A-Za-z0-9]+",
}


#: What may stand in a hole: entities and folders. No part begins with a dot or a hyphen, so that no path leaves the
#: output folder, none is an option, and none is hidden.
_HOLE = re.compile(r"(?![-/])[A-Za-z0-9+_-]*(?:/[A-Za-z0-9+_][A-Za-z0-9+_-]*)*/?")
#: Names of input files: entities, suffix and extension.
_INPUT = re.compile(r"sub-[A-Za-z0-9+]+_[A-Za-z0-9+._-]+")
#: Bytes of one name on common file systems.
_LONGEST = 255


def name_fault(name: str) -> str | None:
    """Say why a file of a dataset bears no BIDS name, or None: what is read off such a name would be wrong."""
    if _INPUT.fullmatch(name):
        return None
    return "its name is no BIDS name: sub-LABEL_..., of letters, digits and + _ - . only; rename it"


def printable(name: str) -> str:
    """Name with a sign in the place of what would move a cursor or a line."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)


class Names:
    """Names of the files under one output folder.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    space : str
        Label of the template's space.
    """

    def __init__(self, output_dir: Path, space: str) -> None:
        self.output_dir = Path(output_dir)
        self.space = space

    def pattern(self, key: str) -> str:
        """Path with its holes left open, as the workflow wants it.

        Parameters
        ----------
        key : str
            A key of :data:`PATTERNS`.
        """
        return str(self.output_dir / PATTERNS[key].replace("{space}", self.space))

    def path(self, key: str, **holes: str) -> Path:
        """Path of a derivative with its holes filled in; ``pool`` defaults to empty.

        Raises
        ------
        InputError
            For a hole that is no part of a BIDS name, such as ``../x``.
        """
        return self.output_dir / _filled(PATTERNS[key], {"pool": "", "space": self.space} | holes)

    def timeseries(self, series: str, atlas: str) -> Path:
        """Region series of a recording: a table, of EEG and iEEG compressed and without header."""
        electric = Path(series).parent.name in ("eeg", "ieeg")
        return self.path("ephys_timeseries" if electric else "timeseries", series=series, atlas=atlas)

    def figure(self, key: str, **holes: str) -> Path:
        """Path of a figure of the report with its holes filled in.

        Parameters
        ----------
        key : str
            A key of :data:`FIGURES`. The workflow does not know figures: they belong to the file they show.
        **holes : str
            As for :meth:`path`.
        """
        _refuse(holes)
        roots = ("series", "bold", "ephys", "dwi", "anat")
        item = next(Path(holes[hole]) for hole in roots if f"{{{hole}}}" in FIGURES[key])
        stems = {hole: Path(value).name for hole, value in holes.items()}
        if "series" in stems and (kind := Path(holes["series"]).parent.name) in ("eeg", "ieeg"):
            # Figures of all modalities share a folder, and names of recordings need not differ.
            stems["series"] += f"_recording-{kind}"
        name = _filled(FIGURES[key], {"pool": "", "space": self.space} | stems)
        return self.output_dir / item.parts[0] / "figures" / name

    def group_figure(self, key: str, cohort: str, **holes: str) -> Path:
        """Path of a figure of a group.

        Parameters
        ----------
        key : str
            A key of :data:`GROUP_FIGURES`.
        cohort : str
            As in the tables of the group.
        **holes : str
            The others.
        """
        _refuse({"cohort": cohort})
        datatype, _, rest = cohort.partition("/")
        name = _filled(GROUP_FIGURES[key], {"cohort": rest} | holes)
        return self.output_dir / "group" / datatype / "figures" / name


def _refuse(holes: Mapping[str, str]) -> None:
    for hole, value in holes.items():
        if not _HOLE.fullmatch(value):
            raise InputError(
                f"{printable(value)[:80]!r} cannot be part of a file name ({hole}): letters, digits and + _ - are, in "
                "folders below the output folder."
            )


def _filled(pattern: str, holes: Mapping[str, str]) -> str:
    _refuse(holes)
    name = pattern.format(**holes)
    longest = max(len(part) for part in name.split("/"))
    if longest > _LONGEST:
        raise InputError(
            f"{name.rpartition('/')[2][:60]}... has {longest} characters, and a file name holds {_LONGEST}: shorten "
            "the labels of the input, or the name of the atlas."
        )
    return name


def sidecar(path: Path) -> Path:
    """JSON beside a file, whatever its extension."""
    return path.with_name(f"{path.name.removesuffix('.gz').rpartition('.')[0]}.json")


def stem(entities: Mapping[str, object]) -> str:
    """Join entities into the stem of a BIDS name, in the order of the standard.

    Parameters
    ----------
    entities : mapping
        Long names of entities (as pybids gives them) to values; others are ignored, as is None.
    """
    parts = (f"{short}-{entities[long]}" for long, short in ENTITIES.items() if entities.get(long) is not None)
    return "_".join(parts)
