import argparse
from pathlib import Path

import pytest

from bids_ai.cli import options
from bids_ai.cli.main import _split, build_parser
from bids_ai.cli.spelling import hyphens
from bids_ai.errors import UsageError

DATA = ["data", "out", "participant"]


def parsed(*arguments: str) -> argparse.Namespace:
    own, extra = _split(["run", *DATA, *arguments])
    return build_parser("run").parse_args(hyphens(own), argparse.Namespace(snakemake_args=extra))


def test_labels_lose_their_prefix():
    args = parsed(
        *("--participant-label", "sub-01", "02", "--exclude-participant-label", "sub-03"),
        *("--session-label", "ses-a", "--task-id", "task-rest", "--run-id", "run-1", "2"),
    )
    selection = options.selection(args)
    assert selection.participants == ["01", "02"]
    assert selection.excluded == ["03"]
    assert (selection.sessions, selection.tasks, selection.runs) == (["a"], ["rest"], ["1", "2"])


@pytest.mark.parametrize(
    ("spelling", "name", "value"),
    [
        (["--participant_label", "01"], "participant_label", ["01"]),
        (["--session-id", "a"], "session_label", ["a"]),
        (["--session_id", "a"], "session_label", ["a"]),
        (["--task_id", "a_b"], "task_id", ["a_b"]),
        (["--bids_filter_file=my_filter.json"], "bids_filter_file", Path("my_filter.json")),
        (["--n_cpus", "3"], "nprocs", 3),
        (["--nthreads", "3"], "nprocs", 3),
        (["--mem_mb", "3"], "mem_mb", 3),
        (["--mem", "3"], "mem_mb", 3),
        (["-w", "a_b"], "work_dir", Path("a_b")),
        (["--work_dir=a_b"], "work_dir", Path("a_b")),
        (["--gpu"], "device", "cuda"),
        (["--no_gpu"], "device", "cpu"),
        (["-vv"], "verbose", 2),
        (["-d", "fmriprep=my_prep"], "derivatives", ["fmriprep=my_prep"]),
        (["--notrack"], "notrack", True),
    ],
)
def test_spellings_that_users_of_other_apps_know(spelling, name, value):
    assert getattr(parsed(*spelling), name) == value


def test_what_follows_two_dashes_goes_to_snakemake_as_it_is():
    args = parsed("--sloppy", "--", "--rerun_triggers", "mtime", "--sloppy")
    assert args.snakemake_args == ["--rerun_triggers", "mtime", "--sloppy"]
    assert parsed().snakemake_args == []


