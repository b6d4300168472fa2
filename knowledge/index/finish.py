"""From what a build has read to a new generation of files, published by the manifest. It reads no source.

Each file is made anew: a build that was killed here does it again, to the same bytes.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .. import text
from ..encoders.protocol import Encoder, Vectors
from . import catalogue, cut, floors
from .manifest import HELD, NAME, Encoded, Manifest, Stock, described, source_names
from .postings import Flat, Postings, on_disk
from .shelf import COLUMNS, Names, column
from .staging import KEPT, Staging
from .vectors import Kind, VectorIndex, kind_for, write_vectors

CHUNK = 16_384  # rows and vectors worked on at a time

Watch: TypeAlias = Callable[[str, int, int | None], None]
"""Told what is being done, how much of it is done and, where that is known, how much there is."""


class Finish:
    """The steps from a staging to the next generation of the index in `out`."""

    def __init__(
        self, staging: Staging, out: Path, base: Manifest | None, *, text_encoder: Encoder | None,
        image_encoder: Encoder | None, kind: Kind | None, watch: Watch,
    ) -> None:  # fmt: skip
        self.staging, self.out, self.base, self.watch = staging, out, base, watch
        self.text_encoder, self.image_encoder, self.kind = text_encoder, image_encoder, kind
        self.files = staging.folder / "files"

    def run(self) -> Manifest:
        shutil.rmtree(self.files, ignore_errors=True)
        self.files.mkdir()
        for name in KEPT:
            shutil.copyfile(self.staging.folder / name, self.files / name)
        self._passages()
        names = self._columns()
        self._postings()
        encoded = [
            self._vectors(name, encoder, before)
            for name, encoder, before in (
                ("meaning", self.text_encoder, self.base.text if self.base else None),
                ("look", self.image_encoder, self.base.image if self.base else None),
            )
        ]
        return self._publish(names, encoded)

    def _passages(self) -> None:
        """The catalogue written in one go, so that its bytes do not tell how often the build was killed."""
        self.watch("writing passages", 0, None)
        with closing(sqlite3.connect(self.files / catalogue.NAME, isolation_level=None)) as written:
            written.execute("ATTACH ? AS read", (str(self.staging.folder / catalogue.NAME),))
            written.execute("BEGIN")
            for statement in catalogue.SCHEMA.split(";"):
                written.execute(statement)
            catalogue.copy(written)
            written.execute("COMMIT")

    def _columns(self) -> Names:
        """What filters look at, and the names behind its numbers."""
        rows, stocks = self.staging.state.rows, (*(self.base.sources if self.base else ()), *self.staging.state.done)
        with closing(catalogue.Reader(self.files / catalogue.NAME)) as reader:
            names = Names(domains=reader.domains(), sources=source_names(stocks))
            columns = on_disk(self.files / "columns.npy", COLUMNS, rows)
            for row, passage in enumerate(reader.passages()):
                columns[row] = column(passage, names)
                if row % CHUNK == 0:
                    self.watch("writing columns", row, rows)
        columns.flush()
        return names

    def _postings(self) -> None:
        rows = self.staging.state.rows
        progress = _Counted(self.watch, "indexing words", 2 * rows)
        flat = Flat(self.staging.raw("terms.u32"), self.staging.raw("lengths.u32"))
        Postings.build(flat, len(self.staging.vocabulary), folder=self.files, step=progress)

    def _vectors(self, name: str, encoder: Encoder | None, before: Encoded | None) -> Encoded | None:
        """The FAISS index of the vectors that were there and those that were read."""
        if encoder is None:
            return None
        read = self.staging.raw(f"{name}.f32").reshape(-1, encoder.dimension)
        count = (before.vectors if before else 0) + len(read)
        kind = kind_for(count, self.kind or (before.kind if before and before.kind != "flat" else None))
        old = self.base.folder(self.out) / f"{name}.faiss" if self.base and before and before.vectors else None
        grown = old if before and before.kind == kind else None
        held = VectorIndex.open(old, before.kind) if before and old and before.kind != "ivfpq" else None
        stored = held.stored if held else read[:0]

        def chunks() -> Iterator[Vectors]:
            for vectors in (read,) if grown else (stored, read):
                for first in range(0, len(vectors), CHUNK):
                    yield vectors[first : first + CHUNK]

        def rows(numbers: npt.NDArray[np.int64]) -> Vectors:
            known = numbers < len(stored)
            taken = np.empty((len(numbers), encoder.dimension), dtype=np.float32)
            taken[known], taken[~known] = stored[numbers[known]], read[numbers[~known] - len(stored)]
            return taken

        progress = _Counted(self.watch, f"indexing vectors ({kind})", len(read) if grown else count)
        if count:
            write_vectors(
                self.files / f"{name}.faiss", chunks, count=count, dimension=encoder.dimension, kind=kind, base=grown,
                step=progress,
            )  # fmt: skip
        if before and before.kind == "ivfpq":
            floor, crossed = before.floor, before.described
        elif name == "look":
            floor = floors.between_pictures(encoder, rows, count)
            crossed = floors.between_text_and_picture(encoder, rows, count)
        else:
            floor, crossed = floors.between_texts(encoder, rows, count), 0.0
        return Encoded(
            spec=encoder.spec, identity=encoder.identity, dimension=encoder.dimension,
            reads=tuple(sorted(encoder.reads)), kind=kind, vectors=count, floor=floor, described=crossed,
        )  # fmt: skip

    def _publish(self, names: Names, encoded: Sequence[Encoded | None]) -> Manifest:
        """Put the files where the manifest says they are, then the manifest: from then on the index is another."""
        with closing(catalogue.Reader(self.files / catalogue.NAME)) as reader:
            records, patients = reader.record_counts()
        paths = sorted(self.files.iterdir())
        progress = _Counted(self.watch, "hashing files", len(paths))
        files = {}
        for path in paths:
            _flush(path)
            files[path.name] = described(path)
            progress(1)
        manifest = Manifest(
            generation=self.base.generation + 1 if self.base else 1, terms=text.VERSION, cut=cut.VERSION,
            domains=names.domains,
            sources=_merged(self.base.sources if self.base else (), self.staging.state.done), text=encoded[0],
            image=encoded[1], passages=self.staging.state.rows, records=records, patients=patients,
            pictures=len(self.staging.raw("pictured.i64")), files=files,
        )  # fmt: skip
        target = manifest.folder(self.out)
        shutil.rmtree(target, ignore_errors=True)
        self.files.rename(target)
        part = self.staging.folder / f"{NAME}.part"
        part.write_text(manifest.written(), encoding="utf-8")
        for path in (target, part, self.out):
            _flush(path)
        part.replace(self.out / NAME)
        return manifest


def _flush(path: Path) -> None:
    """Onto the disk with a file or folder, so that no crash of the machine leaves a manifest of lost files."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _merged(before: Sequence[Stock], added: Sequence[Stock]) -> tuple[Stock, ...]:
    """One stock per source, by name: what a source gave before and gives now is added up, but for what is of the latest
    reading alone."""
    stocks = {stock.name: stock for stock in before}
    for stock in added:
        old = stocks.get(stock.name, Stock(name=stock.name, kind=stock.kind, licence=stock.licence))
        counts = {name: getattr(old, name) + getattr(stock, name) for name in HELD}
        licences = dict(sorted((Counter(old.licences) + Counter(stock.licences)).items()))
        stocks[stock.name] = stock.model_copy(
            update={**counts, "licences": licences, "shared": old.shared or stock.shared}
        )
    return tuple(stocks[name] for name in sorted(stocks))


class _Counted:
    """Adds up steps for the one who watches."""

    def __init__(self, watch: Watch, what: str, total: int) -> None:
        self._watch, self._what, self._total, self._done = watch, what, total, 0

    def __call__(self, steps: int) -> None:
        self._done += steps
        self._watch(self._what, self._done, self._total)
