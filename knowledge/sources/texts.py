"""Folders of plain text, Markdown and PDF: one document per text, and one per page of a PDF.

A text may open with a few lines on itself; keys that are not known are passed over:

    ---
    title: Care of chest drains
    licence: CC BY 4.0
    citation: Example Hospital. Care of chest drains. 2024.
    date: 2024-03-31
    domains: pulmonology, surgery
    ---
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

from ...core.case import Modality
from ...core.errors import InputError
from ..corpus import DOMAINS
from .captions import MODALITIES
from .pdf import pages
from .place import FileSource, plain_suffix
from .protocol import Document
from .reading import damaged, whole_text

_FRONT = re.compile(r"\A---[ \t]*\n(?P<lines>(?:[^\n]*\n)*?)(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_ENTRY = re.compile(r"(?P<key>[A-Za-z_]+)[ \t]*:(?:[ \t]+(?P<value>.*))?")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(?P<title>.*?)(?:[ \t]+#+)?[ \t]*")
_LONGEST_HEADING = 300
_FENCE = re.compile(r" {0,3}(```|~~~)")


@dataclass(kw_only=True)
class Texts(FileSource):
    kind: ClassVar[str] = "text"
    suffixes: ClassVar[tuple[str, ...]] = (".md", ".markdown", ".txt", ".pdf")

    def reads(self, path: Path) -> bool:
        return super().reads(path) and not path.name.lower().endswith(".pdf.gz")  # pypdf goes back and forth in it

    def _documents(self, files: tuple[Path, ...]) -> Iterator[Document]:
        for path in files:
            yield from self._pages(path) if path.suffix.lower() == ".pdf" else self._text(path)

    def _text(self, path: Path) -> Iterator[Document]:
        try:
            whole = whole_text(path)
        except InputError as error:
            self.skipped[f"a text that cannot be read: expected {error.expected}"] += 1
            return
        facts, text = front_matter(whole)
        if not text.strip():
            self.skipped["an empty text"] += 1
            return
        shown = self.shown(path)
        heading = first_heading(text) if plain_suffix(path) != ".txt" else ""
        title = facts.get("title") or heading or path.name.partition(".")[0]
        yield Document(
            id=shown,
            title=title,
            text=text.strip(),
            citation=facts.get("citation") or f"{self.citation or title} ({shown})",
            licence=facts.get("licence") or facts.get("license") or self.licence,
            domains=_listed(facts, "domains", DOMAINS, path),
            modalities=cast(tuple[Modality, ...], _listed(facts, "modalities", MODALITIES, path)) or self.modalities,
            date=_date(facts.get("date", ""), path),
        )

    def _pages(self, path: Path) -> Iterator[Document]:
        shown = self.shown(path)
        for number, text in pages(path, self.skipped):
            yield Document(
                id=f"{shown}#page={number}",
                title=f"{path.stem}, page {number}",
                text=text,
                citation=f"{self.citation or path.stem} ({shown}), page {number}",
                licence=self.licence,
                modalities=self.modalities,
            )


def front_matter(text: str) -> tuple[dict[str, str], str]:
    """What a text says of itself between two lines of `---` at its start, keys in lower case, and the text after it.

    Lines are `key: value`, the value in quotes or not. A first `---` with something else below is a rule, not facts.
    """
    found = _FRONT.match(text)
    if not found:
        return {}, text
    facts: dict[str, str] = {}
    for line in found["lines"].splitlines():
        entry = _ENTRY.fullmatch(line.rstrip())
        if entry:
            facts[entry["key"].lower()] = _unquoted(entry["value"] or "")
        elif line.strip() and not line.startswith((" ", "\t", "-", "#")):  # the inside of a nested value, a remark
            return {}, text
    return (facts, text[found.end() :]) if facts else ({}, text)


def first_heading(text: str) -> str:
    """The first `# heading` of a Markdown text that is no line of code; "" without one."""
    fenced = False
    for line in text.splitlines():
        fenced ^= bool(_FENCE.match(line))
        heading = _HEADING.fullmatch(line) if not fenced and len(line) <= _LONGEST_HEADING else None
        if heading and heading["title"]:
            return heading["title"]
    return ""


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _listed(facts: dict[str, str], key: str, known: tuple[str, ...], path: Path) -> tuple[str, ...]:
    parts = [_unquoted(part) for part in facts.get(key, "").strip("[]").split(",")]
    words = tuple(part.lower() for part in parts if part)
    strange = [word for word in words if word not in known]
    if strange:
        raise damaged(str(path), expected=f"{key} of " + ", ".join(known), got=repr(strange[0]))
    return words


def _date(text: str, path: Path) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text) if text else None
    except ValueError:
        raise damaged(str(path), expected="a date such as 2024-03-31", got=repr(text)) from None
