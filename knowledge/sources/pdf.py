"""The door to pypdf: the text of a PDF, page by page. What cannot be read is counted, with its reason, and left out."""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from ...core.errors import MissingExtraError
from .reading import opened

MAX_FILE_BYTES = 256 * 2**20
_LOCKED = ("DependencyError", "FileNotDecryptedError", "WrongPasswordError")
_Read = TypeVar("_Read")


def pages(path: Path, skipped: Counter[str]) -> Iterator[tuple[int, str]]:
    """Page numbers, counted from 1, and texts of the pages that hold text.

    A PDF that is encrypted, damaged, scanned or too large gives no page and one more in `skipped`. Raises
    MissingExtraError without pypdf.
    """
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            skipped[f"a PDF of more than {MAX_FILE_BYTES // 2**20} MiB"] += 1
            return
        reader = _tried(lambda: _reader(file))
        count = 0 if reader is None or isinstance(reader, Exception) else _tried(lambda: len(reader.pages))
        if reader is None or (isinstance(reader, Exception) and type(reader).__name__ in _LOCKED):
            skipped["an encrypted PDF"] += 1
            return
        if not isinstance(count, int) or not count:
            skipped["a damaged PDF"] += 1
            return
        empty, damaged = 0, 0
        for number in range(count):
            text = _tried(partial(_text, reader, number))
            if isinstance(text, Exception):
                damaged += 1
            elif text:
                yield number + 1, text
            else:
                empty += 1
    for reason, times in _left_out(count, empty, damaged).items():
        skipped[reason] += times


def _left_out(count: int, empty: int, damaged: int) -> dict[str, int]:
    if empty + damaged == count:
        return {"a damaged PDF" if damaged else "a PDF without text, probably scanned": 1}
    found = {"a page of a PDF without text": empty, "a damaged page of a PDF": damaged}
    return {reason: times for reason, times in found.items() if times}


def _reader(file: IO[bytes]) -> Any:
    """None for a PDF that asks for a password; one that only restricts printing opens with an empty one."""
    try:
        from pypdf import PdfReader
    except ModuleNotFoundError:
        raise MissingExtraError.of("pypdf", "documents") from None
    reader = PdfReader(file)
    return reader if not reader.is_encrypted or reader.decrypt("") else None


def _text(reader: Any, number: int) -> str:
    """The text of a page, without halves of characters."""
    text = str(reader.pages[number].extract_text())
    return text.encode("utf-8", "ignore").decode().replace("\0", "").strip()


def _tried(read: Callable[[], _Read]) -> _Read | Exception:
    """The border to pypdf, which raises anything on damaged bytes and comments on them in its log; both end here."""
    log = logging.getLogger("pypdf")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except MissingExtraError:
        raise
    except Exception as error:  # noqa: BLE001 - damaged bytes raise anything, KeyError to RecursionError
        return error
    finally:
        log.setLevel(level)
