"""Asking an engine: a reply that cannot be used is repaired once, and no budget of calls is ever exceeded."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic import Case, Clinic, Report
from polyclinic.agents.budget import LARGEST_TEAM, allot
from polyclinic.agents.clinic import replay_run
from polyclinic.agents.engines.protocol import Engine, Reply
from polyclinic.agents.tasks import Faulty, OpinionDraft, Pick, SpecialistTurn, Task, TriagePlan, Verdict
from polyclinic.core.runs import read_run, report_text
from polyclinic.core.settings import Budget, Settings

CASE = Case(id="asked", question="Is it?", options={"A": "Yes", "B": "No"})
TEAM = ("cardiology", "neurology", "pulmonology", "radiology")


class Clumsy(Engine):
    """Answers a task properly unless `fails` says otherwise; keeps every task it was asked."""

    identity = "clumsy/1"

    def __init__(self, fails: Callable[[Task[Any]], bool], team: tuple[str, ...] = TEAM) -> None:
        self.fails, self.team = fails, team
        self.asked: list[Task[Any]] = []

    async def decide(self, task: Task[Any]) -> Reply[Any]:
        self.asked.append(task)
        usage = {"prompt_tokens": 10, "completion_tokens": 1}
        if self.fails(task):
            return Reply(faulty=Faulty(text="prose", problem="It is not JSON."), usage=usage, notes=("spoilt",))
        value: Any = Verdict(reasoning="r", answer="Yes", option="A")
        if task.kind == "triage":
            picks = tuple(Pick(reason="r", specialty=name) for name in self.team)
            value = TriagePlan(reasoning="r", urgency="routine", difficulty="hard", specialists=picks)
        elif task.kind == "specialist":
            draft = OpinionDraft(reasoning="r", answer="Yes", option="A")
            value = SpecialistTurn(reasoning="r", opinion=draft)
        return Reply(value=value, usage=usage, notes=(f"{task.agent} was mended",) if task.faulty else ())


def first(task: Task[Any]) -> bool:
    return task.faulty is None


def never(task: Task[Any]) -> bool:
    return False


def after_triage(task: Task[Any]) -> bool:
    return task.kind != "triage"


def asked(engine: Engine, runs: Path, **budget: Any) -> Report:
    return Clinic(engine, runs=runs, budget=Budget(**budget)).consult_sync(CASE)


def test_every_first_reply_is_repaired_once(tmp_path: Path) -> None:
    engine = Clumsy(first, TEAM[:2])
    report = asked(engine, tmp_path)
    assert (report.status, report.option) == ("answered", "A")
    assert Counter(task.agent for task in engine.asked) == dict.fromkeys(("triage", *TEAM[:2], "attending"), 2)
    assert report.usage.total.prompt_tokens == 80  # what was thrown away was paid for too
    for task in engine.asked:
        assert task.faulty in (None, Faulty(text="prose", problem="It is not JSON."))


def test_a_repair_is_a_record_of_its_own_and_replays(tmp_path: Path) -> None:
    report = asked(Clumsy(first, TEAM[:2]), tmp_path)
    chats = [record for record in read_run(Path(report.trace.path))[1] if record.kind == "chat"]
    triage = [record for record in chats if record.scope == "triage"]
    assert [bool(record.result["faulty"]) for record in triage] == [True, False]
    before, after = (record.request["messages"] for record in triage)
    assert after[: len(before)] == before
    assert after[len(before) :][0] == {"role": "assistant", "content": "prose"}
    assert "It is not JSON." in json.dumps(after[-1])
    replayed = asyncio.run(replay_run(report.trace.path))
    assert report_text(replayed) == report_text(report)


def test_what_is_wrong_twice_is_not_asked_a_third_time(tmp_path: Path) -> None:
    engine = Clumsy(lambda task: task.agent == "radiology", ("pulmonology", "radiology"))
    report = asked(engine, tmp_path)
    assert report.status == "answered"
    assert Counter(task.agent for task in engine.asked)["radiology"] == 2
    (note,) = (note for note in report.limitations if note.startswith("radiology gave no opinion"))
    assert "a valid SpecialistTurn from radiology, asked twice; got It is not JSON." in note


def test_only_the_notes_of_a_reply_that_was_used_are_told(tmp_path: Path) -> None:
    report = asked(Clumsy(first, TEAM[:2]), tmp_path)
    assert "spoilt" not in report.limitations
    assert {"triage was mended", "attending was mended", "cardiology was mended"} <= {*report.limitations}


@pytest.mark.parametrize("calls", [5, 6, 8, 20])
@pytest.mark.parametrize("fails", [first, never, after_triage])
def test_no_budget_of_calls_is_exceeded(calls: int, fails: Callable[[Task[Any]], bool], tmp_path: Path) -> None:
    engine = Clumsy(fails)
    report = asked(engine, tmp_path, calls=calls)
    assert len(engine.asked) <= calls
    assert report.status in ("answered", "failed")
    if fails is not first and report.status == "failed":
        assert report.limitations


def test_usage_counts_the_calls_that_were_made(tmp_path: Path) -> None:
    engine = Clumsy(first)
    report = asked(engine, tmp_path)
    assert report.usage.total.chat_calls == len(engine.asked)


@pytest.mark.parametrize("calls", [5, 6, 20])
async def test_no_budget_of_calls_is_exceeded_on_a_server(calls: int, stub: Any, tmp_path: Path) -> None:
    sensible, turns = stub.answer, Counter[str]()

    def answer(number: int, body: dict[str, Any]) -> Any:
        """Prose to whatever is asked for the first time; specialists ask for passages as long as they may."""
        if "response_format" not in body:
            return "pong"
        if body["messages"][-1]["role"] == "user" and len(body["messages"]) == 2:
            return "I would say A."
        parts = json.dumps(body["response_format"]["json_schema"]["schema"])
        turns[body["response_format"]["json_schema"]["name"]] += 1
        if '"searches"' in parts:
            return json.dumps({"reasoning": "r", "searches": [{"query": "nodule"}], "opinion": None})
        return sensible(number, body)

    stub.answer = answer
    settings = Settings(engine=stub.url, runs=tmp_path, budget=Budget(calls=calls))
    report = await Clinic(settings=settings).consult(CASE)
    assert len(stub.bodies) <= calls
    assert turns["TriagePlan"] == 1
    if calls == 20:
        assert report.status == "answered"
    assert report_text(await replay_run(report.trace.path)) == report_text(report)


@pytest.mark.parametrize("calls", [5, 6, 20])
async def test_no_budget_of_calls_is_exceeded_by_the_double(calls: int, server: Any, tmp_path: Path) -> None:
    server.configure(fault_rate=0.5, fault_kinds=["malformed", "empty", "wrong_schema"], team=list(TEAM))
    settings = Settings(engine=server.url, runs=tmp_path, budget=Budget(calls=calls))
    asked_of = Clinic(settings=settings)
    for number in range(4):
        server.reset()
        report = await asked_of.consult(CASE.model_copy(update={"id": f"c{number}", "question": f"Is it {number}?"}))
        assert len(server.log()) <= calls
        assert report.option in ("A", None)
        assert report.status == "answered" or report.limitations


def test_tokens_are_a_budget_too(tmp_path: Path) -> None:
    engine = Clumsy(lambda task: task.kind == "specialist" and task.faulty is None)
    report = asked(engine, tmp_path, tokens=60)  # ten for each of six agents; a reply costs eleven
    assert {task.agent: task.call.tokens for task in engine.asked} == dict.fromkeys(("triage", *TEAM, "attending"), 10)
    assert len(engine.asked) <= 6
    assert any("fewer than 10 tokens" in note for note in report.limitations)


@given(calls=st.integers(5, 200), tokens=st.integers(1, 10**6), wanted=st.integers(1, LARGEST_TEAM))
def test_shares_never_add_up_to_more_than_the_budget(calls: int, tokens: int, wanted: int) -> None:
    share = allot(Budget(calls=calls, tokens=tokens), wanted)
    spent = share.calls_of("triage") + share.calls_of("attending") + share.specialists * share.calls
    assert spent <= calls
    assert 1 <= share.specialists <= wanted
    assert 1 <= share.turns <= share.calls
    assert (LARGEST_TEAM + 2) * share.tokens <= tokens
