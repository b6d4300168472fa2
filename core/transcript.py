"""A conversation as a file: JSONL of OpenAI-shaped messages, each answer naming its run and its evidence.

    {"role": "system", "content": notice, "polyclinic": {"case": …, "notes": […]}}
    {"role": "user", "content": question}
    {"role": "assistant", "content": answer, "polyclinic": {"status": …, "run": …, "hash": …, "prev": …, …}}

`hash` seals the run's trace; `prev` is the hash of all messages before the answer. A plain chat log without the
`polyclinic` members can be read too. Whether a file is true to its runs is not known here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError, model_validator

from .canonical import Json, canonical_json, digest
from .case import Case, Sha256, Status, Text
from .errors import InputError, StorageError
from .frozen import Frozen
from .locked import append_whole, open_locked
from .report import Report

FILE = "transcript.jsonl"
_QUESTION: TypeAdapter[str] = TypeAdapter(Text)
_Model = TypeVar("_Model", bound=BaseModel)


class Setting(Frozen):
    """What a conversation starts from: the case as it was taken in, and the limitations that came of that."""

    case: Case
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _taken_in(self) -> Setting:
        if any(image.blob is None for image in self.case.all_images()):
            raise ValueError("an image with a path: a transcript names stored pixels, never files")
        return self


class Reference(Frozen):
    """What an answer rests on; `run` is a trace beside the transcript and leads nowhere else."""

    status: Status
    option: str | None
    run: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}/trace\.jsonl$")]
    hash: Sha256
    prev: Sha256
    evidence: tuple[str, ...]


class _Part(Frozen):
    model_config = ConfigDict(extra="ignore")  # other people's format

    type: str
    text: str | None = None


class _Message(Frozen):
    """One message of any chat log; what is not read here (names, tool calls) may be there."""

    model_config = ConfigDict(extra="ignore")

    role: str
    content: str | tuple[_Part, ...] | None = None
    polyclinic: Json = None

    @property
    def text(self) -> str:
        parts = (self.content,) if isinstance(self.content, str) else (part.text for part in self.content or ())
        return "\n".join(part for part in parts if part)

    @property
    def beyond_text(self) -> list[str]:
        """The types of parts that are no text, such as image_url."""
        parts = self.content if isinstance(self.content, tuple) else ()
        return sorted({part.type for part in parts if part.text is None})


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One question; the answer's text (`content`) and reference (`polyclinic`), None without one; the recorded run."""

    question: str
    answer: Json
    run: Path | None


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A transcript as read: the notice and case it opens with ("", None in a plain chat log), the case's notes, the
    turns, and the lines as they stand."""

    path: Path
    notice: str
    case: Case | None
    notes: tuple[str, ...]
    turns: tuple[Turn, ...]
    lines: tuple[str, ...]


def opening_line(notice: str, case: Case, notes: Sequence[str]) -> Json:
    """The first message: the notice, the case as it was taken in, and its notes."""
    setting = {"case": case.model_dump(mode="json"), "notes": list(notes)}
    return {"role": "system", "content": notice, "polyclinic": setting}


def turn_lines(report: Report, before: Sequence[Json]) -> tuple[Json, Json]:
    """The question and its answer (or why there is none) as messages that follow those `before` them."""
    question = {"role": "user", "content": report.question}
    trace = Path(report.trace.path)
    reference = Reference(
        status=report.status, option=report.option, run=f"{trace.parent.name}/{trace.name}", hash=report.trace.hash,
        prev=digest([*before, question]), evidence=tuple(sorted({name for c in report.claims for name in c.evidence})),
    )  # fmt: skip
    content = report.answer or "; ".join(report.limitations)
    return question, {"role": "assistant", "content": content, "polyclinic": reference.model_dump(mode="json")}


class Transcript:
    """The one writer of a transcript; it appends whole turns.

    Opening takes an exclusive lock. Raises RunLockedError when another writer has it, StorageError when the disk
    refuses or, without `new`, the file is not there.
    """

    def __init__(self, folder: Path, *, new: bool = False) -> None:
        self.folder, self.path = folder, folder / FILE
        self.messages: list[Json] = []
        try:
            self._fd = open_locked(
                self.path,
                os.O_CREAT | os.O_EXCL if new else 0,
                busy="a consultation that is going on right now",
                fix="wait until it ends",
            )
        except OSError as error:
            raise _refused(self.path, error, "check the path and its permissions") from error

    def append(self, *messages: Json) -> None:
        """Add messages in one write. Raises StorageError when the disk refuses; the file is then as it was."""
        try:
            append_whole(self._fd, _lines_of(messages))
        except OSError as error:
            fix = "free some space, then resume the consultation: the turn's own run is complete in its trace"
            raise _refused(self.path, error, fix) from error
        self.messages += messages

    def keep(self, messages: Sequence[Json]) -> None:
        """Go on after `messages`, which the file begins with; what a killed writer left behind them is cut off."""
        data = _lines_of(messages)
        if not self.path.read_bytes().startswith(data):
            raise _unusable(self.path, "the lines as they were written", "other white space", "restore it from a copy")
        os.ftruncate(self._fd, len(data))
        self.messages = list(messages)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_transcript(path: Path, *, whole_turns: bool = False) -> Conversation:
    """The conversation in a transcript (or its folder), a JSONL chat log or a JSON file with `messages`.

    With `whole_turns`, what a killed writer left of a last turn is not read. Raises InputError naming the message that
    cannot be used. It does not look at the runs.
    """
    path = path / FILE if path.is_dir() else path
    lines, messages = _messages(path, whole_turns=whole_turns)
    notice = ""
    setting: Setting | None = None
    turns: list[Turn] = []
    question: str | None = None
    for number, message in enumerate(messages, start=1):
        if message.role == "system" and message.polyclinic is not None and setting is None:
            notice, setting = message.text, _validated(Setting, message.polyclinic, path, number)
        elif message.role == "user":
            if question is not None:
                turns.append(Turn(question=question, answer=None, run=None))
            question = _question(message, path, number)
        elif message.role == "assistant" and question is not None and (message.text or message.polyclinic is not None):
            turns.append(_answered(question, message, path, number))
            question = None
    if question is not None:
        turns.append(Turn(question=question, answer=None, run=None))
    if not turns and setting is None:
        raise _unusable(path, "at least one message with the role 'user'", f"{len(messages)} messages without one")
    return Conversation(
        path=path,
        notice=notice,
        case=setting.case if setting else None,
        notes=setting.notes if setting else (),
        turns=tuple(turns),
        lines=tuple(lines),
    )


def is_transcript(path: Path) -> bool:
    """Whether a file or folder holds a conversation rather than a trace, by the members of its first line."""
    if path.is_dir():
        return (path / FILE).is_file()
    if not path.is_file():  # a pipe or a device could be read for ever
        return False
    if path.name == FILE or path.suffix == ".json":
        return True
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(next((line for line in file if line.strip()), ""))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "role" in first and "kind" not in first


def _lines_of(messages: Sequence[Json]) -> bytes:
    return "".join(canonical_json(message) + "\n" for message in messages).encode()


def _messages(path: Path, *, whole_turns: bool) -> tuple[list[str], list[_Message]]:
    """The lines as they stand (canonical, from a JSON file) and what they say."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        got = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
        raise InputError(expected=f"a readable transcript at {path}", got=got, fix="check the path") from error
    try:
        if path.suffix == ".json":
            whole = json.loads(text, parse_constant=_not_json)
            found = whole["messages"] if isinstance(whole, dict) else whole
            if not isinstance(found, list):
                raise ValueError("no list of messages")
            lines = [canonical_json(message) for message in found]
        else:
            end = text.rfind("\n") + 1 if whole_turns else len(text)
            lines = [line.strip() for line in text[:end].split("\n") if line.strip()]
            found = [json.loads(line, parse_constant=_not_json) for line in lines]
    except (ValueError, KeyError, RecursionError) as error:
        raise _unusable(path, "JSON messages, one per line, or a file with 'messages'", repr(error)) from error
    messages = [_validated(_Message, message, path, number) for number, message in enumerate(found, start=1)]
    whole = len(messages) - (whole_turns and bool(messages) and messages[-1].role == "user")
    return lines[:whole], messages[:whole]


