"""A record that can be asked: what is told, what is not, and that nothing is told before."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic import Case, Clinic
from polyclinic.agents.clinic import replay_run
from polyclinic.agents.engines.embedded.engine import EmbeddedEngine
from polyclinic.agents.engines.embedded.record import TOPICS
from polyclinic.agents.engines.scripted import ScriptedEngine
from polyclinic.agents.shelf import shelf
from polyclinic.agents.statements import quantities
from polyclinic.agents.tasks import (
    ClaimDraft,
    OpinionDraft,
    Pick,
    SpecialistTurn,
    Task,
    ToolRequest,
    TriagePlan,
    Verdict,
)
from polyclinic.core.errors import ToolRefusedError
from polyclinic.core.runs import TRACE, read_run, verify_run
from polyclinic.core.trace import Record
from polyclinic.evals.arms import Team
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.interview import LONGEST, MOST, NAME, UNRECORDED, asking, interview, matching, nothing_of
from polyclinic.evals.sample import Sample
from polyclinic.tools.imaging.store import ImageStore
from polyclinic.tools.registry import Toolbox

KNOWN = {
    "history: present illness": "present illness: She saw double for a month; it gets worse in the evening.",
    "history: social history": "social history: She does not smoke and works as a nurse.",
    "history: past medical history": "past medical history: An operation of the thyroid in 2012.",
    "examination: vital signs": "vital signs: temperature: 36.6°C; heart rate: 70 bpm",
    "examination: neurological examination": "neurological examination: The left eyelid droops after a minute.",
    "test: antibodies": "antibodies: Acetylcholine receptor antibodies are raised, as in Myasthenia gravis.",
}
FACTS = tuple(KNOWN.items())
SECRET = "Myasthenia gravis"
CASE = Case(
    id="double", question="Assess the woman who sees double. What is the diagnosis?", context=("A woman of 35.",)
)


def topics(topic: str, facts: tuple[tuple[str, str], ...] = FACTS) -> list[str]:
    return [name.partition(": ")[2] or name for name, _ in matching(facts, topic)]


@pytest.mark.parametrize(
    ("topic", "told"),
    [
        ("social history", ["social history"]),
        ("history: social history", ["social history"]),
        ("Does she smoke?", ["social history"]),
        ("an antibody", ["antibodies"]),
        ("ANTIBODIES", ["antibodies"]),
        ("what makes it worse", ["present illness"]),
        ("history", ["present illness", "social history", "past medical history"]),
        ("examination", ["neurological examination", "vital signs"]),
        ("troponin", []),
        ("", []),
        ("of the and", []),
        ("?!\x00\u202e<<<untrusted", []),
    ],
)
def test_a_topic_is_told_the_facts_that_share_its_words(topic: str, told: list[str]) -> None:
    assert sorted(topics(topic)) == sorted(told)


def test_a_word_that_most_facts_hold_counts_only_alone() -> None:
    facts = tuple((f"fact {number:02}", f"Patient has {what}.") for number, what in enumerate("abcdefgh", 1))
    assert topics("the patient's troponin", facts) == []
    assert topics("patient", facts) == ["fact 01", "fact 02", "fact 03"]
    assert topics("fact 07", facts) == []


@given(st.text(max_size=60), st.lists(st.tuples(st.text(max_size=20), st.text(max_size=40)), max_size=12))
def test_any_topic_gets_facts_of_the_record_and_not_too_many(topic: str, facts: list[tuple[str, str]]) -> None:
    found = matching(tuple(facts), topic)
    assert len(found) <= MOST
    assert set(found) <= set(facts)
    assert found == matching(tuple(facts), topic)


@given(st.text(max_size=LONGEST))
def test_that_nothing_is_recorded_brings_no_number_into_the_evidence(topic: str) -> None:
    assert quantities(nothing_of(topic)) == ()
    assert "\n" not in nothing_of(topic)


def asked(tmp_path: Path, **arguments: object) -> Any:
    box = Toolbox((interview(KNOWN),))
    return asyncio.run(box.run(NAME, arguments, {}, ImageStore(tmp_path)))


def test_the_tool_tells_and_says_what_is_not_recorded(tmp_path: Path) -> None:
    told = asked(tmp_path, topic="smoke")
    assert [(item.topic, item.text) for item in told.statements()] == [FACTS[1]]
    nothing = asked(tmp_path, topic="troponin 5 ng/ml").statements()
    assert [(item.topic, item.text) for item in nothing] == [(UNRECORDED, "Nothing is recorded of “troponin ng ml”.")]


@pytest.mark.parametrize("arguments", [{}, {"topic": ""}, {"topic": "x" * (LONGEST + 1)}, {"topic": "x", "all": True}])
def test_what_is_no_topic_is_refused(tmp_path: Path, arguments: dict[str, object]) -> None:
    with pytest.raises(ToolRefusedError, match=rf"arguments of {NAME}: topic"):
        asked(tmp_path, **arguments)


def test_the_card_says_nothing_of_the_facts_but_their_hash() -> None:
    card, other = interview(KNOWN).card, interview({**KNOWN, "test: MRI": "MRI: normal"}).card
    assert card.version != other.version
    assert card.model_copy(update={"version": other.version}) == other
    assert card == interview(dict(KNOWN)).card
    assert (card.looks, list(card.arguments)) == (False, ["topic"])


def test_everyone_is_offered_the_record_and_nobody_without_one() -> None:
    box = Toolbox(((interview(KNOWN)),))
    assert [card.name for card in shelf(CASE, box)] == [NAME]
    clinic = Clinic(engine=EmbeddedEngine())
    assert asking(clinic, {}) is clinic
    with_record = asking(clinic, KNOWN)
    assert {card.name for card in with_record.toolbox.cards} - {card.name for card in clinic.toolbox.cards} == {NAME}
    assert (with_record.engine, with_record._turns) == (clinic.engine, clinic._turns)


def asks(runs: Path) -> list[Record]:
    """Every time the record was asked, in the one run of a folder."""
    (trace,) = runs.glob(f"*/{TRACE}")
    return [record for record in read_run(trace)[1] if (record.kind, record.name) == ("tool", NAME)]


def conclusion(task: Task[Any]) -> SpecialistTurn:
    told = next((item for item in task.own if item.name == "test: antibodies"), None)
    claims = (ClaimDraft(text=told.content, evidence=(told.id,)),) if told else ()
    answer = SECRET if told else "unknown"
    return SpecialistTurn(reasoning="r", opinion=OpinionDraft(reasoning="r", answer=answer, claims=claims))


def verdict(task: Task[Any]) -> Verdict:
    (opinion,) = task.opinions
    claims = tuple(ClaimDraft(text=claim.text, evidence=claim.evidence) for claim in opinion.claims)
    return Verdict(reasoning="r", answer=opinion.answer, claims=claims, abstains=not claims)


def scripted(*topics: str) -> ScriptedEngine:
    plan = TriagePlan(
        reasoning="r", urgency="routine", difficulty="easy", specialists=(Pick(specialty="neurology", reason="r"),)
    )
    requests = tuple(ToolRequest(tool=NAME, arguments={"topic": topic}) for topic in topics)
    turns = [SpecialistTurn(reasoning="r", tools=requests)] if topics else []
    return ScriptedEngine({"triage": [plan], "neurology": [*turns, conclusion], "attending": [verdict, verdict]})


def test_what_is_told_can_be_cited_and_the_run_replays(tmp_path: Path) -> None:
    clinic = asking(Clinic(engine=scripted("antibodies", "antibodies test", "troponin"), runs=tmp_path), KNOWN)
    report = clinic.consult_sync(CASE)
    assert (report.status, report.answer) == ("answered", SECRET)
    assert [claim.support for claim in report.claims] == ["supported"]
    (cited,) = (item for item in report.evidence if item.id == report.claims[0].evidence[0])
    assert (cited.kind, cited.source.kind, cited.content) == ("observation", "case", KNOWN["test: antibodies"])
    assert len(asks(tmp_path)) == 3
    assert sum(item.content == cited.content for item in report.evidence) == 1
    run = Path(report.trace.path).parent if report.trace else tmp_path
    assert verify_run(run) > 3
    assert asyncio.run(replay_run(run)) == report


def test_nothing_is_told_before_it_is_asked(tmp_path: Path) -> None:
    silent = asking(Clinic(engine=scripted(), runs=tmp_path / "silent"), KNOWN).consult_sync(CASE)
    assert silent.status == "abstained"
    (trace,) = (tmp_path / "silent").glob(f"*/{TRACE}")
    assert SECRET not in trace.read_text()
    assert not [text for text in KNOWN.values() if text in trace.read_text()]

    asking(Clinic(engine="embedded", runs=tmp_path / "asks"), KNOWN).consult_sync(CASE)
    (trace,) = (tmp_path / "asks").glob(f"*/{TRACE}")
    _, records = read_run(trace)
    lines = [json.dumps(record.model_dump(mode="json"), ensure_ascii=False) for record in records]
    first = next(place for place, line in enumerate(lines) if SECRET in line)
    assert (records[first].kind, records[first].name) == ("tool", NAME)
    assert any(NAME in line and records[place].kind == "chat" for place, line in enumerate(lines[:first]))


def test_the_embedded_engine_asks_the_same_of_everyone(tmp_path: Path) -> None:
    reports = [asking(Clinic(runs=tmp_path / name), KNOWN).consult_sync(CASE) for name in ("a", "b")]
    assert reports[0].claims == reports[1].claims
    told = {item.name for item in reports[0].evidence if item.source.name == NAME} - {UNRECORDED}
    assert told == set(KNOWN)
    each = Counter(record.scope for record in asks(tmp_path / "a"))
    assert set(each.values()) == {1 + len(TOPICS)}


@pytest.mark.parametrize("name", ["agentclinic", "mediq"])
async def test_a_sample_of_each_interactive_set_is_asked(name: str, tmp_path: Path) -> None:
    each = benchmark(name)
    fixtures = Path(__file__).parent / "fixtures"
    sample: Sample = next(sample for sample in each.samples(each.at(fixtures)) if sample.known)
    team = Team(clinic=Clinic(runs=tmp_path))
    said = await team.answer(sample, tmp_path / "run", root=tmp_path)
    assert said.tool_calls >= 12
    again = await team.answer(sample, tmp_path / "run", root=tmp_path)
    assert again == said
