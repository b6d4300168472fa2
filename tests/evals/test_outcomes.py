"""Why a sample is not answered: every way a real server fails has its outcome, whoever failed first."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from polyclinic import Case, Clinic
from polyclinic.core.evidence import Evidence, Region, Source
from polyclinic.core.report import Claim, Report
from polyclinic.core.runs import read_run
from polyclinic.core.settings import Budget, Serving, Settings
from polyclinic.core.trace import Record
from polyclinic.evals.outcomes import Place, Said, places_in, said_of

CASE = Case(id="asked", question="Is it?", options={"A": "yes", "B": "no"})


async def consulted(server: Any, runs: Path, budget: Budget) -> tuple[Report, tuple[Record, ...], Path]:
    settings = Settings(engine=server.url, runs=runs, budget=budget, serving=Serving(patience_s=1.0))
    report = await Clinic(settings=settings).consult(CASE)
    trace, records = read_run(Path(report.trace.path))
    return report, records, trace.parent


async def said(server: Any, runs: Path, budget: Budget | None = None) -> Said:
    report, records, folder = await consulted(server, runs, budget or Budget(call_timeout_s=0.5))
    return said_of(report, records, folder=folder, root=runs)


async def fails_always(server: Any, runs: Path, kind: str) -> Said:
    server.configure(fault_from={"index": 0, "count": 1000, "kind": kind}, latency_s=0.0)
    return await said(server, runs)


@pytest.mark.parametrize("kind", ["malformed", "empty", "null", "wrong_schema"])
async def test_replies_that_cannot_be_used_are_unparsable(server: Any, tmp_path: Path, kind: str) -> None:
    assert (await fails_always(server, tmp_path, kind)).silence == "unparsable"


@pytest.mark.parametrize("kind", ["429", "500", "drop", "html"])
async def test_a_server_that_refuses_has_failed(server: Any, tmp_path: Path, kind: str) -> None:
    assert (await fails_always(server, tmp_path, kind)).silence == "failed"


async def test_a_server_that_is_away_has_failed(server: Any, tmp_path: Path) -> None:
    settings = Settings(engine=server.url, runs=tmp_path, serving=Serving(patience_s=0.5))
    clinic = Clinic(settings=settings)
    await clinic.engine.prepare()
    server.outage(60.0, mode="503")
    report = await clinic.consult(CASE)
    trace, records = read_run(Path(report.trace.path))
    assert said_of(report, records, folder=trace.parent, root=tmp_path).silence == "failed"


async def test_a_server_that_hangs_is_timed_out(server: Any, tmp_path: Path) -> None:
    assert (await fails_always(server, tmp_path, "hang")).silence == "timed_out"


async def test_a_server_that_is_too_slow_is_timed_out(server: Any, tmp_path: Path) -> None:
    server.configure(latency_s=30.0)
    assert (await said(server, tmp_path)).silence == "timed_out"


async def test_a_case_whose_seconds_are_spent_on_a_busy_server_is_timed_out(server: Any, tmp_path: Path) -> None:
    server.configure(fault_from={"index": 0, "count": 1000, "kind": "429"}, latency_s=0.0)
    assert (await said(server, tmp_path, Budget(seconds=0.5, call_timeout_s=0.5))).silence == "timed_out"


async def test_the_order_in_which_agents_failed_does_not_matter(server: Any, tmp_path: Path) -> None:
    """Triage is answered; of three specialists one hangs, one is refused and one writes what cannot be read."""
    server.configure(latency_s=0.0)
    report, records, folder = await consulted(server, tmp_path, Budget())
    specialists = [record for record in records if record.kind == "chat" and record.name == "specialist"]
    last = {record.scope: record for record in specialists}
    hung = {"type": "ModelError", "expected": "a", "got": "b", "fix": "c", "cause": "late"}
    refused = {"type": "ModelError", "expected": "a", "got": "b", "fix": "raise budget.seconds"}
    ends: tuple[dict[str, object], ...] = (
        {"result": {"value": None}}, {"error": refused, "result": None}, {"error": hung, "result": None}
    )  # fmt: skip
    failed = report.model_copy(update={"status": "failed"})

    def silence(wanted: tuple[dict[str, object], ...]) -> str:
        made = [record.model_copy(update=end) for record, end in zip(last.values(), wanted, strict=True)]
        told = {
            said_of(failed, (records[0], *order), folder=folder, root=tmp_path).silence
            for order in itertools.permutations(made)
        }
        (one,) = told
        return one

    assert silence(ends) == "timed_out"
    assert silence((ends[0], ends[1], ends[1])) == "unparsable"
    assert silence((ends[1], ends[1], ends[1])) == "failed"
    attending = next(record for record in records if record.scope == "attending")
    unread = attending.model_copy(update={"result": {"value": None}})
    late = last["cardiology"].model_copy(update=ends[2])
    assert said_of(failed, (records[0], late, unread), folder=folder, root=tmp_path).silence == "unparsable"


async def test_what_is_cited_is_called_as_gold_is_by_its_pmid_or_its_document(tmp_path: Path) -> None:
    report = await Clinic(settings=Settings(runs=tmp_path)).consult(CASE)
    trace, records = read_run(Path(report.trace.path))
    sources = {
        "a": Source(kind="document", name="pm/28293123", citation="Marchetti, PMID 28293123"),
        "b": Source(kind="document", name="golden/f00d#2", citation="BioASQ golden snippet, PMID 111"),
        "c": Source(kind="document", name="medquad/ghr-1#3"),
        "d": Source(kind="document", name="pm/999", citation="PMID 999"),
    }
    items = tuple(Evidence(id=name, kind="passage", source=source, content="x") for name, source in sources.items())
    claims = (Claim(text="x", evidence=("a", "b")), Claim(text="y", evidence=("c",)))
    told = report.model_copy(update={"status": "answered", "claims": claims, "evidence": items})
    said = said_of(told, records, folder=trace.parent, root=tmp_path)
    assert said.cited == ("111", "28293123", "ghr-1")


async def read_off(runs: Path, **changes: Any) -> Said:
    """What is read off a real report of which some fields are others."""
    report = await Clinic(settings=Settings(runs=runs)).consult(CASE)
    trace, records = read_run(Path(report.trace.path))
    return said_of(report.model_copy(update=changes), records, folder=trace.parent, root=runs)


def found(id: str, kind: str = "passage", /, **more: Any) -> Evidence:
    given = {"source": Source(kind="document", name="textbook")} | more
    return Evidence.model_validate({"id": id, "kind": kind, "content": "x", **given})


async def test_a_case_that_needs_a_human_is_no_other_silence(tmp_path: Path) -> None:
    assert (await read_off(tmp_path, status="needs_human")).silence == "needs_human"


@pytest.mark.parametrize(("kind", "cited"), [("passage", ("textbook",)), ("measurement", ())])
async def test_passages_are_cited_by_their_source_where_they_have_no_number(
    tmp_path: Path, kind: str, cited: tuple[str, ...]
) -> None:
    claims = (Claim(text="x", evidence=("a",)),)
    said = await read_off(tmp_path, status="answered", claims=claims, evidence=(found("a", kind),))
    assert said.cited == cited


async def test_every_claim_that_is_not_supported_counts(tmp_path: Path) -> None:
    claims = tuple(Claim(text="x", support=each) for each in ("supported", "unsupported", "contradicted"))
    said = await read_off(tmp_path, claims=claims)
    assert (said.claims, said.unsupported) == (3, 2)


async def test_the_engines_caveat_is_no_reason(tmp_path: Path) -> None:
    report = await Clinic(settings=Settings(runs=tmp_path)).consult(CASE)
    caveat = str(read_run(Path(report.trace.path))[1][0].request["config"]["caveat"])
    said = await read_off(tmp_path / "again", status="failed", answer="", limitations=(caveat, "no reply"))
    assert said.why == "no reply"


def test_a_place_that_two_measurements_share_is_called_by_its_finding() -> None:
    tool = {"source": Source(kind="tool", name="t"), "region": Region(image="aa", box_px=(1, 1, 5, 5))}
    named = found("1", "segmentation", name="area", finding="glioma", **tool)
    other = found("2", "segmentation", name="other", **tool)
    report = Report.model_construct(claims=(Claim(text="a", evidence=("1", "2")),), evidence=(named, other))
    assert places_in(report) == (Place(label="glioma", box=(1, 1, 5, 5)),)
