"""Conversations: later questions see earlier answers; the transcript replays exactly and can be asked of others."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from polyclinic import Case, Clinic, Image
from polyclinic.agents.consultation import Consultation, ask_again
from polyclinic.agents.transcripts import replay_turns, turn_case, verify_turns
from polyclinic.core.canonical import canonical_json
from polyclinic.core.case import Exchange, Visit
from polyclinic.core.errors import DivergenceError, InputError, RunLockedError, SetupError, StorageError, TraceError
from polyclinic.core.report import Report
from polyclinic.core.runs import read_run
from polyclinic.core.transcript import is_transcript, read_transcript
from polyclinic.knowledge.store import Hit, Picture, Query

CASE = Case(
    id="talk",
    question="What do the vessels and the optic disc measure?",
    images=(Image(path="package://skimage/data/retina.jpg", modality="fundus", body_part="eye"),),
)
WORDS = Case(id="words", question="Which HbA1c is a criterion for diabetes?", patient_id="MRN-1")
SECOND, THIRD = "And what is hyperkalaemia?", "And what is anaemia?"


async def talk(runs: Path) -> Path:
    async with Clinic(runs=runs).consultation(CASE) as consultation:
        first = await consultation.ask()
        second = await consultation.ask("And what was the vessel density?")
        assert (first.status, second.status) == ("answered", "answered")
        density = next(item for item in first.evidence if item.name == "vessel_density")
        assert f"turn1.{density.id}" in {name for claim in second.claims for name in claim.evidence}
        assert density.content.removesuffix(".") in second.answer
        assert second.usage.agents["ophthalmology"].tool_calls == 1, "the tools ran in turn 1; now only a look-up"
        return consultation.path


async def speak(runs: Path, *questions: str | None, case: Case = WORDS) -> Path:
    """A conversation without images; the case's own question and a second one when none are given."""
    async with Clinic(runs=runs).consultation(case) as consultation:
        for question in questions or (None, SECOND):
            await consultation.ask(question)
        return consultation.path


def verified(path: Path) -> int:
    return len(list(verify_turns(read_transcript(path))))


async def replayed(path: Path) -> int:
    clinic = Clinic(runs=path.parent / "nowhere")
    return len([rerun async for rerun in replay_turns(clinic, read_transcript(path))])


async def test_a_conversation_is_a_chat_log_with_references(tmp_path: Path) -> None:
    path = await talk(tmp_path)
    messages = [json.loads(line) for line in path.read_text().splitlines()]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert all(isinstance(message["content"], str) for message in messages)
    reference = messages[2]["polyclinic"]
    assert (path.parent / reference["run"]).is_file()
    assert reference["evidence"]
    assert len(reference["hash"]) == 64
    assert is_transcript(path)
    assert is_transcript(path.parent)
    assert not is_transcript((path.parent / reference["run"]).parent)


async def test_a_transcript_is_given_back_exactly(tmp_path: Path) -> None:
    path = await talk(tmp_path)
    conversation = read_transcript(path)
    again = [rerun async for rerun in replay_turns(Clinic(runs=tmp_path / "other"), conversation)]
    assert [rerun.report.answer for rerun in again] == [turn.answer["content"] for turn in conversation.turns]
    messages = [canonical_json(message) for rerun in again for message in rerun.messages]
    assert "\n".join(messages) + "\n" == path.read_text()
    assert verified(path) == 2


def change(number: int, **members: object) -> Callable[[list[str]], None]:
    """An edit of the message in line `number`, from 0; what is no content goes into its `polyclinic` member."""

    def edited(lines: list[str]) -> None:
        message = json.loads(lines[number])
        for name, value in members.items():
            (message if name in {"content", "name"} else message["polyclinic"])[name] = value
        lines[number] = canonical_json(message)

    return edited


def change_case(**fields: object) -> Callable[[list[str]], None]:
    def edited(lines: list[str]) -> None:
        change(0, case=json.loads(lines[0])["polyclinic"]["case"] | fields)(lines)

    return edited


def swap(lines: list[str]) -> None:
    lines[1:5] = [*lines[3:5], *lines[1:3]]


