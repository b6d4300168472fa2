"""The passages that ship with the package, as a source like any other: one document per passage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ..corpus import FOLDER, LICENCE, shipped_passages
from .protocol import Document


@dataclass(kw_only=True)
class Shipped:
    kind: ClassVar[str] = "shipped"

    name: str = "shipped"
    licence: str = LICENCE
    skipped: Counter[str] = field(default_factory=Counter, init=False)

    @property
    def folder(self) -> Path:
        return FOLDER

    def files(self) -> tuple[Path, ...]:
        return tuple(sorted(FOLDER.glob("*.toml")))

    def documents(self) -> Iterator[Document]:
        """In the order of their ids. Raises SetupError when a file of the package was damaged."""
        for passage in shipped_passages():
            yield Document(
                id=passage.id,
                title=passage.title,
                text=passage.text,
                citation=passage.citation,
                licence=passage.licence,
                domains=passage.domains,
                modalities=passage.modalities,
            )
