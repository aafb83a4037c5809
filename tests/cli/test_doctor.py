"""``bids-ai doctor`` in this environment, and in environments from which something was taken."""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from bids_ai import __version__
from bids_ai.cli import doctor_atlases, doctor_machine, doctor_software
from bids_ai.cli.doctor import table
from bids_ai.cli.doctor_findings import Finding
from tests.cli.test_help import CALL, HEAVY
from tests.conftest import call_bids_ai, call_program, write_tree

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(find_spec("numpy").origin).parents[1]


def findings(answer):
    return {entry["name"]: entry for entry in json.loads(answer.out)["Findings"]}


def examine(*arguments, **env):
    """Call the doctor; its exit code and its findings by name."""
    answer = call_bids_ai("doctor", "--json", *arguments, env=env)
    assert answer.out, answer.err
    assert json.loads(answer.out)["Possible"] == (answer.code == 0)
    return answer.code, findings(answer)


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


# ---- this environment


def test_versions_are_those_that_are_installed():
    code, found = examine()
    assert code == 0
    for name in doctor_software.SHOWN:
        assert found[name]["value"] == importlib.metadata.version(name)
    assert found["Python"]["value"] == platform.python_version()
    assert found["bids_ai"]["value"] == __version__
    required = [text for text in importlib.metadata.requires("bids-ai") if "extra ==" not in text]
    assert len(found["other libraries"]["value"]) == len(required) - len(doctor_software.SHOWN)
    assert {entry["state"] for entry in found.values()} <= {"ok", "absent", "note"}


def test_the_machine_is_described_as_the_system_does(tmp_path):
    _, found = examine("--dir", tmp_path / "not yet there")
    assert 1 <= found["cores"]["value"] <= os.cpu_count()
    total = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    assert found["memory"]["value"] <= total * 1.001
    # Others write to the same disk while this runs.
    assert found["work folder"]["value"] == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
    assert str(tmp_path / "not yet there") in found["work folder"]["found"]
    assert not (tmp_path / "not yet there").exists()


def test_no_library_is_imported_to_tell_its_version():
    call = CALL.format(arguments=["doctor"]).replace("main(", "assert not main(")
    modules = call_program(sys.executable, "-c", call).out.partition("MODULES ")[2].split()
    assert "bids_ai.cli.doctor_atlases" in modules
    # numpy comes with what reads JSON; it takes a tenth of a second.
    assert {name.partition(".")[0] for name in modules} & (HEAVY - {"numpy"}) == set()


def test_every_finding_has_a_line_and_what_is_missing_its_cost():
    answer = call_bids_ai("doctor", env={"PATH": "/nowhere"})
    _, found = examine(PATH="/nowhere")
    for name, entry in found.items():
        assert re.search(rf"^  (ok|-|!)\s+{re.escape(name)}  ", answer.out, re.MULTILINE)
        assert bool(entry["cost"]) == bool(entry["remedy"]) == (entry["state"] != "ok")
        assert entry["cost"][:60] in answer.out
    assert answer.out.endswith("\nA run is possible here.\n")


def test_what_it_says_of_the_code_is_so():
    from bids_ai.connectome.tracking_mrtrix3 import _PROGRAMS
    from bids_ai.parcellation.registry import registered_names
    from bids_ai.preprocess.dwi_inputs import MRTRIX3_PROGRAMS

    told = {program.name: program.commands for program in doctor_software.PROGRAMS}
    assert told["MRtrix3, denoising"] == MRTRIX3_PROGRAMS
    assert told["MRtrix3, tractography"] == _PROGRAMS
    assert registered_names() == doctor_atlases.MADE_HERE
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    asked = [int(number) for number in re.findall(r"(?:mem_mb|base_mb)=(?:plan\.memory\(base_mb=)?(\d+)", rules)]
    assert max(asked) == doctor_machine.LARGEST_JOB_MB


# ---- programs


