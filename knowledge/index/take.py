"""Documents into the staging, a batch at a time: cut, compared with what is there, encoded, written.

A document is taken as a whole or not at all: one whose id stands for something else is counted and left out. It knows
neither what was built before a batch nor what becomes of the staging.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from ...core.errors import InputError
from ..encoders.protocol import Encoder, Vectors
from ..sources.protocol import Document, Source
from ..store import Passage, Picture
from . import catalogue
from .cut import fingerprint, passages
from .manifest import Stock
from .shelf import indexed_terms
from .staging import Staging

PRIVATE = frozenset({"dicom", "fhir"})
"""Kinds of sources that are patients' records: what in them names no patient is nobody's to see."""

ReadPicture: TypeAlias = Callable[[Path], Picture]


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """A document in passages, with its picture where one is looked at, and the hash of both."""

    pieces: tuple[Passage, ...]
    picture: Picture | None
    hash: str
    other_ids: tuple[str, ...]
    opened: bool
    """Whether it is a patient's record that everyone may see."""

    @property
    def document(self) -> str:
        return self.pieces[0].document

    @property
    def patient_id(self) -> str | None:
        return self.pieces[0].patient_id


@dataclass(frozen=True, kw_only=True)
class _Encoded:
    """A passage with the vectors of its text and of its picture."""

    passage: Passage
    meaning: Vectors | None
    look: Vectors | None


