"""What all readers of files share: where the files lie, in which order they are read, and what is left out."""

from __future__ import annotations

import os
import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ...core.canonical import digest
from ...core.case import Modality
from ...core.errors import InputError
from .protocol import Document, Source

_ABOUT = {"citation", "copying", "licence", "license", "notice", "readme", "source"}
_LONGEST_NAME = 48
_WRITTEN: dict[Modality, str] = {"ct": "CT", "ecg": "ECG", "mr": "MRI", "oct": "OCT", "xray": "X-ray"}


@dataclass(kw_only=True)
class FileSource(ABC):
    """A source that is a file, or a folder of files with one of the `suffixes` (`.gz` after them is passed over).

    `citation` and `modality` are what the user says of the whole; what a record says of itself goes before both.
    The folder is walked once: from then on the source is the files that were found.
    """

    kind: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    strangers: ClassVar[bool] = True
    """Whether files of other kinds in the folder count as skipped."""

    path: Path
    name: str
    licence: str
    citation: str = ""
    modality: Modality | None = None
    skipped: Counter[str] = field(default_factory=Counter, init=False)

    @property
    def folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return (self.modality,) if self.modality else ()

    def files(self) -> tuple[Path, ...]:
        """Raises InputError when there is none."""
        return self._walked[0]

    @cached_property
    def _walked(self) -> tuple[tuple[Path, ...], Counter[str]]:
        """The files that are read, sorted, and what was left out on the way to them, by reason."""
        found = []
        skipped: Counter[str] = Counter()
        for path in walk(self.path, skipped):
            if self.reads(path):
                found.append(path)
            elif self.strangers:
                skipped[f"a file of another kind ({path.suffix.lower() or 'no suffix'})"] += 1
        if not found:
            raise InputError(
                expected=f"files of the kind {self.kind} ({', '.join(self.suffixes)})",
                got=f"none in {str(self.path)!r}",
                fix="check the path, or type KIND:PATH to say what it is",
            )
        return tuple(sorted(found)), skipped

    def reads(self, path: Path) -> bool:
        return plain_suffix(path) in self.suffixes or path == self.path

    def documents(self) -> Iterator[Document]:
        files, left_out = self._walked
        self.skipped.clear()
        self.skipped.update(left_out)
        return self._documents(files)

    def shown(self, path: Path) -> str:
        """The file as ids and citations name it: relative to the source's folder, with / on every system."""
        return path.relative_to(self.folder).as_posix()

    @abstractmethod
    def _documents(self, files: tuple[Path, ...]) -> Iterator[Document]: ...


def place_of(source: Source) -> str:
    """A hash of where a source lies, links followed: the path itself may name a patient. "" for one of no file."""
    return digest(["place", str(source.path.resolve())]) if isinstance(source, FileSource) else ""


def walk(path: Path, skipped: Counter[str] | None = None) -> Iterator[Path]:
    """The file `path`, or all files below the folder `path`: a folder's own files by name, then its folders.

    Left out are hidden files and folders and what only says what the folder is (SOURCE.txt, LICENSE, README.md);
    left out and counted in `skipped` are links to folders, links that lead out or nowhere, names that are no text,
    and what is no file. Raises InputError when there is nothing at `path`, or a folder that may not be read.
    """
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise InputError(expected="a file or folder", got=f"none at {str(path)!r}", fix="check the path")
    root, skipped = path.resolve(), Counter() if skipped is None else skipped
    for folder, below, names in os.walk(path, onerror=_refuse):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if links := sum(Path(folder, name).is_symlink() for name in below):
            skipped["a link to a folder"] += links
        for name in sorted(names):
            found = Path(folder, name)
            if name.startswith(".") or _is_about(found):
                continue
            if reason := _unusable(root, found, found.relative_to(path)):
                skipped[reason] += 1
            else:
                yield found


def plain_suffix(path: Path) -> str:
    """The suffix in lower case without a `.gz` after it: `.jsonl` of both `a.jsonl` and `a.JSONL.gz`."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def plain_name(path: Path) -> str:
    """A source's name from its file or folder: lower case letters, digits and hyphens."""
    bare = Path(path.name.removesuffix(".gz")).stem if path.is_file() else path.resolve().name
    letters = unicodedata.normalize("NFKD", bare).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", letters)[:_LONGEST_NAME].strip("-") or "source"


def written(modality: Modality) -> str:
    """A modality in a reader's words."""
    return _WRITTEN.get(modality, modality.replace("_", " "))


def cited(*parts: str) -> str:
    """A citation: the parts that hold something, each closed like a sentence but the last."""
    *first, last = [part for part in parts if part] or [""]
    return " ".join([*(part if part[-1] in ".?!" else f"{part}." for part in first), last])


def _is_about(path: Path) -> bool:
    return path.suffix.lower() in ("", ".txt", ".md") and re.split(r"[_.]", path.name.lower())[0] in _ABOUT


def _unusable(root: Path, path: Path, shown: Path) -> str:
    """Why the file cannot be read; "" when it can."""
    if any(sign < " " or "\ud800" <= sign <= "\udfff" for sign in str(shown)):
        return "a file whose name is no text"
    if path.is_symlink() and not (path.is_file() and path.resolve().is_relative_to(root)):
        return "a link that leads out of the folder or nowhere"
    return "" if path.is_file() else "what is no file"


def _refuse(error: OSError) -> None:
    raise InputError(
        expected="a folder that may be read", got=f"{error.filename!r}: {error.strerror}", fix="check its permissions"
    ) from None
