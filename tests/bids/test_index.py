from dataclasses import replace

import pytest

from bids_ai.bids.index import Anatomy, AtlasEntry, Fit, Index, Recording, Skipped, make_fits

VOLUME = AtlasEntry("atlas-EqualVolume_scale-20", "EqualVolume:20")


def recording(label: str = "01", run: str | None = None, **fields) -> Recording:
    item = f"sub-{label}/func/sub-{label}_task-rest" + (f"_run-{run}" if run else "")
    space = fields.get("space")
    given = {
        "item": item,
        "series": f"{item}_space-{space}" if space else item,
        "subject": f"sub-{label}",
        "session": None,
        "task": "rest",
        "run": run,
        "engine": "builtin",
        "tr": 2.0,
        "source": f"/data/{item}_bold.nii.gz",
    }
    return Recording(**given | fields)


def other_tool(label: str, atlas: str, run: str | None = None) -> Recording:
    source = f"/xcpd/sub-{label}_run-{run}_{atlas}.tsv"
    return recording(label, run, engine="timeseries", atlas=atlas, space="MNI152NLin2009cAsym", source=source)


def index_of(*recordings: Recording, atlases=(VOLUME,), **fields) -> Index:
    return Index(
        "/data",
        "Tiny",
        "MNI152NLin2009aSym",
        recordings=list(recordings),
        fits=make_fits(list(recordings), pool_runs=True),
        atlases=list(atlases),
        **fields,
    )


def test_what_is_saved_is_loaded(tmp_path):
    index = index_of(
        recording("01", "1", slice_timing=(0.0, 1.25), slice_encoding="k", unused=("a", "b"), session="é"),
        recording("01", "2", slice_timing=None, anat="sub-01/anat/sub-01", start_time=0.5),
        other_tool("02", "atlas-4S"),
        atlases=[VOLUME, AtlasEntry("atlas-4S", "", "series")],
        anatomies=[Anatomy("sub-01/anat/sub-01", "sub-01", "/data/T1w.nii.gz", ("other.nii",))],
        skipped=[Skipped("sub-03", "subject", "nothing", fault=False)],
        derivatives={"xcpd": "/xcpd"},
    )
    index.save(tmp_path / "index.json")
    loaded = Index.load(tmp_path / "index.json")
    assert loaded == index
    assert loaded.recordings[0].slice_timing == (0.0, 1.25)
    assert loaded.fits == index.fits
    assert loaded.subjects == ["sub-01", "sub-02", "sub-03"]


def test_runs_are_pooled_and_single_runs_are_not():
    fits = make_fits([recording("01", "1"), recording("01", "2"), recording("02")], pool_runs=True)
    one, two, three = "sub-01/func/sub-01_task-rest_run-1", "sub-01/func/sub-01_task-rest_run-2", "sub-02/func/sub-02"
    assert fits == [
        Fit(one, (one,), "sub-01"),
        Fit(two, (two,), "sub-01"),
        Fit(f"{three}_task-rest", (f"{three}_task-rest",), "sub-02"),
        Fit("sub-01/func/sub-01_task-rest", (one, two), "sub-01", pooled=True),
    ]
    assert [fit.name for fit in fits] == [
        "sub-01_task-rest_run-1",
        "sub-01_task-rest_run-2",
        "sub-02_task-rest",
        "sub-01_task-rest_desc-pooled",
    ]
    assert make_fits([recording("01", "1"), recording("01", "2")], pool_runs=False) == fits[:2]


@pytest.mark.parametrize("different", [{"tr": 1.0}, {"space": "MNI152NLin6Asym"}, {"task": "nback"}, {"task": None}])
def test_runs_that_a_lag_cannot_join_are_not_pooled(different):
    fits = make_fits([recording("01", "1"), recording("01", "2", **different)], pool_runs=True)
    assert len(fits) == 2
    assert not any(fit.pooled for fit in fits)


def test_runs_without_region_series_are_not_pooled():
    runs = [recording("01", run, resting=run != "2") for run in "123"]
    pooled = [fit.recordings for fit in make_fits(runs, pool_runs=True) if fit.pooled]
    assert pooled == [(runs[0].series, runs[2].series)]
    assert not any(fit.pooled for fit in make_fits(runs[:2], pool_runs=True))


def test_pooling_crosses_sessions():
    visits = [recording("01", series=f"s{n}", session=n) for n in ("1", "2")]
    [*_, pooled] = make_fits(visits, pool_runs=True)
    assert pooled == Fit("sub-01/func/sub-01_task-rest", ("s1", "s2"), "sub-01", pooled=True)


def test_one_name_is_one_pooled_fit():
    """Two protocols with several runs each would be pooled under one file name: the larger group has it."""
    runs = [recording("01", str(n), tr=0.8 if n > 2 else 2.0) for n in range(1, 6)]
    pooled = [fit for fit in make_fits(runs, pool_runs=True) if fit.pooled]
    assert [fit.recordings for fit in pooled] == [tuple(run.series for run in runs[2:])]
    # 1 / SamplingFrequency need not be the last digit of RepetitionTime.
    nearly = [recording("01", "1", tr=0.72), recording("01", "2", tr=1 / 1.3888888888888888)]
    assert any(fit.pooled for fit in make_fits(nearly, pool_runs=True))