def _question(message: _Message, path: Path, number: int) -> str:
    if message.beyond_text:
        raise _unusable(path, f"message {number} to be text", ", ".join(message.beyond_text), "ask with a case file")
    try:
        return _QUESTION.validate_python(message.text)
    except ValidationError as error:
        raise _unusable(path, f"a question in message {number}", _first(error)) from error


def _answered(question: str, message: _Message, path: Path, number: int) -> Turn:
    if message.polyclinic is None:
        return Turn(question=question, answer={"content": message.text}, run=None)
    reference = _validated(Reference, message.polyclinic, path, number)
    answer = {"content": message.text, "polyclinic": reference.model_dump(mode="json")}
    return Turn(question=question, answer=answer, run=path.parent / reference.run)


def _validated(model: type[_Model], value: Json, path: Path, number: int) -> _Model:
    """`value` as a message or as the `polyclinic` member of one."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        if model is _Message:
            raise _unusable(path, f"message {number} to have a role and text content", _first(error)) from error
        expected = f"message {number} to carry the {model.__name__.lower()} that was recorded"
        fix = "restore it from a copy, or take the polyclinic members out to read a plain chat log"
        raise _unusable(path, expected, _first(error), fix) from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def _unusable(path: Path, expected: str, got: str, fix: str = "give an OpenAI-shaped chat log") -> InputError:
    return InputError(expected=f"{expected} in {path.name}", got=" ".join(got.split())[:200], fix=fix)


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _refused(path: Path, error: OSError, fix: str) -> StorageError:
    got = error.strerror or type(error).__name__
    return StorageError(expected=f"to read and write {path}", got=got, fix=fix)
