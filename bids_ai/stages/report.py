"""Reports: one page a subject from whatever is there, and a page over all. Depends on no rule of the workflow."""

from __future__ import annotations

import shlex
from pathlib import Path

from bids_ai import __version__
from bids_ai.bids.files import write_text
from bids_ai.bids.index import Index
from bids_ai.config import Config
from bids_ai.stages.context import Context
from bids_ai.stages.methods import steps_of
from bids_ai.stages.records import Failure, failures
from bids_ai.stages.summary import summarise

_LOG_LINES = 40
_MEMORY_WORDS = ("MemoryError", "Killed", "out of memory", "Cannot allocate", "bad_alloc")


def run(context: Context) -> None:
    """Assemble the reports of a run that was started with plain snakemake."""
    if context.assemble_reports:
        for page in assemble(context.config_file, failures(context.run_dir)):
            print(page)


def assemble(config_file: Path, failed: list[Failure]) -> list[Path]:
    """Assemble the pages of all subjects of a run, and the page over all.

    Parameters
    ----------
    config_file : Path
        Resolved configuration of the run.
    failed : list of Failure
        Jobs that did not end well.

    Returns
    -------
    list of Path
        One page per subject.
    """
    from bids_ai.report.assemble import assemble_index, assemble_subject
    from bids_ai.report.methods import methods_text, render_bibtex, render_markdown

    context = Context.load(config_file)
    pages = []
    for subject in context.index.subjects:
        pages.append(
            assemble_subject(
                context.output_dir,
                subject.removeprefix("sub-"),
                summary=summarise(context, subject, failed),
                errors=[_error(context, entry) for entry in failed if _concerns(context.index, entry, subject)],
                methods=methods_text(steps_of(context, [subject])),
                version=__version__,
                command=_command(context),
            )
        )
    methods = methods_text(steps_of(context, context.index.subjects))
    write_text(context.output_dir / "logs" / "CITATION.md", render_markdown(methods))
    write_text(context.output_dir / "logs" / "CITATION.bib", render_bibtex(methods))
    assemble_index(context.output_dir, _subjects_there(context.output_dir))
    return pages


def assemble_group(output_dir: Path) -> Path:
    """Write the page over all subjects of an output folder."""
    from bids_ai.report.assemble import assemble_index

    return assemble_index(output_dir, _subjects_there(output_dir))


def planned_methods(config: Config, index: Index) -> str:
    """Methods text of what has run so far for the subjects of an index."""
    from bids_ai.report.methods import methods_text, render_markdown

    nowhere = Path("/nonexistent")
    context = Context(config, index, nowhere, nowhere, nowhere)
    return render_markdown(methods_text(steps_of(context, index.subjects)))


def _subjects_there(output_dir: Path) -> list[str]:
    return sorted(page.stem.removeprefix("sub-") for page in output_dir.glob("sub-*.html"))


def _concerns(index: Index, failure: Failure, subject: str) -> bool:
    """Whether a failed job belongs to a subject; one of no subject (an atlas, a batch) concerns all."""
    subjects = {Path(value).parts[0] for value in failure.wildcards.values() if value.startswith("sub-")}
    return not subjects or subject in subjects


def _error(context: Context, failure: Failure) -> dict[str, object]:
    log = context.work_dir / "logs" / failure.stage / f"{_log_item(failure)}.log"
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:]) if log.is_file() else failure.traceback
    memory = any(word in tail or word in failure.message for word in _MEMORY_WORDS)
    return {
        "stage": failure.stage,
        "message": failure.message,
        "recording": failure.item,
        "cause": "out of memory" if memory else "",
        "advice": "Give the job more memory (--mem-mb, --low-mem) and start the same command again." if memory else "",
        "log": str(log),
        "log_tail": tail,
    }


def _log_item(failure: Failure) -> str:
    """Name of the log in the workflow: the wildcards in the order of the rule."""
    w = failure.wildcards
    model = f"_model-{w['model']}" if "model" in w else ""
    if "batch" in w:
        return f"{w['atlas']}{model}_batch-{w['batch']}"
    if "dwi" in w and "atlas" in w:
        return f"{w['dwi']}_{w['atlas']}"
    if "series" in w:
        return f"{w['series']}_{w['atlas']}{model}{w.get('pool', '')}"
    return next(iter(w.values()), failure.stage)


def _command(context: Context) -> str:
    return context.command or shlex.join(
        ["bids-ai", "run", context.index.bids_dir, str(context.output_dir), "participant"]
    )
