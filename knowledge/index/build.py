"""Building an index folder: reads sources as streams, and writes postings, vectors, passages and the manifest.

A build that is killed goes on where it was when the same command is typed again, and ends with the same files. Nothing
counts before the manifest names it: until then the index is what it was.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ...core.canonical import Json, digest
from ...core.errors import InputError, SetupError, StorageError
from ...core.locked import open_locked
from .. import text
from ..encoders.load import load_encoder
from ..encoders.protocol import Encoder
from ..sources.place import place_of
from ..sources.protocol import Source
from . import catalogue, cut
from .finish import Finish, Watch
from .manifest import FORMAT, NAME, Manifest, Stock, check_files, is_unfinished, read_manifest
from .staging import Staging, State, drop
from .take import ReadPicture, Taker
from .vectors import Kind

BATCH = 512
"""Documents that are encoded and committed at a time."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to build: sources in this order, encoders (None: no vectors of that kind), how vectors are kept (None: flat,
    and HNSW from 50 000 on; IVF-PQ starts at 10 000), and who opens pictures.

    `shared` says that the patients of DICOM and FHIR sources are anonymous and that everyone may see their records;
    else only a case of the same patient does. Raises SetupError for an image encoder without a reader of pictures."""

    sources: Sequence[Source]
    text_encoder: Encoder | None = None
    image_encoder: Encoder | None = None
    kind: Kind | None = None
    read_picture: ReadPicture | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        if self.image_encoder is not None and self.read_picture is None:
            raise SetupError(
                expected="a reader of pictures beside an image encoder",
                got="none",
                fix="pass read_picture=tools.imaging.read_picture",
            )

    def written(self, base: Manifest | None) -> Json:
        """What a build must share with one that was begun to go on with it."""
        return {
            "format": FORMAT, "base": base.version if base else None,
            "sources": [
                {"name": source.name, "kind": source.kind, "licence": source.licence, "files": _stamps(source)}
                for source in self.sources
            ],
            "encoders": [encoder.identity if encoder else None for encoder in (self.text_encoder, self.image_encoder)],
            "kind": self.kind, "shared": self.shared, "terms": text.VERSION,
            "cut": cut.VERSION, "batch": BATCH,
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

    A document whose id is there already is left as it is, as a whole. Raises InputError for sources or encoders that do
    not fit what is there, SetupError when the index is damaged (RunLockedError when another build is at work,
    StorageError when it cannot be written), and whatever a source raises. Whatever it is, the index stays as it was.
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
    _check_shared(plan, base.sources if base else ())
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
        taker = Taker(
            staging=staging, source=source, text_encoder=plan.text_encoder, image_encoder=plan.image_encoder,
            read_picture=plan.read_picture, shared=plan.shared,
        )  # fmt: skip
        documents = islice(source.documents(), stock.read, None)
        while batch := list(islice(documents, BATCH)):
            stock = taker.take(stock, batch)
            watch(f"reading {source.name}", stock.read, None)
        skipped = Counter(stock.skipped) + Counter(source.skipped)
        stock = stock.model_copy(update={"skipped": dict(sorted(skipped.items()))})
        staging.begin()
        state = staging.state
        staging.commit(state.model_copy(update={"done": (*state.done, stock), "reading": None}))


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
    if base.cut != cut.VERSION:
        raise InputError(
            expected=f"an index whose passages are {cut.VERSION}",
            got=base.cut,
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


def _check_shared(plan: Plan, there: Sequence[Stock]) -> None:
    """Raise InputError for a source whose patients' records the index keeps the other way: they would be in it twice,
    to be seen by their patients alone and by all."""
    for source in plan.sources:
        place = place_of(source)
        held = [stock for stock in there if stock.name == source.name or (place and stock.place == place)]
        if plan.shared and any(stock.records for stock in held):
            raise InputError(
                expected=f"the records of {source.name!r} for their patients alone, as this index keeps them",
                got="--shared", fix="leave it out, or type --out with another folder to build an index open to all",
            )  # fmt: skip
        if not plan.shared and any(stock.shared for stock in held):
            raise InputError(
                expected=f"the records of {source.name!r} open to all, as this index keeps them",
                got="no --shared", fix="type --shared, or --out with another folder to keep them to their patients",
            )  # fmt: skip


def _anything(state: State) -> bool:
    return any(stock.documents or stock.aliases for stock in state.done)


def _stamps(source: Source) -> list[list[Json]]:
    """What tells whether a source's files are still those a build began with; file names may name patients."""
    try:
        stats = [(path.name, path.stat()) for path in source.files()]
    except OSError as error:
        raise InputError(
            expected=f"the files of {source.name!r} as they were listed", got=error.strerror or type(error).__name__,
            fix="build again",
        ) from None  # fmt: skip
    return [[digest(name), stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def _ours(path: Path, manifest: Manifest) -> bool:
    """Whether nothing lies in it but files of an index: a user may keep a folder `2024` here."""
    return {inside.name for inside in path.iterdir()} <= {*manifest.files, "meaning.faiss", "look.faiss"}


def _generation(path: Path) -> bool:
    return path.is_dir() and path.name.isdecimal() and len(path.name) >= 4