OTHER_PAST = "run with another dialogue and id"
EDITS: dict[str, tuple[Callable[[list[str]], None], str]] = {
    "question": (change(1, content="Is the patient healthy?"), "message 2 as it was written"),
    "name": (change(1, name="Eve"), "message 2 as it was written"),
    "answer": (change(2, content="All is well."), "message 3 as it was written"),
    "status": (change(2, status="abstained"), "message 3 as it was written"),
    "option": (change(2, option="A"), "message 3 as it was written"),
    "evidence": (change(2, evidence=[]), "message 3 as it was written"),
    "hash": (change(4, hash="0" * 64), "message 5 as it was written"),
    "notice": (change(0, content="A medical device."), "message 1 to be the notice of its runs"),
    "patient": (change_case(patient_id="p-other"), "run with another patient_id"),
    "case id": (change_case(id="other"), "run with another id"),
    "own question, not asked": (change_case(question="Which?", options={"A": "1", "B": "2"}), '"prev"'),
    "spelling of the case": (change_case(date="0"), "message 1 as it was written"),
    "notes": (change(0, notes=["blurred"]), "the case's notes as the runs have them"),
    "first turn deleted": (lambda lines: lines.__delitem__(slice(1, 3)), OTHER_PAST),
    "last turn deleted": (lambda lines: lines.__delitem__(slice(3, 5)), "turn 2, whose run words.turn-2-"),
    "all turns deleted": (lambda lines: lines.__delitem__(slice(1, 5)), "turn 1, whose run words.turn-1-"),
    "a turn repeated": (lambda lines: lines.extend(lines[1:3]), OTHER_PAST),
    "turns moved": (swap, OTHER_PAST),
    "a message between": (
        lambda lines: lines.insert(1, '{"content":"Be brief.","role":"system"}'),
        "message 2 as it was written",
    ),
    "a message after": (lambda lines: lines.append('{"content":"Bye.","role":"system"}'), "to end after message 5"),
}


@pytest.mark.parametrize("edited", EDITS)
async def test_whatever_was_edited_removed_added_or_moved_is_found(tmp_path: Path, edited: str) -> None:
    edit, words = EDITS[edited]
    path = await speak(tmp_path, "What is anaemia?", SECOND)
    assert (verified(path), await replayed(path)) == (2, 2)
    lines = path.read_text().split("\n")[:-1]
    edit(lines)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DivergenceError) as found:
        verified(path)
    assert words in str(found.value)
    assert "\n" not in str(found.value)
    with pytest.raises(DivergenceError) as found:
        await replayed(path)
    assert words in str(found.value)


async def test_a_run_of_a_conversation_that_was_changed_is_named(tmp_path: Path) -> None:
    path = await speak(tmp_path)
    run = read_transcript(path).turns[1].run
    assert run is not None
    whole = run.read_text()
    run.write_text(whole.replace("hyperkalaemia", "hypokalaemia", 1))
    with pytest.raises(TraceError, match=r"in words\.turn-2-\w+-1, line 1 to be"):
        verified(path)
    run.write_text(whole)
    assert verified(path) == 2
    shutil.rmtree(run.parent)
    with pytest.raises(StorageError, match=r"words\.turn-2-"):
        verified(path)


async def test_a_fork_of_a_turn_is_no_turn(tmp_path: Path) -> None:
    path = await speak(tmp_path)
    last = read_transcript(path).turns[1].run
    assert last is not None
    await Clinic(runs=tmp_path).fork(last, 1)
    assert verified(path) == 2
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]))
    shutil.rmtree(last.parent)
    assert verified(path) == 1, "the documented gap: the turn and its run are gone, only the fork is left"


async def test_the_same_turns_of_another_configuration_differ_where_they_differ(tmp_path: Path) -> None:
    conversation = read_transcript(await talk(tmp_path))
    same = [rerun.same async for rerun in ask_again(Clinic(runs=tmp_path), conversation)]
    assert same == [True, True]
    without_tools = Clinic(runs=tmp_path, tools=())
    other = [rerun async for rerun in ask_again(without_tools, conversation)]
    assert [rerun.same for rerun in other] == [False, False]


