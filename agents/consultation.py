"""A conversation about one case: each question is a run that sees the earlier answers and their evidence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ..core.canonical import Json
from ..core.case import Case
from ..core.errors import InputError, SetupError
from ..core.report import NOTICE, Report
from ..core.transcript import FILE, Conversation, Transcript, Turn, opening_line, read_transcript, turn_lines
from .transcripts import Rerun, Retold, turn_case

if TYPE_CHECKING:
    from .clinic import Clinic


class Consultation:
    """One thread of questions, kept as a transcript in a folder of its own under the clinic's runs.

    Use it as an async context manager. Turns are asked one after the other, in the order in which `ask` was called; the
    transcript grows by a turn at a time, and each turn's run lies beside it. A consultation that was killed is taken
    up again with `Consultation.resume`. `notes` come with a case that was taken in before.
    """

    def __init__(self, case: Case | Path, *, clinic: Clinic, notes: tuple[str, ...] | None = None) -> None:
        self._given, self._given_notes, self._clinic = case, notes, clinic
        self._case: Case | None = None
        self._notes: tuple[str, ...] = ()
        self._transcript: Transcript | None = None
        self._turn = asyncio.Lock()
        self.reports: list[Report] = []

    @classmethod
    def resume(cls, path: str | Path, *, clinic: Clinic) -> Consultation:
        """The consultation whose transcript (or its folder) is at `path`, to go on with.

        Entering it checks the transcript against its runs and takes in a turn that was answered but not written down;
        a question that was interrupted is asked again to finish its run. Entering raises InputError for a file that is
        no transcript, TraceError when something was changed, RunLockedError while somebody else is asking.
        """
        return cls(Path(path), clinic=clinic)

    async def __aenter__(self) -> Consultation:
        self.reports = []
        if isinstance(self._given, Path):
            self._case = self._taken_up(self._given)
        elif self._given_notes is not None:
            self._case, self._notes = self._given, self._given_notes
            self._transcript = self._begun(self._case)
        else:
            self._case, self._notes = await self._clinic.take_in(self._given)
            self._transcript = self._begun(self._case)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._case = None
        if self._transcript is not None:
            self._transcript.close()

    @property
    def path(self) -> Path:
        """The transcript's file."""
        if self._transcript is None:
            raise _not_open()
        return self._transcript.path

    @property
    def messages(self) -> tuple[Json, ...]:
        """What the transcript holds so far."""
        return tuple(self._transcript.messages) if self._transcript else ()

    async def ask(self, question: str | None = None) -> Report:
        """The report on `question` (the case's own question, with its options, when None) in the light of earlier
        turns. Raises what `Clinic.consult` raises; a turn that raises is not part of the transcript."""
        async with self._turn:
            if self._case is None or self._transcript is None:
                raise _not_open()
            case = turn_case(self._case, self.reports, question)
            report = await self._clinic.consult_taken(case, self._notes, runs=self._transcript.folder)
            self._transcript.append(*turn_lines(report, self._transcript.messages))
            self.reports.append(report)
            return report

    def _begun(self, case: Case) -> Transcript:
        transcript = Transcript(_new_folder(self._clinic.runs, f"{case.id}-consultation"), new=True)
        transcript.append(opening_line(NOTICE, case, self._notes))
        return transcript

    def _taken_up(self, path: Path) -> Case:
        transcript = Transcript(path.parent if path.name == FILE else path)
        try:
            conversation = read_transcript(transcript.path, whole_turns=True)
            retold = Retold(conversation)
            for turn in conversation.turns:
                retold.verified(turn)
            retold.no_more()
            transcript.keep(retold.messages)
            while (run := retold.left_out()) is not None:
                transcript.append(*retold.add(run))
        except BaseException:
            transcript.close()
            raise
        self._transcript, self._notes, self.reports = transcript, conversation.notes, retold.reports
        return retold.case


async def ask_again(clinic: Clinic, conversation: Conversation) -> AsyncIterator[Rerun]:
    """The same questions, in one new consultation of `clinic`, which must have the case's images among its own.

    Raises InputError when there is no question.
    """
    if not conversation.turns:
        raise InputError(
            expected="at least one question", got="a conversation that was never begun", fix="ask in it first"
        )
    if conversation.case is not None:
        consultation = Consultation(conversation.case, clinic=clinic, notes=conversation.notes)
    else:
        consultation = Consultation(Case(question=conversation.turns[0].question), clinic=clinic)
    own = conversation.case.question if conversation.case else conversation.turns[0].question
    async with consultation:
        for turn in conversation.turns:
            told = len(consultation.messages) if consultation.reports else 0  # the opening goes with the first turn
            report = await consultation.ask(None if turn.question == own else turn.question)
            yield Rerun(turn=turn, report=report, same=_same(turn, report), messages=consultation.messages[told:])


def _same(turn: Turn, report: Report) -> bool:
    if turn.answer is None:
        return False
    recorded = turn.answer.get("polyclinic")
    if recorded is not None and (recorded["status"], recorded["option"]) != (report.status, report.option):
        return False
    return bool(turn.answer["content"] == (report.answer or "; ".join(report.limitations)))


def _new_folder(runs: Path, stem: str) -> Path:
    number = 1 + sum(1 for _ in runs.glob(f"{stem}-*"))
    while True:
        folder = runs / f"{stem}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
        except OSError as error:
            raise SetupError(
                expected=f"room and permission to write in {runs}",
                got=error.strerror or type(error).__name__,
                fix="name another folder with --runs",
            ) from error


def _not_open() -> SetupError:
    return SetupError(
        expected="an open consultation", got="one that is not", fix="use: async with clinic.consultation(case) as c"
    )
