"""How files are read piece by piece: lines, JSON records and list items, plain or gzipped, each of bounded size.

It knows no format's fields. Whatever is wrong with a file leaves as InputError naming the file and the line or record.
"""

from __future__ import annotations

import codecs
import datetime
import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ...core.errors import InputError

MAX_RECORD_BYTES = 20 * 2**20
"""The most that one line, record or text file may hold once it is unpacked: a compressed bomb ends here."""

_CHUNK = 2**18
_GZIP = b"\x1f\x8b"
_IN_NUMBERS = "0123456789.eE+-"
"""What follows a value that is not read to its end: of `1.5`, the decoder takes `1` when the rest is still to come."""

_SPACE = re.compile(r"\s*")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One JSON object of a file and where it stands, for messages."""

    fields: dict[str, Any]
    where: str

    def text(self, *names: str) -> str:
        """The first of the fields `names` that holds text, without white space around it; "" when none does."""
        for name in names:
            value = self.fields.get(name)
            if value is not None and not isinstance(value, str):
                raise damaged(self.where, expected=f"text in the field {name!r}", got=f"{value!r:.80}")
            if value and value.strip():
                return value.strip()
        return ""

    def needed(self, *names: str) -> str:
        """As `text`, and InputError when no field holds any."""
        text = self.text(*names)
        if not text:
            raise damaged(self.where, expected="text in the field " + " or ".join(map(repr, names)), got="none")
        return text

    def number_or_text(self, name: str) -> str:
        """An identifier, which files write as a number or as text; "" when there is none."""
        value = self.fields.get(name)
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else self.text(name)

    def date(self, name: str) -> datetime.date | None:
        """A date written as 2024-03-31. Raises InputError for any other."""
        text = self.text(name)
        try:
            return datetime.date.fromisoformat(text) if text else None
        except ValueError:
            raise damaged(self.where, expected=f"a date such as 2024-03-31 in {name!r}", got=repr(text)) from None


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked when they are gzipped (judged by content). Raises InputError."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            yield cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise damaged(str(path), expected="a complete gzip file", got="one that is damaged or cut short") from None
    except OSError as error:
        got = os.strerror(error.errno).lower() if error.errno else "unreadable"
        raise InputError(expected="a readable file", got=f"{str(path)!r}: {got}", fix="check the path") from None


def records(path: Path) -> Iterator[Record]:
    """The objects of a JSONL file, one a line; blank lines are passed over. Raises InputError for any other line."""
    with opened(path) as file:
        number = 0
        while line := file.readline(MAX_RECORD_BYTES + 1):
            number += 1
            where = f"{path}, line {number}"
            if len(line) > MAX_RECORD_BYTES:
                raise too_large(where)
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield Record(fields=parse_object(line, where), where=where)


def parse_object(data: bytes, where: str) -> dict[str, Any]:
    """A JSON object. Raises InputError, for NaN and halves of characters too."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise damaged(where, expected="a JSON object", got=_plainly(error)) from None
    if not isinstance(value, dict):
        raise damaged(where, expected="a JSON object", got=f"a JSON {type(value).__name__}")
    if _SURROGATE.search(data):
        _check_surrogates(value, where)
    return value


def items(path: Path, key: str) -> Iterator[Record]:
    """The objects of the list that the file's one JSON object has as `key`, one at a time.

    Other keys may come before and after. Raises InputError when there is no such list, or at what is no JSON.
    """
    with opened(path) as file:
        reader = _Json(file, str(path))
        reader.expect("{")
        while not reader.take("}"):
            name = reader.value()
            reader.expect(":")
            if name == key:
                yield from _objects(reader, path, key)
                return
            reader.value()
            if not reader.take(","):
                reader.expect("}")
                break
        raise damaged(str(path), expected=f"an object with the list {key!r}", got="one without it")


def _objects(reader: _Json, path: Path, key: str) -> Iterator[Record]:
    reader.expect("[")
    number = 0
    while number or not reader.take("]"):
        number += 1
        where = f"{path}, item {number} of {key!r}"
        value = reader.value()
        if not isinstance(value, dict):
            raise damaged(where, expected="a JSON object", got=f"a JSON {type(value).__name__}")
        _check_surrogates(value, where)
        yield Record(fields=value, where=where)
        if not reader.take(","):
            reader.expect("]")
            return


class _Json:
    """A JSON text read as it comes: the standard decoder on a buffer that holds one value at a time."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        self._file, self._where = file, where
        self._decoder = json.JSONDecoder(parse_constant=_no_constant)
        self._bytes = codecs.getincrementaldecoder("utf-8-sig")()
        self._buffer, self._at, self._ended = "", 0, False

    def take(self, sign: str) -> bool:
        """Step over `sign` when it is next."""
        self._skip_space()
        found = self._buffer.startswith(sign, self._at)
        self._at += len(sign) if found else 0
        return found

    def expect(self, sign: str) -> None:
        if not self.take(sign):
            got = (
                repr(self._buffer[self._at : self._at + 20]) if self._at < len(self._buffer) else "the end of the file"
            )
            raise damaged(self._where, expected=f"JSON with {sign!r} next", got=got)

    def value(self) -> Any:
        self._skip_space()
        more = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
                if self._ended or (end < len(self._buffer) and self._buffer[end] not in _IN_NUMBERS):
                    self._at = end
                    return value
            except (ValueError, RecursionError) as error:
                if self._ended or isinstance(error, RecursionError):
                    raise damaged(self._where, expected="JSON", got=_plainly(error)) from None
            if len(self._buffer) - self._at > MAX_RECORD_BYTES:
                raise too_large(self._where)
            self._read(more)
            more *= 2  # so that a long value is tried a few times, not once a chunk

    def _skip_space(self) -> None:
        while True:
            match = _SPACE.match(self._buffer, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._buffer) or self._ended:
                return
            self._read(_CHUNK)

    def _read(self, size: int) -> None:
        data = self._file.read(size)
        self._ended = not data
        try:
            text = self._bytes.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise damaged(self._where, expected="text in UTF-8", got=_plainly(error)) from None
        self._buffer, self._at = self._buffer[self._at :] + text, 0


def whole_text(path: Path) -> str:
    """All of a text file in UTF-8, plain or gzipped, of at most MAX_RECORD_BYTES. Raises InputError."""
    with opened(path) as file:
        data = file.read(MAX_RECORD_BYTES + 1)
    if len(data) > MAX_RECORD_BYTES:
        raise too_large(str(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise damaged(str(path), expected="text in UTF-8", got=_plainly(error)) from None
    if "\0" in text:
        raise damaged(str(path), expected="text in UTF-8", got="a byte of zero, as other kinds of files have")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def damaged(where: str, *, expected: str, got: str) -> InputError:
    return InputError(expected=expected, got=f"{got} ({where})", fix="correct or remove it, then build again")


def too_large(where: str) -> InputError:
    limit = f"at most {MAX_RECORD_BYTES // 2**20} MiB"
    return damaged(where, expected=f"records and texts of {limit}", got="a larger one")


def _check_surrogates(value: dict[str, Any], where: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise damaged(where, expected="whole characters", got="half of a surrogate pair") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _plainly(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "brackets nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return f"the byte 0x{error.object[error.start]:02x}, which is none"
    return f"something else: {error}"
