from __future__ import annotations

from pathlib import Path

import pytest

from bids_ai.report.sections import (
    find_figures,
    group_figures,
    load_sections,
    missing_reportlets,
    parse_figure,
    told_apart,
    unplaced,
)

ATLAS = "_space-MNI152NLin2009aSym_atlas-Schaefer2018_seg-7Networks_scale-100"
EC = f"{ATLAS}_model-ridgevar_stat-effectiveconnectivity"


def section(name: str):
    return next(entry for entry in load_sections() if entry.id == name)


def titles(name: str) -> list[tuple[str, str]]:
    """Return (section, reportlet) of every place where a figure would stand."""
    figure = parse_figure(Path(name))
    return [
        (entry.id, reportlet.title)
        for entry in load_sections()
        for group in group_figures(entry, [figure])
        for reportlet, _ in group.items
    ]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("sub-01_desc-brain_mask.svg", ("anatomical", "Brain mask")),
        ("sub-01_ses-1_desc-tissues_dseg.svg", ("anatomical", "Tissue segmentation")),
        ("sub-01_space-MNI_desc-normalisation_T1w.svg", ("anatomical", "Normalisation to the template")),
        ("sub-01_task-rest_space-T1w_desc-coregistration_bold.svg", ("functional", "BOLD to T1w")),
        ("sub-01_task-rest_space-MNI_desc-normalisation_bold.svg", ("functional", "BOLD in template space")),
        (f"sub-01_task-rest{ATLAS}_desc-carpet_timeseries.svg", ("functional", "Motion and signal over time")),
        ("sub-01_task-rest_desc-carpet_bold.svg", ("functional", "Motion and signal over time")),
        (f"sub-01_task-rest{ATLAS}_desc-overlay_dseg.svg", ("parcellation", "Regions on the anatomy")),
        (f"sub-01_task-rest{ATLAS}_desc-coverage_stats.svg", ("parcellation", "Coverage")),
        (f"sub-01_task-rest{ATLAS}_stat-pearsoncorrelation_relmat.svg", ("connectivity", "Pearson correlation")),
        (f"sub-01_task-rest{ATLAS}_model-mlp_desc-fit_surrogate.svg", ("surrogate", "Fit of the surrogate")),
        (
            f"sub-01_task-rest{ATLAS}_model-mlp_desc-pooled_desc-fit_surrogate.svg",
            ("surrogate", "Fit of the surrogate"),
        ),
        (f"sub-01_task-rest{EC}_relmat.svg", ("surrogate", "Effective connectivity")),
        (f"sub-01_task-rest{EC}_desc-pooled_relmat.svg", ("surrogate", "Effective connectivity")),
        (f"sub-01_task-rest{EC}_desc-glassbrain_relmat.svg", ("surrogate", "Strongest effects in the brain")),
        (f"sub-01_task-rest{EC}_desc-direction_relmat.svg", ("surrogate", "Direction")),
        ("sub-01_task-rest_desc-spectra_eeg.svg", ("electrophysiology", "EEG spectra before and after cleaning")),
        (
            "sub-01_task-rest_desc-spectra_ieeg.svg",
            ("electrophysiology", "SEEG and ECoG spectra before and after cleaning"),
        ),
        ("sub-01_task-rest_desc-components_eeg.svg", ("electrophysiology", "Independent components")),
        ("sub-01_task-rest_desc-bads_eeg.svg", ("electrophysiology", "Bad channels and stretches")),
        ("sub-01_task-spes_desc-contacts_ieeg.svg", ("electrophysiology", "Quality of contacts")),
        ("sub-01_task-spes_desc-blanking_ieeg.svg", ("electrophysiology", "Stimulation artefact")),
        ("sub-01_task-spes_desc-electrodes_ieeg.svg", ("electrophysiology", "Contacts in the brain")),
        ("sub-01_task-rest_atlas-A_desc-power_timeseries.svg", ("electrophysiology", "Source power")),
        (
            "sub-01_task-rest_atlas-A_stat-envelopecorrelation_relmat.svg",
            ("connectivity", "Envelope correlation in bands"),
        ),
        ("sub-01_task-spes_desc-responses_ccep.svg", ("stimulation", "Mean responses")),
        ("sub-01_task-spes_stat-amplitude_desc-recorded_ccep.svg", ("stimulation", "Amplitude of the responses")),
        ("sub-01_task-spes_stat-latency_desc-recorded_ccep.svg", ("stimulation", "Latency of the responses")),
        ("sub-01_task-spes_stat-probability_desc-recorded_ccep.svg", ("stimulation", "Probability of a response")),
        ("sub-01_task-spes_desc-distance_ccep.svg", ("stimulation", "Responses against distance")),
        ("sub-01_task-spes_desc-pulses_ccep.svg", ("stimulation", "Responders against pulses")),
        ("sub-01_task-spes_atlas-A_stat-ccepprobability_relmat.svg", ("stimulation", "Responses between regions")),
    ],
)
def test_every_figure_has_exactly_one_place(name, place):
    assert titles(name) == [place]


