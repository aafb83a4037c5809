import os
import re
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_ai.bids.metadata import split_name
from bids_ai.bids.names import ENTITIES, FIGURES, PATTERNS, WILDCARDS, Names, name_fault, printable, sidecar, stem
from bids_ai.errors import InputError

SPACE = "MNI152NLin2009aSym"
NAMES = Names(Path("/out put/é"), SPACE)

ANATS = ["sub-01/anat/sub-01", "sub-A1/ses-pre/anat/sub-A1_ses-pre"]
BOLDS = [
    "sub-01/func/sub-01_task-rest",
    "sub-01/func/sub-01_task-rest_run-01",
    "sub-A1/ses-pre/func/sub-A1_ses-pre_task-space_acq-atlas_dir-AP_run-2",
]
SERIES = [*BOLDS, *(f"{bold}_space-MNI152NLin2009cAsym" for bold in BOLDS)]
DWIS = ["sub-01/dwi/sub-01", "sub-01/dwi/sub-01_dir-AP_space-T1w", "sub-A1/ses-pre/dwi/sub-A1_ses-pre_run-2_space-T1w"]
EPHYS = ["sub-01/ieeg/sub-01_task-spes", "sub-A1/ses-pre/eeg/sub-A1_ses-pre_task-rest_acq-hd_run-2"]
ATLASES = ["atlas-Schaefer2018_seg-7Networks_scale-100", "atlas-EqualVolume_scale-20", "atlas-AAL"]
CHOICES = {
    "anat": ANATS,
    "bold": BOLDS,
    "series": SERIES,
    "ephys": EPHYS,
    "eeg": EPHYS[1:],
    "ieeg": EPHYS[:1],
    "implant": ["sub-01/ieeg/sub-01", "sub-02/ses-1/ieeg/sub-02_ses-1"],
    "band": ["alpha", "lowbeta"],
    "dwi": DWIS,
    "atlas": ATLASES,
    "model": ["ridgevar", "npimlp"],
    "pool": ["", "_desc-pooled"],
    "cohort": ["func/task-rest_space-MNI152NLin2009cAsym_", "eeg/task-rest_", "dwi/"],
    "measure": ["model-auto_stat-effectiveconnectivity", "stat-pearsoncorrelation"],
    "part": ["mean", "sessionIcc", "diagnosisT"],
}


def holes_of(pattern: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(pattern) if name]


def as_regex(pattern: str) -> re.Pattern[str]:
    """What Snakemake makes of a pattern and of the constraints of its wildcards."""
    parts = []
    for text, hole, _, _ in Formatter().parse(pattern):
        parts.append(re.escape(text))
        if hole:
            parts.append(f"(?P<{hole}>{WILDCARDS[hole]})")
    return re.compile("".join(parts))


REGEXES = {key: as_regex(NAMES.pattern(key)) for key in PATTERNS}


