"""The state machine with a scripted engine: who is asked, at the same time, what goes wrong and what is said of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polyclinic import Case, Clinic, Image, Report
from polyclinic.agents.clinic import replay_run
from polyclinic.agents.engines.scripted import ScriptedEngine
from polyclinic.agents.graph import build_graph
from polyclinic.agents.tasks import (
    ClaimDraft,
    OpinionDraft,
    Pick,
    SearchRequest,
    SpecialistTurn,
    Task,
    ToolRequest,
    TriagePlan,
    Verdict,
)
from polyclinic.core.errors import ModelError
from polyclinic.core.journal import Journal
from polyclinic.core.report import Dissent
from polyclinic.core.runs import read_run, report_text
from polyclinic.core.settings import Budget
from polyclinic.tools.card import ImageArguments, Measurement, Tool, ToolCard, ToolOutput

CASE = Case(id="graph", question="Is the pulmonary nodule of 9 mm followed up?", options={"A": "yes", "B": "no"})
TEAM = ("cardiology", "pulmonology", "radiology")
OUTAGE = ModelError(expected="a reply", got="an outage", fix="try later")


def plan(*team: str, difficulty: str = "hard") -> TriagePlan:
    picks = tuple(Pick(specialty=name, reason="r") for name in team)
    return TriagePlan(reasoning="r", urgency="routine", difficulty=difficulty, specialists=picks)  # type: ignore[arg-type]


def search(query: str = "pulmonary nodule follow-up") -> SpecialistTurn:
    return SpecialistTurn(reasoning="r", searches=(SearchRequest(query=query),))


def opine(task: Task[Any]) -> SpecialistTurn:
    claims = tuple(ClaimDraft(text=item.content, evidence=(item.id,)) for item in task.own[:1])
    draft = OpinionDraft(reasoning="r", answer=f"{task.agent} says A", option="A", confidence=0.8, claims=claims)
    return SpecialistTurn(reasoning="r", opinion=draft)


def conclude(task: Task[Any]) -> Verdict:
    claims = tuple(ClaimDraft(text=c.text, evidence=c.evidence) for o in task.opinions for c in o.claims)
    return Verdict(reasoning="r", answer="A. yes", option="A", confidence=0.7, claims=claims)


def script(**changes: Any) -> dict[str, Any]:
    lines: dict[str, Any] = {"triage": [plan(*TEAM)], "attending": [conclude, conclude]}
    return {**lines, **{name: [search(), opine] for name in TEAM}, **changes}


async def consult(
    runs: Path, latency_s: float = 0.0, case: Case = CASE, budget: Budget | None = None, **changes: Any
) -> Report:
    return await Clinic(ScriptedEngine(script(**changes), latency_s=latency_s), runs=runs, budget=budget).consult(case)


async def test_three_specialists_answer_with_evidence_each_can_be_traced_to(tmp_path: Path) -> None:
    report = await consult(tmp_path)
    assert (report.status, report.option) == ("answered", "A")
    assert [member.specialty for member in report.team] == sorted(TEAM)
    assert {claim.support for claim in report.claims} == {"supported"}
    spans = {record.span_id for record in read_run(Path(report.trace.path))[1]}
    cited = {item.id: item for item in report.evidence}
    for claim in report.claims:
        for name in claim.evidence:
            assert cited[name].span_id in spans
    assert report.usage.total.chat_calls == 1 + 2 * 3 + 1


async def test_specialists_run_at_the_same_time(tmp_path: Path) -> None:
    report = await consult(tmp_path, latency_s=0.1)
    records = read_run(Path(report.trace.path))[1]
    nodes = [record for record in records if record.kind == "node" and record.name == "specialist"]
    assert max(node.start_ns for node in nodes) < min(node.end_ns for node in nodes)


async def test_arrival_order_changes_nothing(tmp_path: Path) -> None:
    def essence(report: Report) -> dict[str, Any]:
        body = report.model_dump(mode="json", exclude={"trace": True, "usage": {"total": {"seconds"}}})
        for usage in body["usage"]["agents"].values():
            usage.pop("seconds")
        return body

    reports = []
    for order in (TEAM, tuple(reversed(TEAM)), (TEAM[1], TEAM[2], TEAM[0])):
        delays = {name: 0.02 * position for position, name in enumerate(order)}

        class Late(ScriptedEngine):
            async def decide(self, task: Any, delays: dict[str, float] = delays) -> Any:
                await asyncio.sleep(delays.get(task.agent, 0))
                return await super().decide(task)

        lines = script(triage=[plan(*order)])
        reports.append(await Clinic(Late(lines), runs=tmp_path / "-".join(order)).consult(CASE))
    first = essence(reports[0])
    assert all(essence(report) == first for report in reports[1:])


async def test_an_easy_case_goes_to_one_specialist(tmp_path: Path) -> None:
    report = await consult(tmp_path, triage=[plan("radiology", "cardiology", difficulty="easy")])
    assert [member.specialty for member in report.team] == ["radiology"]


@pytest.mark.parametrize("agent", ["triage", "attending"])
async def test_without_triage_or_attending_there_is_no_answer(tmp_path: Path, agent: str) -> None:
    report = await consult(tmp_path, **{agent: [OUTAGE]})
    assert (report.status, report.answer, report.option, report.claims) == ("failed", "", None, ())
    assert any("an outage" in note for note in report.limitations)


async def test_one_specialist_less_is_said_and_the_rest_answer(tmp_path: Path) -> None:
    report = await consult(tmp_path, cardiology=[search(), OUTAGE])
    assert report.status == "answered"
    assert any(note.startswith("cardiology gave no opinion") for note in report.limitations)


async def test_no_specialist_at_all_is_a_failure(tmp_path: Path) -> None:
    report = await consult(tmp_path, **{name: [OUTAGE] for name in TEAM})
    assert report.status == "failed"
    assert "no specialist gave an opinion" in " ".join(report.limitations)


async def test_a_failed_run_replays_to_the_same_failure(tmp_path: Path) -> None:
    report = await consult(tmp_path, attending=[OUTAGE])
    assert report_text(await Clinic(runs=tmp_path).replay(report.trace.path)) == report_text(report)


async def test_a_specialist_that_never_concludes_gives_no_opinion(tmp_path: Path) -> None:
    report = await consult(tmp_path, radiology=[search(f"q{n}") for n in range(9)])
    assert any("radiology gave no opinion: expected an opinion" in note for note in report.limitations)
    assert report.usage.agents["radiology"].chat_calls <= 5


async def test_an_unknown_specialty_is_left_out_and_said(tmp_path: Path) -> None:
    report = await consult(tmp_path, triage=[plan("radiology", "astrology")])
    assert [member.specialty for member in report.team] == ["radiology"]
    assert any("astrology" in note for note in report.limitations)
    none = await consult(tmp_path / "none", triage=[plan("astrology")])
    assert none.status == "failed"


async def test_a_made_up_citation_goes_back_once_and_is_marked_when_it_stays(tmp_path: Path) -> None:
    bad = Verdict(
        reasoning="r", answer="A. yes", option="A", claims=(ClaimDraft(text="Surely.", evidence=("radiology.t99",)),)
    )
    seen: list[tuple[str, ...]] = []

    def mended(task: Task[Any]) -> Verdict:
        seen.append(task.problems)
        return conclude(task)

    report = await consult(tmp_path, attending=[bad, mended])
    assert "radiology.t99" in seen[0][0]
    assert {claim.support for claim in report.claims} == {"supported"}
    stubborn = await consult(tmp_path / "stubborn", attending=[bad, bad])
    assert [claim.support for claim in stubborn.claims] == ["unsupported"]
    assert any("not mended" in note for note in stubborn.limitations)
    kept = await consult(tmp_path / "kept", attending=[bad, OUTAGE])
    assert kept.status == "answered"
    assert any("could not mend" in note for note in kept.limitations)


async def test_an_option_the_case_does_not_offer_is_never_an_answer(tmp_path: Path) -> None:
    wrong = Verdict(reasoning="r", answer="Z", option="Z", claims=())
    report = await consult(tmp_path, attending=[wrong, wrong])
    assert (report.status, report.option) == ("failed", None)
    assert any("'Z'" in note for note in report.limitations)

    def stray(task: Task[Any]) -> SpecialistTurn:
        return SpecialistTurn(reasoning="r", opinion=OpinionDraft(reasoning="r", answer="Z", option="Z"))

    seen: list[bool] = []

    def look(task: Task[Any]) -> Verdict:
        seen.extend(opinion.abstains for opinion in task.opinions if opinion.specialty == "radiology")
        return conclude(task)

    await consult(tmp_path / "stray", radiology=[stray], attending=[look])
    assert seen == [True]


async def test_abstention_and_dissent_are_kept(tmp_path: Path) -> None:
    verdict = Verdict(reasoning="r", abstains=True, answer="The evidence does not carry an answer.")
    report = await consult(tmp_path, attending=[verdict])
    assert (report.status, report.option) == ("abstained", None)
    assert report.answer.startswith("The evidence")

    def split(task: Task[Any]) -> Verdict:
        dissent = (Dissent(specialty="cardiology", answer="B", why_overruled="weaker evidence"),)
        return conclude(task).model_copy(update={"dissent": dissent})

    report = await consult(tmp_path / "split", attending=[split])
    assert report.dissent[0].why_overruled == "weaker evidence"


async def test_the_budget_of_calls_holds_and_cuts_the_team(tmp_path: Path) -> None:
    report = await consult(tmp_path, budget=Budget(calls=6))
    assert report.usage.total.chat_calls <= 6
    assert [member.specialty for member in report.team] == ["cardiology", "pulmonology"]
    assert any("radiology was not asked" in note for note in report.limitations)


async def test_when_the_seconds_are_spent_the_attending_still_finalises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(journal: Journal) -> float:
        """Time is up as soon as a specialist has looked something up."""
        used = (record for record in journal._used.values() if record.kind == "retrieval")
        return 1e9 if any(record.scope != "triage" for record in used) else 0.0

    monkeypatch.setattr(Journal, "elapsed_s", late)

    def from_evidence(task: Task[Any]) -> Verdict:
        assert not task.opinions
        claim = ClaimDraft(text=task.own[0].content, evidence=(task.own[0].id,))
        return Verdict(reasoning="r", answer="A. yes", option="A", claims=(claim,))

    report = await consult(tmp_path, latency_s=0.05, attending=[from_evidence])
    spent = [note for note in report.limitations if "raise budget.seconds" in note]
    assert len(spent) == len(TEAM)
    assert report.status == "answered"
    assert {claim.support for claim in report.claims} == {"supported"}


async def test_the_tokens_are_shared_out_and_never_exceeded_by_more_than_a_call(tmp_path: Path) -> None:
    class Hungry(ScriptedEngine):
        async def decide(self, task: Any) -> Any:
            reply = await super().decide(task)
            return replace(reply, usage={"prompt_tokens": 900, "completion_tokens": 100})

    lines = script(**{name: [search(f"{name} {n}") for n in range(3)] + [opine] for name in TEAM})
    report = await Clinic(Hungry(lines), runs=tmp_path, budget=Budget(tokens=9_000)).consult(CASE)
    assert report.usage.total.prompt_tokens + report.usage.total.completion_tokens <= 9_000
    for name in TEAM:
        assert report.usage.agents[name].prompt_tokens == 2 * 900, "1,500 tokens each: the second call exceeds them"
        assert any(name in note and "budget.tokens" in note for note in report.limitations)


async def test_what_an_engine_or_a_store_raises_costs_that_call_not_the_case(tmp_path: Path) -> None:
    report = await consult(tmp_path, cardiology=[ValueError("boom")])
    assert report.status == "answered"
    assert any("cardiology" in note and "ValueError: boom" in note for note in report.limitations)

    class Broken:
        version, excluded, pictured = "broken/1", 0, False

        def search(self, query: Any, picture: Any = None) -> Any:
            raise RuntimeError("index gone")

    clinic = Clinic(ScriptedEngine(script()), runs=tmp_path, knowledge=Broken())
    report = await clinic.consult(CASE)
    assert any("RuntimeError: index gone" in note for note in report.limitations)
    assert report.status in ("answered", "abstained")
    assert report_text(await clinic.replay(report.trace.path)) == report_text(report)


async def test_a_reply_of_another_type_is_a_model_error(tmp_path: Path) -> None:
    class Confused(ScriptedEngine):
        async def decide(self, task: Any) -> Any:
            reply = await super().decide(task)
            return replace(reply, value=opine(task)) if task.kind == "attending" else reply

    report = await Clinic(Confused(script()), runs=tmp_path).consult(CASE)
    assert report.status == "failed"
    assert any("expected a Verdict for attending" in note for note in report.limitations)


async def test_an_engine_cannot_lower_the_urgency_of_a_red_flag(tmp_path: Path) -> None:
    case = Case(id="flag", question="She has the worst headache of her life since an hour. What now?")
    lines = script(attending=[lambda task: conclude(task).model_copy(update={"option": None, "answer": "Refer."})] * 2)
    report = await Clinic(ScriptedEngine(lines), runs=tmp_path).consult(case)
    assert report.urgency == "emergency"
    assert report.red_flags


async def test_an_abstention_keeps_dissent_differential_and_claims(tmp_path: Path) -> None:
    def abstain(task: Task[Any]) -> Verdict:
        dissent = (Dissent(specialty="cardiology", answer="A", why_overruled="one passage"),)
        return conclude(task).model_copy(
            update={"abstains": True, "dissent": dissent, "differential": ("this", "that")}
        )

    report = await consult(tmp_path, attending=[abstain])
    assert (report.status, report.option, report.confidence) == ("abstained", None, None)
    assert report.dissent[0].specialty == "cardiology"
    assert report.differential == ("this", "that")
    assert report.claims


async def test_equal_tool_requests_of_two_specialists_run_once(tmp_path: Path, noise: Path) -> None:
    ran: list[str] = []

    class Size(ToolOutput):
        size: Measurement

    def measure(arguments: ImageArguments, images: Any) -> Size:
        ran.append(arguments.image)
        return Size(size=Measurement(name="size", value=9.0, unit="mm", text="The nodule measures 9 mm."))

    card = ToolCard(name="size", version="1", summary="s", measures=("size",), modalities=("xray",))
    tool = Tool(card=card, arguments=ImageArguments, output=Size, run=measure)
    case = Case(id="once", question="How large?", images=(Image(path=str(noise), modality="xray"),))
    asks = SpecialistTurn(reasoning="r", tools=(ToolRequest(tool="size", image="image-1"),))
    lines = script(**{name: [asks, opine] for name in TEAM}, attending=[
        lambda task: conclude(task).model_copy(update={"option": None, "answer": "9 mm."})] * 2)  # fmt: skip
    clinic = Clinic(ScriptedEngine(lines), runs=tmp_path, tools=[tool])
    report = await clinic.consult(case)
    assert len(ran) == 1
    assert [item.id for item in report.evidence if item.name == "size"] == [f"{name}.t1" for name in TEAM]
    without_the_tool = await replay_run(report.trace.path)
    assert report_text(without_the_tool) == report_text(report)


async def test_one_picture_stated_twice_is_two_images(tmp_path: Path, noise: Path) -> None:
    images = (Image(path=str(noise), modality="xray"), Image(path=str(noise), modality="histology"))
    seen: list[tuple[str, ...]] = []
    asks = SpecialistTurn(reasoning="r", tools=(ToolRequest(tool="stained_cells", image="image-1"),
                                                ToolRequest(tool="hounsfield", image="image-2")))  # fmt: skip

    def look(task: Task[Any]) -> SpecialistTurn:
        seen.append(task.problems)
        return opine(task)

    case = Case(id="twice", question="x?", images=images)
    await Clinic(ScriptedEngine(script(radiology=[asks, look])), runs=tmp_path).consult(case)
    assert "stained_cells on image-1 refused" in seen[0][0]
    assert "got xray" in seen[0][0]
    assert "hounsfield on image-2 refused" in seen[0][1]
    assert "got histology" in seen[0][1]


async def test_a_call_that_hangs_is_given_up(tmp_path: Path) -> None:
    report = await consult(tmp_path, latency_s=5.0, budget=Budget(call_timeout_s=0.05))
    assert report.status == "failed"
    assert any("within 0.05 s" in note for note in report.limitations)


async def test_an_invalid_tool_request_is_a_problem_the_specialist_sees(tmp_path: Path) -> None:
    seen: list[tuple[str, ...]] = []
    bad = SpecialistTurn(reasoning="r", tools=(ToolRequest(tool="crystal_ball", image="image-7"),))

    def look(task: Task[Any]) -> SpecialistTurn:
        seen.append(task.problems)
        return opine(task)

    report = await consult(tmp_path, radiology=[bad, look])
    assert "crystal_ball on image-7 refused" in seen[0][0]
    assert report.status == "answered"


def test_the_drawn_graph_is_the_one_in_the_design() -> None:
    drawn = build_graph().get_graph()
    edges = {(edge.source, edge.target) for edge in drawn.edges}
    assert edges == {
        ("__start__", "intake"), ("intake", "triage"), ("intake", "done"), ("triage", "specialist"),
        ("triage", "done"), ("specialist", "attending"), ("attending", "verify"), ("verify", "attending"),
        ("verify", "done"), ("done", "__end__"),
    }  # fmt: skip
