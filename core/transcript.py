"""A conversation as a file: JSONL of OpenAI-shaped messages, each answer naming its run and its evidence.

    {"role": "system", "content": notice, "polyclinic": {"case": …, "notes": […]}}
    {"role": "user", "content": question}
    {"role": "assistant", "content": answer, "polyclinic": {"status": …, "run": …, "hash": …, "evidence": […]}}

A plain chat log without the `polyclinic` members can be read too.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .canonical import Json, canonical_json
from .errors import InputError, StorageError
from .report import Report

FILE = "transcript.jsonl"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One question with its answer as it stands in the file; `run` names the trace when it was recorded here."""

    question: str
    answer: Json
    run: Path | None


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A transcript as read: the recorded case (None in a plain chat log), its notes, and the turns."""

    path: Path
    opening: Json
    case: Json
    notes: tuple[str, ...]
    turns: tuple[Turn, ...]


class Transcript:
    """The writer of one transcript; it appends whole turns."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / FILE

    @classmethod
    def create(cls, folder: Path, opening: Json) -> Transcript:
        transcript = cls(folder)
        transcript.append(opening)
        return transcript

    def append(self, *messages: Json) -> None:
        """Add messages in one write. Raises StorageError when the disk refuses."""
        data = "".join(canonical_json(message) + "\n" for message in messages).encode()
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                if os.write(fd, data) != len(data):
                    raise OSError(28, "No space left on device")
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError(
                expected=f"room and permission to write {self.path}",
                got=error.strerror or type(error).__name__,
                fix="free some space; the turn's own run is complete in its trace",
            ) from error


def opening_line(notice: str, case: Json, notes: list[str]) -> Json:
    return {"role": "system", "content": notice, "polyclinic": {"case": case, "notes": notes}}


def question_line(question: str) -> Json:
    return {"role": "user", "content": question}


def answer_line(report: Report, folder: Path) -> Json:
    """The report as a chat message: its answer, or why there is none, with references to the run in `folder`."""
    cited = sorted({name for claim in report.claims for name in claim.evidence})
    run = Path(report.trace.path)
    return {
        "role": "assistant",
        "content": report.answer or "; ".join(report.limitations),
        "polyclinic": {
            "status": report.status,
            "option": report.option,
            "run": str(run.relative_to(folder)) if run.is_relative_to(folder) else str(run),
            "hash": report.trace.hash,
            "evidence": cited,
        },
    }


def read_transcript(path: Path) -> Conversation:
    """The conversation in a transcript, a JSONL chat log or a JSON file with `messages`.

    Raises InputError naming the message that cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(expected=f"a readable transcript at {path}", got=str(error), fix="check the path") from error
    messages = _messages(text, path)
    opening = next((m for m in messages if m["role"] == "system" and "polyclinic" in m), None)
    turns: list[Turn] = []
    question: str | None = None
    for message in messages:
        if message["role"] == "user":
            question = message["content"]
        elif message["role"] == "assistant" and question is not None:
            run = (message.get("polyclinic") or {}).get("run")
            turns.append(Turn(question=question, answer=message, run=path.parent / run if run else None))
            question = None
    if question is not None:
        turns.append(Turn(question=question, answer=None, run=None))
    if not turns:
        raise _unusable(path, "at least one message with the role 'user'", f"{len(messages)} messages without one")
    return Conversation(
        path=path,
        opening=opening,
        case=opening["polyclinic"].get("case") if opening else None,
        notes=tuple(opening["polyclinic"].get("notes", ())) if opening else (),
        turns=tuple(turns),
    )


def is_transcript(path: Path) -> bool:
    """Whether a file or folder holds a conversation rather than a trace."""
    if path.is_dir():
        return (path / FILE).is_file()
    try:
        with path.open(encoding="utf-8") as file:
            return '"role"' in file.readline() or path.suffix == ".json"
    except (OSError, UnicodeDecodeError):
        return False


def _messages(text: str, path: Path) -> list[dict[str, Any]]:
    try:
        if path.suffix == ".json":
            whole = json.loads(text)
            lines = whole["messages"] if isinstance(whole, dict) else whole
        else:
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, KeyError) as error:
        raise _unusable(path, "JSON messages, one per line, or a file with 'messages'", repr(error)) from error
    for number, message in enumerate(lines, start=1):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str) or "role" not in message:
            raise _unusable(path, f"message {number} to have a role and text content", repr(message)[:80])
    return list(lines)


def _unusable(path: Path, expected: str, got: str) -> InputError:
    return InputError(expected=f"{expected} in {path.name}", got=got, fix="give an OpenAI-shaped chat log")
