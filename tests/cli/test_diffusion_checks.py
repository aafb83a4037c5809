import pytest

from bids_ai.cli.diffusion_checks import program_faults
from bids_ai.config import Config

DENOISING = ["dwidenoise", "mrdegibbs"]
TRACKING = ["tckgen", "5tt2gmwmi"]


@pytest.mark.parametrize(
    ("there", "refused"),
    [
        ([], ["dwi.engine", "structural_connectivity.engine"]),
        (DENOISING, ["structural_connectivity.engine"]),
        (TRACKING, ["dwi.engine"]),
        ([*DENOISING, *TRACKING], []),
    ],
)
def test_each_engine_is_refused_for_want_of_its_own_programs(tmp_path, monkeypatch, there, refused):
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    asked = Config.model_validate({"dwi": {"engine": "mrtrix3"}, "structural_connectivity": {"engine": "mrtrix3"}})
    assert [fault.partition(":")[0] for fault in program_faults(asked)] == refused
    assert program_faults(Config()) == []
