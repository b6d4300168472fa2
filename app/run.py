"""What each command does: sets the clinic up, runs it, and hands the result to `show`. It words nothing.

The agents, and LangGraph with them, are imported by the commands that need them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..core.canonical import canonical_json
from ..core.errors import InputError
from ..core.events import Event
from ..core.report import Report
from ..core.runs import read_run, report_text, verify_run
from ..core.settings import Settings, load_settings
from ..core.transcript import is_transcript, read_transcript
from ..tools.workers import shared_workers
from . import show
from .casefile import make_case, parse_options, read_case, with_visits
from .progress import Progress

if TYPE_CHECKING:
    from ..agents.transcripts import Rerun


def ask(
    case_file: Path | None,
    *,
    question: str | None,
    images: list[str],
    modality: str | None,
    options: str | None,
    visits: Path | None,
    settings: dict[str, Any],
    as_json: bool,
) -> None:
    """Make the case, consult, print the report; exit 1 when it failed."""
    chosen = load_settings(settings)
    fields = read_case(case_file, root=chosen.root) if case_file else {}
    if question is not None:
        fields["question"] = question
    if images:
        stated = {"modality": modality} if modality else {}
        known = fields.get("images") or []
        fields["images"] = [*(known if isinstance(known, list) else [known]), *({"path": p, **stated} for p in images)]
    elif modality is not None:
        raise InputError(expected="--image beside --modality", got="no --image", fix="add --image FILE")
    if options is not None:
        fields["options"] = parse_options(options)
    if visits is not None:
        fields = with_visits(fields, visits)
    if "question" not in fields:
        raise InputError(
            expected="a question", got="none", fix="type polyclinic ask CASE.yaml, or polyclinic ask --question …"
        )
    case = make_case(fields)
    if case.all_images():
        shared_workers().warm()  # they get ready while the agents are imported
    from ..agents.clinic import Clinic

    clinic = Clinic(settings=chosen)
    _finish(_watched(lambda listener: clinic.consult(case, listener=listener), as_json), as_json)


def replay(path: Path, *, fork_at: int | None, settings: dict[str, Any], as_json: bool) -> None:
    """Give back a run or a conversation; fork a run; ask a conversation again when an engine is named."""
    from ..agents.clinic import Clinic, replay_run

    if is_transcript(path):
        if fork_at is not None:
            raise InputError(
                expected="a run for --fork-at", got=f"the transcript {path}", fix="name one of the runs beside it"
            )
        _replay_conversation(path, settings, as_json)
        return
    if fork_at is not None:
        clinic = Clinic(settings=load_settings(settings))
        recorded = str(read_run(path)[1][0].request["config"]["engine"])
        if settings["engine"] is None and recorded.split("/", maxsplit=1)[0] != clinic.engine.identity.split("/")[0]:
            raise InputError(
                expected=f"--engine beside --fork-at: the run is of {recorded}",
                got=f"none, which means {clinic.engine.identity}",
                fix="name the engine to go on with",
            )
        report = _watched(lambda listener: clinic.fork(path, fork_at, listener=listener), as_json)
    elif settings["engine"] is not None:
        raise InputError(
            expected="--fork-at STEP beside --engine",
            got="--engine alone",
            fix="type polyclinic trace RUN to choose the step; --fork-at 1 asks nearly everything anew",
        )
    else:
        report = asyncio.run(replay_run(path))
    _finish(report, as_json)


def trace(path: Path) -> None:
    """Print the tree of a run, or of every run of a conversation."""
    if is_transcript(path):
        for turn in read_transcript(path).turns:
            if turn.run is not None:
                show.trace(*read_run(turn.run))
        return
    show.trace(*read_run(path))


def verify(path: Path) -> None:
    """Check a run, or a conversation: every run, and that the transcript says what they say."""
    if is_transcript(path):
        from ..agents.transcripts import verify_turns

        for run, records in verify_turns(read_transcript(path)):
            show.verified(run, records)
        return
    show.verified(path, verify_run(path))


def _watched(work: Callable[[Callable[[Event], None]], Coroutine[Any, Any, Report]], quiet: bool) -> Report:
    """The report of `work`, its progress shown on stderr while a person may be watching."""
    with Progress(enabled=not quiet or sys.stderr.isatty()) as progress:
        return asyncio.run(work(progress.see))


def _finish(report: Report, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(report_text(report))
    else:
        show.report(report)
    if report.status == "failed":
        raise typer.Exit(1)


def _replay_conversation(path: Path, settings: dict[str, Any], as_json: bool) -> None:
    from ..agents.clinic import Clinic
    from ..agents.consultation import ask_again
    from ..agents.transcripts import replay_turns

    conversation = read_transcript(path)
    anew = settings["engine"] is not None
    beside = {"runs": conversation.path.resolve().parent.parent} if conversation.case is not None else {}
    # its images lie with the conversation's; to give it back exactly, no setting counts
    clinic = Clinic(settings=load_settings({**settings, **beside}) if anew else Settings())
    turns = ask_again(clinic, conversation) if anew else replay_turns(clinic, conversation)
    asyncio.run(_print_turns(turns, anew=anew, as_json=as_json))


async def _print_turns(turns: AsyncIterator[Rerun], *, anew: bool, as_json: bool) -> None:
    differing = count = 0
    async for rerun in turns:
        count += 1
        differing += not rerun.same
        if as_json:
            for message in rerun.messages:
                print(canonical_json(message))
        else:
            show.turn(count, rerun.turn, rerun.report, same=rerun.same, compare=anew)
    if anew and not as_json:
        show.summary(count, differing)
