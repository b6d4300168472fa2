"""What an index folder says of itself, and whether its files are still what it says. It opens no index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from ...core.canonical import digest
from ...core.errors import InputError, SetupError
from ...core.frozen import Frozen
from ..encoders.protocol import Reads
from .vectors import Kind

NAME = "manifest.json"
UNFINISHED = "building"
"""The folder of an index in which a build keeps what it has read."""


FORMAT: Final = 2
"""Goes up whenever an index that was built can no longer be opened."""


class Stock(Frozen):
    """What one source gave: documents, their passages and patients' records, and other identifiers of the patients.

    `place` is a hash of where the source lies ("" for one that lies nowhere): a name stands for one place. `shared`
    says that among the passages are patients' records. The rest is of the latest reading: documents that were `read`,
    and those not kept: `skipped` ones, by reason, those there were `already`, and `changed` ones, whose id stands for
    something else."""

    name: str
    kind: str
    licence: str
    place: str = ""
    shared: bool = False
    licences: dict[str, int] = Field(default_factory=dict)
    documents: int = 0
    passages: int = 0
    records: int = 0
    pictures: int = 0
    aliases: int = 0
    read: int = 0
    already: int = 0
    changed: int = 0
    skipped: dict[str, int] = Field(default_factory=dict)


HELD = ("documents", "passages", "records", "pictures", "aliases")
"""The counts of a stock that say what the index holds of the source."""


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

    `files` lie in the folder named by `generation`; `terms` is the version of the code that made terms of texts, `cut`
    of that which made passages of documents.
    """

    format: Literal[2] = FORMAT
    generation: int
    terms: str
    cut: str
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
        """Hash of all that a search reads: files, encoders and floors. How they came about is no part of it, nor where
        sources and encoders lie."""
        spaces = [one and one.model_dump(mode="json", exclude={"spec"}) for one in (self.text, self.image)]
        files = {name: file.sha256 for name, file in self.files.items()}
        return digest([self.format, self.terms, self.cut, spaces, files])

    def written(self) -> str:
        """It as the file `manifest.json` has it, with the hash of what is searched and that of the whole."""
        fields = self.model_dump(mode="json")
        return json.dumps({**fields, **self.hashes}, indent=2, ensure_ascii=False) + "\n"

    @property
    def hashes(self) -> dict[str, str]:
        """The two hashes that the file states."""
        return {"version": self.version, "hash": digest(self.model_dump(mode="json"))}

    def folder(self, index: Path) -> Path:
        """Where the files of the index at `index` lie."""
        return index / f"{self.generation:04d}"


def read_manifest(index: Path) -> Manifest:
    """The manifest of the index at `index`. Raises InputError when there is none, SetupError for a damaged one."""
    path = index / NAME
    if index.is_file():
        raise InputError(expected="the folder of an index", got=f"a file, {str(index)!r}", fix="name a folder")
    try:
        fields = json.loads(path.read_bytes())
        if isinstance(fields, dict) and isinstance(fields.get("format"), int) and fields["format"] != FORMAT:
            raise _of_another_format(index, fields["format"])
        stated = {name: fields.pop(name, "") for name in ("version", "hash")} if isinstance(fields, dict) else {}
        manifest = Manifest.model_validate(fields)
        wrong = [name for name, right in manifest.hashes.items() if stated[name] != right]
        if wrong:
            raise ValueError(f"one that was altered: its {wrong[0]} is not {stated[wrong[0]]!r}")
    except FileNotFoundError as error:
        if is_unfinished(index):
            raise InputError(
                expected=f"an index in {str(index)!r}",
                got="an unfinished build",
                fix="type the same index build command to go on",
            ) from error
        raise InputError(
            expected=f"an index in {str(index)!r}",
            got="a folder without manifest.json" if index.is_dir() else "no such folder",
            fix=f"type: polyclinic index build SOURCE --out {index}",
        ) from error
    except (OSError, ValueError, RecursionError) as error:  # a ValidationError is a ValueError
        raise SetupError(
            expected=f"a manifest of this version in {path}",
            got=_plainly(error),
            fix="build the index again into another folder",
        ) from error
    return manifest


def _of_another_format(index: Path, found: int) -> SetupError:
    return SetupError(
        expected=f"an index of format {FORMAT} in {str(index)!r}",
        got=f"format {found}, of another version of polyclinic",
        fix="build it again: type polyclinic index build with its sources and --out with another folder",
    )


def is_unfinished(index: Path) -> bool:
    """Whether a build was begun in the folder `index` and not ended, or is at work."""
    return (index / UNFINISHED).is_dir()


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


def _plainly(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = {"missing": "the field {} is missing", "extra_forbidden": "the unknown field {}"}
        said = reason.get(first["type"], "something else in the field {}") if where else "JSON that is no object"
        return said.format(repr(where))
    if isinstance(error, UnicodeDecodeError | json.JSONDecodeError | RecursionError):
        return "a damaged file: no JSON"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)


def source_names(stocks: Iterable[Stock]) -> tuple[str, ...]:
    """The names of sources in the order in which passages number them."""
    return tuple(sorted({stock.name for stock in stocks}))


def described(path: Path) -> File:
    """Size and hash of a file."""
    return File(sha256=file_hash(path), bytes=path.stat().st_size)


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