def combinations(holes: list[str]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = [{}]
    for hole in holes:
        found = [chosen | {hole: value} for chosen in found for value in CHOICES[hole]]
    return found


@pytest.mark.parametrize("key", PATTERNS)
def test_a_name_gives_its_holes_back_and_fits_no_other_pattern(key):
    for holes in combinations(holes_of(NAMES.pattern(key))):
        name = NAMES.pattern(key).format(**holes)
        match = REGEXES[key].fullmatch(name)
        assert match, name
        assert match.groupdict() == holes
        assert [other for other, regex in REGEXES.items() if regex.fullmatch(name)] == [key], name


LABEL = st.text("abzABZ019+", min_size=1, max_size=6) | st.sampled_from(["space", "atlas", "desc", "T1w", "boldref"])


@st.composite
def bold_items(draw: st.DrawFn) -> str:
    subject, session = draw(LABEL), draw(st.none() | LABEL)
    optional = ("acquisition", "ceagent", "reconstruction", "direction", "run")
    entities = {"subject": subject, "session": session, "task": draw(LABEL)}
    entities |= {key: draw(st.none() | LABEL) for key in optional}
    folder = f"sub-{subject}/ses-{session}" if session else f"sub-{subject}"
    return f"{folder}/func/{stem(entities)}"


@given(bold=bold_items(), space=st.none() | LABEL, atlas=LABEL, seg=st.none() | LABEL, scale=st.none() | LABEL)
@settings(max_examples=60, deadline=None)
def test_any_label_survives_the_way_through_a_name(bold, space, atlas, seg, scale):
    series = f"{bold}_space-{space}" if space else bold
    label = f"atlas-{atlas}" + (f"_seg-{seg}" if seg else "") + (f"_scale-{scale}" if scale else "")
    for pool in ("", "_desc-pooled"):
        given_holes = {"bold": bold, "series": series, "atlas": label, "model": "ridgevar", "pool": pool}
        for key in ("boldref", "boldref_in_t1w", "bold_mask", "timeseries", "weights", "ec"):
            name = NAMES.pattern(key).format(**given_holes)
            match = REGEXES[key].fullmatch(name)
            assert match, name
            assert match.groupdict() == {hole: given_holes[hole] for hole in holes_of(NAMES.pattern(key))}


@pytest.mark.parametrize("key", PATTERNS)
def test_names_are_in_the_order_of_the_standard(key):
    """The holes are in order by themselves; what a pattern adds must keep it."""
    order = [*ENTITIES.values()]
    for holes in combinations(holes_of(NAMES.pattern(key))):
        entities, suffix, extension = split_name(Path(NAMES.pattern(key).format(**holes)).name)
        known = [name for name in entities if name not in ("from", "to", "mode")]
        assert known == sorted(known, key=order.index)
        assert suffix
        assert extension


@given(st.dictionaries(st.sampled_from(list(ENTITIES)), st.text("abzABZ019", min_size=1, max_size=8)))
def test_split_name_takes_apart_what_stem_joins(entities):
    parts, suffix, extension = split_name(f"{stem(entities)}_bold.nii.gz")
    assert parts == {ENTITIES[key]: value for key, value in entities.items()}
    assert list(parts) == [short for long, short in ENTITIES.items() if long in entities]
    assert (suffix, extension) == ("bold", ".nii.gz")


def test_stem_leaves_out_what_is_not_there():
    assert stem({"run": None, "suffix": "bold", "task": "rest", "subject": "01"}) == "sub-01_task-rest"
    assert split_name("dataset_description.json") == ({}, "description", ".json")
    # Values may hold a hyphen in files of other tools; the name of the entity ends at the first one.
    assert split_name("sub-01_desc-a-b_bold.nii") == ({"sub": "01", "desc": "a-b"}, "bold", ".nii")


def test_path_fills_the_holes():
    path = NAMES.path("ec", series=SERIES[-1], atlas=ATLASES[0], model="ridgevar", pool="_desc-pooled")
    assert path == Path(
        "/out put/é/sub-A1/ses-pre/func/sub-A1_ses-pre_task-space_acq-atlas_dir-AP_run-2_space-MNI152NLin2009cAsym_"
        "atlas-Schaefer2018_seg-7Networks_scale-100_model-ridgevar_stat-effectiveconnectivity_desc-pooled_relmat.tsv"
    )
    assert NAMES.path("atlas_table", atlas="atlas-AAL") == Path("/out put/é/atlas-AAL_dseg.tsv")
    assert NAMES.path("bold", bold=BOLDS[0]).name == f"sub-01_task-rest_space-{SPACE}_desc-preproc_bold.nii.gz"


def test_recordings_of_electrodes_fit_their_wildcard_alone():
    for item in EPHYS:
        assert [hole for hole in ("anat", "bold", "ephys", "dwi") if re.fullmatch(WILDCARDS[hole], item)] == ["ephys"]


@pytest.mark.parametrize("key", FIGURES)
def test_figures_lie_in_the_folder_of_the_subject_and_never_share_a_name(key):
    made = {}
    for holes in combinations([hole for hole in holes_of(FIGURES[key]) if hole != "space"]):
        path = NAMES.figure(key, **holes)
        item = next(holes[hole] for hole in ("series", "bold", "ephys", "dwi", "anat") if hole in holes)
        assert path.parent == Path("/out put/é") / item.partition("/")[0] / "figures"
        assert path.suffix in (".svg", ".png")
        assert path not in made, (holes, made[path])
        made[path] = holes


def test_a_folder_with_braces_is_no_pattern():
    assert Names(Path("/a{b}c"), SPACE).path("t1w", anat="sub-01/anat/sub-01") == Path(
        "/a{b}c/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a_T1w.nii.gz", "a_T1w.json"), ("a_xfm.h5", "a_xfm.json"), ("a_relmat.tsv", "a_relmat.json")],
)
def test_sidecar_is_beside_the_file(name, expected):
    assert sidecar(Path("/x") / name) == Path("/x") / expected


# ---- what comes from elsewhere

