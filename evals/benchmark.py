"""What a benchmark is: where its files lie, how they become samples, whose it is. It reads none and scores nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import ValidationError

from ..core.errors import InputError
from .sample import Sample

Task: TypeAlias = Literal["choice", "answer", "answers", "boxes", "points", "mask", "interactive"]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A set of samples by name.

    `samples` reads the published format from a file or folder and raises InputError for anything else; `place` is
    where that lies in a folder of data sets; `published_as` says what the user must get and from whom. `tried` tells
    whether it was ever run on the published set, or on a file in its format only. `unpack` writes pictures that stand
    in the published file beside it, where they are looked for, and says how many.
    """

    name: str
    summary: str
    task: Task
    licence: str
    citation: str
    published_as: str
    place: str
    samples: Callable[[Path], Iterator[Sample]]
    tried: bool = True
    unpack: Callable[[Path], int] | None = None

    def at(self, data: Path) -> Path:
        """Where the set lies: `data`/`place`, or `data` itself where that is the set or a file of its kind. Raises
        InputError."""
        found = data / self.place
        if found.exists():
            return found
        if data.exists() and data.name == Path(self.place).name:
            return data
        if data.is_file() and data.suffix == Path(self.place).suffix:  # another split or version of it
            return data
        if data.name == Path(self.place).parent.name and (data / Path(self.place).name).exists():
            return data / Path(self.place).name
        raise InputError(
            expected=f"{self.published_as} at {self.place} in the folder of the data sets",
            got=f"no such file in {str(data)!r}" if data.is_dir() else f"{str(data)!r}, which is no folder",
            fix="name the folder that holds it: --data DIR",
        )


def unreadable(path: Path, expected: str, error: Exception) -> InputError:
    """The error for a file that is not in its published format."""
    return InputError(
        expected=f"{expected} in {path.name}", got=_in_words(error)[:120], fix="name the file as it is published"
    )


def _in_words(error: Exception) -> str:
    """What is wrong with a record, without Python's own words for it."""
    if isinstance(error, KeyError):
        return f"no field {error.args[0]!r}"
    if isinstance(error, IndexError):
        return "fewer entries than it refers to"
    if isinstance(error, TypeError | AttributeError):
        return "a value of another kind than is published (a list, a text or a mapping where it should not be)"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return ": ".join([*map(str, first["loc"][:2]), first["msg"]])
    return str(error)
