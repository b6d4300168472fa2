"""Building an index folder: reads sources as streams, and writes postings, vectors, passages and the manifest.

A build that is killed goes on where it was when the same command is typed again, and ends with the same files. Nothing
counts before the manifest names it: until then the index is what it was.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ...core.canonical import Json, digest
from ...core.errors import InputError, SetupError, StorageError
from ...core.locked import open_locked
from .. import text
from ..encoders.load import load_encoder
from ..encoders.protocol import Encoder, Vectors
from ..sources.place import place_of
from ..sources.protocol import Document, Source
from ..store import Passage, Picture
from . import catalogue
from .cut import passages as cut
from .finish import Finish, Watch
from .manifest import NAME, Manifest, Stock, check_files, is_unfinished, read_manifest
from .shelf import indexed_terms
from .staging import Staging, State, drop
from .vectors import Kind

BATCH = 512
"""Documents that are encoded and committed at a time."""

PRIVATE = frozenset({"dicom", "fhir"})
"""Kinds of sources that are patients' records: what in them names no patient is nobody's to see."""

ReadPicture: TypeAlias = Callable[[Path], Picture]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to build: sources in this order, encoders (None: no vectors of that kind), how vectors are kept (None: flat,
    and HNSW from 50 000 on; IVF-PQ starts at 10 000), and who opens pictures.

    `shared` says that the patients of DICOM and FHIR sources are anonymous and that everyone may see their records;
    else only a case of the same patient does."""

    sources: Sequence[Source]
    text_encoder: Encoder | None = None
    image_encoder: Encoder | None = None
    kind: Kind | None = None
    read_picture: ReadPicture | None = None
    shared: bool = False

    def written(self, base: Manifest | None) -> Json:
        """What a build must share with one that was begun to go on with it."""
        return {
            "base": base.version if base else None,
            "sources": [
                {"name": source.name, "kind": source.kind, "licence": source.licence, "files": _stamps(source)}
                for source in self.sources
            ],
            "encoders": [encoder.identity if encoder else None for encoder in (self.text_encoder, self.image_encoder)],
            "kind": self.kind, "shared": self.shared, "terms": text.VERSION, "batch": BATCH,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a build has made: the index as it is, and what each source of this build gave to it."""

    manifest: Manifest
    added: tuple[Stock, ...]


def build_index(plan: Plan, out: Path, *, restart: bool = False, watch: Watch = lambda *_: None) -> Manifest:
    """The manifest of the index in `out`, built or added to as `add_to_index` does."""
    return add_to_index(plan, out, restart=restart, watch=watch).manifest


def add_to_index(plan: Plan, out: Path, *, restart: bool = False, watch: Watch = lambda *_: None) -> Built:
    """Build the index in `out` from the plan's sources, or add them to it.

    A passage whose id is there already is left as it is. Raises InputError for sources or encoders that do not fit what
    is there, SetupError when the index is damaged (RunLockedError when another build is at work, StorageError when it
    cannot be written), and whatever a source raises. Whatever it is, the index stays as it was.
    """
    _check_folder(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = open_locked(
            out / "lock", os.O_CREAT, busy="another build at work", fix="wait for its end, or build into another folder"
        )
        try:
            return _built(plan, out, restart, watch)
        finally:
            os.close(lock)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(
            expected=f"to write the index in {out}", got=str(error),
            fix="free the disk or name another folder; the same command goes on where this one ended",
        ) from error  # fmt: skip


def _built(plan: Plan, out: Path, restart: bool, watch: Watch) -> Built:
    """`add_to_index` under the lock."""
    base = read_manifest(out) if (out / NAME).exists() else None
    if base is not None:
        check_files(out, base)
        plan = _fitting(plan, base, out)
    _check_names(plan.sources, base.sources if base else ())
    if restart:
        drop(out)
    added: tuple[Stock, ...]
    with closing(Staging(out, plan.written(base), (base.folder(out), base) if base else None)) as staging:
        _read_all(plan, staging, watch)
        added = staging.state.done
        if base is not None and not _anything(staging.state):
            manifest = base
        else:
            manifest = Finish(
                staging, out, base, text_encoder=plan.text_encoder, image_encoder=plan.image_encoder, kind=plan.kind,
                watch=watch,
            ).run()  # fmt: skip
    drop(out)
    for path in out.iterdir():
        if _generation(path) and path != manifest.folder(out) and _ours(path, manifest):
            shutil.rmtree(path)
    return Built(manifest=manifest, added=added)


def _read_all(plan: Plan, staging: Staging, watch: Watch) -> None:
    """`_read`, whose errors say how to build once the source is mended: what was read counts for the old files."""
    try:
        _read(plan, staging, watch)
    except InputError as error:
        if not staging.has_read:
            raise
        raise InputError(expected=error.expected, got=error.got, fix=f"{error.fix}; it then takes --restart") from error


def _read(plan: Plan, staging: Staging, watch: Watch) -> None:
    """Take every document that is not taken yet into the staging, a batch at a time."""
    for number, source in enumerate(plan.sources):
        if number < len(staging.state.done):
            continue
        fresh = Stock(name=source.name, kind=source.kind, licence=source.licence, place=place_of(source))
        stock = staging.state.reading or fresh
        folder = Path(os.path.commonpath([path.parent for path in source.files()]))  # what pictures are named in
        documents = islice(source.documents(), stock.documents, None)
        while batch := list(islice(documents, BATCH)):
            stock = _take(plan, staging, source, stock, batch, folder)
            watch(f"reading {source.name}", stock.documents, None)
        skipped = Counter(stock.skipped) + Counter(source.skipped)
        stock = stock.model_copy(update={"skipped": dict(sorted(skipped.items()))})
        staging.begin()
        state = staging.state
        staging.commit(state.model_copy(update={"done": (*state.done, stock), "reading": None}))


def _take(plan: Plan, staging: Staging, source: Source, stock: Stock, batch: Sequence[Document], folder: Path) -> Stock:
    """Put a batch of documents into the staging, and say what has come of the source so far."""
    skipped = Counter(stock.skipped)
    pieces, pictures = _cut(plan, source, batch, folder, skipped)
    meanings = _meanings(plan.text_encoder, pieces)
    looks = _looks(plan.image_encoder, pictures)
    counts, licences, row = Counter[str](), Counter(stock.licences), staging.state.rows
    staging.begin()
    for place, (passage, look) in enumerate(zip(pieces, looks, strict=True)):
        meaning = None if meanings is None else meanings[place]
        if passage.patient_id is not None:
            kept = catalogue.insert_record(staging.connection, passage, meaning, look)
        else:
            kept = catalogue.insert(staging.connection, row, passage)
        if not kept:
            counts["already" if catalogue.same(staging.connection, passage) else "changed"] += 1
            continue
        licences[passage.licence] += 1
        counts["records" if passage.patient_id is not None else "passages"] += 1
        if passage.patient_id is None:
            _append(staging, row, passage, meaning, look)
            counts["pictures"] += look is not None
            row += 1
    added = {name: getattr(stock, name) + counts[name] for name in
             ("passages", "records", "pictures", "already", "changed")}  # fmt: skip
    stock = stock.model_copy(
        update={**added, "documents": stock.documents + len(batch), "skipped": dict(sorted(skipped.items())),
                "licences": dict(sorted(licences.items()))}
    )  # fmt: skip
    staging.commit(staging.state.model_copy(update={"reading": stock, "rows": row}))
    return stock


def _cut(
    plan: Plan, source: Source, batch: Sequence[Document], folder: Path, skipped: Counter[str]
) -> tuple[list[Passage], list[Picture | None]]:
    """The passages of a batch, each with its picture where there is one; what is left out is counted in `skipped`."""
    pieces: list[Passage] = []
    pictures: list[Picture | None] = []
    for given in batch:
        document = replace(given, patient_id=None) if plan.shared else given
        if not plan.shared and source.kind in PRIVATE and document.patient_id is None:
            skipped["a record that names no patient"] += 1
            continue
        try:
            picture = _opened(plan, document)
        except InputError as error:  # without the file's name: it may be the patient's
            skipped[f"a picture that cannot be read: expected {error.expected}"] += 1
            continue
        passages = list(cut(document, source.name, folder, private=source.kind in PRIVATE))
        if not all(map(catalogue.storable, passages)):
            skipped["a text with half a character in it"] += 1
            continue
        pieces += passages
        pictures += [picture] * len(passages)
    return pieces, pictures


def _append(staging: Staging, row: int, passage: Passage, meaning: Vectors | None, look: Vectors | None) -> None:
    """A common passage's terms and vectors, behind those of the rows before it."""
    words = indexed_terms(passage)
    unknown = [word for word in dict.fromkeys(words) if word not in staging.vocabulary]
    first = len(staging.vocabulary)
    catalogue.insert_terms(staging.connection, [(word, first + place) for place, word in enumerate(unknown)])
    staging.vocabulary.update((word, first + place) for place, word in enumerate(unknown))
    staging.append("terms.u32", np.array([staging.vocabulary[word] for word in words], dtype=np.uint32))
    staging.append("lengths.u32", np.array([len(words)], dtype=np.uint32))
    if meaning is not None:
        staging.append("meaning.f32", meaning)
    if look is not None:
        staging.append("look.f32", look)
        staging.append("pictured.i64", np.array([row], dtype=np.int64))


def _opened(plan: Plan, document: Document) -> Picture | None:
    """The document's picture, where there is one and an encoder for it. Raises InputError when it cannot be read."""
    if document.picture is None or plan.image_encoder is None:
        return None
    if plan.read_picture is None:
        raise SetupError(expected="a reader of pictures", got="none", fix="pass read_picture")
    return plan.read_picture(document.picture)


def _meanings(encoder: Encoder | None, pieces: Sequence[Passage]) -> Vectors | None:
    """float32 [pieces, dimension]: title and text together, which on consumer questions is better than text alone."""
    if encoder is None:
        return None
    return encoder.encode_texts([f"{passage.title}. {passage.text}" for passage in pieces])


def _looks(encoder: Encoder | None, pictures: Sequence[Picture | None]) -> list[Vectors | None]:
    """A vector for each piece that has a picture, None for the others."""
    shown = [picture for picture in pictures if picture is not None]
    if encoder is None or not shown:
        return [None] * len(pictures)
    vectors = iter(encoder.encode_pictures(shown))
    return [None if picture is None else next(vectors) for picture in pictures]


def _fitting(plan: Plan, base: Manifest, out: Path) -> Plan:
    """The plan with the encoders of the index it adds to. Raises InputError for others: vectors of two encoders cannot
    be compared."""
    if plan.kind not in (None, "ivfpq") and any(space and space.kind == "ivfpq" for space in (base.text, base.image)):
        raise InputError(
            expected="no kind, or ivfpq: this index keeps no vectors to make another of",
            got=str(plan.kind), fix="leave it out, or build into another folder",
        )  # fmt: skip
    with closing(catalogue.Reader(base.folder(out) / catalogue.NAME)) as reader:
        pictures = reader.shows_pictures()
    if base.terms != text.VERSION:
        raise InputError(
            expected=f"an index whose terms are {text.VERSION}",
            got=base.terms,
            fix="build it again into another folder",
        )
    chosen = {}
    for name, encoded, given, empty in (
        ("text_encoder", base.text, plan.text_encoder, base.passages + base.records == 0),
        ("image_encoder", base.image, plan.image_encoder, not pictures),
    ):
        if encoded is None and given is not None and not empty:
            raise InputError(
                expected=f"no {name.replace('_', ' ')}: what this index holds was indexed without one",
                got=given.spec, fix="leave it out, or build into another folder",
            )  # fmt: skip
        encoder = load_encoder(encoded.spec) if encoded is not None and given is None else given
        if encoded is not None and encoder is not None and encoder.identity != encoded.identity:
            raise InputError(
                expected=f"the encoder of this index, {encoded.spec} ({encoded.identity})",
                got=f"{encoder.spec} ({encoder.identity})", fix="leave it out, or build into another folder",
            )  # fmt: skip
        chosen[name] = encoder
    return replace(plan, text_encoder=chosen["text_encoder"], image_encoder=chosen["image_encoder"])


def _check_folder(out: Path) -> None:
    """Raise InputError for what is no place for an index."""
    if out.is_file():
        raise InputError(expected="a folder for the index", got=f"a file, {str(out)!r}", fix="name a folder")
    if not out.is_dir() or (out / NAME).exists() or is_unfinished(out):
        return
    if any(path.name != "lock" for path in out.iterdir()):
        raise InputError(expected="an empty folder or an index", got=f"other files in {out}", fix="name another one")


def _check_names(sources: Sequence[Source], there: Sequence[Stock]) -> None:
    """Raise InputError unless each source has a name to itself, here and in the index."""
    repeated = [name for name, count in Counter(source.name for source in sources).items() if count > 1]
    if not sources or repeated:
        raise InputError(
            expected="sources with a name each",
            got=f"two called {repeated[0]!r}" if repeated else "no source",
            fix="build them one after the other, each with --name" if repeated else "name a file or folder",
        )
    places = {stock.name: stock.place for stock in there if stock.place}
    for source in sources:
        place = place_of(source)
        if place and places.get(source.name, place) != place:
            raise InputError(
                expected=f"the source that this index calls {source.name!r}",
                got="one of that name from another place", fix="type --name and another name for it",
            )  # fmt: skip


def _anything(state: State) -> bool:
    return any(stock.passages or stock.records for stock in state.done)


def _stamps(source: Source) -> list[list[Json]]:
    """What tells whether a source's files are still those a build began with; file names may name patients."""
    return [[digest(path.name), path.stat().st_size, path.stat().st_mtime_ns] for path in source.files()]


def _ours(path: Path, manifest: Manifest) -> bool:
    """Whether nothing lies in it but files of an index: a user may keep a folder `2024` here."""
    return {inside.name for inside in path.iterdir()} <= {*manifest.files, "meaning.faiss", "look.faiss"}


def _generation(path: Path) -> bool:
    return path.is_dir() and path.name.isdecimal() and len(path.name) >= 4
