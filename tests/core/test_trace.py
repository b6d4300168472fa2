"""The trace finds every change made to it, survives being cut anywhere, and has one writer."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.canonical import canonical_json, sha256
from polyclinic.core.errors import RunLockedError, StorageError, TraceError
from polyclinic.core.trace import TraceFile, read_trace

FIELDS = {"trace_id": "0" * 32, "span_id": "1" * 16, "start_ns": 1, "end_ns": 2}


def write(path: Path, count: int = 5) -> list[bytes]:
    file = TraceFile(path)
    for number in range(count):
        file.append(kind="tool", name=f"tool {number}", request={"n": number, "text": "Grüße"}, result=number, **FIELDS)
    file.close()
    return path.read_bytes().splitlines(keepends=True)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write(tmp_path / "trace.jsonl")
    records, torn = read_trace(tmp_path / "trace.jsonl")
    assert torn == 0
    assert [record.result for record in records] == [0, 1, 2, 3, 4]
    assert records[3].prev == records[2].hash


@pytest.mark.parametrize("line", range(5))
def test_an_edited_line_is_named(tmp_path: Path, line: int) -> None:
    path = tmp_path / "trace.jsonl"
    lines = write(path)
    for old, new in ((b'"n":', b'"m":'), (b'"hash":"', b'"hash":"f'), (b"Gr", b"gr"), (b'"seq":', b'"seq": ')):
        assert old in lines[line]
        path.write_bytes(b"".join([*lines[:line], lines[line].replace(old, new, 1), *lines[line + 1 :]]))
        with pytest.raises(TraceError, match=f"line {line + 1} to be"):
            read_trace(path)


@pytest.mark.parametrize("line", range(4))
def test_a_deleted_line_is_named(tmp_path: Path, line: int) -> None:
    path = tmp_path / "trace.jsonl"
    lines = write(path)
    path.write_bytes(b"".join(lines[:line] + lines[line + 1 :]))
    with pytest.raises(TraceError, match=f"line {line + 1} to be record {line}"):
        read_trace(path)


@pytest.mark.parametrize("line", range(4))
def test_swapped_lines_are_named(tmp_path: Path, line: int) -> None:
    path = tmp_path / "trace.jsonl"
    lines = write(path)
    lines[line], lines[line + 1] = lines[line + 1], lines[line]
    path.write_bytes(b"".join(lines))
    with pytest.raises(TraceError, match=f"line {line + 1} to be record {line}"):
        read_trace(path)


@given(position=st.integers(min_value=0), flip=st.integers(min_value=1, max_value=255))
def test_any_changed_byte_is_found(tmp_path_factory: pytest.TempPathFactory, position: int, flip: int) -> None:
    path = tmp_path_factory.mktemp("trace") / "trace.jsonl"
    data = bytearray(b"".join(write(path, 3)))
    position %= len(data) - 1  # the very last newline may only be torn off, which is a resume and no change
    data[position] ^= flip
    path.write_bytes(data)
    with pytest.raises(TraceError, match=r"line [123] to be"):
        read_trace(path)


@pytest.mark.parametrize("line", range(4))
def test_an_edited_line_that_was_hashed_again_breaks_the_chain(tmp_path: Path, line: int) -> None:
    path = tmp_path / "trace.jsonl"
    lines = write(path)
    body = json.loads(lines[line]) | {"result": "forged"}
    body.pop("hash")
    text = canonical_json(body).encode()
    lines[line] = text[:-1] + f',"hash":"{sha256(text)}"}}\n'.encode()
    path.write_bytes(b"".join(lines))
    with pytest.raises(TraceError, match=f"line {line + 2} to be record {line + 1}, chained to the line before"):
        read_trace(path)


def test_a_line_added_or_doubled_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    lines = write(path)
    for extra, number in ((lines[1], 3), (b"\n", 3), (b"{}\n", 3)):
        path.write_bytes(b"".join([*lines[:2], extra, *lines[2:]]))
        with pytest.raises(TraceError, match=f"line {number} to be"):
            read_trace(path)


def test_a_torn_last_line_is_dropped_wherever_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    lines = write(path, 3)
    whole = b"".join(lines)
    for cut in range(len(lines[0]) + len(lines[1]), len(whole)):
        path.write_bytes(whole[:cut])
        file = TraceFile(path)
        assert len(file.records) == 2
        assert file.torn_bytes == cut - len(lines[0]) - len(lines[1])
        assert path.read_bytes() == lines[0] + lines[1]
        file.close()


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    file = TraceFile(tmp_path / "trace.jsonl")
    with pytest.raises(RunLockedError, match="being written right now"):
        TraceFile(tmp_path / "trace.jsonl")
    file.close()
    TraceFile(tmp_path / "trace.jsonl").close()


def test_a_full_disk_is_a_clear_error_and_leaves_earlier_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trace.jsonl"
    file = TraceFile(path)
    file.append(kind="tool", name="first", **FIELDS)
    before, write_all = path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write_all(fd, data[: len(data) // 2]))
    with pytest.raises(StorageError, match="No space left on device"):
        file.append(kind="tool", name="second", **FIELDS)
    monkeypatch.undo()
    assert path.read_bytes() == before
    file.append(kind="tool", name="third", **FIELDS)
    file.close()
    assert [record.name for record in read_trace(path)[0]] == ["first", "third"]


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StorageError, match="name another folder with --runs"):
        TraceFile(blocked / "trace.jsonl")
