"""Where a build keeps what it has read, so that a killed one goes on: passages in SQLite, the rest in raw files.

What is appended to the raw files counts once the transaction that states their sizes is committed; whatever lies behind
is cut off when the build goes on. It decides nothing about documents.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ...core.canonical import Json, canonical_json
from ...core.errors import InputError
from ...core.frozen import Frozen
from . import catalogue
from .manifest import UNFINISHED, Manifest, Stock

KEPT: dict[str, str] = {"terms.u32": "<u4", "lengths.u32": "<u4", "pictured.i64": "<i8"}
"""Raw files that the index keeps, with their types: every passage's term numbers, how many, whose pictures."""

VECTORS: dict[str, str] = {"meaning.f32": "<f4", "look.f32": "<f4"}
"""Raw files that become FAISS indexes: vectors of what this build adds."""

_PLAN = "plan.json"


class State(Frozen):
    """How far reading has come: `done` sources, the stock of the one that is being read, the rows and file sizes."""

    done: tuple[Stock, ...] = ()
    reading: Stock | None = None
    rows: int = 0
    sizes: dict[str, int] = Field(default_factory=dict)


class Staging:
    """The folder `building` of an index. One writer; the builder holds the lock."""

    def __init__(self, index: Path, plan: Json, base: tuple[Path, Manifest] | None) -> None:
        """Take up the build that was begun with this plan, or begin it.

        Raises InputError when another one was begun on the same generation and has read something.
        """
        self.folder = index / UNFINISHED
        if not self._begun(plan):
            self._begin(plan, base)
        with ExitStack() as opened:
            self._open(opened)
            self._opened = opened.pop_all()

    def _open(self, opened: ExitStack) -> None:
        self.connection = sqlite3.connect(self.folder / catalogue.NAME, isolation_level=None)
        opened.callback(self.connection.close)
        self.state = State.model_validate_json(self.connection.execute("SELECT value FROM state").fetchone()[0])
        self.vocabulary: dict[str, int] = dict(self.connection.execute("SELECT term, number FROM terms"))
        self._files = {}
        for name in (*KEPT, *VECTORS):
            with (self.folder / name).open("ab") as file:
                file.truncate(self.state.sizes.get(name, 0))
            self._files[name] = opened.enter_context((self.folder / name).open("ab"))

    def _begun(self, plan: Json) -> bool:
        try:
            begun = json.loads((self.folder / _PLAN).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        if begun != plan and begun["base"] == plan["base"] and _committed(self.folder):
            raise InputError(
                expected="the sources and encoders of the build that was begun here",
                got="others, or sources whose files have changed since",
                fix="type the same command to go on with it, or add --restart to drop what it has read",
            )
        return bool(begun == plan)

    def _begin(self, plan: Json, base: tuple[Path, Manifest] | None) -> None:
        drop(self.folder.parent)
        self.folder.mkdir()
        state = State()
        if base is not None:
            for name in (catalogue.NAME, *KEPT):
                shutil.copyfile(base[0] / name, self.folder / name)
            sizes = {name: (base[0] / name).stat().st_size for name in KEPT}
            state = State(rows=base[1].passages, sizes=sizes)
        connection = sqlite3.connect(self.folder / catalogue.NAME, isolation_level=None)
        if base is None:
            connection.executescript(catalogue.SCHEMA)
        connection.execute("CREATE TABLE state (one INTEGER PRIMARY KEY, value TEXT NOT NULL)")
        connection.execute("INSERT INTO state VALUES (1, ?)", (state.model_dump_json(),))
        connection.close()
        part = self.folder / f"{_PLAN}.part"
        part.write_text(canonical_json(plan), encoding="utf-8")
        part.replace(self.folder / _PLAN)  # from here on the folder counts

    @property
    def has_read(self) -> bool:
        """Whether anything was read that a build which goes on need not read again."""
        return _has_read(self.state)

    def append(self, name: str, array: npt.NDArray[Any]) -> None:
        """Add to a raw file; it counts with the next commit."""
        self._files[name].write(np.ascontiguousarray(array, dtype={**KEPT, **VECTORS}[name]).tobytes())

    def begin(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def commit(self, state: State) -> None:
        """Make what was inserted and appended since `begin` count, all of it at once."""
        sizes = {}
        for name, file in self._files.items():
            file.flush()
            os.fsync(file.fileno())
            sizes[name] = file.tell()
        self.state = state.model_copy(update={"sizes": sizes})
        self.connection.execute("UPDATE state SET value = ?", (self.state.model_dump_json(),))
        self.connection.execute("COMMIT")

    def raw(self, name: str) -> npt.NDArray[Any]:
        """A raw file as it is committed, memory-mapped; one-dimensional."""
        dtype = np.dtype({**KEPT, **VECTORS}[name])
        if not self.state.sizes.get(name, 0):
            return np.empty(0, dtype=dtype)
        return np.memmap(self.folder / name, dtype=dtype, mode="r")

    def close(self) -> None:
        self._opened.close()


def _committed(folder: Path) -> bool:
    """Whether the build begun in `folder` has read anything that counts."""
    with closing(sqlite3.connect(folder / catalogue.NAME)) as connection:
        return _has_read(State.model_validate_json(connection.execute("SELECT value FROM state").fetchone()[0]))


def _has_read(state: State) -> bool:
    return bool(state.done or state.reading)


def drop(index: Path) -> None:
    """Delete what was read. The plan goes first: without it, what is left of a folder counts for nothing."""
    (index / UNFINISHED / _PLAN).unlink(missing_ok=True)
    if (index / UNFINISHED).exists():
        shutil.rmtree(index / UNFINISHED)
