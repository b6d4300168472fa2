"""Tables in the format of VLMEvalKit: tab-separated, options in columns A to E, pictures in base64 or by path.

Duan et al., VLMEvalKit, github.com/open-compass/VLMEvalKit. A cell `image` holds a picture in base64, a list of such as
Python writes it or, where it is short, the index of the row whose pictures are shown again. They are looked for as
files, `images/INDEX.png` or `.jpg` beside the table, `INDEX-1of3.png` where a row has several: `unpack` writes them
there once, nothing else here writes. Where there is no `image`, `image_path` names the files.
"""

from __future__ import annotations

import ast
import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...core.case import Image
from ...core.errors import InputError, StorageError
from ..benchmark import unreadable
from .records import Record, case_id, picture, rows, texts

PICTURES = "images"
NONE = frozenset({"", "nan", "none"})
"""How a table written with pandas says that a cell is empty."""

SHORT = 64
"""A cell `image` of so many characters or fewer is an index, as VLMEvalKit reads it."""

ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8": ".jpg"}


def table(path: Path, expected: str) -> Iterator[Record]:
    """The rows of a table, named by their `index`."""
    for name, row in rows(path, expected, delimiter="\t"):
        yield f"index {row['index']}" if row.get("index") else name, row


def options_in(row: Mapping[str, str]) -> dict[str, str]:
    """The options of a row: the columns A to E that are not empty."""
    found = {letter: (row.get(letter) or "").strip() for letter in "ABCDE"}
    return {letter: text for letter, text in found.items() if text.lower() not in NONE}


def pictures_of(folder: Path, row: Mapping[str, str], benchmark: str) -> tuple[Image, ...]:
    """The pictures of a row of the benchmark's table in `folder`. Raises InputError where one is missing."""
    if not _cells(row, "image"):
        return tuple(picture(folder, name) for name in _cells(row, "image_path"))
    stem = case_id(shown_in(row))
    found = _files(folder, [stem])
    if not found:
        first = next((folder / PICTURES).glob(f"{stem}-1of*"), Path())
        count = int(first.stem.rpartition("of")[2] or 0)
        found = _files(folder, [f"{stem}-{number}of{count}" for number in range(1, count + 1)])
    if not found:
        raise InputError(
            expected=f"the pictures of index {shown_in(row)} in {folder.name}/{PICTURES}", got="no such file",
            fix=f"type polyclinic eval unpack {benchmark} --data DIR, as for eval run: they stand in the table",
        )  # fmt: skip
    return tuple(picture(folder, name) for name in found)


def _files(folder: Path, stems: Sequence[str]) -> list[str]:
    """The files of that name with either ending; none unless all are there."""
    names = [f"{PICTURES}/{stem}{ending}" for stem in stems for ending in ENDINGS.values()]
    found = [name for name in names if (folder / name).is_file()]
    return found if len(found) == len(stems) else []


def shown_in(row: Mapping[str, str]) -> str:
    """The index of the row that holds this row's pictures: its own, or the one its `image` names."""
    image = (row.get("image") or "").strip()
    return image if image.lower() not in NONE and len(image) <= SHORT else row["index"]


def unpack(path: Path, expected: str) -> int:
    """Write the pictures that stand in a table to `images` beside it; how many. Raises InputError and StorageError."""
    folder = path.parent / PICTURES
    written, holding, shown = 0, set[str](), dict[str, str]()
    for name, row in table(path, expected):
        try:
            own = shown_in(row) == row["index"]
            found = [base64.b64decode(cell, validate=True) for cell in _cells(row, "image")] if own else []
            endings = [next(ending for start, ending in ENDINGS.items() if data.startswith(start)) for data in found]
        except (KeyError, ValueError) as error:
            raise unreadable(path, f"{expected}, {name},", error) from error
        except StopIteration:
            raise InputError(expected=f"a PNG or JPEG at {name} in {path.name}", got="another kind of data",
                             fix="name the file as it is published") from None  # fmt: skip
        try:
            folder.mkdir(exist_ok=True)
            for number, (data, ending) in enumerate(zip(found, endings, strict=True), 1):
                part = f"-{number}of{len(found)}" if len(found) > 1 else ""
                (folder / f"{case_id(row['index'])}{part}{ending}").write_bytes(data)
        except OSError as error:
            raise StorageError(
                expected=f"a folder to write pictures to beside {path.name}", got=error.strerror or str(error),
                fix="copy the table to a place that can be written to",
            ) from error  # fmt: skip
        written += len(found)
        if found:
            holding.add(row["index"])
        if not own:
            shown[name] = shown_in(row)
    for name, other in shown.items():
        if other not in holding:
            raise unreadable(path, f"{expected}, {name},", ValueError(f"a picture of index {other}, which holds none"))
    return written


def _cells(row: Mapping[str, str], column: str) -> list[str]:
    """What a cell lists, or the one thing that it holds; nothing for an empty one. Raises ValueError."""
    text = (row.get(column) or "").strip()
    if text.lower() in NONE:
        return []
    if not (text.startswith("[") and text.endswith("]")):
        return [text]
    try:
        return texts(ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError(f"{text[:40]!r} where a list of pictures is published") from None
