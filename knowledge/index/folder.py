"""Opening an index folder for searching: files checked by their hashes, arrays memory-mapped, encoders on first use."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...core.errors import SetupError
from .. import text
from ..encoders.load import load_encoder
from ..encoders.protocol import Encoder, Reads, Vectors
from ..store import Passage, Picture
from . import catalogue
from .lexicon import Lexicon
from .manifest import Encoded, Manifest, check_files, read_manifest, source_names
from .postings import Flat, Postings
from .search import Index, Limits
from .shelf import Names, Shelf
from .vectors import VectorIndex


def open_index(folder: str | Path) -> Index:
    """The index that was built in `folder`.

    Raises InputError when there is none, SetupError naming the first file that is gone, cut short or altered, or when
    it was built by a version that made other terms of texts.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    try:
        return _opened(folder, manifest)
    except (OSError, SetupError):
        if read_manifest(folder) == manifest:
            raise
        return open_index(folder)  # a build has just published others, and taken away the files of this manifest


def _opened(folder: Path, manifest: Manifest) -> Index:
    if manifest.terms != text.VERSION:
        raise SetupError(
            expected=f"an index whose terms are {text.VERSION}",
            got=manifest.terms,
            fix="build it again into another folder",
        )
    check_files(folder, manifest)
    files = manifest.folder(folder)
    reader = catalogue.Reader(files / catalogue.NAME)
    shown = manifest.pictures or manifest.records
    text_encoder, image_encoder = _encoder(manifest.text), _encoder(manifest.image if shown else None)
    spaces = {"meaning": manifest.text, "look": manifest.image}
    floors = {name: encoded.floor for name, encoded in spaces.items() if encoded}
    if manifest.image:
        floors["described"] = manifest.image.described

    def records(patient_id: str) -> Shelf | None:
        found = reader.records(patient_id)
        if not found:
            return None
        meanings = [meaning for _, meaning, _ in found if meaning is not None]
        return Shelf.of(
            [passage for passage, _, _ in found], np.stack(meanings) if meanings else None, [look for *_, look in found]
        )

    with ExitStack() as opened:
        opened.callback(reader.close)
        index = Index.over(
            _common(manifest, files, reader), records, manifest.version, text_encoder=text_encoder,
            image_encoder=image_encoder, limits=Limits(**floors), close=reader.close,
        )  # fmt: skip
        opened.pop_all()
    return index


def _common(manifest: Manifest, files: Path, reader: catalogue.Reader) -> Shelf:
    passages: Sequence[Passage] = catalogue.Stored(reader, manifest.passages)
    columns = np.asarray(np.load(files / "columns.npy", mmap_mode="r", allow_pickle=False))[: manifest.passages]
    names = Names(domains=manifest.domains, sources=source_names(manifest.sources))
    opened = [
        VectorIndex.open(files / f"{name}.faiss", encoded.kind) if encoded and encoded.vectors else None
        for name, encoded in (("meaning", manifest.text), ("look", manifest.image))
    ]
    pictured = np.fromfile(files / "pictured.i64", dtype="<i8")
    lexicon = Lexicon(reader, Postings.open(files, manifest.passages))
    flat = Flat(_mapped(files / "terms.u32"), np.fromfile(files / "lengths.u32", dtype="<u4"))
    return Shelf(passages, columns, names, lexicon, flat, meaning=opened[0], look=opened[1], pictured=pictured)


def _mapped(path: Path) -> npt.NDArray[np.uint32]:
    """A raw file of numbers, memory-mapped."""
    # As a plain array: every slice of a memmap costs ten times that of one.
    return np.asarray(np.memmap(path, dtype="<u4", mode="r") if path.stat().st_size else np.empty(0, dtype=np.uint32))


def _encoder(encoded: Encoded | None) -> Encoder | None:
    return None if encoded is None else OnFirstUse(encoded)


class OnFirstUse:
    """An encoder that is loaded when it is first asked for a vector, and must then be the one the index was built with.

    Raises SetupError when it is not, and what `load_encoder` raises. Thread-safe.
    """

    def __init__(self, encoded: Encoded) -> None:
        self._encoded = encoded
        self._loaded: Encoder | None = None
        self._lock = threading.Lock()

    @property
    def spec(self) -> str:
        return self._encoded.spec

    @property
    def identity(self) -> str:
        return self._encoded.identity

    @property
    def dimension(self) -> int:
        return self._encoded.dimension

    @property
    def reads(self) -> frozenset[Reads]:
        return frozenset(self._encoded.reads)

    def encode_texts(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        return self._encoder().encode_texts(texts, query=query)

    def encode_pictures(self, pictures: Sequence[Picture]) -> Vectors:
        return self._encoder().encode_pictures(pictures)

    def _encoder(self) -> Encoder:
        with self._lock:
            if self._loaded is None:
                loaded = load_encoder(self.spec)
                if loaded.identity != self.identity:
                    raise SetupError(
                        expected=f"the encoder this index was built with, {self.spec} ({self.identity})",
                        got=f"one whose files differ ({loaded.identity})",
                        fix="bring the former files back, or build the index again",
                    )
                self._loaded = loaded
            return self._loaded
