"""A conversation about one case: each question is a run that sees the earlier answers and their evidence."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ..core.case import Case, Exchange
from ..core.errors import SetupError
from ..core.report import NOTICE, Report
from ..core.transcript import Transcript, answer_line, opening_line, question_line

if TYPE_CHECKING:
    from .clinic import Clinic


class Consultation:
    """One thread of questions, kept as a transcript in a folder of its own under the clinic's runs.

    Use it as an async context manager. Turns are asked one after the other; the transcript grows by a turn at a time,
    and each turn's run lies beside it.
    """

    def __init__(self, case: Case, *, clinic: Clinic) -> None:
        self._given, self._clinic = case, clinic
        self._case: Case | None = None
        self._notes: tuple[str, ...] = ()
        self._transcript: Transcript | None = None
        self.reports: list[Report] = []

    async def __aenter__(self) -> Consultation:
        self._case, self._notes = await self._clinic.take_in(self._given)
        folder = _new_folder(self._clinic.runs, f"{self._case.id}-consultation")
        opening = opening_line(NOTICE, self._case.model_dump(mode="json"), list(self._notes))
        self._transcript = Transcript.create(folder, opening)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._case = None

    @property
    def path(self) -> Path:
        """The transcript's file."""
        if self._transcript is None:
            raise _not_open()
        return self._transcript.path

    async def ask(self, question: str | None = None) -> Report:
        """The report on `question` (the case's own question, with its options, when None) in the light of earlier
        turns. Raises what `Clinic.consult` raises; a turn that raises is not part of the transcript."""
        if self._case is None or self._transcript is None:
            raise _not_open()
        turn = len(self.reports) + 1
        earlier = tuple(
            Exchange(
                question=report.question, status=report.status, answer=report.answer, claims=report.claims,
                evidence=tuple(item for item in report.evidence if not item.id.startswith("turn")),
            )
            for report in self.reports
        )  # fmt: skip
        own = {} if question is None else {"question": question, "options": {}}
        fields = {**self._case.model_dump(), "id": f"turn-{turn}", "dialogue": earlier, **own}
        case = Case.model_validate(fields)
        report = await self._clinic.consult_taken(case, self._notes, runs=self._transcript.folder)
        self._transcript.append(question_line(case.question), answer_line(report, self._transcript.folder))
        self.reports.append(report)
        return report


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
