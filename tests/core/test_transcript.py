"""Reading transcripts: whatever stands in the file, it is a conversation or one plain line that says what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from polyclinic.core.canonical import canonical_json
from polyclinic.core.case import Case
from polyclinic.core.errors import InputError, RunLockedError, StorageError
from polyclinic.core.report import Report
from polyclinic.core.transcript import (
    FILE,
    Conversation,
    Transcript,
    is_transcript,
    opening_line,
    read_transcript,
    turn_lines,
)

CASE = Case.model_validate(
    {"id": "c", "question": "What?", "images": [{"blob": "b" * 64}], "metadata": {"role": "nurse"}}
)
TRACE = "runs/c-consultation-1/c.turn-1-0123456789-1/trace.jsonl"
REPORT = Report.model_validate({
    "case_id": "c.turn-1", "status": "answered", "question": "What?", "answer": "A\u2028line\x85break, ünd €.",
    "engine": "e", "trace": {"path": TRACE, "hash": "a" * 64},
})  # fmt: skip


def recorded() -> list[Any]:
    """The messages of a conversation of one turn."""
    opening = opening_line("A notice.", CASE, ["image-1: dark"])
    return [opening, *turn_lines(REPORT, [opening])]


def write(path: Path, messages: list[Any]) -> Path:
    path.write_text("".join(json.dumps(message) + "\n" for message in messages), encoding="utf-8")
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path, new=True)
    messages = recorded()
    transcript.append(messages[0])
    transcript.append(*messages[1:])
    transcript.close()
    conversation = read_transcript(tmp_path)
    assert (conversation.case, conversation.notice, conversation.notes) == (CASE, "A notice.", ("image-1: dark",))
    (turn,) = conversation.turns
    assert (turn.question, turn.answer["content"]) == ("What?", REPORT.answer)
    assert turn.run == tmp_path / "c.turn-1-0123456789-1" / "trace.jsonl"
    assert list(conversation.lines) == [canonical_json(message) for message in messages]
    assert messages[2]["polyclinic"]["prev"] != recorded()[2]["polyclinic"]["hash"]


def test_an_answer_is_tied_to_every_message_before_it() -> None:
    opening, question, _ = recorded()
    other = opening_line("A notice.", CASE.model_copy(update={"question": "Why?"}), ["image-1: dark"])
    befores = ([opening], [other], [opening, question], [other, question])
    seals = {turn_lines(REPORT, before)[1]["polyclinic"]["prev"] for before in befores}
    assert len(seals) == 4


def test_a_chat_log_of_other_people_is_read(tmp_path: Path) -> None:
    parts = [
        {"type": "text", "text": "It is"},
        {"type": "refusal", "refusal": "no"},
        {"type": "text", "text": "6.5 %."},
    ]
    log: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Which HbA1c?"}], "name": "Ada"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {}}]},
        {"role": "tool", "content": "6.5", "tool_call_id": "1"},
        {"role": "assistant", "content": parts, "refusal": None, "annotations": []},
        {"role": "user", "content": "  And glucose? "},
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "7.0."},
    ]
    (tmp_path / "log.json").write_text(json.dumps({"model": "m", "messages": log}), encoding="utf-8-sig")
    (tmp_path / "list.json").write_text(json.dumps(log))
    write(tmp_path / "log.jsonl", log)
    for name in ("log.json", "list.json", "log.jsonl"):
        assert is_transcript(tmp_path / name)
        conversation = read_transcript(tmp_path / name)
        assert conversation.case is None
        told = [(turn.question, turn.answer and turn.answer["content"]) for turn in conversation.turns]
        assert told == [("Which HbA1c?", "It is\n6.5 %."), ("And glucose?", None), ("Hello?", "7.0.")]


def member(number: int, **changes: Any) -> list[Any]:
    messages = recorded()
    messages[number]["polyclinic"] |= changes
    return messages


def without(number: int, name: str) -> list[Any]:
    messages = recorded()
    del messages[number]["polyclinic"][name]
    return messages


PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}
IMAGE_FILE = {**CASE.model_dump(mode="json"), "images": [{"path": "/etc/passwd"}]}
UNUSABLE: dict[str, tuple[list[Any], str]] = {
    "nothing": ([], "the role 'user'"),
    "no content at all": ([{"role": "user"}], "a question in message 1"),
    "an answer alone": ([{"role": "assistant", "content": "x"}], "the role 'user'"),
    "numbers": ([1, 2], "message 1 to have a role"),
    "a number as content": ([{"role": "user", "content": 1}], "message 1 to have a role and text content"),
    "a number as role": ([{"role": 2, "content": "x"}], "role: Input should be a valid string"),
    "an empty question": ([{"role": "user", "content": "   "}], "a question in message 1"),
    "a picture asked about": ([{"role": "user", "content": [PICTURE]}], "got image_url"),
    "a null among the parts": ([{"role": "user", "content": [None]}], "message 1 to have a role"),
    "no case": (without(0, "case"), "case: Field required"),
    "a case that is none": (member(0, case=[]), "message 1 to carry the setting"),
    "an invalid case": (member(0, case={"question": ""}), "case.question: "),
    "two patients": (member(0, case={"question": "x", "patient_id": "a", "images": [
        {"blob": "b" * 64, "patient_id": "b"}]}), "one patient per case"),
    "a case with a file": (member(0, case=IMAGE_FILE), "never files"),
    "notes that are none": (member(0, notes={"a": 1}), "notes: "),
    "an unknown member": (member(0, extra=1), "extra: Extra inputs"),
    "an unknown member with a line break": (member(0, **{"a\nb": 1}), "a b: Extra inputs"),
    "no run": (without(2, "run"), "run: Field required"),
    "no hash": (without(2, "hash"), "hash: Field required"),
    "no status": (without(2, "status"), "message 3 to carry the reference"),
    "an unknown status": (member(2, status="sure"), "status: "),
    "a run elsewhere": (member(2, run="../../etc/trace.jsonl"), "run: String should match"),
    "a run from the root": (member(2, run="/tmp/trace.jsonl"), "run: String should match"),
    "a run with a zero": (member(2, run="a\0/trace.jsonl"), "run: String should match"),
    "a run with a long name": (member(2, run="a" * 300 + "/trace.jsonl"), "run: String should match"),
    "a reference that is none": ([*recorded()[:2], {**recorded()[2], "polyclinic": 3}], "reference"),
    "a setting that is none": ([{**recorded()[0], "polyclinic": "x"}, *recorded()[1:]], "setting"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_chat_logs_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    messages, words = UNUSABLE[name]
    with pytest.raises(InputError) as refused:
        read_transcript(write(tmp_path / FILE, messages))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["log.jsonl", "log.json"])
@pytest.mark.parametrize(
    "text",
    [b"not json", b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"NaN", b'{"messages": 3}', b"{}", b"null", b"1" * 5000],
    ids=["words", "brackets", "braces", "not text", "nan", "messages", "empty", "null", "long number"],
)
def test_what_is_not_json_is_refused_in_one_line(tmp_path: Path, name: str, text: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(text)
    with pytest.raises(InputError) as refused:
        read_transcript(path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600
    with pytest.raises(InputError, match="a readable transcript"):
        read_transcript(tmp_path / "nowhere.jsonl")
    assert is_transcript(path) == (name == "log.json")


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["role", "content", "polyclinic", "case", "run", "hash", "status", "notes", "type", "text"])
SHAPED = st.dictionaries(NAMES, JSON | st.sampled_from(["user", "assistant", "system"]), max_size=5)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything inside a JSON value."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*at, key))


@st.composite
def damaged(draw: st.DrawFn) -> list[Any]:
    """A recorded conversation with some of its values replaced by others."""
    messages = recorded()
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(list(places(messages))))
        inside: Any = messages
        for key in way:
            inside = inside[key]
        inside[last] = draw(JSON | SHAPED)
    return messages


@given(messages=st.lists(JSON | SHAPED, max_size=4) | damaged(), suffix=st.sampled_from([".jsonl", ".json"]))
@example(messages=[{"role": "user", "content": "\ud800"}], suffix=".jsonl")
@example(messages=[{"role": "user", "content": "x", "name": float("nan")}], suffix=".json")
def test_any_json_is_a_conversation_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, messages: list[Any], suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    if suffix == ".json":
        path.write_text(json.dumps(messages))
    else:
        write(path, messages)
    refusal = ""
    try:
        conversation = read_transcript(path)
    except InputError as error:
        refusal = str(error)
    if refusal:
        assert len(refusal.splitlines()) == 1
        return
    assert isinstance(conversation, Conversation)
    assert isinstance(is_transcript(path), bool)
    assert all(turn.question.strip() for turn in conversation.turns)
    assert all(turn.answer is None or isinstance(turn.answer["content"], str) for turn in conversation.turns)
    assert all(turn.run is None or turn.run.parent.parent == path.parent for turn in conversation.turns)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"role": "user", "content": "x"}, True),
        ({"kind": "run", "request": {"case": {"metadata": {"role": "nurse"}}}}, False),
        ({"kind": "run", "role": "nurse"}, False),
        ({"note": '"role"'}, False),
        (["role"], False),
    ],
    ids=["message", "metadata", "member", "text", "list"],
)
def test_a_trace_that_says_role_is_no_transcript(tmp_path: Path, line: Any, told: bool) -> None:
    assert is_transcript(write(tmp_path / "some.jsonl", [line, {"role": "user", "content": "x"}])) is told


def test_a_transcript_has_one_writer_and_keeps_whole_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match=r"transcript\.jsonl"):
        Transcript(tmp_path)
    transcript = Transcript(tmp_path, new=True)
    opening, *turn = recorded()
    transcript.append(opening)
    with pytest.raises(RunLockedError):
        Transcript(tmp_path)
    before = transcript.path.read_bytes()
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr("os.write", lambda fd, data: real(fd, data[:30]))
        with pytest.raises(StorageError, match="No space left"):
            transcript.append(*turn)
    assert (transcript.path.read_bytes(), transcript.messages) == (before, [opening])
    transcript.append(*turn)
    transcript.close()
    assert len(read_transcript(tmp_path).turns) == 1


@pytest.mark.parametrize("cut", [1, 20])
def test_a_turn_that_was_cut_off_can_be_left_out(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path / FILE, [*recorded(), {"content": "And?", "role": "user"}])
    whole = read_transcript(path)
    assert [turn.question for turn in whole.turns] == ["What?", "And?"]
    assert len(read_transcript(path, whole_turns=True).turns) == 1
    path.write_bytes(path.read_bytes()[:-cut])
    assert len(read_transcript(path, whole_turns=True).turns) == 1