def test_programs_that_are_not_there_are_named_with_their_cost(tmp_path):
    code, found = examine(PATH=str(tmp_path))
    assert code == 0
    assert found["MRtrix3, denoising"]["found"] == "not on PATH: dwidenoise, mrdegibbs"
    assert "Gibbs ringing stays" in found["MRtrix3, denoising"]["cost"]
    assert "tracked by dipy" in found["MRtrix3, tractography"]["cost"]
    for name in ("MRtrix3, denoising", "MRtrix3, tractography", "Apptainer", "Slurm client"):
        assert found[name]["state"] == "absent"


def test_programs_on_path_tell_their_version(tmp_path):
    script(tmp_path / "sbatch", "echo slurm 23.11.4")
    script(tmp_path / "singularity", "echo singularity-ce version 4.1.0")
    script(tmp_path / "tckgen", "echo '== tckgen 3.0.4 =='")
    script(tmp_path / "5tt2gmwmi", "echo")
    script(tmp_path / "dwidenoise", "echo '== dwidenoise 3.0.4 =='")
    _, found = examine(PATH=str(tmp_path))
    assert found["Slurm client"]["value"] == "23.11.4"
    assert found["Apptainer"]["found"] == "4.1.0 (singularity)"
    assert found["MRtrix3, tractography"]["value"] == "3.0.4"
    assert found["MRtrix3, denoising"]["found"] == "not on PATH: mrdegibbs"


def test_a_program_that_hangs_or_fails_is_there_without_a_version(tmp_path, monkeypatch):
    script(tmp_path / "sbatch", "exit 1")
    script(tmp_path / "apptainer", "exec sleep 30")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(doctor_software, "_PATIENCE_S", 0.2)
    found = {entry.name: entry for entry in doctor_software.programs()}
    assert found["Slurm client"].found == "version unknown (sbatch)"
    assert found["Apptainer"].found == "version unknown (apptainer)"


# ---- libraries


def environment_without(folder, *missing):
    """A folder of links to every installed library but some, for PYTHONPATH of a Python without its own libraries."""
    folder.mkdir()
    for path in SITE.iterdir():
        if path.name.lower().partition(".")[0].partition("-")[0] not in missing:
            (folder / path.name).symlink_to(path)
    return f"{folder}:{ROOT}"


def bare_python(path, *arguments):
    return call_program(sys.executable, "-S", "-m", "bids_ai", "doctor", *arguments, env={"PYTHONPATH": path})


@pytest.mark.parametrize("missing", ["dipy", "numpy", "yaml"])
def test_a_library_that_is_missing_is_broken_and_the_rest_is_told(tmp_path, missing):
    distribution = {"yaml": "pyyaml"}.get(missing, missing)
    path = environment_without(tmp_path / "site", missing, distribution)
    answer = bare_python(path, "--json")
    assert answer.code == 1, answer.text
    found = findings(answer)
    assert found[distribution]["state"] == "broken"
    assert found[distribution]["remedy"].startswith(f"pip install '{distribution}>=")
    assert found["torch"]["value"] == importlib.metadata.version("torch")
    assert found["cores"]["state"] == "ok"
    assert f"No run is possible here: {distribution}" in bare_python(path).out


def test_the_same_environment_without_a_loss_is_whole(tmp_path):
    answer = bare_python(environment_without(tmp_path / "site"), "--json")
    assert answer.code == 0, answer.text


def test_a_library_that_is_too_old_is_broken(tmp_path):
    metadata = "Metadata-Version: 2.1\nName: dipy\nVersion: 1.2.0\n"
    folder = write_tree(tmp_path / "old", {"dipy-1.2.0.dist-info/METADATA": metadata})
    code, found = examine(PYTHONPATH=str(folder))
    assert code == 1
    assert found["dipy"]["found"].startswith("1.2.0, older than 1.")


