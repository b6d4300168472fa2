"""Conversations: later questions see earlier answers; the transcript replays exactly and can be asked of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyclinic import Case, Clinic, Image
from polyclinic.agents.transcripts import ask_again, replay_turns
from polyclinic.core.errors import DivergenceError, InputError, SetupError
from polyclinic.core.transcript import is_transcript, read_transcript

CASE = Case(
    id="talk",
    question="What do the vessels and the optic disc measure?",
    images=(Image(path="package://skimage/data/retina.jpg", modality="fundus", body_part="eye"),),
)


async def talk(runs: Path) -> Path:
    async with Clinic(runs=runs).consultation(CASE) as consultation:
        first = await consultation.ask()
        second = await consultation.ask("And what was the vessel density?")
        assert (first.status, second.status) == ("answered", "answered")
        density = next(item for item in first.evidence if item.name == "vessel_density")
        assert f"turn1.{density.id}" in {name for claim in second.claims for name in claim.evidence}
        assert density.content in second.answer
        assert second.usage.agents["ophthalmology"].tool_calls == 1, "the tools ran in turn 1; now only a look-up"
        return consultation.path


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
    path.write_text(path.read_text().replace("disc", "disk", 3))
    with pytest.raises(DivergenceError, match="turn 1 as the transcript has it"):
        [rerun async for rerun in replay_turns(Clinic(runs=tmp_path), read_transcript(path))]


async def test_the_same_turns_of_another_configuration_differ_where_they_differ(tmp_path: Path) -> None:
    conversation = read_transcript(await talk(tmp_path))
    same = [rerun.same async for rerun in ask_again(Clinic(runs=tmp_path), conversation)]
    assert same == [True, True]
    without_tools = Clinic(runs=tmp_path, tools=())
    other = [rerun async for rerun in ask_again(without_tools, conversation)]
    assert [rerun.same for rerun in other] == [False, False]


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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        '{"role": "user"}',
        '{"role": "assistant", "content": "x"}',
        "[1, 2]",
        '{"content": 1, "role": 2}',
    ],
)
def test_unusable_chat_logs_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(InputError):
        read_transcript(path)


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
