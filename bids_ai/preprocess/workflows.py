"""How our nipype workflows run: in this process, and with the data's faults told as such."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bids_ai.errors import InputError

#: nipype wraps the exception of a node in a report; ours is found again by its name.
_REMARK = "bids_ai.errors.InputError: "


def new_workflow(name: str, work_dir: Path) -> Any:
    """Make an empty workflow whose nodes and crash reports go to `work_dir`."""
    # The package of our nodes first: it switches nipype's telemetry off.
    import bids_ai.preprocess.interfaces  # isort: skip # noqa: F401
    from nipype.pipeline import engine as pe

    workflow = pe.Workflow(name, base_dir=str(work_dir))
    workflow.config["execution"] = {
        "crashdump_dir": str(work_dir / "crash"),
        "crashfile_format": "txt",
        "stop_on_first_crash": "true",
        "remove_unnecessary_outputs": "false",
    }
    return workflow


def run_workflow(workflow: Any) -> dict[str, Any]:
    """Run in this process.

    Returns
    -------
    dict
        Result of each node by its name.

    Raises
    ------
    InputError
        As raised inside a node.
    """
    before = Path.cwd()
    try:
        graph = workflow.run(plugin="Linear")
    except Exception as error:
        text = str(error)
        if _REMARK in text:
            raise InputError(text.rsplit(_REMARK, 1)[1].strip()) from error
        raise
    finally:
        os.chdir(before)  # a failed node leaves the process in its folder
    return {node.name: node.result for node in graph.nodes()}
