"""How a document is cut into passages: whole sentences, up to a length, each knowing where it starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...core.canonical import digest, sha256
from ..sources.protocol import Document
from ..store import Passage, Picture
from ..text import sentences

VERSION = "cut-1"
"""Goes up whenever a document could be cut into other passages."""

WORDS = 180
"""Most words of a passage: within the 256 tokens that small sentence encoders read."""

_WORD = re.compile(r"\S+")


def passages(document: Document, source: str, folder: Path, *, private: bool = False) -> Iterator[Passage]:
    """The document's passages: `<source>/<document>` is the id of the only one, `#n` is added where there are more.

    A picture is one passage, whatever is said of it; it is named relative to `folder`, the source's, or by the
    document's id where it is a patient's or `private`: file names tend to name patients.
    """
    key = f"{source}/{document.id}"
    whole = document.picture is not None or len(document.text.split()) <= WORDS
    pieces = [(0, len(document.text))] if whole else stretches(document.text)
    for number, (start, end) in enumerate(pieces, start=1):
        yield Passage(
            id=key if len(pieces) == 1 else f"{key}#{number}",
            title=document.title,
            text=document.text[start:end],
            domains=document.domains,
            modalities=document.modalities,
            citation=document.citation,
            licence=document.licence,
            patient_id=document.patient_id,
            date=document.date,
            source=source,
            document=document.id,
            offset=start,
            picture=None if document.picture is None else _named(document, document.picture, folder, private=private),
            label=document.label,
        )


def _named(document: Document, picture: Path, folder: Path, *, private: bool) -> str:
    if document.patient_id is not None or private:
        return document.id
    return picture.relative_to(folder).as_posix() if picture.is_relative_to(folder) else picture.name


def fingerprint(pieces: Sequence[Passage], picture: Picture | None) -> str:
    """Hash of a document as it was cut, and of its picture's pixels where they are looked at.

    Its licence, citation and modality are left out: they may be what the user says of the whole source.
    """
    said = [
        piece.model_dump(mode="json", exclude={"licence", "citation", "modalities", "patient_id"}) for piece in pieces
    ]
    pixels = None if picture is None else [list(picture.shape), sha256(picture.tobytes())]
    return digest([said, pixels])


def stretches(text: str) -> list[tuple[int, int]]:
    """Runs of whole sentences of at most WORDS words as [start, end) offsets; a longer sentence is cut between
    words."""
    found: list[tuple[int, int]] = []
    count = 0
    for start, end in (piece for sentence in sentences(text) for piece in _bounded(text, *sentence)):
        words = len(text[start:end].split())
        if found and count + words <= WORDS:
            found[-1] = (found[-1][0], end)
            count += words
        else:
            found.append((start, end))
            count = words
    return found


def _bounded(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The sentence, or pieces of at most WORDS words."""
    words = [match.span() for match in _WORD.finditer(text, start, end)]
    for first in range(0, len(words), WORDS):
        yield words[first][0], words[min(first + WORDS, len(words)) - 1][1]
