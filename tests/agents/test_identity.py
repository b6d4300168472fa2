"""What makes a run another run: everything that could change its answer, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polyclinic import Case, Clinic
from polyclinic.agents.engines.embedded.engine import EmbeddedEngine
from polyclinic.agents.engines.scripted import ScriptedEngine
from polyclinic.core.settings import Budget
from polyclinic.knowledge.corpus import shipped_passages
from polyclinic.knowledge.index.search import Index
from polyclinic.tools.registry import TOOLS

CASE = Case(id="same", question="Which HbA1c is a criterion for diabetes?")


class NewerEngine(EmbeddedEngine):
    identity = "embedded/next"


def newer_tools() -> list[Any]:
    first, *rest = TOOLS
    return [replace(first, card=first.card.model_copy(update={"version": "next"})), *rest]


def folder(runs: Path, clinic: Clinic, case: Case = CASE) -> str:
    return Path(clinic.consult_sync(case).trace.path).parent.name.rpartition("-")[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"engine": NewerEngine()},
        {"budget": Budget(calls=19)},
        {"knowledge": Index(shipped_passages()[:40])},
        {"tools": newer_tools()},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_configuration_is_another_run(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert folder(tmp_path, Clinic(runs=tmp_path, **changed)) != folder(tmp_path, Clinic(runs=tmp_path))


@pytest.mark.parametrize("name", ["prompts_hash", "rules_hash"])
def test_other_prompts_and_rules_are_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = folder(tmp_path, Clinic(runs=tmp_path))
    monkeypatch.setattr(f"polyclinic.agents.clinic.{name}", lambda: "changed")
    assert folder(tmp_path, Clinic(runs=tmp_path)) != before


def test_the_runs_folder_and_the_case_objects_identity_do_not_matter(tmp_path: Path) -> None:
    same = Case.model_validate(CASE.model_dump())
    one, other = Clinic(runs=tmp_path / "one"), Clinic(runs=tmp_path / "other")
    assert folder(tmp_path, one) == folder(tmp_path, other, same)
    assert folder(tmp_path, one, Case(id="same", question="Another question?")) != folder(tmp_path, one)


def test_settings_and_arguments_add_up(tmp_path: Path) -> None:
    from polyclinic.core.errors import SetupError
    from polyclinic.core.settings import Settings

    clinic = Clinic(runs=tmp_path, settings=Settings(budget=Budget(calls=9)))
    assert (clinic.runs, clinic.budget.calls) == (tmp_path, 9)
    with pytest.raises(SetupError):
        Clinic("localhost:1", settings=Settings())
    assert isinstance(Clinic(ScriptedEngine({})).engine, ScriptedEngine)
