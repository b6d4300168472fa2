"""Where runs live: one folder per run, found again by the identity of its case and configuration.

runs/blobs/…                          pixels and masks, by sha256
runs/<case id>-<identity>-<n>/        one run: trace.jsonl, and report.json once it is finished
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .blobs import Blobs
from .canonical import Json, digest
from .errors import InputError, StorageError, TraceError
from .events import Event
from .journal import ROOT_SPAN, Journal
from .report import Report
from .trace import Record, TraceFile, read_trace

FORMAT = 1
TRACE = "trace.jsonl"
REPORT = "report.json"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run being written: its folder, its journal and the lock on both. Close it."""

    folder: Path
    journal: Journal
    file: TraceFile

    def finish(self, report: Report) -> None:
        """Seal the trace with the report, then write report.json beside it."""
        self.journal.close_with(report)
        write_report(self.folder, report)

    def close(self) -> None:
        self.file.close()


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What a run starts from: its case and configuration, and the decisions taken over when it is a fork."""

    case: Json
    config: Json
    forked_from: Json = None
    taken: tuple[Record, ...] = ()

    @property
    def identity(self) -> str:
        """What makes two runs the same."""
        return digest({"case": self.case, "config": self.config, "forked_from": self.forked_from})


def open_run(
    runs: Path,
    opening: Opening,
    *,
    listener: Callable[[Event], None] | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> Run:
    """Resume the newest run that started from `opening` if it is unfinished, else start the next one.

    A run that was killed between its closing record and report.json is not finished: it is replayed and copied.
    Raises RunLockedError when that run is being written, StorageError when the disk refuses.
    """
    stem = f"{opening.case['id']}-{opening.identity[:10]}"
    number = 1
    while (runs / f"{stem}-{number + 1}").exists():
        number += 1
    while _cannot_go_on(runs / f"{stem}-{number}", opening):
        number += 1
    folder = runs / f"{stem}-{number}"
    file = TraceFile(folder / TRACE)
    if _cannot_go_on(folder, opening):  # another process finished it before we had the lock
        file.close()
        return open_run(runs, opening, listener=listener, clock=clock)
    try:
        records = _opened(folder, file, opening, clock)
        closed = records[-1].kind == "report"
        journal = Journal(records, file=None if closed else file, listener=listener, clock=clock)
    except BaseException:
        file.close()
        raise
    return Run(folder=folder, journal=journal, file=file)


def fork(origin: tuple[Record, ...], at_step: int, config: Json) -> Opening:
    """The opening of a run that takes over every decision of `origin` up to record `at_step`, and goes live from there.

    Raises InputError for a step that `origin` does not have.
    """
    if not 1 <= at_step <= origin[-1].seq:
        raise InputError(
            expected=f"a step between 1 and {origin[-1].seq}",
            got=str(at_step),
            fix="type polyclinic trace RUN to see the steps",
        )
    taken = tuple(record for record in origin[: at_step + 1] if record.key and record.kind != "node")
    forked_from = {"trace": origin[-1].hash, "step": at_step, "steps": len(taken)}
    return Opening(case=origin[0].request["case"], config=config, forked_from=forked_from, taken=taken)


def read_run(path: Path) -> tuple[Path, tuple[Record, ...]]:
    """The trace file and the records of a run given as folder or file. Raises TraceError when damaged or empty."""
    return _read(path)[:2]


def _read(path: Path) -> tuple[Path, tuple[Record, ...], int]:
    """The trace file of a run, its records, and the torn bytes after them."""
    trace = path / TRACE if path.is_dir() else path
    records, torn = read_trace(trace)
    if not records:
        raise TraceError(
            expected=f"a trace in {trace}", got="no whole record", fix="ask the case again to start the run over"
        )
    written = records[0].request.get("format") if isinstance(records[0].request, dict) else None
    if records[0].kind != "run" or written != FORMAT:
        raise TraceError(
            expected=f"a trace of format {FORMAT} in {trace}",
            got=f"a first record {records[0].kind!r} of format {written!r}",
            fix="read it with the version that recorded it",
        )
    return trace, records, torn


def verify_run(path: Path) -> int:
    """Check a finished run's chain, its closing report and report.json; the number of records.

    Raises TraceError naming the first line that does not hold.
    """
    trace, records, torn = _read(path)
    last = len(records)
    beside = trace.with_name(REPORT)
    if torn:
        raise _bad_line(
            last + 1, "a whole line", f"{torn} bytes without an end", "ask the case again to resume the run"
        )
    if records[-1].kind != "report":
        cut = beside.exists()
        raise _bad_line(
            last + 1,
            "the closing report",
            "the end of the file, although report.json was written: lines were deleted" if cut else "an unfinished run",
            "restore the trace from a copy" if cut else "ask the case again to finish the run",
        )
    report = report_of(records)
    if report.trace.hash != records[-1].prev:
        raise _bad_line(last, "a report sealed with this trace's hash", "another hash", "restore the trace from a copy")
    if beside.exists() and beside.read_bytes() != report_text(report).encode():
        raise TraceError(
            expected=f"{beside} to be the report of line {last}",
            got="another text",
            fix="delete it and write it again with polyclinic replay --json",
        )
    return last


def report_of(records: tuple[Record, ...]) -> Report:
    """The report a finished trace was closed with. Raises TraceError when there is none."""
    if records[-1].kind != "report":
        raise TraceError(
            expected="a finished trace",
            got="one without a report",
            fix="ask the same case again to finish the run",
        )
    try:
        return Report.model_validate(records[-1].result)
    except ValidationError as error:
        raise TraceError(
            expected="a report of this version in the last line",
            got=str(error).splitlines()[0],
            fix="read it with the version that recorded it",
        ) from error


def report_text(report: Report) -> str:
    """The report as it is printed and stored: indented JSON, fields in the order `Report` declares them."""
    return report.model_dump_json(indent=2) + "\n"


def write_report(folder: Path, report: Report) -> None:
    """Write report.json in one step. Raises StorageError when the disk refuses."""
    part = folder / f"{REPORT}.part"
    try:
        part.write_text(report_text(report), encoding="utf-8")
        part.replace(folder / REPORT)
    except OSError as error:
        raise StorageError(
            expected=f"room and permission to write in {folder}",
            got=error.strerror or type(error).__name__,
            fix="free some space, then replay the run: its trace is complete",
        ) from error


def blobs_of(runs: Path) -> Blobs:
    """The pixels of all runs in a folder."""
    return Blobs(runs / "blobs")


def blobs_above(trace: Path) -> Blobs:
    """The pixels of the run that `trace` records: the nearest blobs folder above it."""
    above = (folder for folder in trace.resolve().parents if (folder / "blobs").is_dir())
    return blobs_of(next(above, trace.parent.parent))


def _cannot_go_on(folder: Path, opening: Opening) -> bool:
    """Whether the run in `folder` is finished (damaged since or not) or started from something else.

    Finished means both the closing record and report.json. Raises TraceError for an unfinished run that is damaged:
    to start over silently would throw its calls away.
    """
    if not (folder / TRACE).exists():
        return False
    finished = (folder / REPORT).exists()
    try:
        records, _ = read_trace(folder / TRACE)
    except TraceError as error:
        if finished:
            return True
        raise TraceError(
            expected=error.expected,
            got=error.got,
            fix=f"restore {folder / TRACE} from a copy, or delete the folder to start over",
        ) from error
    if not records:
        return False
    started = records[0].request
    same = (started["case"], started["config"]) == (opening.case, opening.config)
    return not same or (finished and records[-1].kind == "report")


def _opened(folder: Path, file: TraceFile, opening: Opening, clock: Callable[[], int]) -> tuple[Record, ...]:
    """The records of the run, after writing what is missing of its start: the opening record and what was taken over.

    The trace's id and the moment it began are decided here.
    """
    records = list(file.records)
    if not records:
        now = clock()
        request = {"format": FORMAT, "case": opening.case, "config": opening.config, "path": str(folder / TRACE)}
        if opening.forked_from is not None:
            request["forked_from"] = opening.forked_from
        header = file.append(
            kind="run", name=opening.case["id"], trace_id=secrets.token_hex(16), span_id=ROOT_SPAN,
            start_ns=now, end_ns=now, request=request,
        )  # fmt: skip
        records.append(header)
    for record in opening.taken[len(records) - 1 :]:
        fields: dict[str, Any] = record.model_dump(exclude={"seq", "prev", "hash"})
        records.append(file.append(**(fields | {"trace_id": records[0].trace_id})))
    return tuple(records)


def _bad_line(line: int, expected: str, got: str, fix: str) -> TraceError:
    return TraceError(expected=f"line {line} to be {expected}", got=got, fix=fix)
