"""What the workflow asks for: target files, inputs that depend on the index, resources.

The Snakefile stays declarative; whatever needs the index is looked up here.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_ai.bids.index import Recording
from bids_ai.bids.names import WILDCARDS
from bids_ai.errors import UsageError
from bids_ai.stages.context import Context

#: Stages that can be asked for with ``--stages``, in the order of the data.
STAGES = ("anat", "dwi", "sc", "func", "eeg", "ieeg", "ccep", "timeseries", "fc", "surrogate", "ec", "prediction")


#: Frequency bands of functional connectivity: keys of `connectome.spectral.BANDS_HZ`, which is slow to import.
BANDS = ("delta", "theta", "alpha", "beta", "gamma")


class Plan:
    """Lookups of the workflow.

    Parameters
    ----------
    settings : mapping
        Resolved configuration, as Snakemake hands it over.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.context = Context.from_settings(settings)
        self.name = self.context.names.pattern
        self.work = str(self.context.work_dir)
        self.config_file = str(self.context.config_file)
        self.wildcards = WILDCARDS

    # ---- targets

    def targets(self, stages: str = "") -> list[str]:
        """Files that a run must end with.

        Parameters
        ----------
        stages : str
            Comma-separated stages; empty means all.
        """
        wanted = stages_of(stages)
        found: list[Path] = []
        for stage in wanted:
            found += getattr(self, f"_targets_{stage}")()
        return [str(path) for path in found]

    def _targets_anat(self) -> list[Path]:
        path = self.context.names.path
        return [path("t1w_to_template", anat=entry.item) for entry in self.context.index.anatomies]

    def _targets_func(self) -> list[Path]:
        return [self.context.names.path("bold", bold=entry.item) for entry in self._raw("bold")]

    def _targets_dwi(self) -> list[Path]:
        path = self.context.names.path
        return [path("dwi", dwi=entry.images) for entry in self.context.index.diffusions if entry.engine == "builtin"]

    def _raw(self, modality: str) -> list[Recording]:
        recordings = self.context.index.recordings
        return [entry for entry in recordings if entry.engine == "builtin" and entry.modality == modality]

    def _targets_eeg(self) -> list[Path]:
        return [self.context.names.path("eeg", eeg=entry.item) for entry in self._raw("eeg")]

    def _targets_ieeg(self) -> list[Path]:
        return [self.context.names.path("ieeg", ieeg=entry.item) for entry in self._raw("ieeg")]

    def _targets_ccep(self) -> list[Path]:
        path = self.context.names.path
        stimulated = [entry for entry in self._raw("ieeg") if entry.stimulated]
        found = [path("ccep_features", ieeg=entry.item) for entry in stimulated]
        return found + [
            path("ccep_probability", ieeg=entry.item, atlas=atlas.label)
            for entry in stimulated
            for atlas in self.context.index.volume_atlases()
            if self.context.index.placed(entry, atlas)
        ]

    def _targets_prediction(self) -> list[Path]:
        path, index = self.context.names.path, self.context.index
        found = []
        for entry in self._raw("ieeg"):
            if entry.stimulated:
                atlases = index.atlases_of_prediction(entry)
                found += [path("ccep_scores", ieeg=entry.item, atlas=atlas.label) for atlas in atlases]
        return found

    def _targets_sc(self) -> list[Path]:
        index, path = self.context.index, self.context.names.path
        return [
            path("sc_weight", dwi=entry.images, atlas=atlas.label)
            for entry in index.diffusions
            for atlas in index.volume_atlases()
        ]

    def _pairs(self, *keys: str) -> list[Path]:
        path = self.context.names.path
        pairs = list(self.context.index.pairs())
        return [path(key, series=entry.series, atlas=atlas.label) for entry, atlas in pairs for key in keys]

    def _targets_timeseries(self) -> list[Path]:
        names = self.context.names
        return [names.timeseries(entry.series, atlas.label) for entry, atlas in self.context.index.pairs()]

    def _targets_fc(self) -> list[Path]:
        path = self.context.names.path
        electric = [(entry, atlas) for entry, atlas in self.context.index.pairs() if entry.modality != "bold"]
        return self._pairs("pearson") + [
            path("envelope", series=entry.series, atlas=atlas.label, band=band)
            for entry, atlas in electric
            for band in BANDS
        ]

    def _fits(self, key: str) -> list[Path]:
        index, path, model = self.context.index, self.context.names.path, self.context.model
        return [
            path(key, series=fit.series, atlas=atlas.label, model=model, pool=fit.pool)
            for atlas in index.atlases
            for fit in index.fits_of(atlas)
        ]

    def _targets_surrogate(self) -> list[Path]:
        return self._fits("surrogate")

    def _targets_ec(self) -> list[Path]:
        return self._fits("ec")

    # ---- inputs that depend on the index; each takes the wildcards of a rule

    def t1w(self, wildcards: Any) -> str:
        """Raw T1w of a subject."""
        return self.context.index.anatomy(wildcards.anat).t1w

    def bold(self, wildcards: Any) -> str:
        """Raw BOLD of a recording."""
        return self.context.index.recording(wildcards.bold).source

    def anat_of_bold(self, wildcards: Any) -> str:
        """Transform to the template of the T1w that a recording is registered to."""
        anat = self.context.index.recording(wildcards.bold).anat
        return str(self.context.names.path("t1w_to_template", anat=anat or ""))

    def dwi(self, wildcards: Any) -> list[str]:
        """Raw diffusion series with its gradient table and reverse-encoded partner."""
        entry = self.context.index.diffusion(wildcards.dwi)
        return [entry.source, entry.bval, entry.bvec, *([entry.reverse] if entry.reverse else [])]

    def anat_of_dwi(self, wildcards: Any) -> list[str]:
        """Transform to the template of the T1w that a diffusion series is registered to, where there is one."""
        anat = self.context.index.diffusion(wildcards.dwi).anat
        return [str(self.context.names.path("t1w_to_template", anat=anat))] if anat else []

    def preprocessed_dwi(self, wildcards: Any) -> list[str]:
        """Preprocessed diffusion series with mask and tissue maps, or that of another tool."""
        entry, path = self.context.index.diffusion(wildcards.dwi), self.context.names.path
        if entry.engine != "builtin":
            return [entry.source]
        return [str(path(key, dwi=entry.images)) for key in ("dwi", "dwi_mask", "dwi_gm", "dwi_wm", "dwi_csf")]

    @property
    def tractogram(self) -> str:
        """Streamlines and their weights, in the work folder."""
        return str(self.context.tractogram("{dwi}"))

    def bold_of_series(self, wildcards: Any) -> str:
        """Preprocessed BOLD, or the region series of another tool, that region series are read from."""
        entry = self.context.index.recording(wildcards.series, wildcards.atlas)
        if entry.engine != "builtin":
            return entry.source
        return str(self.context.names.path("bold", bold=entry.item))

    def signal(self, wildcards: Any) -> list[str]:
        """Raw EEG or iEEG with the events that decide which pieces are at rest."""
        item = wildcards.get("eeg") or wildcards.ieeg
        entry = self.context.index.recording(item)
        return [entry.source, *([entry.events] if entry.events else [])]

    def signal_of_series(self, wildcards: Any) -> list[str]:
        """Preprocessed EEG or iEEG, and what says where its channels lie."""
        entry, path = self.context.index.recording(wildcards.series), self.context.names.path
        signal = path(entry.modality, **{entry.modality: entry.item})
        return [str(signal), *self._places_of(entry, wildcards.atlas)]

    def anat_of_ieeg(self, wildcards: Any) -> list[str]:
        """Return what says where contacts lie: the transform of the subject's T1w, and what the user supplied."""
        return self._places_of(self.context.index.recording(wildcards.ieeg), wildcards.get("atlas"))

    def _places_of(self, entry: Recording, atlas: str | None) -> list[str]:
        # Regions by name need no T1w.
        by_place = entry.located and (atlas not in entry.named_in if atlas else not entry.named_in)
        anat = entry.anat if by_place else None
        found = [str(self.context.names.path("t1w_to_template", anat=anat))] if anat else []
        return found + [path for path in (entry.contacts_to_t1w, entry.segmentation) if path]

    def ieeg_at_rest(self, wildcards: Any) -> list[str]:
        """Preprocessed recordings that a model between contacts is fitted to."""
        from bids_ai.stages.contact_model import resting_sources

        entry = self.context.index.recording(wildcards.ieeg)
        return [str(self.context.names.path("ieeg", ieeg=other.item)) for other in resting_sources(self.context, entry)]

    def connectivity_of_prediction(self, wildcards: Any) -> list[str]:
        """Structural, functional and effective connectivity that responses are predicted from."""
        from bids_ai.stages.ccep_connectivity import inputs_of

        entry = self.context.index.recording(wildcards.ieeg)
        return [str(path) for path in inputs_of(self.context, entry, wildcards.atlas)]

    @property
    def impulses(self) -> str:
        """Responses of a model between contacts to a push, in the work folder."""
        return str(self.context.impulses("{ieeg}"))

    def of_bands(self, *keys: str) -> list[str]:
        """Names of matrices for every frequency band, with the other holes left open."""
        return [self.name(key).replace("{band}", band) for key in keys for band in BANDS]

    def series_file(self, wildcards: Any) -> str:
        """Region series of a recording."""
        return str(self.context.names.timeseries(wildcards.series, wildcards.atlas))

    def series_of_fit(self, wildcards: Any) -> list[str]:
        """Region series of the runs that a fit works on."""
        fit = self.context.index.fit(wildcards.series, wildcards.pool, wildcards.atlas)
        return [str(self.context.names.timeseries(series, wildcards.atlas)) for series in fit.recordings]

    def structural_of_batch(self, wildcards: Any) -> list[str]:
        """Structural connectivity of the subjects of a batch."""
        fits = self.context.batches[wildcards.atlas][wildcards.batch]
        found = (self.context.structural_of(fit, wildcards.atlas) for fit in fits)
        return list(dict.fromkeys(str(path) for path in found if path))

    def series_of_batch(self, wildcards: Any) -> list[str]:
        """Region series of all fits in a batch."""
        fits = self.context.batches[wildcards.atlas][wildcards.batch]
        runs = dict.fromkeys(series for fit in fits for series in fit.recordings)
        return [str(self.context.names.timeseries(series, wildcards.atlas)) for series in runs]

    def batch_of_fit(self, wildcards: Any) -> str:
        """Folder in which the job of a batch left its fits."""
        batch = self.context.batch_of(wildcards.atlas, wildcards.series, wildcards.pool)
        return self.batch_folder(wildcards.atlas, wildcards.model, batch)

    def batch_folder(self, atlas: str, model: str, batch: str) -> str:
        """Folder in which the job of a batch leaves its fits."""
        return f"{self.work}/surrogate/{atlas}_model-{model}/batch-{batch}"

    def log(self, rule: str, item: str) -> str:
        """Log of a job."""
        return f"{self.work}/logs/{rule}/{item}.log"

    @property
    def report_command(self) -> str:
        """Command that assembles the reports when the workflow ends; none where ``bids-ai run`` does it itself."""
        if not self.context.assemble_reports:
            return "true"
        return shlex.join(["bids-ai", "stage", "report", "--config", self.config_file])

    # ---- settings that decide whether a file is up to date

    def setting(self, *sections: str) -> str:
        """Settings as text: when they change, Snakemake makes the file again."""
        chosen = {section: getattr(self.context.config, section) for section in ("random_seed", "sloppy", *sections)}
        parts = (v.model_dump_json() if hasattr(v, "model_dump_json") else str(v) for v in chosen.values())
        # Snakemake takes {subject} in a setting for a wildcard of its own.
        return " ".join(parts).replace("{", "(").replace("}", ")")

    # ---- resources

    @staticmethod
    def memory(base_mb: int, per_input: float = 0.0) -> Any:
        """Memory that grows with the compressed size of the inputs and with the attempt, MB."""

        def mem_mb(wildcards: Any, input: Any, attempt: int) -> int:
            return int((base_mb + per_input * input.size_mb) * attempt)

        return mem_mb

    @staticmethod
    def runtime(minutes: int) -> Any:
        """Limit of time, which a cluster enforces, minutes; it grows with the attempt."""

        def limit(wildcards: Any, attempt: int) -> int:
            return minutes * attempt

        return limit

    @property
    def gpus(self) -> int:
        """GPUs that a job asks for; none unless they are demanded, since a node with one may be long in coming."""
        return int(self.context.config.device == "cuda")


def stages_of(text: str) -> list[str]:
    """Read a comma- or space-separated list of stages.

    Raises
    ------
    UsageError
        For an unknown stage.
    """
    wanted = [name for name in text.replace(",", " ").split() if name]
    unknown = sorted(set(wanted) - set(STAGES))
    if unknown:
        raise UsageError(f"Unknown stage: {', '.join(unknown)}. Stages are: {', '.join(STAGES)}.")
    return [name for name in STAGES if not wanted or name in wanted]
