"""The group level: everything that is found over the subjects of an output folder, and its page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bids_ai import __version__
from bids_ai.bids.description import write_bidsignore
from bids_ai.bids.files import read_json
from bids_ai.errors import InputError
from bids_ai.report.group_record import GroupFigure, GroupRecord, GroupSection, save_record
from bids_ai.report.model import SummaryRow
from bids_ai.stages import group_figures as figures
from bids_ai.stages.group_collect import Collected, collect
from bids_ai.stages.group_comparison import tell_comparison
from bids_ai.stages.group_contrast import ContrastResult, write_contrast
from bids_ai.stages.group_inputs import GroupAtlas, MatrixFile, group_atlases, scan
from bids_ai.stages.group_means import write_means
from bids_ai.stages.group_measures import MEASURES
from bids_ai.stages.group_page import atlas_words, pooled_section, quality_section, section_of
from bids_ai.stages.group_prediction import write_group_prediction
from bids_ai.stages.group_quality import write_quality
from bids_ai.stages.group_reliability import write_reliability
from bids_ai.stages.group_similarity import write_similarity, write_subjects
from bids_ai.stages.group_tables import NUMBER_COLUMNS, GroupRun, Numbers, write_stats
from bids_ai.stages.sidecars import versions

_DWI = "dwi/"


class GroupOutcome(NamedTuple):
    """What the group level left.

    Attributes
    ----------
    page : Path
    files : list of Path
        Tables and matrices.
    warnings : list of str
    faults : list of str
        Things to be put right: matrices of other regions, or that cannot be read.
    """

    page: Path
    files: list[Path]
    warnings: list[str]
    faults: list[str]


def run_group(run: GroupRun, command: str) -> GroupOutcome:
    """Work through all cohorts and atlases of an output folder.

    Parameters
    ----------
    run : GroupRun
    command : str
        As the user gave it, for the page.
    """
    from bids_ai.report.methods import methods_text
    from bids_ai.stages.report import assemble_group

    write_bidsignore(run.output_dir)
    _clear(run.output_dir)
    state = _State(run)
    found = scan(run.output_dir, run.subjects)
    atlases = group_atlases(run.output_dir)
    unknown = sorted({file.atlas for file in found} - {atlas.label for atlas in atlases})
    state.faults += [
        f"{label}: its matrices are not used, for its node table {label}_dseg.tsv is gone" for label in unknown
    ]
    for atlas in atlases:
        state.work_through(atlas, [file for file in found if file.atlas == atlas.label])
    pooled = _pooled(state)
    predicted = write_group_prediction(run, atlases)
    state.files += predicted.files
    state.warnings += predicted.warnings
    quality, table = write_quality(run)
    state.files.append(quality)
    if not state.grouped:
        state.warnings.append("No matrices of two subjects in one atlas: there is no group to look at.")
    record = GroupRecord(
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        command=command,
        facts=_facts(run, atlases, found),
        warnings=[*state.warnings, *state.faults],
        sections=[*state.sections, *pooled, *predicted.sections, quality_section(run, quality, table)],
        methods=methods_text(state.steps),
    )
    save_record(run.output_dir, record)
    return GroupOutcome(assemble_group(run.output_dir), state.files, state.warnings, state.faults)


def _clear(output_dir: Path) -> None:
    """Remove what an earlier run has left, so that nothing stays that this one would not make.

    Tables of contrasts stay: the one of another column is not made again. Their sidecars name its subjects.
    """
    folder = output_dir / "group"
    for description in folder.rglob("*.json"):
        if "Contrast" not in read_json(description):
            description.with_suffix(".tsv").unlink(missing_ok=True)
            description.unlink()
    for figure in folder.rglob("figures/*.svg"):
        figure.unlink()


def _facts(run: GroupRun, atlases: Sequence[GroupAtlas], found: Sequence[MatrixFile]) -> list[SummaryRow]:
    contrast = run.contrast
    return [
        SummaryRow("Subjects", len(run.subjects)),
        SummaryRow("Atlases", ", ".join(atlas_words(atlas.label) for atlas in atlases) or None),
        SummaryRow("Matrices of subjects", len(found)),
        SummaryRow(
            "Contrast",
            contrast.variable.name if contrast else "none asked for",
            note=contrast.words if contrast else "--contrast COLUMN of participants.tsv",
        ),
    ]


class _State:
    """What a run gathers on its way."""

    def __init__(self, run: GroupRun) -> None:
        self.run = run
        self.files: list[Path] = []
        self.warnings: list[str] = []
        self.faults: list[str] = []
        self.sections: list[GroupSection] = []
        self.steps: list[dict[str, Any]] = []
        self.grouped = False

    def work_through(self, atlas: GroupAtlas, files: Sequence[MatrixFile]) -> None:
        """Work through the cohorts of an atlas, DWI first: EC is compared with SC."""
        structural: Collected | None = None
        before = len(self.sections)
        order = {_DWI: 0, "func/": 1, "eeg/": 2, "ieeg/": 3}
        cohorts = {file.cohort for file in files}
        for cohort in sorted(cohorts, key=lambda cohort: (order[f"{cohort.partition('/')[0]}/"], cohort)):
            kinds = self._collect(atlas, [file for file in files if file.cohort == cohort])
            if cohort == _DWI:
                structural = kinds[0]
            self._cohort(cohort, atlas, kinds, None if cohort == _DWI else structural)
        if structural is not None:  # it is read first and shown last
            self.sections.append(self.sections.pop(before))

    def _collect(self, atlas: GroupAtlas, files: Sequence[MatrixFile]) -> list[Collected]:
        groups: dict[tuple[int, str, str], list[MatrixFile]] = {}
        order = list(MEASURES)
        for file in files:
            groups.setdefault((order.index(file.key), file.model, file.band), []).append(file)
        kinds = []
        for key in sorted(groups):
            own = groups[key]
            # Each cohort and atlas has a folder of edges of its own.
            scratch = self.run.scratch / f"{own[0].cohort}{atlas.label}".replace("/", "_")
            scratch.mkdir(parents=True, exist_ok=True)
            compared = MEASURES[own[0].key].compared
            kinds.append(collect(own, atlas, self.run.subjects, scratch if compared else None))
        for kind in kinds:
            for row in kind.subjects:
                if row.fault:
                    self.faults.append(f"{row.subject}, {atlas_words(atlas.label)}, {kind.name}: {row.reason}")
        return kinds

    def _cohort(self, cohort: str, atlas: GroupAtlas, kinds: list[Collected], structural: Collected | None) -> None:
        run, numbers = self.run, Numbers()
        written = [path for kind in kinds for path in write_means(run, cohort, atlas, kind, numbers)]
        compared = [kind for kind in kinds if kind.store is not None]
        self.grouped |= bool(written)
        similarities = {kind.name: write_similarity(run, cohort, atlas, kind, numbers) for kind in compared}
        reliabilities = {kind.name: write_reliability(run, cohort, atlas, kind, numbers) for kind in compared}
        contrasts: dict[str, ContrastResult] = {}
        for kind in compared:
            result = write_contrast(run, cohort, atlas, kind, numbers)
            if result is not None:
                contrasts[kind.name] = result
                written += result.files
        functional = next((kind for kind in kinds if kind.measure.short == "FC"), None)
        for ec in (kind for kind in kinds if kind.measure.short == "EC"):
            tell_comparison(
                ec, functional, structural, numbers, sc_missing="no structural connectivity of two subjects"
            )
        subjects, table = write_subjects(run, cohort, atlas, kinds, similarities)
        path = run.names.path("group_numbers", cohort=cohort, atlas=atlas.label)
        written = [
            subjects,
            write_stats(path, numbers.table(), NUMBER_COLUMNS, PackageVersions=versions("numpy", "scipy")),
            *written,
            *_made(run, cohort, atlas, compared),
        ]
        drawn, missing = self.draw(cohort, atlas, compared, structural, numbers, similarities, reliabilities, contrasts)
        self.files += written
        self._remember_steps(similarities, reliabilities, contrasts, drawn)
        self.sections.append(section_of(run, cohort, atlas, kinds, numbers, table, contrasts, drawn, written, missing))

    def draw(
        self,
        cohort: str,
        atlas: GroupAtlas,
        kinds: list[Collected],
        structural: Collected | None,
        numbers: Numbers,
        similarities: dict[str, Any],
        reliabilities: dict[str, Any],
        contrasts: dict[str, ContrastResult],
    ) -> tuple[list[GroupFigure], list[str]]:
        """Draw the figures of a cohort, and say which could not be drawn."""
        run, missing = self.run, list[str]()
        beside = [*kinds, *([structural] if structural is not None else [])]

        def seeds() -> list[GroupFigure]:
            found, lost = figures.draw_seeds(run, cohort, atlas, kinds)
            missing.extend(lost)
            return found

        steps: list[Callable[[], list[GroupFigure]]] = [
            lambda: figures.draw_means(run, cohort, atlas, beside),
            seeds,
            lambda: figures.draw_comparison(run, cohort, atlas, beside, numbers),
            lambda: figures.draw_similarity(run, cohort, atlas, kinds, similarities, numbers),
            lambda: figures.draw_reliability(run, cohort, atlas, kinds, reliabilities, numbers),
            lambda: [
                figures.draw_contrast(run, cohort, atlas, kind, kinds, contrasts[kind.name])
                for kind in kinds
                if kind.name in contrasts
            ],
        ]
        return [figure for step in steps for figure in step()], missing

    def _remember_steps(
        self,
        similarities: dict[str, Any],
        reliabilities: dict[str, Any],
        contrasts: dict[str, ContrastResult],
        drawn: Sequence[GroupFigure],
    ) -> None:
        plan = self.run.contrast
        ran = {
            "group_mean": any(similarities.values()),
            "group_similarity": any(similarities.values()),
            "group_reliability": any(reliabilities.values()),
            "group_comparison": any(figure.title == "Kinds of connectivity" for figure in drawn),
        }
        self.steps += [{"step": step, "tool": "bids_ai", "version": __version__} for step, did in ran.items() if did]
        if plan is not None and contrasts:
            parameters = {
                "contrast": f"{plan.variable.name} ({plan.words})",
                "n_permutations": self.run.n_permutations,
                "covariates": ", ".join(one.name for one in plan.covariates) or None,
            }
            self.steps.append({"step": "group_contrast", "parameters": parameters})


def _made(run: GroupRun, cohort: str, atlas: GroupAtlas, kinds: Sequence[Collected]) -> list[Path]:
    """Tables of similarity and matrices of reliability of a cohort."""
    found = []
    for kind in kinds:
        holes = {"cohort": cohort, "atlas": atlas.label, "measure": kind.label}
        found.append(run.names.path("group_similarity", **holes))
        found += [run.names.path("group_matrix", part=f"{level}Icc", **holes) for level in ("session", "run")]
    return [path for path in found if path.is_file()]


def _pooled(state: _State) -> list[GroupSection]:
    """Structural consensus and responses to stimulation: matrices pooled over subjects, at the root."""
    from bids_ai.stages.group_ccep import write_group_responses
    from bids_ai.stages.group_structural import write_consensus

    run = state.run
    makers = {
        "Structural consensus": lambda: write_consensus(run.output_dir, run.subjects),
        "Responses to stimulation": lambda: write_group_responses(run.output_dir, run.subjects),
    }
    made: list[Path] = []
    for name, make in makers.items():
        try:
            paths = make()
        except InputError as error:
            state.faults.append(f"{name}: not made. {error}")
            continue
        made += paths
        if paths and name == "Structural consensus":
            state.steps.append({"step": "group_consensus"})
    state.files += made
    if not made:
        return []
    return [pooled_section(run, made)]