@dataclass(frozen=True, kw_only=True)
class Taker:
    """Takes the documents of one source into a staging. `read_picture` opens pictures for `image_encoder`; `shared` is
    as a plan has it."""

    staging: Staging
    source: Source
    text_encoder: Encoder | None
    image_encoder: Encoder | None
    read_picture: ReadPicture | None
    shared: bool

    def take(self, stock: Stock, batch: Sequence[Document]) -> Stock:
        """Take a batch, and say what has come of the source so far: all of it counts, or nothing."""
        counts, skipped = Counter[str](), Counter(stock.skipped)
        cuts = list(self._cut(batch, skipped))
        fresh = self._fresh(cuts, counts)
        encoded = self._encoded(fresh)
        self.staging.begin()
        rows = self._write(fresh, encoded, counts)
        counts["aliases"] = self._write_aliases(cuts)
        licences = Counter(stock.licences) + Counter(one.passage.licence for one in encoded)
        added = {name: getattr(stock, name) + count for name, count in (counts + Counter(read=len(batch))).items()}
        stock = stock.model_copy(update={
            **added, "shared": stock.shared or any(cut.opened for cut in fresh),
            "licences": dict(sorted(licences.items())), "skipped": dict(sorted(skipped.items())),
        })  # fmt: skip
        self.staging.commit(self.staging.state.model_copy(update={"reading": stock, "rows": rows}))
        return stock

    def _cut(self, batch: Sequence[Document], skipped: Counter[str]) -> Iterator[_Cut]:
        """The documents of a batch in passages; what is left out is counted in `skipped`."""
        private = self.source.kind in PRIVATE
        for given in batch:
            if not self.shared and private and given.patient_id is None:
                skipped["a record that names no patient"] += 1
                continue
            document = replace(given, patient_id=None, other_ids=()) if self.shared else given
            try:
                picture = self._opened(document)
            except InputError as error:  # without the file's name: it may be the patient's
                skipped[f"a picture that cannot be read: expected {error.expected}"] += 1
                continue
            pieces = tuple(passages(document, self.source.name, self.source.folder, private=private))
            if not all(map(catalogue.storable, pieces)):
                skipped["a text with half a character in it"] += 1
                continue
            yield _Cut(
                pieces=pieces, picture=picture, hash=fingerprint(pieces, picture), other_ids=document.other_ids,
                opened=self.shared and (private or given.patient_id is not None),
            )  # fmt: skip

    def _opened(self, document: Document) -> Picture | None:
        """The document's picture, where there is one and an encoder for it. Raises InputError for one that cannot be
        read."""
        if document.picture is None or self.image_encoder is None or self.read_picture is None:
            return None
        return self.read_picture(document.picture)

    def _fresh(self, cuts: Sequence[_Cut], counts: Counter[str]) -> list[_Cut]:
        """The documents of which the index holds nothing; the others are counted."""
        fresh: list[_Cut] = []
        met: dict[str, dict[str | None, str]] = {}  # of this batch: by document, then by patient
        ids: set[tuple[str | None, str]] = set()
        for cut in cuts:
            there = catalogue.hashes(self.staging.connection, self.source.name, cut.document)
            standing = _standing(cut, {**there, **met.get(cut.document, {})})
            keys = {(piece.patient_id, piece.id) for piece in cut.pieces}
            if standing == "fresh" and (keys & ids or any(self._is_taken(piece) for piece in cut.pieces)):
                standing = "changed"  # the first piece of `a` and a document that is called `a#1`
            if standing == "fresh":
                met.setdefault(cut.document, {})[cut.patient_id] = cut.hash
                ids |= keys
                fresh.append(cut)
            else:
                counts[standing] += 1
        return fresh

    def _is_taken(self, piece: Passage) -> bool:
        return catalogue.taken(self.staging.connection, piece)

    def _encoded(self, cuts: Sequence[_Cut]) -> list[_Encoded]:
        """Every passage with its vectors, made for all of them at once."""
        pieces = [(piece, cut.picture) for cut in cuts for piece in cut.pieces]
        meanings = _meanings(self.text_encoder, [piece for piece, _ in pieces])
        looks = _looks(self.image_encoder, [picture for _, picture in pieces])
        return [
            _Encoded(passage=piece, meaning=None if meanings is None else meanings[place], look=looks[place])
            for place, (piece, _) in enumerate(pieces)
        ]

    def _write(self, cuts: Sequence[_Cut], encoded: Sequence[_Encoded], counts: Counter[str]) -> int:
        """How many common passages there are once these are written."""
        connection, row = self.staging.connection, self.staging.state.rows
        for cut in cuts:
            catalogue.insert_document(connection, cut.pieces[0], cut.hash)
            counts["documents"] += 1
        for one in encoded:
            if one.passage.patient_id is not None:
                catalogue.insert_record(connection, one.passage, one.meaning, one.look)
                counts["records"] += 1
                continue
            catalogue.insert(connection, row, one.passage)
            self._append(row, one)
            counts["passages"] += 1
            counts["pictures"] += one.look is not None
            row += 1
        return row

    def _append(self, row: int, one: _Encoded) -> None:
        """A common passage's terms and vectors, behind those of the rows before it."""
        staging, words = self.staging, indexed_terms(one.passage)
        unknown = [word for word in dict.fromkeys(words) if word not in staging.vocabulary]
        numbered = [(word, len(staging.vocabulary) + place) for place, word in enumerate(unknown)]
        catalogue.insert_terms(staging.connection, numbered)
        staging.vocabulary.update(numbered)
        staging.append("terms.u32", np.array([staging.vocabulary[word] for word in words], dtype=np.uint32))
        staging.append("lengths.u32", np.array([len(words)], dtype=np.uint32))
        if one.meaning is not None:
            staging.append("meaning.f32", one.meaning)
        if one.look is not None:
            staging.append("look.f32", one.look)
            staging.append("pictured.i64", np.array([row], dtype=np.int64))

    def _write_aliases(self, cuts: Sequence[_Cut]) -> int:
        """How many identifiers were not known as their patient's; a document that is there already may bring some."""
        known = {(other, cut.patient_id) for cut in cuts if cut.patient_id for other in cut.other_ids}
        return sum(catalogue.insert_alias(self.staging.connection, *pair) for pair in sorted(known))


def _standing(cut: _Cut, there: Mapping[str | None, str]) -> Literal["fresh", "already", "changed"]:
    """What a document is beside those that have its id, by patient: two patients may have one each, but what everyone
    may see is nobody's record."""
    if cut.patient_id in there:
        return "already" if there[cut.patient_id] == cut.hash else "changed"
    return "changed" if there and (cut.patient_id is None or None in there) else "fresh"


def _meanings(encoder: Encoder | None, pieces: Sequence[Passage]) -> Vectors | None:
    """float32 [pieces, dimension]: title and text together, which on consumer questions is better than text alone."""
    if encoder is None or not pieces:
        return None
    return encoder.encode_texts([f"{passage.title}. {passage.text}" for passage in pieces])


def _looks(encoder: Encoder | None, pictures: Sequence[Picture | None]) -> list[Vectors | None]:
    """A vector for each piece that has a picture, None for the others."""
    shown = [picture for picture in pictures if picture is not None]
    if encoder is None or not shown:
        return [None] * len(pictures)
    vectors = iter(encoder.encode_pictures(shown))
    return [None if picture is None else next(vectors) for picture in pictures]
