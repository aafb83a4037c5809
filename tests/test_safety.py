"""Nothing in the package runs what a file holds: no pickles, no evaluated text, no shell that reads names unquoted."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for room in ("bids_ai", "tools", "benchmarks") for path in (ROOT / room).rglob("*.py"))
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))

#: Modules that make objects of bytes.
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
#: Functions that run text, or make objects of bytes, whatever their arguments.
CALLS = {
    *("eval", "exec", "execfile", "os.system", "os.popen", "commands.getoutput", "subprocess.getoutput"),
    *(
        "subprocess.getstatusoutput",
        "pickle.load",
        "pickle.loads",
        "joblib.load",
        "pd.read_pickle",
        "pandas.read_pickle",
    ),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "os.startfile"),
}


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def truth(call: ast.Call, argument: str) -> object:
    """Value of a keyword that is written out; None where it is not given."""
    found = [keyword.value for keyword in call.keywords if keyword.arg == argument]
    return getattr(found[0], "value", "an expression") if found else None


def dangers(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] + (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            )
            yield from (f"import of {module}" for module in modules if module.partition(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            yield from call_dangers(node)


def call_dangers(call: ast.Call) -> Iterator[str]:
    name = name_of(call.func)
    if name in CALLS:
        yield name
    if truth(call, "shell") not in (None, False):
        yield f"{name} with shell=True"
    if truth(call, "allow_pickle") not in (None, False):
        yield f"{name} with allow_pickle"
    if name in ("torch.load", "torch.jit.load") and truth(call, "weights_only") is not True:
        yield f"{name} without weights_only=True"


def test_no_source_runs_what_a_file_holds():
    assert len(SOURCES) > 500
    found = {str(path.relative_to(ROOT)): list(dangers(path.read_text(encoding="utf-8"))) for path in SOURCES}
    assert {name: what for name, what in found.items() if what} == {}


def test_text_is_called_markup_in_one_place_only():
    """Jinja escapes all but that: the style and the script of the reports."""
    users = [path.name for path in SOURCES if re.search(r"\bMarkup\(", path.read_text(encoding="utf-8"))]
    assert users == ["render.py"]


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
    ],
)
def test_the_look_at_sources_finds_each_of_them(line):
    assert list(dangers(line))


def test_templates_switch_escaping_off_nowhere():
    templates = sorted((ROOT / "bids_ai/report/templates").glob("*.j2"))
    assert len(templates) > 3
    for path in templates:
        assert not re.search(r"\|\s*safe\b|autoescape|Markup", path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize("path", [*RULES, ROOT / "Snakefile"], ids=lambda path: path.name)
def test_commands_of_rules_quote_whatever_comes_from_paths(path):
    """Numbers of threads stand as they are; all else is quoted by Snakemake (``:q``)."""
    text = path.read_text(encoding="utf-8")
    commands = re.findall(r"shell:\n((?:\s+\"[^\n]*\n)+)", text)
    assert len(commands) == text.count("shell:")
    for command in commands:
        holes = re.findall(r"\{([^}]*)\}", command)
        assert holes
        assert [hole for hole in holes if hole != "threads" and not hole.endswith(":q")] == []
    assert "run:" not in re.findall(r"^\s*(\w+:)", text, re.MULTILINE)