def test_lookups():
    run = recording("01", "1", space="MNI152NLin6Asym", engine="fmriprep")
    anatomy = Anatomy("sub-01/anat/sub-01", "sub-01", "/data/T1w.nii.gz")
    index = index_of(run, anatomies=[anatomy])
    assert index.recording(run.item) is run
    assert index.recording(run.series) is run
    assert index.anatomy(anatomy.item) is anatomy
    assert index.atlas(VOLUME.label) is VOLUME
    assert index.fit(run.series, "").recordings == (run.series,)
    with pytest.raises(KeyError):
        index.fit(run.series, "_desc-pooled")


def test_series_of_another_tool_in_several_atlases_are_told_apart():
    """XCP-D writes a table per atlas for the same run."""
    runs = [other_tool("01", atlas, run) for atlas in ("atlas-A", "atlas-B") for run in ("1", "2")]
    atlases = [AtlasEntry("atlas-A", "", "series"), AtlasEntry("atlas-B", "", "series")]
    index = index_of(*runs, atlases=atlases)
    series = runs[0].series
    assert index.recording(series, "atlas-A").source.endswith("run-1_atlas-A.tsv")
    assert index.recording(series, "atlas-B").source.endswith("run-1_atlas-B.tsv")
    assert [(entry.atlas, atlas.label) for entry, atlas in index.pairs()] == [
        (label, label) for label in ("atlas-A", "atlas-A", "atlas-B", "atlas-B")
    ]
    for atlas in atlases:
        fits = index.fits_of(atlas)
        assert [fit.pooled for fit in fits] == [False, False, True]
        assert {fit.atlas for fit in fits} == {atlas.label}
        assert index.fit(series, "", atlas.label) == fits[0]
        [group] = index.batches(atlas, 16).values()
        assert group == fits


def test_both_kinds_of_recordings_side_by_side():
    own, foreign = recording("01", space="MNI152NLin2009cAsym", engine="fmriprep"), other_tool("01", "atlas-A")
    assert own.series == foreign.series
    index = index_of(own, foreign, atlases=[VOLUME, AtlasEntry("atlas-A", "", "series")])
    assert index.recording(own.series, VOLUME.label) is own
    assert index.recording(own.series, "atlas-A") is foreign
    assert [len(index.fits_of(atlas)) for atlas in index.atlases] == [1, 1]


def test_an_atlas_volume_is_not_laid_on_series():
    series = AtlasEntry("atlas-A", "", "series")
    assert Index.applies(recording(), VOLUME)
    assert not Index.applies(recording(), series)
    assert not Index.applies(other_tool("01", "atlas-A"), VOLUME)
    assert not Index.applies(other_tool("01", "atlas-B"), series)


def test_batches_hold_all_fits_once_and_keep_their_names():
    labels = [f"{n:02d}" for n in range(1, 8)]
    index = index_of(*(recording(label) for label in labels))
    batches = index.batches(VOLUME, 3)
    assert [len(group) for group in batches.values()] == [3, 3, 1]
    assert [fit for group in batches.values() for fit in group] == index.fits
    assert list(index.batches(VOLUME, 3)) == list(batches)
    # One more subject at the end leaves the full batches as they are: nothing of them is fitted again.
    longer = index_of(*(recording(label) for label in [*labels, "08"]))
    assert list(longer.batches(VOLUME, 3))[:2] == list(batches)[:2]
    assert list(longer.batches(VOLUME, 3))[2] != list(batches)[2]


def test_without_some_recordings():
    one, two, three = (recording("01", str(n)) for n in (1, 2, 3))
    gone = Anatomy("sub-09/anat/sub-09", "sub-09", "/data/T1w.nii.gz")
    index = index_of(one, two, three, recording("02"), anatomies=[gone], skipped=[Skipped("sub-03", "x", "y")])
    less = index.without({three.series, "sub-02/func/sub-02_task-rest"}, {gone.item})
    assert less.recordings == [one, two]
    assert less.anatomies == []
    assert [fit.recordings for fit in less.fits if fit.pooled] == [(one.series, two.series)]
    assert less.skipped == index.skipped
    assert not any(fit.pooled for fit in index.without({one.series, two.series}, set()).fits)
    assert index.recordings[-1].subject == "sub-02"


def test_subjects_are_all_that_there_is_to_tell_of():
    index = index_of(recording("02"), skipped=[Skipped("sub-01", "x", "y"), Skipped("", "dataset", "z")])
    assert index.subjects == ["sub-01", "sub-02"]
    assert replace(index, recordings=[]).subjects == ["sub-01"]


def test_modalities_are_neither_pooled_nor_fitted_together():
    bold = [recording("01", "1"), recording("01", "2")]
    electric = [
        recording(
            "01", run, item=f"sub-01/eeg/sub-01_task-rest_run-{run}", series=f"sub-01/eeg/sub-01_task-rest_run-{run}"
        )
        for run in ("1", "2")
    ]
    electric = [replace(entry, modality="eeg", tr=0.004) for entry in electric]
    index = index_of(*bold, *electric)
    pooled = [fit for fit in index.fits if fit.pooled]
    assert [fit.series for fit in pooled] == ["sub-01/func/sub-01_task-rest", "sub-01/eeg/sub-01_task-rest"]
    assert [index.modality(fit) for fit in pooled] == ["bold", "eeg"]
    # One recording of each may bear the same BIDS name.
    assert len({fit.name for fit in index.fits}) == len(index.fits) == 6
    batches = index.batches(VOLUME, 16).values()
    assert [{index.modality(fit) for fit in fits} for fits in batches] == [{"bold"}, {"eeg"}]