async def test_asked_again_the_patient_and_the_notes_stay(tmp_path: Path, noise: Path) -> None:
    image = Image(path=str(noise), modality="fundus", patient_id="MRN-1")
    visit = Visit.model_validate({"date": "2024-01-31", "patient_id": "MRN-1"})
    case = WORDS.model_copy(update={"images": (image,), "visits": (visit,)})
    clinic = Clinic(runs=tmp_path / "runs")
    taken, _ = await clinic.take_in(case)
    async with Consultation(taken, clinic=clinic, notes=("image-1: given as a photograph",)) as consultation:
        await consultation.ask(THIRD)
    conversation = read_transcript(consultation.path)
    reruns = [rerun async for rerun in ask_again(clinic, conversation)]
    again = read_transcript(Path(reruns[0].report.trace.path).parent.parent)
    assert again.path != conversation.path
    assert (again.case, again.notes) == (conversation.case, ("image-1: given as a photograph",))
    assert again.case is not None
    assert again.case.patient_id not in {None, "MRN-1"}
    header = read_run(Path(reruns[0].report.trace.path))[1][0].request
    assert header["case"]["patient_id"] == taken.patient_id
    assert "image-1: given as a photograph" in reruns[0].report.limitations
    written = "".join(canonical_json(message) + "\n" for message in reruns[0].messages)
    assert written == again.path.read_text()


async def test_a_plain_chat_log_can_be_asked_but_not_replayed(tmp_path: Path) -> None:
    log = {"messages": [
        {"role": "user", "content": "Which HbA1c is a criterion for diabetes?"},
        {"role": "assistant", "content": "6.5 %"},
        {"role": "user", "content": "And fasting plasma glucose?"},
    ]}  # fmt: skip
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    conversation = read_transcript(path)
    reruns = [rerun async for rerun in ask_again(Clinic(runs=tmp_path), conversation)]
    assert [rerun.same for rerun in reruns] == [False, False]
    assert reruns[1].report.question == "And fasting plasma glucose?"
    with pytest.raises(InputError, match="--engine embedded"):
        [rerun async for rerun in replay_turns(Clinic(runs=tmp_path), conversation)]
    with pytest.raises(InputError, match=r"turn 1 of log\.json to name its recorded run"):
        verified(path)


async def test_a_consultation_must_be_open(tmp_path: Path) -> None:
    consultation = Clinic(runs=tmp_path).consultation(CASE)
    with pytest.raises(SetupError, match="async with"):
        await consultation.ask()
    with pytest.raises(SetupError):
        consultation.path  # noqa: B018
    async with consultation:
        pass
    with pytest.raises(SetupError):
        await consultation.ask("x?")


async def test_two_consultations_of_one_case_do_not_meet(tmp_path: Path) -> None:
    clinic = Clinic(runs=tmp_path)
    case = Case(id="twins", question="Which HbA1c is a criterion for diabetes?")
    async with clinic.consultation(case) as one, clinic.consultation(case) as other:
        assert one.path != other.path
        assert (await one.ask()).answer == (await other.ask()).answer


async def test_questions_asked_at_the_same_time_are_taken_in_order(tmp_path: Path) -> None:
    questions = ("What is hyperkalaemia?", "What is anaemia?", "Which HbA1c is a criterion for diabetes?")
    async with Clinic(runs=tmp_path).consultation(WORDS) as consultation:
        reports = await asyncio.gather(*map(consultation.ask, questions))
    assert [report.case_id for report in reports] == ["words.turn-1", "words.turn-2", "words.turn-3"]
    assert tuple(report.question for report in reports) == questions
    assert tuple(turn.question for turn in read_transcript(consultation.path).turns) == questions
    assert verified(consultation.path) == 3


async def test_a_turn_is_called_after_its_case_and_sees_what_came_before() -> None:
    long = "x" * 80
    before = Exchange(question="Earlier?", status="answered", answer="Yes.")
    case = WORDS.model_copy(update={"id": long, "dialogue": (before,)})
    report = Report.model_validate({
        "case_id": "c", "status": "abstained", "question": "First?", "answer": "", "engine": "e",
        "trace": {"path": "", "hash": ""},
    })  # fmt: skip
    turn = turn_case(case, [report] * 9, "What now?")
    assert turn.id == "x" * 72 + ".turn-10"
    assert [exchange.question for exchange in turn.dialogue] == ["Earlier?", *["First?"] * 9]
    with pytest.raises(InputError, match="a question to ask"):
        turn_case(case, [], "  ")


