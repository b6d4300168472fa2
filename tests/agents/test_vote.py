"""Votes and single agents: what a team with an attending is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polyclinic import Case, Clinic
from polyclinic.agents.clinic import replay_run
from polyclinic.agents.engines.scripted import ScriptedEngine
from polyclinic.agents.graph import build_graph
from polyclinic.agents.roles import load_roles, roles_of
from polyclinic.agents.tasks import ClaimDraft, OpinionDraft, Pick, SearchRequest, SpecialistTurn, Task, TriagePlan
from polyclinic.agents.vote import elected
from polyclinic.core.errors import ModelError
from polyclinic.core.evidence import Claim
from polyclinic.core.report import Opinion
from polyclinic.core.runs import read_run, report_text
from polyclinic.core.settings import Settings

CASE = Case(id="vote", question="Is the pulmonary nodule of 9 mm followed up?", options={"A": "yes", "B": "no"})
TEAM = ("cardiology", "pulmonology", "radiology")


def opinion(specialty: str, option: str | None, confidence: float | None = 0.8, **changes: Any) -> Opinion:
    claims = (Claim(text=f"{specialty} saw it", evidence=(f"{specialty}.m1",)), Claim(text="both saw it"))
    given = {"answer": f"says {option}", "option": option, "confidence": confidence, "claims": claims, **changes}
    return Opinion(specialty=specialty, **given)


def test_the_most_frequent_option_wins_with_its_share_of_the_votes() -> None:
    found = elected([opinion("a", "B", 0.9), opinion("b", "A", 0.5), opinion("c", "A", 0.7)])
    assert (found.option, found.answer, found.abstains) == ("A", "says A", False)
    assert found.confidence == pytest.approx(0.6 * 2 / 3)
    assert [claim.text for claim in found.claims] == ["b saw it", "both saw it", "c saw it"]
    (other,) = found.dissent
    assert (other.specialty, other.why_overruled) == ("a", "2 of 3 votes went to another answer")


def test_ties_go_to_the_more_confident_then_to_the_first_letter() -> None:
    assert elected([opinion("a", "A", 0.4), opinion("b", "B", 0.5)]).option == "B"
    assert elected([opinion("a", "B", 0.5), opinion("b", "A", 0.5)]).option == "A"


def test_abstentions_are_no_votes_and_stay_as_dissent() -> None:
    silent = opinion("a", None, None, answer="cannot tell", abstains=True)
    found = elected([silent, opinion("b", "B", 0.5)])
    assert (found.option, found.confidence) == ("B", 0.5)
    assert [(other.specialty, other.why_overruled) for other in found.dissent] == [("a", "abstained")]
    nobody = elected([silent])
    assert (nobody.abstains, nobody.answer, nobody.option) == (True, "cannot tell", None)


def test_free_answers_count_together_whatever_their_case() -> None:
    found = elected(
        [opinion("a", None, answer="Gout"), opinion("b", None, answer="sepsis"), opinion("c", None, answer="  gout ")]
    )
    assert found.answer == "Gout"


def test_without_stated_confidence_the_share_is_all_there_is() -> None:
    assert elected([opinion("a", "A", None), opinion("b", "A", 0.9), opinion("c", "B", 0.9)]).confidence == 0.666667
    assert elected([opinion("a", "A", None)]).confidence is None


def opine(option: str) -> Any:
    def answer(task: Task[Any]) -> SpecialistTurn:
        claims = tuple(ClaimDraft(text=item.content, evidence=(item.id,)) for item in task.own[:1])
        draft = OpinionDraft(reasoning="r", answer=f"{option}.", option=option, confidence=0.8, claims=claims)
        return SpecialistTurn(reasoning="r", opinion=draft)

    return answer


def look(task: Task[Any]) -> SpecialistTurn:
    return SpecialistTurn(reasoning="r", searches=(SearchRequest(query="pulmonary nodule follow-up"),))


async def test_a_vote_stands_in_the_attendings_place_and_replays(tmp_path: Path) -> None:
    picks = tuple(Pick(specialty=name, reason="r") for name in TEAM)
    plan = TriagePlan(reasoning="r", urgency="routine", difficulty="hard", specialists=picks)
    script = {"triage": [plan], **{name: [look, opine("B" if name == "cardiology" else "A")] for name in TEAM}}
    settings = Settings(arrangement="vote", runs=tmp_path)
    report = await Clinic(ScriptedEngine(script), settings=settings).consult(CASE)
    assert (report.status, report.option) == ("answered", "A")
    assert [other.specialty for other in report.dissent] == ["cardiology"]
    assert report.usage.total.chat_calls == 1 + 2 * 3
    assert "attending" not in report.usage.agents
    assert {claim.support for claim in report.claims} == {"supported"}
    assert report_text(await replay_run(report.trace.path)) == report_text(report)


async def test_one_agent_alone_is_not_chosen_by_anybody(tmp_path: Path) -> None:
    seen: list[Task[Any]] = []

    def first(task: Task[Any]) -> SpecialistTurn:
        seen.append(task)
        return look(task)

    settings = Settings(arrangement="single", runs=tmp_path)
    engine = ScriptedEngine({"general_medicine": [first, opine("A")]})
    report = await Clinic(engine, settings=settings).consult(CASE)
    assert (report.status, report.option, report.confidence) == ("answered", "A", 0.8)
    assert list(report.usage.agents) == ["general_medicine", "triage"]
    assert report.usage.agents["triage"].chat_calls == 0
    assert seen[0].role is not None
    assert set(seen[0].role.domains) == {role.name for role in load_roles()}
    assert report_text(await replay_run(report.trace.path)) == report_text(report)


async def test_a_single_agent_that_fails_leaves_no_answer(tmp_path: Path) -> None:
    down = ModelError(expected="a reply", got="an outage", fix="try later")
    settings = Settings(arrangement="single", runs=tmp_path)
    report = await Clinic(ScriptedEngine({"general_medicine": [down]}), settings=settings).consult(CASE)
    assert (report.status, report.answer) == ("failed", "")
    assert any("no specialist gave an opinion" in note for note in report.limitations)


async def test_the_arrangement_is_part_of_what_a_run_is(tmp_path: Path) -> None:
    traces = set()
    for arrangement in ("team", "vote"):
        settings = Settings(runs=tmp_path).model_copy(update={"arrangement": arrangement})
        report = await Clinic(settings=settings).consult(CASE)
        _, records = read_run(Path(report.trace.path))
        assert records[0].request["config"]["arrangement"] == arrangement
        traces.add(report.trace.path)
    assert len(traces) == 2


def test_the_table_is_whole_but_for_one_agent_alone() -> None:
    assert roles_of("team") == roles_of("vote") == load_roles()
    (alone,) = roles_of("single")
    assert len(alone.modalities) > 5


def test_the_graph_of_a_vote_has_no_way_back() -> None:
    edges = {(edge.source, edge.target) for edge in build_graph("vote").get_graph().edges}
    assert {("specialist", "vote"), ("vote", "verify"), ("verify", "done")} <= edges
    assert not any("attending" in edge for edge in edges)
