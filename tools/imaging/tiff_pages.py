"""The pages of a TIFF file by their tags: sizes, tiles, encodings, each checked against the file. It decodes no pixel.

Only the tags that say where pixels are and what they mean are read; descriptions, authors and dates are not, but for
the scale that slide scanners write. Sources: TIFF 6.0 (Aldus 1992), BigTIFF (LibTIFF), TIFF Technical Note 2 (JPEG).
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from .raster import MAX_FRAMES, MAX_PIXELS, check_size, damaged

_MAGIC = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MAX_ENTRIES = 4_096
_MAX_SEGMENTS = 1_000_000
_MAX_DESCRIPTION = 65_536
_CM = 3


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where the values of a tag are."""

    kind: int
    count: int
    at: int


@dataclass(frozen=True, kw_only=True)
class Page:
    """One picture of the file. `segment` is the (width, height) of its tiles, or of its strips where not `tiled`;
    segments are in reading order, plane by plane where colours are kept in `planes` of their own."""

    width: int
    height: int
    samples: int
    bits: int
    floating: bool
    signed: bool
    photometric: int
    compression: int
    predictor: int
    planes: int
    segment: tuple[int, int]
    tiled: bool
    offsets: Entry
    counts: Entry
    tables: bytes
    colours: tuple[int, ...]
    order: str
    reduced: bool
    orientation: int
    spacing_mm: float | None
    usual: bool

    @property
    def grid(self) -> tuple[int, int]:
        """How many segments lie beside and below each other."""
        return math.ceil(self.width / self.segment[0]), math.ceil(self.height / self.segment[1])


def is_tiff(head: bytes) -> bool:
    return head[:4] in _MAGIC


class _Reader:
    """Reads numbers of one file, and nothing outside it."""

    def __init__(self, file: BinaryIO, size: int, shown: str) -> None:
        self.file, self.size, self.shown = file, size, shown
        self.order, self.big = _MAGIC[self.part(0, 4)]

    def part(self, at: int, count: int) -> bytes:
        if at < 0 or count < 0 or at + count > self.size:
            raise damaged(self.shown)
        self.file.seek(at)
        found = self.file.read(count)
        if len(found) < count:
            raise damaged(self.shown)
        return found

    def number(self, at: int, code: str) -> int:
        form = self.order + code
        return int(struct.unpack(form, self.part(at, struct.calcsize(form)))[0])

    def first(self) -> int:
        return self.number(8, "Q") if self.big else self.number(4, "I")

    def directory(self, at: int) -> tuple[dict[int, Entry], int]:
        """The entries of a page by their tags, and where the next page is; 0 for none."""
        wide, width = ("Q", 20) if self.big else ("I", 12)
        count = self.number(at, "Q" if self.big else "H")
        start = at + (8 if self.big else 2)
        if not 0 < count <= _MAX_ENTRIES:
            raise damaged(self.shown)
        raw = self.part(start, count * width)
        entries: dict[int, Entry] = {}
        for number in range(count):
            tag, kind, values = struct.unpack_from(f"{self.order}HH{wide}", raw, number * width)
            inside = start + number * width + width - (8 if self.big else 4)
            fits = _SIZES.get(kind, 1) * values <= (8 if self.big else 4)
            entries.setdefault(tag, Entry(kind=kind, count=values, at=inside if fits else self.number(inside, wide)))
        end = start + count * width
        return entries, self.number(end, wide) if end + (8 if self.big else 4) <= self.size else 0

    def values(self, entry: Entry | None, most: int) -> tuple[int, ...]:
        """The whole numbers of an entry, at most `most` of them."""
        if entry is None:
            return ()
        code = _CODES.get(entry.kind)
        if code is None or not 0 < entry.count <= most:
            raise damaged(self.shown)
        return struct.unpack(f"{self.order}{entry.count}{code}", self.part(entry.at, entry.count * _SIZES[entry.kind]))

    def text(self, entry: Entry | None, most: int) -> bytes:
        return b"" if entry is None else self.part(entry.at, min(entry.count, most))

    def fraction(self, entry: Entry | None) -> float:
        if entry is None or entry.kind != 5 or entry.count != 1:
            return 0.0
        above, below = struct.unpack(f"{self.order}II", self.part(entry.at, 8))
        return above / below if below else 0.0


