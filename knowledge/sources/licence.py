"""Under which licence a source comes: as the user says, else as lies beside the data, else as its format is known for.

Nothing gets into an index without one.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...core.errors import InputError
from .reading import opened

_MOST_CHARACTERS = 80
_STATED = re.compile(r"licen[cs]e[ \t]*:[ \t]*(?P<licence>\S.*)", re.IGNORECASE)
_DENIED = re.compile(r"(?:no (?:\w+ ){0,2}licen[cs]e|none|unknown|not (?:stated|given|known))\b", re.IGNORECASE)


def licence_for(path: Path, stated: str | None, known: str | None) -> str:
    """`stated`, else `see SOURCE.txt: …` or `see LICENSE: …` with the first statement of its first line on
    it, else `known`. That there is none is no licence.

    Raises InputError without any; "unknown" is a licence when the user states it.
    """
    if stated is not None and stated.strip():
        return stated.strip()
    found = _beside(path if path.is_dir() else path.parent) or known
    if not found:
        raise InputError(
            expected=f"the licence of {str(path)!r}",
            got="none typed, and no SOURCE.txt or LICENSE beside the data",
            fix="type --licence 'CC BY 4.0', or whatever it is; --licence unknown if you take that upon yourself",
        )
    return found


def _beside(folder: Path) -> str:
    for path in sorted(folder.iterdir(), key=lambda path: (not path.name.lower().startswith("source"), path.name)):
        name = path.name.lower()
        if path.is_file() and (name == "source.txt" or name.startswith(("license", "licence"))):
            lines = _lines(path)
            stated = (match["licence"] for line in lines if (match := _STATED.match(line)))
            first = _statement(next(stated, "") or ("" if name == "source.txt" else next(iter(lines), "")))
            if first:
                return f"see {path.name}: {first}"
    return ""


def _statement(line: str) -> str:
    """The first of the line's statements, which `;` parts, that names a licence; cut short when it is long."""
    parts = (part.strip() for part in line.split(";"))
    first = next((part for part in parts if part and not _DENIED.match(part)), "")
    if len(first) <= _MOST_CHARACTERS:
        return first
    return (first[:_MOST_CHARACTERS].rpartition(" ")[0] or first[:_MOST_CHARACTERS]) + " …"


def _lines(path: Path) -> list[str]:
    with opened(path) as file:
        text = file.read(2**16).decode("utf-8", "replace")
    return [line for line in (line.strip(" #*=-\t") for line in text.splitlines()) if line]