def fakes(folder, modules):
    """An environment in which bids_ai depends on a few modules of one line."""
    requires = "".join(f"Requires-Dist: {name}>=1.0\n" for name in modules)
    files = {"bids_ai-0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: bids-ai\nVersion: 0\n{requires}"}
    for name, content in modules.items():
        files[f"{name}.py"] = content
        files[f"{name}-1.0.dist-info/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    return write_tree(folder, files)


def test_imports_that_fail_are_told_with_their_reason(tmp_path):
    modules = {"first": "", "second": "raise OSError('libgomp.so.1: cannot open')", "third": ""}
    code, found = examine("--imports", PYTHONPATH=str(fakes(tmp_path / "site", modules)))
    assert code == 1
    assert "libgomp.so.1: cannot open" in found["import second"]["found"]
    assert not {"import first", "import third", "imports"} & set(found)
    assert "imports" not in examine(PYTHONPATH=str(tmp_path / "site"))[1]


def test_an_import_that_ends_the_process_is_told(tmp_path):
    modules = {"first": "", "second": "import os; os.kill(os.getpid(), 11)", "third": ""}
    code, found = examine("--imports", PYTHONPATH=str(fakes(tmp_path / "site", modules)))
    assert code == 1
    assert found["import second"]["found"] == "fails: the process ended with -11"


def test_imports_that_work_are_told(tmp_path):
    code, found = examine("--imports", PYTHONPATH=str(fakes(tmp_path / "site", {"first": "", "second": ""})))
    assert code == 0
    assert found["imports"]["found"] == "all 2 libraries"


# ---- folders


def test_without_a_temporary_folder_no_run_is_possible():
    """No file may grow, so that nothing can be written anywhere; Python itself tries them all."""
    command = f"ulimit -f 0; exec {sys.executable} -B -m bids_ai doctor --json"
    answer = call_program("bash", "-c", command)
    assert answer.code == 1, answer.text
    assert findings(answer)["temporary folder"]["state"] == "broken"


def test_a_temporary_folder_that_is_passed_over_is_told(tmp_path):
    code, found = examine(TMPDIR=str(tmp_path / "none"))
    assert code == 0
    assert found["temporary folder"]["state"] == "note"
    assert f"instead of TMPDIR={tmp_path / 'none'}" in found["temporary folder"]["cost"]
    assert examine(TMPDIR=str(tmp_path))[1]["temporary folder"]["state"] == "ok"


def test_a_home_that_cannot_be_written_is_told():
    code, found = examine(HOME="/proc/self")
    assert code == 0
    assert found["home"]["state"] == "note"
    assert "MPLCONFIGDIR" in found["home"]["remedy"]


def test_a_folder_that_cannot_be_written_is_broken(tmp_path):
    (tmp_path / "file").write_text("")
    code, found = examine("--dir", tmp_path / "file" / "out")
    assert code == 1
    assert "is a file" in found["work folder"]["found"]


def test_a_full_disk_is_broken(tmp_path):
    inside = f"mount -t tmpfs -o size=10m none {tmp_path} && exec {sys.executable} -m bids_ai doctor --json"
    if not shutil.which("unshare") or call_program("unshare", "-rm", "mount", "-t", "tmpfs", "none", tmp_path).code:
        pytest.skip("needs a system on which a user may mount in a namespace")
    answer = call_program("unshare", "-rm", "sh", "-c", f"{inside} --dir {tmp_path}", env={"TMPDIR": str(tmp_path)})
    assert answer.code == 1, answer.text
    assert "only 10 MB are free" in findings(answer)["work folder"]["found"]
    assert findings(answer)["temporary folder"]["state"] == "note"


# ---- GPU


def with_gpu(folder, answer="echo 'NVIDIA H200, 143771, 570.86.15'"):
    script(folder / "bin" / "nvidia-smi", answer)
    return f"{folder / 'bin'}:/usr/bin:/bin"


def torch_of(folder, cuda, init):
    """A torch of a few lines, with the file of versions of the real one."""
    return write_tree(
        folder,
        {
            "torch/version.py": f"from typing import Optional\n__version__ = '2'\ncuda: Optional[str] = {cuda!r}\n",
            "torch/__init__.py": f"class cuda:\n    init = staticmethod(lambda: {init})\n"
            "    device_count = staticmethod(lambda: 1)\n    get_device_name = staticmethod(lambda n: 'NVIDIA H200')\n",
        },
    )


def test_without_a_driver_there_is_no_gpu(tmp_path):
    _, found = examine(PATH=str(tmp_path))
    if Path("/proc/driver/nvidia/version").is_file():
        pytest.skip("there is a driver here")
    assert found["NVIDIA GPU"]["found"] == "no driver (no nvidia-smi on PATH)"
    assert "GPU in torch" not in found


def test_the_build_of_torch_is_that_of_torch():
    import torch

    from bids_ai.cli.doctor_gpu import torch_build

    assert torch_build() == (f"CUDA {torch.version.cuda} build" if torch.version.cuda else "CPU build")


def test_a_gpu_that_a_cpu_build_of_torch_cannot_see(tmp_path):
    path = f"{torch_of(tmp_path / 'site', None, None)}"
    code, found = examine(PATH=with_gpu(tmp_path), PYTHONPATH=path)
    assert code == 0
    assert found["NVIDIA GPU"]["found"] == "NVIDIA H200, 140 GiB, driver 570.86.15"
    assert found["GPU in torch"]["found"] == "torch does not see it: CPU build"
    assert "the CUDA build of torch" in found["GPU in torch"]["remedy"]


def test_a_gpu_whose_driver_is_too_old_for_torch(tmp_path):
    site = torch_of(tmp_path / "site", "12.8", "(_ for _ in ()).throw(RuntimeError('driver is too old (found 11040)'))")
    _, found = examine(PATH=with_gpu(tmp_path), PYTHONPATH=str(site))
    assert found["torch"]["found"].endswith("(CUDA 12.8 build)")
    assert found["GPU in torch"]["found"] == "torch does not see it: driver is too old (found 11040)"
    assert "CUDA 12.8" in found["GPU in torch"]["remedy"]


def test_a_gpu_that_is_hidden_from_torch(tmp_path):
    site = torch_of(tmp_path / "site", "12.8", "(_ for _ in ()).throw(RuntimeError('No CUDA GPUs are available'))")
    _, found = examine(PATH=with_gpu(tmp_path), PYTHONPATH=str(site), CUDA_VISIBLE_DEVICES="")
    assert "unset CUDA_VISIBLE_DEVICES" in found["GPU in torch"]["remedy"]


def test_a_gpu_that_torch_sees(tmp_path):
    site = torch_of(tmp_path / "site", "12.8", None)
    _, found = examine(PATH=with_gpu(tmp_path), PYTHONPATH=str(site))
    assert found["GPU in torch"]["found"] == "seen: 1 NVIDIA H200"


def test_a_driver_that_does_not_answer_is_told(tmp_path):
    path = with_gpu(tmp_path, "echo 'NVIDIA-SMI has failed because it could not reach the driver.'; exit 9")
    _, found = examine(PATH=path)
    assert found["NVIDIA GPU"]["found"] == "nvidia-smi: NVIDIA-SMI has failed because it could not reach the driver."


# ---- atlases


def test_fetched_atlases_are_told(tmp_path):
    from bids_ai.parcellation.fetched import volume_of
    from bids_ai.parcellation.published import published

    _, found = examine(BIDS_AI_ATLAS_DIR=str(tmp_path))
    assert found["fetched atlases"]["state"] == "absent"
    assert str(tmp_path) in found["fetched atlases"]["found"]
    volume = volume_of(published().resolve("Schaefer2018:100")[0], tmp_path)
    write_tree(volume.parent, {volume.name: None})
    assert examine(BIDS_AI_ATLAS_DIR=str(tmp_path))[1]["fetched atlases"]["value"] == ["Schaefer2018:100"]


def test_a_long_finding_is_wrapped_under_itself():
    lines = table([Finding("section", "name", "ok", "word " * 60)]).splitlines()
    assert max(map(len, lines)) <= 120
    assert all(line.startswith(" " * 16) for line in lines[-2:])
