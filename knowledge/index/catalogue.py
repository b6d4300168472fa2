"""Passages and terms in SQLite: how they are stored and read back. It searches nothing.

Table `passages` holds what everyone may see, row by row as the vectors and postings count them; `records` holds the
patients' own, each with its vectors, and is only ever read by patient; `terms` the vocabulary; `documents` the hash of
every document the two were cut from, by source, id and patient ("" for what everyone may see); `aliases` the other
identifiers of patients. Ids of patients are pseudonyms everywhere.
"""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np

from ...core.errors import InputError
from ..encoders.protocol import Vectors
from ..store import Passage

_FIELDS = (
    "id", "title", "text", "domains", "modalities", "citation", "licence", "date", "source", "document", "offset",
    "picture", "label",
)  # fmt: skip
_TYPES = ", ".join(f'"{name}" {"INTEGER" if name == "offset" else "TEXT"}' for name in _FIELDS)
NAME = "passages.sqlite"
SCHEMA = f"""
CREATE TABLE passages (row INTEGER PRIMARY KEY, {_TYPES});
CREATE UNIQUE INDEX passage_ids ON passages (id);
CREATE TABLE records (row INTEGER PRIMARY KEY, patient TEXT NOT NULL, {_TYPES}, meaning BLOB, look BLOB);
CREATE UNIQUE INDEX record_ids ON records (patient, id);
CREATE TABLE terms (term TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (source TEXT, document TEXT, patient TEXT, hash TEXT NOT NULL,
    PRIMARY KEY (source, document, patient)) WITHOUT ROWID;
CREATE TABLE aliases (other TEXT, patient TEXT, PRIMARY KEY (other, patient)) WITHOUT ROWID;
"""
KEPT_ROWS = 4096  # passages that stay in memory
KEPT_TERMS = 65_536  # terms whose numbers stay in memory
_BETWEEN = "\x1f"  # what no name of a domain has in it


class Stored(Sequence[Passage]):
    """The common passages of an index, read when they are asked for. Thread-safe."""

    def __init__(self, reader: Reader, count: int) -> None:
        self._reader = reader
        self._count = count
        self._read = lru_cache(maxsize=KEPT_ROWS)(self._reader.passage)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, row: int) -> Passage: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Passage]: ...
    def __getitem__(self, row: int | slice) -> Passage | Sequence[Passage]:
        if isinstance(row, slice):
            return [self._read(number) for number in range(self._count)[row]]
        return self._read(range(self._count)[row])

    def __iter__(self) -> Iterator[Passage]:
        return self._reader.passages()


class Reader:
    """One read-only connection, shared by threads under a lock."""

    def __init__(self, path: Path) -> None:
        place = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        self._connection = sqlite3.connect(place, uri=True, check_same_thread=False)
        self._lock = threading.Lock()
        self._number = lru_cache(maxsize=KEPT_TERMS)(self._looked_up)

    # A vocabulary, as `lexicon.Vocabulary` has it.

    def number(self, term: str) -> int | None:
        return self._number(term)

    def every(self) -> Sequence[str]:
        with self._lock:
            return [row[0] for row in self._connection.execute("SELECT term FROM terms ORDER BY number")]

    def domains(self) -> tuple[str, ...]:
        """Every domain that a passage has, sorted."""
        with self._lock:
            found = self._connection.execute("SELECT DISTINCT domains FROM passages").fetchall()
        return tuple(sorted({domain for row in found for domain in row[0].split(_BETWEEN) if domain}))

    def shows_pictures(self) -> bool:
        """Whether there is a passage or record with a picture."""
        with self._lock:
            found = self._connection.execute(
                "SELECT EXISTS (SELECT 1 FROM passages WHERE picture NOT NULL)"
                " OR EXISTS (SELECT 1 FROM records WHERE picture NOT NULL)"
            ).fetchone()
        return bool(found[0])

    def record_counts(self) -> tuple[int, int]:
        """How many records there are, and of how many patients."""
        with self._lock:
            found = self._connection.execute("SELECT count(*), count(DISTINCT patient) FROM records").fetchone()
        return int(found[0]), int(found[1])

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _looked_up(self, term: str) -> int | None:
        with self._lock:
            row = self._connection.execute("SELECT number FROM terms WHERE term = ?", (term,)).fetchone()
        return None if row is None else int(row[0])

    def passage(self, row: int) -> Passage:
        with self._lock:
            found = self._connection.execute("SELECT * FROM passages WHERE row = ?", (row,)).fetchone()
        return _passage(found[1:])

    def passages(self) -> Iterator[Passage]:
        last = -1
        while True:
            with self._lock:
                found = self._connection.execute(
                    "SELECT * FROM passages WHERE row > ? ORDER BY row LIMIT 1000", (last,)
                ).fetchall()
            if not found:
                return
            yield from (_passage(row[1:]) for row in found)
            last = found[-1][0]

    def records(self, patient_id: str) -> list[tuple[Passage, Vectors | None, Vectors | None]]:
        """The patient's own passages in the order of their ids, with the vectors of text and picture.

        `patient_id` stands for the id of the records or for another identifier of their patient. Raises InputError for
        one that several patients have.
        """
        with self._lock, contextlib.suppress(UnicodeEncodeError):  # nobody's: half a character cannot be stored
            patient = self._patient(patient_id)
            found = self._connection.execute(
                "SELECT * FROM records WHERE patient = ? ORDER BY id", (patient,)
            ).fetchall()
            return [(_passage(row[2:-2], patient), _vector(row[-2]), _vector(row[-1])) for row in found]
        return []

    def _patient(self, identifier: str) -> str:
        """The one patient whose id or other identifier this is, itself where it is nobody's."""
        found = self._connection.execute(
            "SELECT patient FROM aliases WHERE other = ?1 UNION SELECT patient FROM records WHERE patient = ?1",
            (identifier,),
        ).fetchall()
        if len(found) > 1:
            raise InputError(
                expected="an identifier of one patient",
                got=f"one that {len(found)} patients of this index have",
                fix="ask with the id that stands in the patient's record, or keep the sources in an index each",
            )
        return str(found[0][0]) if found else identifier


