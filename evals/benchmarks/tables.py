"""Tables in the format of VLMEvalKit: tab-separated, options in columns A to E, pictures in base64 or by path.

Duan et al., VLMEvalKit, github.com/open-compass/VLMEvalKit. Pictures that stand in the table are looked for as files,
`images/INDEX.jpg` or `.png` beside it: `unpack` writes them there once, nothing else here writes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from pathlib import Path

from ...core.case import Image
from ...core.errors import InputError, StorageError
from ..benchmark import unreadable
from .records import Record, case_id, picture, rows

PICTURES = "images"
NONE = frozenset({"", "nan", "none"})
"""How a table written with pandas says that a cell is empty."""


def table(path: Path, expected: str) -> Iterator[Record]:
    """The rows of a table, named by their `index`."""
    for name, row in rows(path, expected, delimiter="\t"):
        yield f"index {row['index']}" if row.get("index") else name, row


def options_in(row: Mapping[str, str]) -> dict[str, str]:
    """The options of a row: the columns A to E that are not empty."""
    found = {letter: (row.get(letter) or "").strip() for letter in "ABCDE"}
    return {letter: text for letter, text in found.items() if text.lower() not in NONE}


def picture_of(folder: Path, row: Mapping[str, str]) -> Image:
    """The picture of a row: the one it names, else the one that `unpack` wrote for it."""
    named = (row.get("image_path") or "").strip()
    if named.lower() not in NONE:
        return picture(folder, named)
    stem = f"{PICTURES}/{case_id(row['index'])}"
    ending = next((ending for ending in (".png", ".jpg") if (folder / f"{stem}{ending}").is_file()), ".jpg")
    return picture(folder, f"{stem}{ending}")


def unpack(path: Path, expected: str) -> int:
    """Write the pictures that stand in a table to `images` beside it; how many. Raises InputError and StorageError."""
    folder = path.parent / PICTURES
    written = 0
    for name, row in table(path, expected):
        try:
            data = base64.b64decode(row["image"], validate=True)
        except (KeyError, binascii.Error) as error:
            raise unreadable(path, f"{expected}, {name},", error) from error
        if not data.startswith((b"\x89PNG", b"\xff\xd8")):
            raise InputError(expected=f"a PNG or JPEG at {name} in {path.name}", got="another kind of data",
                             fix="name the file as it is published")  # fmt: skip
        ending = ".png" if data.startswith(b"\x89PNG") else ".jpg"
        try:
            folder.mkdir(exist_ok=True)
            (folder / f"{case_id(row['index'])}{ending}").write_bytes(data)
        except OSError as error:
            raise StorageError(
                expected=f"a folder to write pictures to beside {path.name}", got=error.strerror or str(error),
                fix="copy the table to a place that can be written to",
            ) from error  # fmt: skip
        written += 1
    return written
