"""Figures of a group, and what is said under them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bids_ai.errors import InputError
from bids_ai.group.landmarks import find_landmarks
from bids_ai.group.reliability import Retest
from bids_ai.group.similarity import WHOLE, pairwise
from bids_ai.report.group_record import GroupFigure
from bids_ai.stages.group_collect import Collected
from bids_ai.stages.group_comparison import mean_of
from bids_ai.stages.group_contrast import Q_LEVEL, ContrastResult, column_label
from bids_ai.stages.group_inputs import GroupAtlas
from bids_ai.stages.group_tables import GroupRun, Numbers

_ROWS = "Rows are sources, columns targets; all matrices have the same order."


def short_name(kind: Collected, kinds: Sequence[Collected]) -> str:
    """EC, or with its model where there are several."""
    alike = {other.label for other in kinds if other.measure.short == kind.measure.short}
    return kind.measure.short if len(alike) < 2 else f"{kind.measure.short} ({kind.label.split('_')[0]})"


def short_units(kind: Collected) -> str:
    """Units for the axes of figures."""
    from bids_ai.stages.ec_words import SHORT_UNITS

    return SHORT_UNITS.get(kind.units, kind.units)


def draw_means(run: GroupRun, cohort: str, atlas: GroupAtlas, kinds: Sequence[Collected]) -> list[GroupFigure]:
    """Draw the mean matrices of a group in the same order."""
    from bids_ai.report.figures.matrices import RelmatPanel, plot_relmats

    panels = []
    for kind in kinds:
        mean = mean_of(kind)
        if mean is not None:
            title = f"{short_name(kind, kinds)}: mean of {_of_subjects(kind)}"
            diverging = kind.measure.short != "SC"
            panels.append(RelmatPanel(mean, title, short_units(kind), kind.measure.directed, diverging))
    if not panels:
        return []
    path = run.names.group_figure("group_matrices_figure", cohort, atlas=atlas.label)
    plot_relmats(panels, atlas.nodes, path)
    return [_figure(run, path, "Mean matrices", "Mean over subjects.", _ROWS)]


def _of_subjects(kind: Collected) -> str:
    """Say how many subjects an edge of the mean has; not all have all regions."""
    counts = kind.moments.count[kind.moments.count > 0]
    least, most = int(counts.min()), int(counts.max())
    return f"{most} subjects" if least == most else f"{least} to {most} subjects"


def draw_comparison(
    run: GroupRun, cohort: str, atlas: GroupAtlas, kinds: Sequence[Collected], numbers: Numbers
) -> list[GroupFigure]:
    """Draw EC against FC and SC, edge by edge."""
    from bids_ai.report.figures.group import Scatter, plot_comparison

    panels = []
    off = ~np.eye(len(atlas.nodes), dtype=bool)
    for ec in (kind for kind in kinds if kind.measure.short == "EC"):
        matrix = mean_of(ec)
        if matrix is None:
            continue
        name = f"{short_name(ec, kinds)} ({short_units(ec)})"
        for other, quantity in (("FC", "spearman_ec_fc"), ("SC", "spearman_ec_sc_connected")):
            kind = next((one for one in kinds if one.measure.short == other), None)
            found, against = numbers.get(ec.name, quantity), mean_of(kind)
            if kind is None or against is None or found is None or found["value"] is None:
                continue
            shown = np.where(against > 0, against, np.nan) if other == "SC" else against
            where = ", connected pairs" if other == "SC" else ""
            title = f"Spearman {found['value']:.2f}{where}".replace("-", "\N{MINUS SIGN}")
            panels.append(Scatter(shown[off], matrix[off], f"{other} ({short_units(kind)})", name, title))
        upper = np.triu_indices(len(matrix), 1)
        symmetry = numbers.get(ec.name, "self_symmetry")
        value = symmetry["value"] if symmetry else None
        title = "One direction against the other" + ("" if value is None else f": r = {value:.2f}")
        panels.append(Scatter(matrix[upper], matrix.T[upper], f"{name}, one way", "the other way", title))
    if not panels:
        return []
    path = run.names.group_figure("group_comparison_figure", cohort, atlas=atlas.label)
    plot_comparison(panels, path)
    how = "A point is a pair of regions; many of them are counted in hexagons, dark where they are many."
    return [_figure(run, path, "Kinds of connectivity", "Mean effective connectivity against the other kinds.", how)]


def draw_seeds(
    run: GroupRun, cohort: str, atlas: GroupAtlas, kinds: Sequence[Collected]
) -> tuple[list[GroupFigure], list[str]]:
    """Draw output and input of the seed regions on the brain, and say which could not be."""
    from bids_ai.parcellation.names import find_regions
    from bids_ai.report.figures.connectome import strengths
    from bids_ai.report.figures.group import plot_seed_maps

    figures: list[GroupFigure] = []
    missing: list[str] = []
    for kind in kinds:
        matrix = mean_of(kind)
        if kind.measure.short != "EC" or matrix is None:
            continue
        if run.seed_regions:
            row_of = {int(label): row for row, label in enumerate(atlas.nodes["index"])}
            seeds = {}
            for name in run.seed_regions:
                try:
                    seeds[name] = row_of[find_regions([name], atlas.nodes)[0]]
                except InputError as error:
                    missing.append(str(error))
        else:
            seeds = find_landmarks(atlas.names, strengths(matrix)[0])
        for landmark, row in seeds.items():
            if not np.isfinite(np.r_[matrix[row], matrix[:, row]]).any():
                missing.append(f"{landmark}: {atlas.names[row]} has no data in the group")
                continue
            part = "".join(letter for letter in landmark if letter.isalnum())
            path = run.names.group_figure("group_seed_figure", cohort, atlas=atlas.label, measure=kind.label, part=part)
            region = atlas.names[row]
            words = region if landmark in (region, *run.seed_regions) else f"{landmark}, {region}"
            try:
                plot_seed_maps(
                    matrix, atlas.nodes, row, path, title=f"{short_name(kind, kinds)}: {words}", label=short_units(kind)
                )
            except InputError as error:
                missing.append(str(error))
                continue
            figures.append(
                _figure(
                    run,
                    path,
                    f"Seed {words}",
                    f"Output and input map of {region}, mean of {len(kind.used)} subjects.",
                    "Output: its row of the matrix, the response of the others to its push. Input: its column, its own "
                    "response to theirs. The ring is the seed; grey dots are regions without a value.",
                )
            )
    return figures, missing


def draw_similarity(
    run: GroupRun,
    cohort: str,
    atlas: GroupAtlas,
    kinds: Sequence[Collected],
    similarities: dict[str, dict[str, np.ndarray]],
    numbers: Numbers,
) -> list[GroupFigure]:
    """Draw the similarity of subjects, whole and within networks."""
    from bids_ai.report.figures.group import plot_subject_similarity

    # One pair is a number and no picture.
    there = [kind for kind in kinds if kind.name in similarities and _pairs(similarities[kind.name]) > 1]
    if not there:
        return []
    matrices, networks, subjects = {}, {}, {}
    for kind in there:
        name = short_name(kind, kinds)
        matrices[name] = similarities[kind.name][WHOLE]
        subjects[name] = list(kind.rows)
        networks[name] = {
            scope: (_value(numbers, kind, "similarity_mean", scope), _value(numbers, kind, "similarity_sd", scope))
            for scope in dict.fromkeys(row["scope"] for row in numbers.rows if row["measure"] == kind.name)
        }
    path = run.names.group_figure("group_similarity_figure", cohort, atlas=atlas.label)
    plot_subject_similarity(matrices, networks, subjects, path)
    return [
        _figure(
            run,
            path,
            "Similarity of subjects",
            "Correlation of the matrices of all pairs of subjects over their edges; below, its mean over pairs within "
            "networks.",
            "A row or column that is darker than the others is a subject unlike the rest.",
        )
    ]


def _pairs(similarity: dict[str, np.ndarray]) -> int:
    return pairwise(similarity[WHOLE]).size if similarity else 0


def _value(numbers: Numbers, kind: Collected, quantity: str, scope: str) -> float:
    found = numbers.get(kind.name, quantity, scope)
    return float("nan") if found is None or found["value"] is None else float(found["value"])


def draw_reliability(
    run: GroupRun,
    cohort: str,
    atlas: GroupAtlas,
    kinds: Sequence[Collected],
    reliabilities: dict[str, dict[str, Retest]],
    numbers: Numbers,
) -> list[GroupFigure]:
    """Draw the reliability of edges, and identification."""
    from bids_ai.report.figures.group import Retest as Panel
    from bids_ai.report.figures.group import plot_reliability

    panels = []
    for kind in kinds:
        for level, found in reliabilities.get(kind.name, {}).items():
            chance = _value(numbers, kind, f"{level}_identification_chance", WHOLE)
            name = f"{short_name(kind, kinds)}, {level}s"
            panels.append(Panel(name, found.edges.absolute, found.identification.success_rate, chance))
    if not panels:
        return []
    path = run.names.group_figure("group_reliability_figure", cohort, atlas=atlas.label)
    plot_reliability(panels, path)
    return [
        _figure(
            run,
            path,
            "Test-retest reliability",
            "Left: intraclass correlation of every edge. Right: share of repetitions whose most similar matrix, among "
            "those of another repetition, is that of the same subject.",
            "An ICC of 0 tells no subject from another, 1 is perfect.",
        )
    ]


def draw_contrast(
    run: GroupRun,
    cohort: str,
    atlas: GroupAtlas,
    kind: Collected,
    kinds: Sequence[Collected],
    result: ContrastResult,
) -> GroupFigure:
    """Draw t of every edge, with dots where q is below the level."""
    from bids_ai.report.figures.matrices import plot_relmat

    assert run.contrast is not None
    below = np.nan_to_num(kind.edges.matrix(result.found.q), nan=1.0) < Q_LEVEL
    path = run.names.group_figure(
        "group_contrast_figure", cohort, atlas=atlas.label, measure=kind.label, part=column_label(run.contrast)
    )
    name, column = short_name(kind, kinds), run.contrast.variable.name
    plot_relmat(
        kind.edges.matrix(result.found.t),
        atlas.nodes,
        path,
        title=f"{name}: {column}, {run.contrast.words}",
        label="t",
        directed=kind.measure.directed,
        marks=below,
        marked=f"q < {Q_LEVEL:g}",
    )
    sizes = ", ".join(f"{level}: {n}" for level, n in result.sizes.items()) or f"{result.n} subjects"
    return _figure(
        run,
        path,
        f"Contrast of {column}, {name}",
        f"t of every edge, {run.contrast.words} ({sizes}).",
        f"Red: larger with the effect. Dots: false discovery rate below {Q_LEVEL:g} over all edges.",
    )


def _figure(run: GroupRun, path: Path, title: str, caption: str, description: str = "") -> GroupFigure:
    return GroupFigure(title, caption, path.relative_to(run.output_dir).as_posix(), description)
