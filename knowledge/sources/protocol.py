"""A source of documents, as every reader gives it and the builder takes it. It reads nothing itself."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...core.case import Modality


@dataclass(frozen=True, kw_only=True)
class Document:
    """One document: a text (of any length; the builder cuts it into passages), or a picture and what is said of it.

    `id` is unique within its source and stays the same when the source is read again. `citation` and `licence` travel
    with every passage cut from it. `patient_id` is the pseudonym of the one patient whose record it is part of;
    `other_ids` are those of the same patient's other identifiers, under which the record is found as well.
    `picture` is the file the pixels are in; `text` then is its caption or what its label says, and may be empty.
    """

    id: str
    title: str
    text: str
    citation: str
    licence: str
    domains: tuple[str, ...] = ()
    modalities: tuple[Modality, ...] = ()
    patient_id: str | None = None
    other_ids: tuple[str, ...] = ()
    date: datetime.date | None = None
    picture: Path | None = None
    label: str = ""


class Source(Protocol):
    """Documents in one place and format.

    `name` is short, made of the place's name (`medquad`), and stands in manifests, ids and filters; `kind` is the
    format's name; `licence` is that of the source as a whole; `folder` is where pictures' names start; `skipped`
    counts, by reason, what the latest reading of its documents left out.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def licence(self) -> str: ...

    @property
    def folder(self) -> Path: ...

    @property
    def skipped(self) -> Counter[str]: ...

    def files(self) -> tuple[Path, ...]:
        """Every file that is read, sorted: what tells whether the source is still the one a build began with."""
        ...

    def documents(self) -> Iterator[Document]:
        """The documents in an order that is the same every time, one at a time in bounded memory.

        Raises InputError naming file and line (or record) for one that cannot be read.
        """
        ...
