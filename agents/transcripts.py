"""Transcripts held against their runs: told again from them, verified, replayed. It asks nothing new.

All of a transcript can be told again from its runs (but for a question of the case that nobody asked: the answers'
`prev` holds that), so what was edited, added, removed or moved is found. Only who removes the last turn together with
its run leaves nothing that tells.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pydantic import ValidationError

from ..core.canonical import Json, canonical_json
from ..core.case import Case, Exchange
from ..core.errors import DivergenceError, InputError, TraceError
from ..core.report import Report
from ..core.runs import TRACE, read_run, report_of, verify_run
from ..core.trace import read_trace
from ..core.transcript import Conversation, Turn, opening_line, turn_lines

if TYPE_CHECKING:
    from .clinic import Clinic


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """One turn, the report made now, and the messages that this adds to a transcript (the opening before the first).

    `same` compares status, option and answer text with the recorded ones.
    """

    turn: Turn
    report: Report
    same: bool
    messages: tuple[Json, ...]


async def replay_turns(clinic: Clinic, conversation: Conversation) -> AsyncIterator[Rerun]:
    """Every turn from its recorded run, without a model.

    Raises InputError for a chat log that names no runs, DivergenceError when the file is not what its runs give.
    """
    retold = Retold(conversation)
    for turn in conversation.turns:
        assert turn.run is not None  # Retold has seen to it
        report = await clinic.replay(turn.run)
        told = len(retold.messages) if retold.reports else 0  # the opening goes with the first turn
        retold.turn(turn.run, report)
        yield Rerun(turn=turn, report=report, same=True, messages=tuple(retold.messages[told:]))
    retold.end()


def verify_turns(conversation: Conversation) -> Iterator[tuple[Path, int]]:
    """Each turn's run with its number of records, once its chain holds and the file is what it gives.

    Raises InputError for a chat log that names no runs, TraceError naming what was changed.
    """
    retold = Retold(conversation)
    for turn in conversation.turns:
        assert turn.run is not None  # Retold has seen to it
        yield turn.run, retold.verified(turn)
    retold.end()


class Retold:
    """A recorded conversation told again from its runs, turn by turn, and compared with what the file says.

    Raises InputError for a chat log that names no runs, DivergenceError for an opening that nobody wrote.
    """

    def __init__(self, conversation: Conversation) -> None:
        plain = next((n for n, turn in enumerate(conversation.turns, start=1) if turn.run is None), None)
        if conversation.case is None or plain is not None:
            raise InputError(
                expected="a recorded case and turn 1 to name its run" if plain is None else
                f"turn {plain} of {conversation.path.name} to name its recorded run",
                got="a plain chat message",
                fix="ask these turns of an engine: polyclinic replay FILE --engine embedded",
            )  # fmt: skip
        self.case, self._notes = conversation.case, conversation.notes
        self._lines, self._folder = conversation.lines, conversation.path.parent
        self.reports: list[Report] = []
        self.messages: list[Json] = [opening_line(conversation.notice, self.case, self._notes)]
        self._same(0)

    def turn(self, run: Path, report: Report) -> None:
        """Tell the next turn.

        Raises DivergenceError when the file says something else, or `run` is about another case or another past.
        """
        self._tell(run, report)
        for number in range(len(self.messages) - 2, len(self.messages)):
            self._same(number)

    def verified(self, turn: Turn) -> int:
        """The number of records in the next turn's run, whose chain holds and gives the turn as the file has it."""
        assert turn.run is not None  # seen to above
        with _naming(turn.run):
            records = verify_run(turn.run)
        self.turn(turn.run, report_of(read_run(turn.run)[1]))
        return records

    def add(self, run: Path) -> tuple[Json, ...]:
        """The messages of a finished turn that the file does not have yet."""
        with _naming(run):
            report = report_of(read_run(run)[1])
        return self._tell(run, report)

    def left_out(self) -> Path | None:
        """The newest finished run of the turn that would come next, when there is one. Forks do not count."""
        name = turn_id(self.case, len(self.reports) + 1)
        found = []
        for trace in self._folder.glob(f"{name}-*/{TRACE}"):
            with _naming(trace):
                records = read_trace(trace)[0]
            if records and records[0].name == name and records[-1].kind == "report":
                found += [] if records[0].request.get("forked_from") else [(records[0].start_ns, trace)]
        return max(found)[1] if found else None

    def no_more(self) -> None:
        """Raises DivergenceError when the file goes on after the last turn."""
        last = len(self.messages)
        if len(self._lines) > last:
            _diverged(f"the transcript to end after message {last}", _excerpt(self._lines[last], 0))

    def end(self) -> None:
        """Raises DivergenceError when the file says more than its runs, or lacks a turn whose run lies beside it."""
        self.no_more()
        run = self.left_out()
        if run is not None:
            raise DivergenceError(
                expected=f"turn {len(self.reports) + 1}, whose run {run.parent.name} lies beside the transcript",
                got=f"a transcript of {len(self.reports)} turns: its end was deleted or never written",
                fix="restore it from a copy, or have the turn written again with Consultation.resume",
            )
        if not self.reports:
            raise InputError(expected="at least one turn", got="a conversation that was never begun", fix="ask in it")

    def _tell(self, run: Path, report: Report) -> tuple[Json, ...]:
        self._same_case(read_run(run)[1][0].request, report)
        if not self.reports and self.messages[0]["content"] != report.notice:
            _diverged(f"message 1 to be the notice of its runs: {report.notice!r}", repr(self.messages[0]["content"]))
        told = turn_lines(report, self.messages)
        self.messages += told
        self.reports.append(report)
        return told

    def _same_case(self, header: Json, report: Report) -> None:
        """The run's case is the transcript's, but for what makes it this turn: id, question, options, dialogue."""
        asked = (None, report.question) if report.question == self.case.question else (report.question,)
        possible = [turn_case(self.case, self.reports, question).model_dump(mode="json") for question in asked]
        recorded = header["case"]
        if all(canonical_json(case) != canonical_json(recorded) for case in possible):
            told = possible[0]
            other = sorted(name for name in told if canonical_json(told[name]) != canonical_json(recorded.get(name)))
            _diverged(
                f"the run of turn {len(self.reports) + 1} to be about the transcript's case and the turns before it",
                f"a run with another {' and '.join(other)}",
            )
        if header["config"]["notes"] != list(self._notes):
            _diverged(f"the case's notes as the runs have them: {header['config']['notes']}", str(list(self._notes)))

    def _same(self, number: int) -> None:
        told = canonical_json(self.messages[number])
        line = self._lines[number] if number < len(self._lines) else ""
        if line != told:
            apart = next((i for i, (a, b) in enumerate(zip(told, line, strict=False)) if a != b), len(line))
            start = max(0, apart - 30)
            _diverged(f"message {number + 1} as it was written: {_excerpt(told, start)}", _excerpt(line, start))