def test_figure_that_no_section_asks_for_is_not_lost():
    figures = [parse_figure(Path("sub-01_desc-new_bold.svg")), parse_figure(Path("sub-01_desc-brain_mask.svg"))]
    assert [figure.path.name for figure in unplaced(figures)] == ["sub-01_desc-new_bold.svg"]


def test_groups_come_in_natural_order_with_headings_in_words():
    names = [f"sub-01_ses-{ses}_task-rest_run-{run}_desc-carpet_bold.svg" for ses, run in ((2, 1), (1, 10), (1, 2))]
    groups = group_figures(section("functional"), [parse_figure(Path(name)) for name in names])
    assert [group.heading for group in groups] == [
        "Session 1, task rest, run 2",
        "Session 1, task rest, run 10",
        "Session 2, task rest, run 1",
    ]


def test_heading_joins_the_parts_of_an_atlas_and_names_a_pooled_fit():
    figure = parse_figure(Path(f"sub-01_task-rest{EC}_desc-pooled_relmat.svg"))
    (group,) = group_figures(section("surrogate"), [figure])
    assert group.heading == "Task rest, all runs together, atlas Schaefer2018 7Networks 100, model ridgevar"


def test_figures_of_a_group_stand_in_the_order_of_the_section():
    names = ["sub-01_task-rest_desc-carpet_bold.svg", "sub-01_task-rest_space-T1w_desc-coregistration_bold.svg"]
    (group,) = group_figures(section("functional"), [parse_figure(Path(name)) for name in names])
    assert [reportlet.title for reportlet, _ in group.items] == ["BOLD to T1w", "Motion and signal over time"]


def test_two_figures_of_one_kind_in_a_group_are_told_apart():
    names = [f"sub-01_task-rest_atlas-{atlas}_desc-carpet_timeseries.svg" for atlas in ("A", "B")]
    entry = section("functional")
    (group,) = group_figures(entry, [parse_figure(Path(name)) for name in names])
    assert [words for _, _, words in told_apart(group, entry.ordering)] == [" (atlas A)", " (atlas B)"]
    (alone,) = group_figures(entry, [parse_figure(Path(names[0]))])
    assert [words for _, _, words in told_apart(alone, entry.ordering)] == [""]


def test_missing_figures_are_named_and_optional_ones_are_not():
    groups = group_figures(section("anatomical"), [parse_figure(Path("sub-01_desc-brain_mask.svg"))])
    assert missing_reportlets(section("anatomical"), groups) == ["Tissue segmentation", "Normalisation to the template"]
    assert "Head motion" not in missing_reportlets(section("functional"), [])


def test_figures_are_found_in_both_places_and_nothing_else_is(tmp_path):
    for name in ("sub-1/figures/b_desc-brain_mask.svg", "sub-1/ses-2/figures/a_desc-brain_mask.png",
                 "sub-1/figures/.tmp-x_mask.svg", "sub-1/figures/notes.txt", "sub-2/figures/c_mask.svg"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "sub-1/figures/folder.svg").mkdir()
    assert [figure.path.name for figure in find_figures(tmp_path, "1")] == [
        "a_desc-brain_mask.png",
        "b_desc-brain_mask.svg",
    ]
    assert find_figures(tmp_path, "nobody") == []
