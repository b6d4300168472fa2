"""Reading the files that sets are published in: records one by one, and the pictures they name. It knows no set."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from string import ascii_uppercase
from typing import Any, TypeAlias

from ...core.canonical import digest
from ...core.case import Image
from ...core.errors import InputError
from ..benchmark import unreadable
from ..sample import Letter, Sample

Record: TypeAlias = tuple[str, Any]
"""What a record is called in its file ("line 3"), and the record as it stands there, or a tuple that ends with it."""

YES_NO = {"A": "yes", "B": "no"}
LONGEST_ID = 80
BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, csv.Error)
"""What a file in another format raises while it is read."""


def json_of(path: Path, expected: str) -> Any:
    """What a JSON file holds. Raises InputError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(path, expected, error) from error


def listed(path: Path, expected: str) -> Iterator[Record]:
    """The records of a JSON list. Raises InputError."""
    found = json_of(path, expected)
    if not isinstance(found, list):
        raise unreadable(path, expected, ValueError("JSON, but no list"))
    for number, record in enumerate(found, 1):
        yield f"record {number}", record


def lines(path: Path, expected: str) -> Iterator[Record]:
    """The records of a file with one JSON object per line; empty lines are passed over. Raises InputError."""
    name = "line 1"
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                name = f"line {number}"
                if line.strip():
                    yield name, json.loads(line)
    except (OSError, ValueError) as error:
        raise unreadable(path, f"{expected}, {name},", error) from error


def rows(path: Path, expected: str, *, columns: Sequence[str] = (), delimiter: str = ",") -> Iterator[Record]:
    """The rows of a table as mappings, its first row the columns unless those are given. Raises InputError."""
    csv.field_size_limit(sys.maxsize)  # a cell may hold a whole picture in base64
    name = "row 1"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, fieldnames=list(columns) or None, delimiter=delimiter, strict=True)
            for number, row in enumerate(reader, 1):
                name = f"row {number}"
                if None in row or None in row.values():
                    raise ValueError(f"not the {len(reader.fieldnames or ())} cells that there are columns")
                yield name, row
    except (OSError, ValueError, csv.Error) as error:
        raise unreadable(path, f"{expected}, {name},", error) from error


def samples_of(
    path: Path,
    records: Iterable[Record],
    make: Callable[[Any], Iterable[Sample]],
    expected: str,
    ids: set[str] | None = None,
) -> Iterator[Sample]:
    """The samples that `make` finds in each record, in the records' order; `ids` are those of the set's other files.

    Raises InputError, naming the record, for one that is of another format or repeats an id, and for no records.
    """
    ids = set() if ids is None else ids
    name = ""
    for name, record in records:
        try:
            fields(record[-1] if isinstance(record, tuple) else record)
            made = list(make(record))
            for sample in made:
                _check(sample, ids)
                ids.add(sample.id)
        except BROKEN as error:
            raise unreadable(path, f"{expected}, {name},", error) from error
        yield from made
    if not name:
        raise unreadable(path, expected, ValueError("no records"))


def _check(sample: Sample, ids: set[str]) -> None:
    """Raise ValueError for an id that was there before and for what should be text and is not."""
    if sample.id in ids:
        raise ValueError(f"{sample.id} was there before")
    texts = (sample.group, sample.asked_with, *sample.facets.values(), *sample.known.values(), *sample.gold)
    if not sample.group or not all(isinstance(text, str) for text in texts):
        raise ValueError("a group, a facet or a fact that is no text")


def case_id(*parts: object) -> str:
    """An id made of a set's name and what a record is called there: itself where that is legal, else with a hash.

    Raises ValueError for what is neither text nor number.
    """
    text = "-".join(map(worded, parts))
    legal = re.sub(r"[^A-Za-z0-9._-]", "_", text)
    return text if text == legal and len(text) <= LONGEST_ID else f"{legal[: LONGEST_ID - 13]}-{digest(text)[:12]}"


def picture(folder: Path, name: object, **known: Any) -> Image:
    """A picture that a record names, with what else is known of it.

    Raises ValueError for a name that leaves the set's folder, and InputError where the picture is missing. Only the
    name is judged: a user may well link the pictures of a large set into its folder.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{name!r} names no picture")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
        raise ValueError(f"the picture {name!r} leaves the folder of the set")
    if not (folder / name).is_file():
        raise InputError(
            expected=f"the picture {name} in the folder {folder.name}", got="no such file",
            fix="unpack or link the pictures of the set there",
        )  # fmt: skip
    return Image(path=str(folder / name), **known)


def lettered(texts: Iterable[object]) -> dict[str, str]:
    """Options A, B, … in the order of the record. Raises ValueError for more than there are letters."""
    found = [worded(text).strip() for text in texts]
    if len(found) > len(ascii_uppercase):
        raise ValueError(f"{len(found)} options, more than there are letters")
    return dict(zip(ascii_uppercase, found, strict=False))


def fields(record: Any) -> Any:
    """A record as it is. Raises ValueError for what a JSON file may hold instead: a list, a text, a number, nothing."""
    if record is None or isinstance(record, list | str | int | float):
        raise ValueError(f"{_begun(record)} where a record with named fields is published")
    return record


def worded(value: object) -> str:
    """A text as it is, a number as it is written. Raises ValueError for anything else: nothing would read "None"."""
    if not isinstance(value, str) and (isinstance(value, bool) or math.isnan(_number(value))):
        raise ValueError(f"{_begun(value)} where a text is published")
    return str(value)


def texts(listed: object) -> list[str]:
    """A list of texts, as it is. Raises ValueError for anything else: a text would become its letters."""
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise ValueError(f"{_begun(listed)} where a list of texts is published")
    return listed


def numbers(listed: object, count: int) -> tuple[float, ...]:
    """So many numbers, those of a place or a size. Raises ValueError for anything else."""
    found = tuple(map(_number, listed)) if isinstance(listed, list) else ()
    if len(found) != count or not all(map(math.isfinite, found)):
        raise ValueError(f"{_begun(listed)} where a list of {count} numbers is published")
    return found


def whole(value: object) -> int:
    """A whole number. Raises ValueError for anything else."""
    number = _number(value)
    if not number.is_integer():
        raise ValueError(f"{_begun(value)} where a whole number is published")
    return int(number)


def _number(value: Any) -> float:
    """The number, also one written as a text; NaN for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _begun(value: object) -> str:
    """How a value begins, for a message."""
    return repr(value[:40]) if isinstance(value, str) else repr(value)[:40]


def telling(*texts: Any) -> tuple[str, ...]:
    """The texts among these that say something, also those in lists: what a set adds as explanations."""
    listed = (text for each in texts for text in (each if isinstance(each, list) else [each]))
    return tuple(text.strip() for text in listed if isinstance(text, str) and text.strip())


def letter_for(options: Mapping[str, str], text: object) -> Letter:
    """The letter of the one option that reads `text`. Raises ValueError for none or several."""
    wanted = str(text).strip().casefold()
    letters = [letter for letter, option in options.items() if option.strip().casefold() == wanted]
    if len(letters) != 1:
        raise ValueError(f"{len(letters)} options read {text!r}")
    return Letter(letter=letters[0])


def chosen(options: Mapping[str, str], letter: object) -> Letter:
    """The letter, checked to be one of the options. Raises ValueError."""
    if letter not in options:
        raise ValueError(f"{letter!r} is none of the options {', '.join(options)}")
    return Letter(letter=str(letter))