def read_pages(file: BinaryIO, size: int, *, shown: str) -> tuple[list[Page], list[Page]]:
    """The pages of the file, and the smaller copies that hang on the first one.

    Raises InputError for a page whose tags do not fit the file, and beyond the limits on pages.
    """
    reader = _Reader(file, size, shown)
    pages: list[Page] = []
    copies: list[Page] = []
    seen: set[int] = set()
    at = reader.first()
    while at and at not in seen:
        check_size(1, 1, len(seen) + 1, shown=shown)
        seen.add(at)
        entries, following = reader.directory(at)
        pages.append(_page(reader, entries))
        if len(pages) == 1:
            for below in reader.values(entries.get(330), MAX_FRAMES):
                copies.append(_page(reader, reader.directory(below)[0]))
        at = following
    if not pages:
        raise damaged(shown)
    return pages, copies


def segments_of(page: Page, file: BinaryIO, size: int, *, shown: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where the segments of a page are, and how many bytes each has. Raises InputError for one outside the file."""
    reader = _Reader(file, size, shown)
    offsets, counts = (reader.values(entry, _MAX_SEGMENTS) for entry in (page.offsets, page.counts))
    if any(min(at, count) < 0 or at + count > size for at, count in zip(offsets, counts, strict=True)):
        raise damaged(shown)
    return offsets, counts


def _page(reader: _Reader, entries: dict[int, Entry]) -> Page:
    def one(tag: int, default: int) -> int:
        found = reader.values(entries.get(tag), 64)
        return found[0] if found else default

    width, height = one(256, 0), one(257, 0)
    samples, planes = one(277, 1), one(284, 1)
    bits = set(reader.values(entries.get(258), 64)) or {1}
    formats = set(reader.values(entries.get(339), 64)) or {1}
    if width < 1 or height < 1 or not 1 <= samples <= 64 or planes not in (1, 2):
        raise damaged(reader.shown)
    tiled = 322 in entries
    segment = (one(322, 0), one(323, 0)) if tiled else (width, min(one(278, height) or height, height))
    if min(segment) < 1 or segment[0] * segment[1] > MAX_PIXELS:
        check_size(*segment, 1, shown=reader.shown)
    grid = math.ceil(width / segment[0]) * math.ceil(height / segment[1]) * (samples if planes == 2 else 1)
    if grid > _MAX_SEGMENTS:
        raise damaged(reader.shown)
    offsets, counts = entries.get(324 if tiled else 273), entries.get(325 if tiled else 279)
    if offsets is None or counts is None or not offsets.count == counts.count == grid:
        raise damaged(reader.shown)
    return Page(
        width=width, height=height, samples=samples, bits=max(bits), floating=formats == {3}, signed=formats == {2},
        photometric=one(262, 1), compression=one(259, 1), predictor=one(317, 1), planes=planes, segment=segment,
        tiled=tiled, offsets=offsets, counts=counts, tables=reader.text(entries.get(347), 65_536),
        colours=reader.values(entries.get(320), 3 * 65_536), order=reader.order, reduced=bool(one(254, 0) & 1),
        orientation=one(274, 1), spacing_mm=_spacing_mm(reader, entries, tiled, one(296, 0)),
        usual=len(bits) == 1 and len(formats) == 1 and formats <= {1, 2, 3, 4} and one(266, 1) == 1,
    )  # fmt: skip


def _spacing_mm(reader: _Reader, entries: dict[int, Entry], tiled: bool, unit: int) -> float | None:
    """The width of a pixel in the specimen: as a slide scanner states it. A page for print states dots of ink."""
    found = re.search(rb"MPP ?= ?([0-9]+\.?[0-9]*)", reader.text(entries.get(270), _MAX_DESCRIPTION))
    stated = float(found.group(1)) / 1000 if found else 0.0
    if not stated and tiled and unit == _CM:
        per_cm = reader.fraction(entries.get(282))
        stated = 10 / per_cm if per_cm else 0.0
    return stated if 0.00001 < stated < 0.1 else None
