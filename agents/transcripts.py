"""Transcripts put to use: given back exactly from their runs, or asked again of another configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..core.case import Case
from ..core.errors import DivergenceError, InputError
from ..core.report import Report
from ..core.transcript import Conversation, Turn, answer_line
from .clinic import Clinic


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """One turn and the report made now. `same` compares status, option and answer text with the recorded ones."""

    turn: Turn
    report: Report
    same: bool


async def replay_turns(clinic: Clinic, conversation: Conversation) -> AsyncIterator[Rerun]:
    """Every turn from its recorded run, without a model.

    Raises InputError for a chat log that names no runs, DivergenceError when a run no longer gives the message.
    """
    for number, turn in enumerate(conversation.turns, start=1):
        if turn.run is None:
            raise InputError(
                expected=f"turn {number} to name its recorded run",
                got="a plain chat message",
                fix="name an engine to ask these turns of: --engine embedded",
            )
        report = await clinic.replay(turn.run)
        message = answer_line(report, conversation.path.parent)
        recorded = turn.answer["polyclinic"]
        if message["content"] != turn.answer["content"] or message["polyclinic"]["hash"] != recorded["hash"]:
            raise DivergenceError(
                expected=f"turn {number} as the transcript has it: {turn.answer['content']!r}",
                got=f"{message['content']!r} from its run",
                fix="restore the transcript or the run from a copy: one of them was changed",
            )
        yield Rerun(turn=turn, report=report, same=True)


async def ask_again(clinic: Clinic, conversation: Conversation) -> AsyncIterator[Rerun]:
    """The same questions, in one new consultation of `clinic`."""
    if conversation.case is not None:
        case = Case.model_validate(conversation.case)
    else:
        case = Case(question=conversation.turns[0].question)
    async with clinic.consultation(case) as consultation:
        for turn in conversation.turns:
            report = await consultation.ask(None if turn.question == case.question else turn.question)
            yield Rerun(turn=turn, report=report, same=_same(turn, report))


def _same(turn: Turn, report: Report) -> bool:
    if turn.answer is None:
        return False
    recorded = turn.answer.get("polyclinic") or {}
    if recorded and (recorded["status"], recorded["option"]) != (report.status, report.option):
        return False
    return bool(turn.answer["content"] == (report.answer or "; ".join(report.limitations)))
