"""What an index folder says of itself, and whether its files are still what it says. It opens no index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from ...core.canonical import digest
from ...core.errors import InputError, SetupError
from ...core.frozen import Frozen
from ..encoders.protocol import Reads
from .vectors import Kind

NAME = "manifest.json"


class Stock(Frozen):
    """What one source gave: documents read, passages and patients' records kept; not kept were `skipped` ones, by
    reason, those there were `already`, and `changed` ones, whose id stands for another text."""

    name: str
    kind: str
    licence: str
    licences: dict[str, int] = Field(default_factory=dict)
    documents: int = 0
    passages: int = 0
    records: int = 0
    pictures: int = 0
    already: int = 0
    changed: int = 0
    skipped: dict[str, int] = Field(default_factory=dict)


class Encoded(Frozen):
    """One space of vectors: the encoder that made them (`spec` makes it again, `identity` is its hash), how they are
    kept, and the similarity that unrelated pairs do not reach: `floor` of two texts or two pictures, `described` of a
    text and a picture, where the encoder reads both."""

    spec: str
    identity: str
    dimension: int
    reads: tuple[Reads, ...]
    kind: Kind
    vectors: int
    floor: float
    described: float = 0.0


class File(Frozen):
    sha256: str
    bytes: int


class Manifest(Frozen):
    """An index: its sources and licences, encoders, counts, and every file with its hash.

    `files` lie in the folder named by `generation`; `terms` is the version of the code that made terms of texts.
    """

    format: Literal[1] = 1
    generation: int
    terms: str
    domains: tuple[str, ...]
    sources: tuple[Stock, ...]
    text: Encoded | None
    image: Encoded | None
    passages: int
    records: int
    patients: int
    pictures: int
    files: dict[str, File]

    @property
    def version(self) -> str:
        """Hash of all of it, but for how often the index was added to."""
        return digest(self.model_dump(mode="json", exclude={"generation"}))

    def written(self) -> str:
        """It as the file `manifest.json` has it, with its own hash."""
        return (
            json.dumps({**self.model_dump(mode="json"), "version": self.version}, indent=2, ensure_ascii=False) + "\n"
        )

    def folder(self, index: Path) -> Path:
        """Where the files of the index at `index` lie."""
        return index / f"{self.generation:04d}"


def read_manifest(index: Path) -> Manifest:
    """The manifest of the index at `index`. Raises InputError when there is none, SetupError for a damaged one."""
    path = index / NAME
    try:
        fields = json.loads(path.read_bytes())
        stated = fields.pop("version", "") if isinstance(fields, dict) else ""
        manifest = Manifest.model_validate(fields)
        if manifest.version != stated:
            raise ValueError(f"one that was altered: its hash is not {stated!r}")
    except FileNotFoundError as error:
        raise InputError(
            expected=f"an index in {str(index)!r}",
            got="a folder without manifest.json" if index.is_dir() else "no such folder",
            fix=f"type: polyclinic index build SOURCE --out {index}",
        ) from error
    except (OSError, ValueError, RecursionError) as error:  # a ValidationError is a ValueError
        raise SetupError(
            expected=f"a manifest of this version in {path}",
            got=str(error).splitlines()[0],
            fix="build the index again into another folder",
        ) from error
    return manifest


def check_files(index: Path, manifest: Manifest) -> None:
    """Raise SetupError naming the first file that is gone, cut short or altered."""
    for name, stated in sorted(manifest.files.items()):
        path = manifest.folder(index) / name
        try:
            size = path.stat().st_size
            wrong = f"{size}" if size != stated.bytes else ""
            if not wrong and file_hash(path) != stated.sha256:
                wrong = "as many, with other content"
        except OSError as error:
            wrong = error.strerror or type(error).__name__
        if wrong:
            raise SetupError(
                expected=f"{stated.bytes} bytes as they were written in {path}",
                got=wrong,
                fix="restore the file from a copy, or build the index again into another folder",
            )


def source_names(stocks: Iterable[Stock]) -> tuple[str, ...]:
    """The names of sources in the order in which passages number them."""
    return tuple(sorted({stock.name for stock in stocks}))


def described(path: Path) -> File:
    """Size and hash of a file."""
    return File(sha256=file_hash(path), bytes=path.stat().st_size)


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
