import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from bids_ai.config import LOCATION_KEYS, Config, build, json_schema, load, read_yaml
from bids_ai.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"parcelation": {}}, "unknown key 'parcelation': did you mean 'parcellation'?"),
        ({"func": {"high_pass": 0.01}}, "unknown key 'func.high_pass': did you mean 'high_pass_hz'?"),
        ({"anat": {"template": {"t1": "x"}}}, "unknown key 'anat.template.t1': did you mean 't1w'?"),
        ({"zzzz": 1}, "unknown key 'zzzz': known here: random_seed, device, sloppy, anat"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(values, words):
    with pytest.raises(UsageError) as caught:
        build(values, "my.yaml")
    assert str(caught.value).startswith("my.yaml cannot be used:\n")
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"random_seed": "x"}, "random_seed: Input should be a valid integer"),
        ({"random_seed": -1}, "random_seed: Input should be greater than or equal to 0 (got -1)"),
        ({"device": "tpu"}, "device: Input should be 'auto', 'cpu' or 'cuda' (got 'tpu')"),
        ({"parcellation": {"min_coverage": 1.5}}, "less than or equal to 1"),
        ({"parcellation": {"atlases": []}}, "at least 1 item"),
        ({"parcellation": {"atlases": "EqualVolume:100"}}, "parcellation.atlases: Input should be a valid list"),
        ({"func": {"confounds": "99p"}}, "func.confounds: Input should be '24p+acompcor'"),
        ({"func": {"fd_threshold_mm": 0}}, "greater than 0"),
        ({"func": {"high_pass_hz": float("inf")}}, "finite number"),
        ({"effective_connectivity": {"horizon_s": float("nan")}}, "effective_connectivity.horizon_s"),
        ({"anat": {"template": {"t1w": "a.nii"}}}, "missing: mask, space"),
        ({"anat": {"template": {"gm": "a.nii"}}}, "missing: mask, space, t1w"),
        ({"parcellation": None}, "parcellation: "),
        ({1: 2}, "1"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(values, words):
    with pytest.raises(UsageError) as caught:
        build(values, "my.yaml")
    assert words in str(caught.value)


def test_all_faults_come_in_one_message():
    with pytest.raises(UsageError) as caught:
        build({"random_sed": 1, "device": "tpu", "func": {"confounds": 3}}, "my.yaml")
    assert str(caught.value).count("\n  - ") == 3


def test_defaults_are_valid_and_places_are_no_settings():
    assert build({}, "x") == Config()
    assert build(dict.fromkeys(LOCATION_KEYS, "x"), "x") == Config()
    assert build({"random_seed": 3, "func": {"fd_threshold_mm": None}}, "x").func.fd_threshold_mm is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [1", "is not valid YAML"),
        (b"- 1\n- 2\n", "must hold 'key: value' settings"),
        (b"just words", "must hold 'key: value' settings"),
        (b"a: \xff\xfe", "cannot be read"),
        (b"random_seed: 1\x00", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, content, words):
    (tmp_path / "my.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=r"my\.yaml") as caught:
        load(tmp_path / "my.yaml")
    assert words in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "absent.yaml")
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path)


def test_yaml_json_and_nothing_can_be_read(tmp_path):
    (tmp_path / "empty.yaml").write_text("# only a comment\n")
    assert load(tmp_path / "empty.yaml") == Config()
    (tmp_path / "x.json").write_text('{"device": "cpu"}')
    assert load(tmp_path / "x.json").device == "cpu"
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfdevice: cpu\n")
    assert load(tmp_path / "bom.yaml").device == "cpu"


def test_a_resolved_configuration_passes_the_schema_of_the_workflow():
    settings = Config().model_dump(mode="json") | dict.fromkeys(LOCATION_KEYS, "x") | {"assemble_reports": True}
    jsonschema.validate(yaml.safe_load(yaml.safe_dump(settings)), json_schema())
    with pytest.raises(jsonschema.ValidationError, match="parcelation"):
        jsonschema.validate(settings | {"parcelation": {}}, json_schema())


def test_the_shipped_configuration_holds_the_defaults():
    assert load(ROOT / "config" / "config.yaml") == Config()
    assert set(read_yaml(ROOT / "config" / "config.yaml")) == set(Config.model_fields)


def test_exported_files_are_up_to_date():
    done = subprocess.run(
        [sys.executable, "tools/export_config.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_an_outdated_file_is_noticed(tmp_path):
    """The check above can fail: the same script on a copy with one default changed."""
    for name in ("config/config.yaml", "config/README.md", "workflow/schemas/config.schema.json"):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((ROOT / name).read_text())
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/export_config.py").write_text((ROOT / "tools/export_config.py").read_text())
    config = tmp_path / "config/config.yaml"
    config.write_text(config.read_text().replace("sloppy: false", "sloppy: true"))
    done = subprocess.run(
        [sys.executable, "tools/export_config.py", "--check"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("config/config.yaml is out of date")


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12)]
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB + "\nfunc: *a11\n", "once its aliases are followed"),
        ("func: &x {a: *x}\n", "once its aliases are followed"),
        ("device: " + "[" * 60 + "]" * 60, "levels"),
        ("device: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("device: 2024-13-45\n", "month must be in 1..12"),
        ("device: !!timestamp x\n", "is not valid YAML"),
        ("device: !!python/object/apply:os.system ['touch pwned']\n", "could not determine a constructor"),
    ],
)
def test_settings_that_are_made_to_break_the_reader_are_refused(tmp_path, text, words):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"my\.yaml") as caught:
        load(tmp_path / "my.yaml")
    assert words in str(caught.value)
    assert len(str(caught.value)) < 10_000


def test_an_alias_that_is_used_twice_is_read(tmp_path):
    (tmp_path / "my.yaml").write_text(
        "eeg: {low_pass_hz: &x 40.0}\nieeg: {}\nfunc: {high_pass_hz: 0.01}\nrandom_seed: 3\n"
    )
    assert load(tmp_path / "my.yaml").eeg.low_pass_hz == 40.0