def turn_id(case: Case, number: int) -> str:
    """The id of a turn's case, `<case id>.turn-1` and on; a long case id is cut to leave room."""
    suffix = f".turn-{number}"
    return case.id[: 80 - len(suffix)] + suffix


def turn_case(case: Case, earlier: Sequence[Report], question: str | None) -> Case:
    """What the next turn asks: `question` (the case's own, with its options, when None) after the `earlier` turns.

    Raises InputError for a question that is empty or too long.
    """
    exchanges = tuple(
        Exchange(
            question=report.question, status=report.status, answer=report.answer, claims=report.claims,
            evidence=tuple(item for item in report.evidence if not item.id.startswith("turn")),
        )
        for report in earlier
    )  # fmt: skip
    fields = {**case.model_dump(), "id": turn_id(case, len(earlier) + 1), "dialogue": (*case.dialogue, *exchanges)}
    own = {} if question is None else {"question": question, "options": {}}
    try:
        return Case.model_validate(fields | own)
    except ValidationError as error:
        raise InputError(expected="a question to ask", got=error.errors()[0]["msg"], fix="ask in a sentence") from error


def _excerpt(text: str, start: int) -> str:
    return repr(text[start : start + 90]) if text else "the end of the file"


def _diverged(expected: str, got: str) -> NoReturn:
    fix = "restore the transcript or the run from a copy: one of them was changed"
    raise DivergenceError(expected=expected, got=got, fix=fix)


@contextlib.contextmanager
def _naming(run: Path) -> Iterator[None]:
    """A conversation has many traces: say in which one a line does not hold."""
    try:
        yield
    except DivergenceError:
        raise
    except TraceError as error:
        raise TraceError(expected=f"in {run.parent.name}, {error.expected}", got=error.got, fix=error.fix) from error
