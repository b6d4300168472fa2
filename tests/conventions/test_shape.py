"""How a file of this repository looks: it says what it holds, stays readable, and runs nobody else's code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

LONGEST_FILE = 600
NAMES_FOR_NOTHING = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
RUNS_WHAT_IT_READS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


def test_every_module_opens_with_a_sentence(sources: list[Any]) -> None:
    silent = sorted(
        source.path for source in sources if not _is_sentence((ast.get_docstring(source.tree) or "").partition("\n")[0])
    )
    assert not silent, "the docstring's first line says what the module holds: a capital letter, a full stop"


def test_package_init_files_hold_a_sentence_and_no_code(sources: list[Any]) -> None:
    inits = [source for source in sources if source.is_package and source.module != "polyclinic"]
    assert sorted(source.path for source in inits if len(source.tree.body) != 1) == []


def test_no_file_is_longer_than_a_reader_can_hold(root: Path, files: list[str]) -> None:
    lengths = {path: len((root / path).read_text().splitlines()) for path in files if path.endswith(".py")}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_no_module_is_named_for_nothing(files: list[str]) -> None:
    parts = {path: {*Path(path).parent.parts, Path(path).stem} for path in files if path.endswith(".py")}
    assert sorted(path for path, names in parts.items() if names & NAMES_FOR_NOTHING) == []


def test_nothing_executes_what_it_reads(sources: list[Any]) -> None:
    found = []
    for source in sources:
        found += [f"{source.path} imports {name}" for name in source.imports & RUNS_WHAT_IT_READS]
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}:
                found.append(f"{source.path}:{node.lineno} calls {node.func.id}")
            allows = [keyword.value for keyword in node.keywords if keyword.arg == "allow_pickle"]
            if any(not (isinstance(value, ast.Constant) and value.value is False) for value in allows):
                found.append(f"{source.path}:{node.lineno} allows pickles")
    assert sorted(found) == []


def _is_sentence(line: str) -> bool:
    return " " in line and line[-1] in ".!?" and not line[0].islower()
