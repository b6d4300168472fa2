"""The public face: real cases answered, resumed, replayed with everything absent, forked, streamed, and refused."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import shutil
import socket
import threading
import time
from dataclasses import replace
from glob import glob
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from polyclinic import Case, Clinic, Image, Visit
from polyclinic.agents.clinic import replay_run
from polyclinic.agents.engines.embedded.engine import EmbeddedEngine
from polyclinic.agents.tasks import Task
from polyclinic.core.case import pseudonym
from polyclinic.core.errors import DivergenceError, InputError, RunLockedError, SetupError, StorageError, TraceError
from polyclinic.core.events import DecisionMade, NodeStarted, Reported
from polyclinic.core.runs import read_run, report_text, verify_run
from polyclinic.core.trace import TraceFile
from polyclinic.knowledge.index.search import Index
from polyclinic.knowledge.store import Passage
from polyclinic.tools.card import ImageArguments, Measurement, Tool, ToolCard, ToolOutput
from polyclinic.tools.registry import TOOLS, Toolbox, _stamp

RETINA = Image(path="package://skimage/data/retina.jpg", modality="fundus", body_part="eye")
FUNDUS = Case(id="fundus", question="What do the vessels and the optic disc measure?", images=(RETINA,))
TEXT = Case(id="text", question="Which HbA1c is a criterion for diabetes?", options={"A": "6.5 %", "B": "4.0 %"})


def test_a_real_image_case_is_answered_with_measured_evidence(tmp_path: Path) -> None:
    report = Clinic(runs=tmp_path).consult_sync(FUNDUS)
    assert report.status == "answered"
    assert [member.specialty for member in report.team] == ["ophthalmology"]
    measured = {item.name: item for item in report.evidence if item.value is not None}
    assert 5 < (measured["vessel_density"].value or 0) < 25
    assert measured["vessel_density"].unit == "%"
    known = {item.id for item in report.evidence}
    assert report.claims
    assert all(claim.support == "supported" and set(claim.evidence) <= known for claim in report.claims)
    assert any("not a language model" in note for note in report.limitations)
    assert "not a medical device" in report.notice
    assert verify_run(Path(report.trace.path)) > 5


def test_a_replay_needs_neither_images_nor_index_nor_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "runs"
    report = Clinic(runs=runs).consult_sync(FUNDUS)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(Path(report.trace.path).parent, elsewhere)
    shutil.rmtree(runs)

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("a replay went live")

    monkeypatch.setattr(EmbeddedEngine, "decide", forbidden)
    monkeypatch.setattr(Toolbox, "run", forbidden)
    monkeypatch.setattr("polyclinic.knowledge.index.search.Index.search", forbidden)
    monkeypatch.setattr("polyclinic.tools.imaging.store.ImageStore.open", forbidden)
    replayed = asyncio.run(Clinic(runs=tmp_path / "other").replay(elsewhere))
    assert report_text(replayed) == report_text(report) == (elsewhere / "report.json").read_text()


def test_a_changed_prompt_is_the_named_divergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clinic = Clinic(runs=tmp_path)
    report = clinic.consult_sync(TEXT)
    monkeypatch.setattr("polyclinic.agents.prompts.handbook_hash", lambda: "another handbook")
    with pytest.raises(DivergenceError) as caught:
        asyncio.run(clinic.replay(report.trace.path))
    assert "chat 'triage' by triage" in str(caught.value)
    assert '+  "handbook": "another handbook"' in str(caught.value)


def newer(name: str) -> list[Tool]:
    """The shipped tools, one of them as another version."""
    return [
        replace(tool, card=ToolCard.model_validate({**tool.card.model_dump(), "version": "9.9"}))
        if tool.card.name == name
        else tool
        for tool in TOOLS
    ]


def test_a_changed_tool_version_is_the_named_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    report = Clinic(runs=tmp_path).consult_sync(FUNDUS)
    changed = {tool.card.name: tool for tool in newer("image_quality")}
    monkeypatch.setattr("polyclinic.tools.registry._shipped", lambda: changed)
    _stamp.cache_clear()
    try:
        with pytest.raises(DivergenceError) as caught:
            asyncio.run(Clinic(runs=tmp_path).replay(report.trace.path))
    finally:
        _stamp.cache_clear()
    assert "step 1 (tool 'image_quality' by intake)" in str(caught.value)
    assert "9.9" in str(caught.value)
    assert "these tools changed, in version or card: image_quality (" in caplog.text


def test_a_replay_does_not_depend_on_what_is_installed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    report = Clinic(runs=tmp_path).consult_sync(FUNDUS)
    elsewhere = Clinic(runs=tmp_path, tools=newer("image_quality"))
    assert report_text(asyncio.run(elsewhere.replay(report.trace.path))) == report_text(report)
    own = elsewhere.consult_sync(FUNDUS)
    assert own.trace != report.trace
    assert report_text(asyncio.run(replay_run(own.trace.path))) == report_text(own)
    assert not caplog.text


@pytest.mark.parametrize("key", ["reliability", "arrangement", "tools", "budget", "engine", "caveat", "notes"])
def test_a_header_without_a_key_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    report = Clinic(runs=tmp_path).consult_sync(TEXT)
    trace, records = read_run(Path(report.trace.path))
    request = copy.deepcopy(records[0].request)
    del request["config"][key]
    older = (records[0].model_copy(update={"request": request}), *records[1:])
    monkeypatch.setattr("polyclinic.agents.clinic.read_run", lambda _: (trace, older))
    with pytest.raises(
        TraceError, match=rf"config\.{key} in the opening record of the trace; got Field required; repl"
    ):
        asyncio.run(replay_run(report.trace.path))


def test_the_same_consult_resumes_an_unfinished_run_and_asks_only_what_is_missing(tmp_path: Path) -> None:
    asked: list[str] = []

    class Stopping(EmbeddedEngine):
        stop = True

        async def decide(self, task: Task[Any]) -> Any:
            if self.stop and task.kind == "attending":
                raise KeyboardInterrupt
            asked.append(task.agent)
            return await super().decide(task)

    engine = Stopping()
    with pytest.raises(KeyboardInterrupt):
        Clinic(engine, runs=tmp_path).consult_sync(TEXT)
    first, engine.stop = list(asked), False
    report = Clinic(engine, runs=tmp_path).consult_sync(TEXT)
    assert asked == [*first, "attending"]
    assert len(list(tmp_path.glob("text-*"))) == 1
    assert any(record.kind == "resume" for record in read_run(Path(report.trace.path))[1])
    again = Clinic(engine, runs=tmp_path).consult_sync(TEXT)
    assert again.trace.path != report.trace.path


def test_a_fork_takes_steps_over_and_asks_the_rest_of_the_new_engine(tmp_path: Path) -> None:
    class Other(EmbeddedEngine):
        identity = "other/1"

        def __init__(self) -> None:
            self.asked: list[str] = []

        async def decide(self, task: Task[Any]) -> Any:
            self.asked.append(task.agent)
            return await super().decide(task)

    report = Clinic(runs=tmp_path).consult_sync(TEXT)
    steps = read_run(Path(report.trace.path))[1]
    triage = next(record.seq for record in steps if record.name == "triage")
    engine = Other()
    forked = asyncio.run(Clinic(engine).fork(report.trace.path, triage))
    assert "triage" not in engine.asked
    assert "attending" in engine.asked
    assert forked.option == report.option
    assert forked.engine == "other/1"
    assert report_text(asyncio.run(Clinic(runs=tmp_path).replay(forked.trace.path))) == report_text(forked)
    with pytest.raises(InputError, match="a step between 1 and"):
        asyncio.run(Clinic(engine).fork(report.trace.path, 999))


async def test_a_stream_shows_who_does_what_and_ends_with_the_report(tmp_path: Path) -> None:
    events = [event async for event in Clinic(runs=tmp_path).stream(TEXT)]
    assert [e.node for e in events if isinstance(e, NodeStarted)][:2] == ["intake", "triage"]
    assert any(isinstance(event, DecisionMade) and event.kind == "retrieval" for event in events)
    assert isinstance(events[-1], Reported)
    assert events[-1].report.option == "A"


async def test_leaving_a_stream_cancels_the_run_which_can_be_resumed(tmp_path: Path) -> None:
    class Slow(EmbeddedEngine):
        async def decide(self, task: Task[Any]) -> Any:
            await asyncio.sleep(0.05)
            return await super().decide(task)

    stream = Clinic(Slow(), runs=tmp_path).stream(TEXT)
    async for event in stream:
        if isinstance(event, DecisionMade):
            break
    await stream.aclose()
    assert not glob(f"{tmp_path}/text-*/report.json")
    assert (await Clinic(Slow(), runs=tmp_path).consult(TEXT)).option == "A"
    assert len(glob(f"{tmp_path}/text-*")) == 1


async def test_an_error_in_a_stream_reaches_the_reader(tmp_path: Path) -> None:
    case = Case(question="x?", images=(Image(path=str(tmp_path / "missing.png")),))
    with pytest.raises(InputError):
        async for _ in Clinic(runs=tmp_path).stream(case):
            pass


def test_prior_visits_are_compared_and_criteria_applied(tmp_path: Path) -> None:
    visits = [
        {"date": day, "labs": [{"name": "potassium", "value": value, "unit": "mmol/L", "low": 3.5, "high": 5.1}]}
        for day, value in (("2024-01-01", 4.2), ("2024-06-01", 5.9))
    ]
    case = Case.model_validate(
        {"question": "What changed?", "visits": visits, "date": "2024-06-02", "patient_id": "Q-7"}
    )
    report = Clinic(runs=tmp_path).consult_sync(case)
    assert [(change.finding, change.course) for change in report.changes] == [("potassium", "new")]
    assert any("hyperkalaemia" in claim.text and claim.support == "supported" for claim in report.claims)
    assert "Q-7" not in Path(report.trace.path).read_text()


def test_today_is_a_decision_when_visits_need_it(tmp_path: Path) -> None:
    case = Case(question="What changed?", visits=(Visit.model_validate({"date": "2024-01-01", "reports": ["Well."]}),))
    report = Clinic(runs=tmp_path).consult_sync(case)
    clock = [record for record in read_run(Path(report.trace.path))[1] if record.kind == "clock"]
    assert len(clock) == 1
    assert any(f"on {clock[0].result[:10]}" in i.content or "days before" in i.content for i in report.evidence)
    assert report_text(asyncio.run(Clinic(runs=tmp_path).replay(report.trace.path))) == report_text(report)


def test_a_blank_image_needs_a_human_and_costs_no_call(tmp_path: Path) -> None:
    from PIL import Image as Picture

    Picture.new("L", (300, 300)).save(tmp_path / "black.png")
    case = Case(question="Is there a pneumothorax?", images=(Image(path=str(tmp_path / "black.png"), modality="xray"),))
    report = Clinic(runs=tmp_path / "runs").consult_sync(case)
    assert report.status == "needs_human"
    assert "image-1" in report.answer
    assert report.usage.total.chat_calls == 0


def test_what_no_passage_covers_is_abstained_from(tmp_path: Path) -> None:
    report = Clinic(runs=tmp_path).consult_sync(
        Case(question="What is the dose of zorblaxine in patients on quuxamide?")
    )
    assert (report.status, report.claims) == ("abstained", ())


def test_an_image_without_a_modality_is_a_stated_limitation(tmp_path: Path, noise: Path) -> None:
    report = Clinic(runs=tmp_path / "r").consult_sync(Case(question="What is this?", images=(Image(path=str(noise)),)))
    assert any("modality is not stated" in note for note in report.limitations)


def test_paths_outside_the_root_are_refused(tmp_path: Path, noise: Path) -> None:
    (tmp_path / "inside").mkdir()
    case = Case(question="x?", images=(Image(path=str(noise), modality="xray"),))
    with pytest.raises(InputError, match="inside"):
        Clinic(runs=tmp_path / "r", root=tmp_path / "inside").consult_sync(case)
    (tmp_path / "inside" / "link.png").symlink_to(noise)
    linked = Case(question="x?", images=(Image(path=str(tmp_path / "inside" / "link.png"), modality="xray"),))
    with pytest.raises(InputError):
        Clinic(runs=tmp_path / "r", root=tmp_path / "inside").consult_sync(linked)
    assert not (tmp_path / "r").exists()


def test_two_patients_in_dicom_headers_raise_without_naming_them(tmp_path: Path) -> None:
    images = tuple(Image(path=f"package://pydicom/data/test_files/{name}") for name in ("CT_small.dcm", "MR_small.dcm"))
    with pytest.raises(InputError, match="one patient per case") as caught:
        Clinic(runs=tmp_path).consult_sync(Case(question="x?", images=images))
    assert "1CT1" not in str(caught.value)
    assert "4MR1" not in str(caught.value)


async def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    class Waiting(EmbeddedEngine):
        def __init__(self) -> None:
            self.started, self.go = asyncio.Event(), asyncio.Event()

        async def decide(self, task: Task[Any]) -> Any:
            self.started.set()
            await self.go.wait()
            return await super().decide(task)

    engine = Waiting()
    clinic = Clinic(engine, runs=tmp_path)
    first = asyncio.ensure_future(clinic.consult(TEXT))
    await engine.started.wait()
    with pytest.raises(RunLockedError, match="being written right now"):
        await clinic.consult(TEXT)
    engine.go.set()
    assert (await first).option == "A"


def test_a_disk_that_fills_up_is_a_clear_error_and_what_was_recorded_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all, written = os.write, 0

    def write(fd: int, data: bytes) -> int:
        nonlocal written
        if data.startswith(b'{"end_ns"'):
            written += 1
            if written == 5:
                return write_all(fd, data[:10])
        return write_all(fd, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StorageError, match="No space left"):
        Clinic(runs=tmp_path).consult_sync(TEXT)
    monkeypatch.undo()
    kinds = [record.kind for record in read_run(next(tmp_path.glob("text-*")))[1]]
    # then a specialist's look-up was lost
    assert [kind for kind in kinds if kind != "node"][:4] == ["run", "retrieval", "chat", "chat"]
    assert Clinic(runs=tmp_path).consult_sync(TEXT).option == "A"


def test_engines_that_are_not_there_are_set_up_errors(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="embedded"):
        Clinic("localhost:8000", runs=tmp_path)
    with pytest.raises(SetupError, match="http://localhost:8000/v1"):
        Clinic("http://", runs=tmp_path)
    with pytest.raises(SetupError, match="embedded"):
        Clinic(model="some-model", runs=tmp_path)


def test_nothing_is_sent_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("LANGCHAIN_TRACING_V2", "true")
    monkeypatch.setenv("LANGSMITH_API_KEY", "x")
    tried: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: tried.append(address))
    assert Clinic(runs=tmp_path).consult_sync(TEXT).status == "answered"
    time.sleep(0.2)
    assert tried == []


def test_a_replay_touches_nothing(tmp_path: Path) -> None:
    report = Clinic(runs=tmp_path).consult_sync(TEXT)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    asyncio.run(Clinic(runs=tmp_path).replay(report.trace.path))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_run_locked_by_another_process_is_refused_and_freed_when_it_ends(tmp_path: Path) -> None:
    report = Clinic(runs=tmp_path).consult_sync(TEXT)
    trace = Path(report.trace.path)
    lines = trace.read_bytes().splitlines(keepends=True)
    (trace.parent / "report.json").unlink()
    trace.write_bytes(b"".join(lines[:4]))
    file = TraceFile(trace)
    with pytest.raises(RunLockedError):
        Clinic(runs=tmp_path).consult_sync(TEXT)
    file.close()
    assert Clinic(runs=tmp_path).consult_sync(TEXT).trace.path == str(trace)


def test_the_report_is_json_with_the_promised_keys(tmp_path: Path) -> None:
    body = json.loads(report_text(Clinic(runs=tmp_path).consult_sync(TEXT)))
    promised = "status answer option confidence claims evidence dissent differential limitations usage trace"
    assert set(promised.split()) <= set(body)
    assert set(body["trace"]) == {"path", "hash"}


async def test_tools_time_out_by_their_own_time_not_by_the_queue(tmp_path: Path, noise: Path) -> None:
    class Seen(ToolOutput):
        seen: Measurement

    def look(arguments: ImageArguments, images: Any) -> Seen:
        time.sleep(0.15)
        return Seen(seen=Measurement(name="seen", value=1, unit="1", text="Seen 1."))

    card = ToolCard(name="look", version="1", summary="s", measures=("seen",), modalities=("xray",), timeout_s=0.6)
    tool = Tool(card=card, arguments=ImageArguments, output=Seen, run=look)
    clinic = Clinic(runs=tmp_path / "r", tools=[tool])
    images = (Image(path=str(noise), modality="xray"),)
    cases = [Case(id=f"case-{n}", question="What is seen?", images=images) for n in range(16)]
    reports = await asyncio.gather(*map(clinic.consult, cases))
    assert {report.status for report in reports} == {"answered"}


def test_a_tool_that_never_ends_costs_its_call_only(tmp_path: Path, noise: Path) -> None:
    released = threading.Event()

    class Never(ToolOutput):
        pass

    def hang(arguments: ImageArguments, images: Any) -> Never:
        released.wait(60)
        return Never()

    card = ToolCard(name="hang", version="1", summary="s", measures=(), modalities=("xray",), timeout_s=0.1)
    tool = Tool(card=card, arguments=ImageArguments, output=Never, run=hang)
    case = Case(question="What is seen?", images=(Image(path=str(noise), modality="xray"),))
    report = Clinic(runs=tmp_path / "r", tools=[tool]).consult_sync(case)  # returns though the tool still hangs
    assert not released.is_set()
    released.set()
    assert any("hang on image-1 broke" in note and "no result after 0.1 s" in note for note in report.limitations)


def test_a_stated_patient_must_be_the_one_in_the_dicom_header(tmp_path: Path) -> None:
    image = Image(path="package://pydicom/data/test_files/CT_small.dcm")
    with pytest.raises(InputError, match="one patient per case"):
        Clinic(runs=tmp_path).consult_sync(Case(question="x?", patient_id="SOMEBODY-ELSE", images=(image,)))
    report = Clinic(runs=tmp_path).consult_sync(Case(question="x?", patient_id="1CT1", images=(image,)))
    assert "1CT1" not in Path(report.trace.path).read_text()


@pytest.mark.parametrize("blob", ["/etc/passwd", "../x", "0" * 64])
def test_a_blob_is_a_hash_of_pixels_taken_in_before(tmp_path: Path, blob: str) -> None:
    with pytest.raises((InputError, ValidationError)):
        Clinic(runs=tmp_path).consult_sync(Case.model_validate({"question": "x?", "images": [{"blob": blob}]}))


def test_the_newest_value_of_a_lab_decides_however_it_is_spelt(tmp_path: Path) -> None:
    visits = [
        {"date": day, "labs": [{"name": name, "value": value, "unit": "mmol/L"}]}
        for day, name, value in (("2024-01-01", "Potassium", 6.8), ("2024-06-01", "potassium", 4.2))
    ]
    case = Case.model_validate({"question": "What about potassium?", "visits": visits, "date": "2024-06-02"})
    report = Clinic(runs=tmp_path).consult_sync(case)
    assert not any("hyperkalaemia" in claim.text for claim in report.claims)


def test_text_given_with_the_case_is_read(tmp_path: Path) -> None:
    case = Case(
        question="What did the biopsy of the shoulder lesion show?",
        context=("The biopsy of the shoulder lesion showed a nodular melanoma.",),
    )
    report = Clinic(runs=tmp_path).consult_sync(case)
    assert report.status == "answered"
    assert report.claims[0].evidence == ("intake.p1",)


def test_passages_of_a_patient_are_found_for_that_patient_only(tmp_path: Path) -> None:
    passage = Passage(
        id="own", title="Allergy", text="Penicillin allergy with anaphylaxis, documented by the allergist.",
        domains=("general_medicine",), citation="own record", licence="none", patient_id=pseudonym("Q-7"),
    )  # fmt: skip
    clinic = Clinic(runs=tmp_path, knowledge=Index([passage]))
    question = "Which penicillin allergy is documented?"
    mine = clinic.consult_sync(Case(question=question, patient_id="Q-7"))
    assert any(item.source.name == "own" for item in mine.evidence)
    for patient_id in ("Q-8", None):
        theirs = clinic.consult_sync(Case(question=question, patient_id=patient_id))
        assert theirs.status == "abstained"
        assert not any(item.source.name == "own" for item in theirs.evidence)


def test_a_replay_needs_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Clinic(runs=tmp_path).consult_sync(TEXT)
    monkeypatch.setenv("POLYCLINIC_ENGINE", "http://gpu:8000/v1")
    assert report_text(asyncio.run(replay_run(report.trace.path))) == report_text(report)
