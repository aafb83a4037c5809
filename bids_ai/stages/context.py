"""What every stage and the workflow know of a run: settings, index, names of files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bids_ai import config as settings
from bids_ai.bids.index import Fit, Index
from bids_ai.bids.names import Names
from bids_ai.config import Config
from bids_ai.errors import UsageError


@dataclass(frozen=True)
class Context:
    """Settings, index and places of a run.

    Parameters
    ----------
    config : Config
        Scientific settings.
    index : Index
        Inputs.
    output_dir, work_dir, run_dir : Path
        Derivatives; intermediate files shared by runs; files of this run only.
    command : str
        Command line of the run, for the report.
    assemble_reports : bool
        Whether the workflow itself assembles the reports (when snakemake is called by hand).
    stages : tuple of str
        What was asked for; empty for everything.
    """

    config: Config
    index: Index
    output_dir: Path
    work_dir: Path
    run_dir: Path
    command: str = ""
    assemble_reports: bool = False
    stages: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Context:
        """Read the resolved configuration of a run and its index."""
        return cls.from_settings(settings.read_yaml(path), str(path))

    @classmethod
    def from_settings(cls, values: Mapping[str, Any], source: str = "The configuration") -> Context:
        """Build from resolved settings.

        Raises
        ------
        UsageError
            If the settings are no resolved configuration of a run.
        """
        missing = [key for key in ("output_dir", "work_dir", "run_dir") if not values.get(key)]
        if missing:
            raise UsageError(
                f"{source} lacks {', '.join(missing)}: it is not the configuration of a run. "
                "Make one with 'bids-ai index BIDS_DIR OUTPUT_DIR' and give it with --configfile."
            )
        run_dir = Path(values["run_dir"])
        index_file = run_dir / "index.json"
        if not index_file.is_file():
            raise UsageError(f"The index {index_file} is not there; make it with 'bids-ai index BIDS_DIR OUTPUT_DIR'.")
        return cls(
            config=settings.build(dict(values), source),
            index=Index.load(index_file),
            output_dir=Path(values["output_dir"]),
            work_dir=Path(values["work_dir"]),
            run_dir=run_dir,
            command=str(values.get("command") or ""),
            assemble_reports=bool(values.get("assemble_reports")),
            stages=tuple(name for name in str(values.get("stages") or "").split(",") if name),
        )

    def asked_for(self, stage: str) -> bool:
        """Whether a stage belongs to this run."""
        return not self.stages or stage in self.stages

    @cached_property
    def names(self) -> Names:
        """Builder of output names."""
        return Names(self.output_dir, self.index.space)

    @property
    def config_file(self) -> Path:
        """Resolved configuration of this run."""
        return self.run_dir / "config.yaml"

    @property
    def cache_dir(self) -> Path:
        """Template, embedded atlases and registrations between templates."""
        return self.work_dir / "cache"

    @property
    def model(self) -> str:
        """Label of the surrogate family in file names."""
        return model_label(self.config.surrogate.model)

    def scratch(self, stage: str, item: str) -> Path:
        """Folder for the intermediate files of one job."""
        return self.work_dir / stage / item

    def tractogram(self, dwi: str) -> Path:
        """Streamlines of a diffusion series, in the work folder."""
        return self.work_dir / "tractography" / dwi / "streamlines.npz"

    def impulses(self, ieeg: str) -> Path:
        """Responses of a model of resting iEEG to a push of every contact, in the work folder."""
        return self.work_dir / "contact_model" / f"{ieeg}.npz"

    def structural_of(self, fit: Fit, atlas: str) -> Path | None:
        """Structural connectivity that a fit may use in an atlas: of the subject, or of the group; None without.

        Parameters
        ----------
        fit : Fit
        atlas : str
            Label.
        """
        if self.config.surrogate.structural == "none" or self.index.atlas(atlas).kind != "volume":
            return None
        source = self.index.structural_source(fit)
        if source is None:
            return self.config.structural_connectivity.group
        return self.names.path("sc_weight", dwi=source.images, atlas=atlas)

    @cached_property
    def batches(self) -> dict[str, dict[str, list[Fit]]]:
        """Fits in the groups that one job works on: label of the atlas -> name of the batch -> fits."""
        size = self.config.surrogate.recordings_per_job
        return {atlas.label: self.index.batches(atlas, size) for atlas in self.index.atlases}

    def batch_of(self, atlas: str, series: str, pool: str) -> str:
        """Name of the batch in which a fit is made."""
        return self._batch_of[atlas, series, pool]

    @cached_property
    def _batch_of(self) -> dict[tuple[str, str, str], str]:
        return {
            (atlas, fit.series, fit.pool): name
            for atlas, batches in self.batches.items()
            for name, group in batches.items()
            for fit in group
        }


def model_label(family: str) -> str:
    """BIDS label of a surrogate family: letters and digits only."""
    return re.sub(r"[^A-Za-z0-9]", "", family)
