"""TIFF files to pixels: ordinary pictures, pages as frames, and large slides by region. It keeps no description.

A slide beyond the limit on pixels is never decoded as a whole: a region of it is put together from the tiles that it
touches, and without a region the largest smaller copy in the file that fits stands for it.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TypeAlias

from ...core.errors import InputError
from .locate import read_bounded
from .pixels import Opened, Unit
from .raster import MAX_PIXELS, Raster, check_frame, check_size, damaged, decoding, read_raster, without_equal_channels
from .tiff_pages import Page, read_pages, segments_of
from .tiff_segments import can_decode, segment_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

Region: TypeAlias = tuple[int, int, int, int]
Place: TypeAlias = tuple[int, int, int]
"""Plane, row and column of a tile or strip."""

_OVERVIEW_PIXELS = 16_000_000
_LEAST_OVERVIEW = 256
_PALETTE, _WHITE_IS_ZERO = 3, 0
_SAME_SHAPE = 0.02
_SECONDS = 30.0
_MANY, _SMALL = 4_096, 1_024
_BATCH_BYTES, _MOST_IN_BATCH = 2**22, 512


def read_tiff(path: Path, *, shown: str, frame: int | None, region: Region | None) -> Opened:
    """A page of a TIFF file, or `region` of it: (x, y, width, height) in pixels of the full size.

    Every size, count and offset is checked before anything is decoded. Raises InputError.
    """
    with decoding(shown), path.open("rb") as file:
        size = path.stat().st_size
        pages, copies = read_pages(file, size, shown=shown)
        levels = _levels(pages, copies)
        frames = 1 if len(levels) > 1 else len(pages)
        check_size(1, 1, frames, shown=shown)
        index = check_frame(frame, frames, shown=shown)
        page = pages[index]
        limitations: list[str] = []
        part = region or (0, 0, page.width, page.height)
        if region is not None:
            _check_region(region, page, shown)
        elif page.width * page.height > MAX_PIXELS:
            page, part = _overview(page, levels, limitations, shown)
        check_size(part[2], part[3], frames, shown=shown)
        facts = {"spacing_mm": _spacing(page, pages[index])}
        read: tuple[NDArray[Any], Unit] | None = None
        if can_decode(page):
            array = _pixels(file, size, page, part, shown=shown)
            array, unit = _meaningful(array, page, limitations, shown)
            read = _upright(array, page.orientation) if region is None else array, unit
    if read is not None:
        array, unit = read
    else:
        if region is not None or page is not pages[index]:
            _refuse("a large TIFF in an encoding that can be read by region (none, deflate, LZW, JPEG, JPEG 2000)",
                    f"{shown!r} in another (number {page.compression})",
                    "convert it, for example with tiffcp -t -c lzw")  # fmt: skip
        raster = _by_pillow(path, page, index, shown=shown)
        array, unit = raster.array, "rgb" if raster.array.ndim == 3 else "intensity"
        limitations += raster.limitations
    return Opened(array=array, unit=unit, what="TIFF", facts=facts, frames=frames, frame=index,
                  limitations=tuple(limitations))  # fmt: skip


def _levels(pages: list[Page], copies: list[Page]) -> list[Page]:
    """The first page of a slide and its smaller copies, largest first; the first page alone for any other file."""
    first = pages[0]
    found = [first]
    for page in (*copies, *pages[1:]):
        alike = abs(page.width * first.height / (page.height * first.width) - 1) < _SAME_SHAPE
        if first.tiled and alike and page.width < first.width and (page.tiled or page.reduced):
            found.append(page)
    return sorted(found, key=lambda page: -page.width)


def _overview(page: Page, levels: list[Page], limitations: list[str], shown: str) -> tuple[Page, Region]:
    """The largest smaller copy that can stand for a page too large to be decoded. Raises InputError without one."""
    fits = [
        level for level in levels[1:]
        if level.width * level.height <= _OVERVIEW_PIXELS and min(level.width, level.height) >= _LEAST_OVERVIEW
    ]  # fmt: skip
    if not fits:
        raise InputError(
            expected=f"a picture of at most {MAX_PIXELS // 1_000_000} megapixels, or a region of a larger one",
            got=f"{shown!r} with {page.width} × {page.height} pixels",
            fix="name a part of it, for example with region_px: [0, 0, 2048, 2048] (x, y, width, height)",
        )
    small = fits[0]
    limitations.append(
        f"The picture has {page.width} × {page.height} pixels: an overview at 1/{page.width / small.width:.0f} of its "
        "size was read. Details need a region (region_px: x, y, width, height)."
    )
    return small, (0, 0, small.width, small.height)


def _check_region(region: Region, page: Page, shown: str) -> None:
    x, y, width, height = region
    if x + width > page.width or y + height > page.height or width * height > MAX_PIXELS:
        raise InputError(
            expected=f"a part of {page.width} × {page.height} pixels, of at most {MAX_PIXELS // 1_000_000} megapixels",
            got=f"the region {list(region)} of {shown!r}",
            fix="name x, y, width and height in pixels of the full size",
        )


def _pixels(file: BinaryIO, size: int, page: Page, part: Region, *, shown: str) -> NDArray[Any]:
    """The pixels (H, W, samples) of a part of the page; only segments that it touches are read."""
    import numpy as np

    x, y, width, height = part
    across, down = page.grid
    wide, high = page.segment
    offsets, counts = segments_of(page, file, size, shown=shown)
    planes = page.samples if page.planes == 2 else 1
    touched = list(itertools.product(
        range(planes), range(y // high, (y + height - 1) // high + 1), range(x // wide, (x + width - 1) // wide + 1)
    ))  # fmt: skip
    used = sum(counts[(plane * down + row) * across + column] for plane, row, column in touched)
    _check_segments(page, len(touched), used, size, shown)
    until = time.monotonic() + _SECONDS
    out: NDArray[Any] | None = None
    for rows, batch in _batches(page, touched):
        if time.monotonic() > until:
            _refuse(f"a TIFF that opens in {_SECONDS:.0f} s", f"{shown!r}, which takes longer", "name a part of it")
        codes = []
        for plane, row, column in batch:
            number = (plane * down + row) * across + column
            file.seek(offsets[number])
            codes.append(file.read(counts[number]))
        tiles = segment_pixels(page, codes, rows, shown=shown)
        for (plane, row, column), tile in zip(batch, tiles, strict=True):
            if out is None:
                out = np.zeros((height, width, page.samples), dtype=tile.dtype)
            top, left = row * high - y, column * wide - x
            channels = slice(plane, plane + 1) if planes > 1 else slice(None)
            inside = tile[max(0, -top) : height - top, max(0, -left) : width - left]
            at = max(0, top), max(0, left)
            out[at[0] : at[0] + inside.shape[0], at[1] : at[1] + inside.shape[1], channels] = inside
    assert out is not None  # a part has at least one pixel
    return out


def _batches(page: Page, touched: list[Place]) -> Iterator[tuple[int, list[Place]]]:
    """Segments of equal height, with that height, in their order: to decode one alone costs more than its pixels."""
    wide, high = page.segment
    most = min(_MOST_IN_BATCH, max(1, _BATCH_BYTES // (wide * high * page.samples * page.bits // 8 + 1)))

    def rows_of(place: Place) -> int:
        return high if page.tiled else min(high, page.height - place[1] * high)

    for rows, group in itertools.groupby(touched, key=rows_of):
        alike = list(group)
        for start in range(0, len(alike), most):
            yield rows, alike[start : start + most]


def _check_segments(page: Page, number: int, used: int, size: int, shown: str) -> None:
    """Refuse many segments that cost far more to decode than the file has bytes (`used` of `size`), or the picture
    pixels: a small file could name the same bytes a million times.

    Some writers keep one copy of a tile that occurs again, so what overlaps is refused only where there are many.
    """
    if number > _MANY and (used > size or math.prod(page.segment) < _SMALL):
        _refuse(
            f"a TIFF whose tiles or strips have {_SMALL} pixels or more and bytes of their own",
            f"{shown!r} with {number} that are smaller or overlap",
            "write it anew, for example with tiffcp -t -c lzw",
        )


def _meaningful(array: NDArray[Any], page: Page, limitations: list[str], shown: str) -> tuple[NDArray[Any], Unit]:
    """Stored samples as RGB or intensity, with what has to be said about them."""
    import numpy as np

    if not np.isfinite(array).all():
        raise damaged(shown)
    if page.photometric == _PALETTE:
        if page.bits not in (8, 16) or len(page.colours) != 3 * 2**page.bits or page.samples != 1:
            raise damaged(shown)
        table = (np.array(page.colours, dtype=np.uint16).reshape(3, -1).T >> 8).astype(np.uint8)
        array = table[array[..., 0]]
    elif page.samples >= 3:
        if page.samples > 3:
            limitations.append(f"Of {page.samples} channels the first three were read.")
        array = array[..., :3]
        if array.dtype != np.uint8:
            if array.dtype.kind != "u":
                _refuse("colours as 8-bit or 16-bit numbers", f"{shown!r} with others", "export it with 8 bits")
            limitations.append("The picture has more than 8 bits per colour; it was read with 8.")
            array = (array >> 8 * (array.dtype.itemsize - 1)).astype(np.uint8)
    else:
        if page.samples > 1:
            limitations.append(f"Of {page.samples} channels the first was read.")
        array = array[..., 0]
        if page.photometric == _WHITE_IS_ZERO:
            array = array.max() - array + array.min() if page.floating or page.signed else np.invert(array)
        return (array if array.dtype == np.uint8 else array.astype(np.float32)), "intensity"
    grey = without_equal_channels(array)
    return grey, "rgb" if grey.ndim == 3 else "intensity"


def _upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The picture turned as the tag says (TIFF 6.0, Orientation)."""
    import numpy as np

    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _by_pillow(path: Path, page: Page, index: int, *, shown: str) -> Raster:
    """The whole page through Pillow; its size is checked already. Raises InputError where Pillow cannot read it."""
    data = read_bounded(path, typed=shown)
    try:
        return read_raster(data, shown=shown, frame=index + 1, formats=("TIFF",))
    except InputError:
        _refuse(
            "a TIFF in an encoding that can be decoded here",
            f"{shown!r}, damaged or in another (compression {page.compression}, {page.bits} bits)",
            "export the picture as PNG",
        )


def _spacing(page: Page, full: Page) -> tuple[float, float] | None:
    if full.spacing_mm is None:
        return None
    step = full.spacing_mm * full.width / page.width
    return step, step


def _refuse(expected: str, got: str, fix: str) -> NoReturn:
    raise InputError(expected=expected, got=got, fix=fix) from None
