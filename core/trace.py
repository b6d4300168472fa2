"""The trace file: hash-chained records, one JSON line each, append-only. It does not know what they mean.

A line is the canonical JSON of the record with `"hash"` as its last member: the sha256 of the same text without that
member. `prev` is the hash of the line before, so a line that was edited, removed or moved is found and named.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field, ValidationError

from .canonical import Json, canonical_json, sha256
from .errors import StorageError, TraceError
from .frozen import Frozen
from .locked import append_whole, open_locked

Kind: TypeAlias = Literal["run", "resume", "node", "chat", "tool", "retrieval", "clock", "report"]

GENESIS = "0" * 64
_HASH_MEMBER = re.compile(rb',"hash":"([0-9a-f]{64})"}$')
_HASH_LENGTH = len(',"hash":""}') + 64


class Record(Frozen):
    """One line of a trace.

    `run` opens it, `report` closes it, `resume` marks that the run was taken up again, `node` is a span of the graph,
    the rest are decisions: `request` and then either `result` or `error`. `scope` is the agent who asked, `n` counts
    equal requests of one scope, `key` is the content key. Ids have W3C size: trace 16 bytes, span 8 bytes, in hex.
    """

    seq: int
    kind: Kind
    name: str
    version: str = ""
    scope: str = ""
    n: int = 0
    key: str = ""
    trace_id: str
    span_id: str
    parent_id: str = ""
    start_ns: int
    end_ns: int
    request: Json = None
    result: Json = None
    error: dict[str, str] | None = None
    usage: dict[str, int] = Field(default_factory=dict)
    prev: str
    hash: str = ""

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    def line(self) -> tuple[bytes, str]:
        """The line to append, with its newline, and its hash."""
        body = canonical_json({name: getattr(self, name) for name in _BODY}).encode()
        seal = sha256(body)
        return body[:-1] + f',"hash":"{seal}"}}\n'.encode(), seal


_BODY = tuple(name for name in Record.model_fields if name != "hash")


def parse_line(line: bytes, number: int, prev: str) -> Record:
    """The record in line `number` (from 1). Raises TraceError, naming the line, when the chain does not hold."""
    member = _HASH_MEMBER.search(line)
    if member is None:
        raise _damaged(number, "a JSON record that ends in its hash", _preview(line))
    seal = member.group(1).decode()
    body = line[:-_HASH_LENGTH] + b"}"
    if sha256(body) != seal:
        raise _damaged(number, "a line that matches its own hash", "a line that was edited")
    try:
        record = Record.model_validate({**json.loads(body), "hash": seal})
    except (ValueError, ValidationError) as error:
        raise _damaged(number, "a record of this trace format", str(error).splitlines()[0]) from error
    if record.seq != number - 1 or record.prev != prev:
        raise _damaged(
            number, f"record {number - 1}, chained to the line before", f"record {record.seq}: a line is gone or moved"
        )
    return record


def read_trace(path: Path) -> tuple[tuple[Record, ...], int]:
    """All whole records of a trace and the number of torn bytes after them (0 after a clean stop).

    Raises TraceError at the first line that does not hold, StorageError when the file cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "no regular file")
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(
            expected=f"a readable trace at {path}",
            got=error.strerror or type(error).__name__,
            fix="name a trace file or the run folder that holds trace.jsonl",
        ) from error
    if data and not data.startswith(b'{"end_ns"'[: len(data)]):
        raise TraceError(
            expected=f"line 1 to be the opening record of a trace in {path}",
            got=_preview(data[:40]),
            fix="name the trace.jsonl of a run",
        )
    return tuple(_records(data)), len(data) - (data.rfind(b"\n") + 1)


def _records(data: bytes) -> Iterator[Record]:
    prev = GENESIS
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        record = parse_line(line, number, prev)
        prev = record.hash
        yield record


class TraceFile:
    """The one writer of a trace. Opening takes an exclusive lock and drops a torn last line.

    Raises RunLockedError when another process (or this one) is writing the same file, StorageError when the disk
    refuses, TraceError when the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept = b""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = open_locked(
                path,
                os.O_CREAT,
                busy="a run that is being written right now",
                fix="wait until it ends, or name another folder with --runs",
            )
        except OSError as error:
            raise _refused(path, error) from error
        try:
            self.records, self.torn_bytes = read_trace(path)
            if self.torn_bytes:
                os.ftruncate(self._fd, path.stat().st_size - self.torn_bytes)
        except BaseException:
            self.close()
            raise
        self.head = self.records[-1].hash if self.records else GENESIS
        self.count = len(self.records)

    def append(self, *, durable: bool = False, later: bool = False, **fields: Any) -> Record:
        """Chain and write one record in a single write; with `durable` it is on the disk when this returns.

        With `later` it is written along with the next record: for records that a resumed run makes again.
        """
        # Made here and not read from outside: validation would only cost time. Reading a trace validates each record.
        record = Record.model_construct(seq=self.count, prev=self.head, **fields)
        line, seal = record.line()
        if later:
            self._kept += line
        else:
            self._write(self._kept + line, durable=durable)
        self.head, self.count = seal, self.count + 1
        object.__setattr__(record, "hash", seal)
        return record

    def close(self) -> None:
        """Write what is left, if the disk takes it (a resumed run makes it again), and give the file free."""
        if self._fd < 0:
            return
        if self._kept:
            with contextlib.suppress(StorageError):
                self._write(self._kept, durable=False)
        os.close(self._fd)
        self._fd = -1

    def _write(self, lines: bytes, *, durable: bool) -> None:
        try:
            append_whole(self._fd, lines, durable=durable)
        except OSError as error:
            raise _refused(self.path, error) from error
        self._kept = b""


def _preview(line: bytes) -> str:
    return repr(line[-40:].decode(errors="replace")) if line else "an empty line"


def _damaged(number: int, expected: str, got: str) -> TraceError:
    return TraceError(
        expected=f"line {number} to be {expected}",
        got=got,
        fix="restore the trace from a copy: this one was changed after it was written",
    )


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(
        expected=f"room and permission to write {path}",
        got=error.strerror or type(error).__name__,
        fix="free some space or name another folder with --runs; what was recorded so far is intact",
    )