async def test_a_consultation_is_taken_up_again(tmp_path: Path) -> None:
    whole = await speak(tmp_path / "whole", None, SECOND, THIRD)
    path = await speak(tmp_path / "runs", None, SECOND)
    async with Consultation.resume(path.parent, clinic=Clinic(runs=tmp_path / "elsewhere")) as consultation:
        assert [report.question for report in consultation.reports] == [WORDS.question, SECOND]
        report = await consultation.ask(THIRD)
        assert consultation.path == path
    assert report.case_id == "words.turn-3"
    assert Path(report.trace.path).parent.parent == path.parent
    assert (verified(path), await replayed(path)) == (3, 3)
    told = [[turn.answer["content"] for turn in read_transcript(file).turns] for file in (path, whole)]
    assert told[0] == told[1]


@pytest.mark.parametrize("kept", [1, 2, 3, 4])
async def test_turns_that_were_answered_but_not_written_are_taken_in(tmp_path: Path, kept: int) -> None:
    path = await speak(tmp_path)
    text = path.read_text()
    lines = text.splitlines(keepends=True)
    for rest in ("", lines[kept][:40]):  # cut between two messages, and within one
        path.write_text("".join(lines[:kept]) + rest)
        async with Consultation.resume(path, clinic=Clinic(runs=tmp_path)) as consultation:
            assert len(consultation.reports) == 2
        assert path.read_text() == text
    assert verified(path) == 2


async def test_a_question_that_was_interrupted_is_finished_in_its_own_run(tmp_path: Path) -> None:
    clinic = Clinic(runs=tmp_path)
    knowledge = clinic.knowledge

    class Stopping:
        version, excluded, pictured = knowledge.version, knowledge.excluded, knowledge.pictured

        def search(self, query: Query, picture: Picture | None = None) -> tuple[Hit, ...]:
            loop.call_soon_threadsafe(asking.cancel)
            return ()

    async with clinic.consultation(WORDS) as consultation:
        await consultation.ask()
        clinic.knowledge, loop = Stopping(), asyncio.get_running_loop()
        asking = asyncio.ensure_future(consultation.ask(SECOND))
        with pytest.raises(asyncio.CancelledError):
            await asking
    begun = list(consultation.path.parent.glob("words.turn-2-*"))
    assert len(begun) == 1
    assert verified(consultation.path) == 1, "an unfinished run is no turn"
    async with Consultation.resume(consultation.path, clinic=Clinic(runs=tmp_path, knowledge=knowledge)) as resumed:
        report = await resumed.ask(SECOND)
    assert Path(report.trace.path).parent == begun[0]
    assert "resume" in {record.kind for record in read_run(begun[0])[1]}
    assert verified(consultation.path) == 2


async def test_a_consultation_that_cannot_be_taken_up_is_left_as_it_is(tmp_path: Path) -> None:
    clinic = Clinic(runs=tmp_path)
    path = await speak(tmp_path)
    text = path.read_text()
    for other, error in (
        (text.replace("diabetes?", "gout?", 2), TraceError),
        (text + '{"content":"Bye.","role":"system"}\n', TraceError),
        (text.replace("\n", "\n\n", 1), InputError),
        ('{"role": "user", "content": "x?"}', InputError),
        ("not json", InputError),
    ):
        path.write_text(other)
        with pytest.raises(error):
            async with Consultation.resume(path, clinic=clinic):
                pass
        assert path.read_text() == other
    with pytest.raises(StorageError, match=r"nowhere"):
        async with Consultation.resume(tmp_path / "nowhere", clinic=clinic):
            pass
    path.write_text(text)
    async with Consultation.resume(path, clinic=clinic):
        with pytest.raises(RunLockedError, match="the only writer"):
            async with Consultation.resume(path, clinic=clinic):
                pass