HOSTILE = st.sampled_from(
    [
        *("../x", "..", ".", "a/../b", "/etc/passwd", "a//b", "-rf", "a/-rf", ".hidden", "a/.hidden", "a\\b", "C:\\x"),
        *(
            "a\x00b",
            "a\nb",
            "a\n",
            "\n",
            " ",
            "a b",
            "$(x)",
            "`x`",
            "a;b",
            "a|b",
            "{x}",
            "a*",
            "~",
            "a:b",
            "\u0430",
            "e\u0301",
        ),
        *("\uff0e\uff0e", "\u2024\u2024/x", "a\u202eb", "\ud800", "a'b", 'a"b', "<b>", "%2e%2e", "a,b", "a=b"),
    ]
)


WITH_HOLES = sorted(key for key in PATTERNS if holes_of(NAMES.pattern(key)))


@given(key=st.sampled_from(WITH_HOLES), hostile=HOSTILE, data=st.data())
@settings(max_examples=300, deadline=None)
def test_no_hole_takes_what_is_no_part_of_a_name(key, hostile, data):
    holes = holes_of(NAMES.pattern(key))
    at = data.draw(st.sampled_from(holes))
    filled = {hole: CHOICES[hole][0] for hole in holes} | {at: hostile}
    with pytest.raises(InputError, match="cannot be part of a file name"):
        NAMES.path(key, **filled)


@given(key=st.sampled_from(WITH_HOLES), text=st.text(max_size=12), data=st.data())
@settings(max_examples=400, deadline=None)
def test_whatever_is_asked_for_lies_in_the_output_folder_or_is_refused(key, text, data):
    holes = holes_of(NAMES.pattern(key))
    filled = {hole: data.draw(st.sampled_from([*CHOICES[hole], text, text + CHOICES[hole][0]])) for hole in holes}
    try:
        path = NAMES.path(key, **filled)
    except InputError:
        return
    resolved = Path(os.path.normpath(path))
    assert resolved == path
    assert resolved.is_relative_to(NAMES.output_dir)
    assert not any(part.startswith(("-", ".")) for part in path.relative_to(NAMES.output_dir).parts)


@pytest.mark.parametrize("key", WITH_HOLES)
def test_a_name_that_no_file_system_takes_is_told(key):
    holes = holes_of(NAMES.pattern(key))
    filled = {hole: CHOICES[hole][0] for hole in holes}
    filled[holes[-1]] += "x" * 300
    with pytest.raises(InputError, match="and a file name holds 255"):
        NAMES.path(key, **filled)


@pytest.mark.parametrize("key", FIGURES)
@pytest.mark.parametrize("hostile", ["../x", "sub-01/../../x", "/etc/x", "a b", "$(x)"])
def test_figures_are_as_strict(key, hostile):
    holes = {hole: CHOICES[hole][0] for hole in holes_of(FIGURES[key]) if hole != "space"}
    for hole in holes:
        with pytest.raises(InputError, match="cannot be part of a file name"):
            NAMES.figure(key, **holes | {hole: hostile})


@pytest.mark.parametrize("hostile", ["../x", "/etc/", "func/../../x", "$(x)/"])
def test_figures_of_groups_are_as_strict(hostile):
    with pytest.raises(InputError, match="cannot be part of a file name"):
        NAMES.group_figure("group_matrices_figure", hostile, atlas="atlas-X")
    with pytest.raises(InputError, match="cannot be part of a file name"):
        NAMES.group_figure("group_matrices_figure", "func/", atlas=hostile)


@given(st.dictionaries(st.sampled_from(list(ENTITIES)), st.text("abzABZ019+", min_size=1, max_size=8), min_size=1))
def test_every_pattern_gives_back_the_entities_of_any_recording(entities):
    entities = {"subject": "01", "task": "rest"} | {k: v for k, v in entities.items() if k in list(ENTITIES)[:9]}
    series = f"sub-{entities['subject']}/func/{stem(entities)}"
    for key in ("timeseries", "pearson", "ec", "weights"):
        path = NAMES.path(key, series=series, atlas="atlas-X_scale-9", model="ridgevar")
        parts, _, _ = split_name(path.name)
        assert {long: parts[ENTITIES[long]] for long in entities} == entities
        assert (parts["atlas"], parts["scale"]) == ("X", "9")


@pytest.mark.parametrize(
    "name",
    ["sub-01_bold.nii.gz", "-rf", "sub-01", "sub-_bold.nii", "sub-01_a b.nii", "sub-01_a\nb.nii", "sub-\u0430_T1w.nii"],
)
def test_names_of_inputs(name):
    assert (name_fault(name) is None) == (name == "sub-01_bold.nii.gz")


def test_what_would_move_the_cursor_is_not_printed():
    assert printable("a\x1b[2Jb\nc") == "a\ufffd[2Jb\ufffdc"
