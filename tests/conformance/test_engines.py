"""One suite that every engine passes: the tasks of real cases, answered by each."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from polyclinic import Case, Clinic
from polyclinic.agents.engines.embedded.engine import EmbeddedEngine
from polyclinic.agents.engines.protocol import Engine, Reply
from polyclinic.agents.engines.replay import ReplayEngine
from polyclinic.agents.engines.scripted import ScriptedEngine
from polyclinic.agents.engines.vllm import VllmEngine
from polyclinic.agents.tasks import Task, TriagePlan, Verdict
from polyclinic.core.errors import PolyclinicError
from polyclinic.core.runs import read_run, report_text
from polyclinic.core.settings import Serving

CASE = Case(
    id="conformance",
    question="A smoker with haemoptysis and weight loss has a pulmonary nodule on CT and HbA1c 8 %. What follows?",
    options={"A": "Interval CT, because the nodule exceeds 8 mm", "B": "A knee radiograph"},
    context=("The pulmonary nodule measures 9 mm. Follow-up CT was not yet done.",),
    metadata={"age": 61, "sex": "male"},
)


class Capturing(EmbeddedEngine):
    """The embedded engine, with every task and answer kept."""

    def __init__(self) -> None:
        self.seen: list[tuple[Task[Any], BaseModel]] = []

    async def decide(self, task: Task[Any]) -> Reply[Any]:
        reply = await super().decide(task)
        self.seen.append((task, reply.value))
        return reply


@dataclass(frozen=True)
class Subject:
    """An engine, tasks it can answer, and what makes it unable to: a served model that is well answers any schema."""

    engine: Engine
    tasks: tuple[Task[Any], ...]
    disable: Callable[[], None] = lambda: None


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Capturing, Path]:
    runs = tmp_path_factory.mktemp("runs")
    engine = Capturing()
    report = Clinic(engine, runs=runs).consult_sync(CASE)
    assert report.status in ("answered", "abstained")
    return engine, Path(report.trace.path)


@pytest.fixture(params=["embedded", "scripted", "replay", "vllm"])
def subject(request: pytest.FixtureRequest, captured: tuple[Capturing, Path]) -> Subject:
    capturing, trace = captured
    tasks = tuple(task for task, _ in capturing.seen)
    engine: Engine
    if request.param == "embedded":
        engine = EmbeddedEngine()
    elif request.param == "scripted":
        script: dict[str, list[Any]] = defaultdict(list)
        for task, value in sorted(capturing.seen, key=lambda pair: pair[0].step):
            script[task.agent].append(value)
        engine = ScriptedEngine(script)
    elif request.param == "vllm":
        server = request.getfixturevalue("server")
        spoilt = {"fault_from": {"index": 0, "count": 10**6, "kind": "no_choices"}}
        return Subject(VllmEngine(server.url, serving=Serving(faults=1)), tasks, lambda: server.configure(**spoilt))
    else:
        engine = ReplayEngine(read_run(trace)[1])
    return Subject(engine, tasks)


def test_the_tasks_cover_every_kind(captured: tuple[Capturing, Path]) -> None:
    assert {task.kind for task, _ in captured[0].seen} == {"triage", "specialist", "attending"}


async def test_an_answer_is_of_the_schema_and_survives_json(subject: Subject) -> None:
    for task in subject.tasks:
        value = (await subject.engine.decide(task)).value
        assert type(value) is task.schema
        assert task.schema.model_validate_json(value.model_dump_json()) == value


async def test_the_same_task_gives_the_same_answer(subject: Subject) -> None:
    for task in subject.tasks:
        assert (await subject.engine.decide(task)).value == (await subject.engine.decide(task)).value


async def test_order_and_concurrency_change_nothing(subject: Subject) -> None:
    alone = [(await subject.engine.decide(task)).value for task in subject.tasks]
    together = await asyncio.gather(*(subject.engine.decide(task) for task in reversed(subject.tasks)))
    assert [reply.value for reply in reversed(together)] == alone


async def test_only_evidence_of_the_task_is_cited(subject: Subject) -> None:
    cited = 0
    for task in subject.tasks:
        value: Any = (await subject.engine.decide(task)).value
        drafts = value.claims if isinstance(value, Verdict) else getattr(getattr(value, "opinion", None), "claims", ())
        known = {item.id for item in task.evidence}
        for claim in drafts:
            assert set(claim.evidence) <= known
            cited += len(claim.evidence)
    assert cited > 0


async def test_only_offered_specialties_options_and_tools_are_named(subject: Subject) -> None:
    for task in subject.tasks:
        value: Any = (await subject.engine.decide(task)).value
        if isinstance(value, TriagePlan):
            assert {pick.specialty for pick in value.specialists} <= {role.name for role in task.roles}
        opinion = value if isinstance(value, Verdict) else getattr(value, "opinion", None)
        if opinion is not None and opinion.option is not None:
            assert opinion.option in task.case.options
        assert {request.tool for request in getattr(value, "tools", ())} <= {card.name for card in task.tools}


def test_it_says_who_it_is_and_what_it_is_not(subject: Subject) -> None:
    assert "/" in subject.engine.identity
    assert isinstance(subject.engine.caveat, str)


async def test_what_it_cannot_answer_is_a_typed_error(subject: Subject) -> None:
    class Unheard(BaseModel):
        field: int

    task: Task[Any] = replace(subject.tasks[0], schema=Unheard, agent="nobody")
    subject.disable()
    with pytest.raises(PolyclinicError):
        await subject.engine.decide(task)


async def test_a_cancelled_call_leaves_the_engine_usable(subject: Subject) -> None:
    call = asyncio.ensure_future(subject.engine.decide(subject.tasks[0]))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    assert type((await subject.engine.decide(subject.tasks[0])).value) is subject.tasks[0].schema


async def test_a_whole_case_runs_and_replays_byte_for_byte(subject: Subject, tmp_path: Path) -> None:
    clinic = Clinic(subject.engine, runs=tmp_path)
    report = await clinic.consult(CASE)
    assert report.status in ("answered", "abstained")
    assert report.engine == subject.engine.identity
    assert {subject.engine.caveat} - {""} <= set(report.limitations)
    replayed = await clinic.replay(report.trace.path)
    assert report_text(replayed) == report_text(report)