def test_options_win_over_the_file(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("random_seed: 5\ndevice: cpu\nparcellation:\n  min_coverage: 0.7\n  atlases: [A]\n")
    config = options.configuration(parsed("--config-file", str(file), "--atlases", "B", "C", "--random-seed", "7"))
    assert config.random_seed == 7
    assert config.device == "cpu"
    assert config.parcellation.min_coverage == 0.7
    assert config.parcellation.atlases == ["B", "C"]
    assert config.surrogate.model == "auto"
    assert not config.sloppy
    assert options.configuration(parsed("--min-coverage", "0", "--sloppy", "--model", "mlp")).sloppy


def test_zero_is_a_value():
    config = options.configuration(parsed("--min-coverage", "0", "--random-seed", "0"))
    assert (config.parcellation.min_coverage, config.random_seed) == (0.0, 0)


@pytest.mark.parametrize("text", ["parcellation:\n", "parcellation: 3\n"])
def test_a_section_that_is_none_is_no_crash(tmp_path, text):
    file = tmp_path / "my.yaml"
    file.write_text(text)
    args = parsed("--config-file", str(file), "--atlases", "EqualVolume:20")
    if text.endswith("3\n"):
        with pytest.raises(UsageError, match="parcellation"):
            options.configuration(args)
    else:
        assert options.configuration(args).parcellation.atlases == ["EqualVolume:20"]


def test_files_are_found_from_anywhere(tmp_path, monkeypatch):
    """Jobs run in the work folder, so that a relative path would be looked for there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my atlas.nii.gz").touch()
    (tmp_path / "my.yaml").write_text(
        "anat:\n  template: {t1w: t.nii, mask: ./m.nii, space: MNI152NLin6Asym}\n"
        "structural_connectivity: {group: sc.tsv}\nprediction: {group_prior: prior.tsv}\n"
    )
    config = options.configuration(
        parsed("--atlases", "my atlas.nii.gz", "EqualVolume:20", "--atlas-table", "t.tsv", "--config-file", "my.yaml")
    )
    assert config.parcellation.atlases == [str(tmp_path / "my atlas.nii.gz"), "EqualVolume:20"]
    assert config.parcellation.table == tmp_path / "t.tsv"
    assert config.anat.template.t1w == tmp_path / "t.nii"
    assert config.anat.template.mask == tmp_path / "m.nii"
    assert config.structural_connectivity.group == tmp_path / "sc.tsv"
    assert config.prediction.group_prior == tmp_path / "prior.tsv"
    assert config.anat.template.space == "MNI152NLin6Asym"


@pytest.mark.parametrize("option", list(options.NOT_YET))
@pytest.mark.parametrize("values", [[], ["x", "y"]])
def test_options_of_later_versions_say_so(run_cli, tmp_path, option, values):
    answer = run_cli("run", tmp_path, tmp_path / "out", "participant", option, *values)
    assert answer.code == 2
    assert f"{option}: {options.NOT_YET[option]} is not there yet" in answer.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing was asked for. To begin: bids-ai run DATA OUT participant"),
        (["--verbose"], "required: COMMAND"),
        (["walk"], "There is no command 'walk'. There are run, index,"),
        (["run"], "required: bids_dir"),
        (["run", *DATA[:2], "subject"], "invalid choice: 'subject'"),
        (["run", *DATA, "--participants", "01"], "unrecognized arguments"),
        (["run", *DATA, "--device", "tpu"], "invalid choice: 'tpu'"),
        (["run", *DATA, "--nprocs", "many"], "invalid int value"),
        (["run", *DATA, "--gpu", "--no-gpu"], "not allowed with"),
    ],
)
def test_a_call_that_is_none_is_refused(run_cli, arguments, words):
    answer = run_cli(*arguments)
    assert answer.code == 2
    assert words in answer.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", 'must look like {"bold":'),
        ('{"bold": "rest"}', 'must look like {"bold":'),
        ('{"flair": {}}', "unknown kind flair; known are t1w, bold, dwi, eeg, ieeg and fmap"),
    ],
)
def test_a_filter_file_that_is_none_is_refused(tmp_path, content, words):
    (tmp_path / "filter.json").write_text(content)
    with pytest.raises(UsageError) as caught:
        options.selection(parsed("--bids-filter-file", str(tmp_path / "filter.json")))
    assert words in str(caught.value)


def test_a_filter_file_is_read(tmp_path):
    (tmp_path / "filter.json").write_text('{"bold": {"acquisition": null, "session": "*"}}')
    args = parsed("--bids-filter-file", str(tmp_path / "filter.json"))
    assert options.selection(args).filters == {"bold": {"acquisition": None, "session": "*"}}


@pytest.mark.parametrize("option", ["--participant-label", "--exclude-participant-label", "--session-id", "--run-id"])
def test_a_label_that_climbs_out_is_refused(option):
    with pytest.raises(UsageError, match=r"'\.\./x' is no BIDS label"):
        options.selection(parsed(option, "../x"))


def test_stages_are_words_that_exist(run_cli, tmp_path):
    for option in ("--stages", "--skip"):
        answer = run_cli("run", tmp_path, tmp_path / "out", "participant", option, "anatomy")
        assert answer.code == 2
        known = "anat, dwi, sc, func, eeg, ieeg, ccep, timeseries, fc, surrogate, ec, prediction"
        assert f"Unknown stage: anatomy. Stages are: {known}." in answer.err