def storable(passage: Passage) -> bool:
    """Whether all of it is Unicode text: JSON can carry half a character, files and databases cannot."""
    try:
        passage.model_dump_json()
    except ValueError:
        return False
    return True


def insert(connection: sqlite3.Connection, row: int, passage: Passage) -> None:
    """Put a passage, whose id is not taken, into `row`."""
    connection.execute(
        "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (row, *_written(passage))
    )


def insert_record(
    connection: sqlite3.Connection, passage: Passage, meaning: Vectors | None, look: Vectors | None
) -> None:
    """Put a passage, whose id is not taken there, among its patient's."""
    vectors = [None if vector is None else vector.astype("<f4").tobytes() for vector in (meaning, look)]
    connection.execute(
        "INSERT INTO records VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (passage.patient_id, *_written(passage), *vectors),
    )


def taken(connection: sqlite3.Connection, passage: Passage) -> bool:
    """Whether there is a passage with this one's id, among its patient's where it has one."""
    if passage.patient_id is None:
        found = connection.execute("SELECT 1 FROM passages WHERE id = ?", (passage.id,)).fetchone()
    else:
        key = (passage.patient_id, passage.id)
        found = connection.execute("SELECT 1 FROM records WHERE patient = ? AND id = ?", key).fetchone()
    return found is not None


def hashes(connection: sqlite3.Connection, source: str, document: str) -> dict[str | None, str]:
    """The hashes of the documents that have this id, by patient; None for what everyone may see."""
    found = connection.execute(
        "SELECT patient, hash FROM documents WHERE source = ? AND document = ?", (source, document)
    )
    return {patient or None: str(stated) for patient, stated in found}


def insert_document(connection: sqlite3.Connection, passage: Passage, stated: str) -> None:
    """Keep the hash of the document that this passage was cut from."""
    key = (passage.source, passage.document, passage.patient_id or "")
    connection.execute("INSERT INTO documents VALUES (?, ?, ?, ?)", (*key, stated))


def insert_alias(connection: sqlite3.Connection, other_id: str, patient_id: str) -> bool:
    """Whether this was not known as another identifier of the patient; both are pseudonyms."""
    done = connection.execute("INSERT OR IGNORE INTO aliases VALUES (?, ?)", (other_id, patient_id))
    return done.rowcount == 1


def copy(connection: sqlite3.Connection) -> None:
    """Copy every table of the attached database `read`, in an order that does not tell how it was filled."""
    connection.execute("INSERT INTO passages SELECT * FROM read.passages ORDER BY row")
    fields = ", ".join(f'"{name}"' for name in ("patient", *_FIELDS, "meaning", "look"))
    connection.execute(
        f"INSERT INTO records SELECT NULL, {fields} FROM read.records ORDER BY patient, id"  # noqa: S608
    )
    connection.execute("INSERT INTO terms SELECT * FROM read.terms ORDER BY term")
    connection.execute("INSERT INTO documents SELECT * FROM read.documents ORDER BY source, document, patient")
    connection.execute("INSERT INTO aliases SELECT * FROM read.aliases ORDER BY other, patient")


def insert_terms(connection: sqlite3.Connection, terms: Iterable[tuple[str, int]]) -> None:
    connection.executemany("INSERT INTO terms VALUES (?, ?)", terms)


def _written(passage: Passage) -> list[Any]:
    fields = passage.model_dump(mode="json")
    for name in ("domains", "modalities"):
        fields[name] = _BETWEEN.join(fields[name])
    return [fields[name] for name in _FIELDS]


def _passage(row: Sequence[Any], patient_id: str | None = None) -> Passage:
    fields = dict(zip(_FIELDS, row, strict=True))
    for name in ("domains", "modalities"):
        fields[name] = tuple(fields[name].split(_BETWEEN)) if fields[name] else ()
    fields["date"] = datetime.date.fromisoformat(fields["date"]) if fields["date"] else None
    # Validated when it was written; this is the hot path of every search.
    return Passage.model_construct(**fields, patient_id=patient_id)


def _vector(stored: bytes | None) -> Vectors | None:
    return None if stored is None else np.frombuffer(stored, dtype="<f4").astype(np.float32)
