"""One tile or strip of a TIFF page, decoded within the size that the page states. It knows no file.

Deflate is unpacked here, up to the stated size and no further. LZW, PackBits, Zstandard and LZMA go through Pillow's
libtiff as the rows of bytes they are, JPEG and JPEG 2000 tiles through Pillow's decoders of these formats.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from typing import TYPE_CHECKING, Any

from .code_stream import stated_size
from .raster import damaged, decoded
from .tiff_pages import Page

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NONE, _LZW, _JPEG, _PACKBITS, _LZMA, _ZSTD = 1, 5, 7, 32773, 34925, 50000
_DEFLATE = (8, 32946)
_BY_LIBTIFF = (_LZW, _PACKBITS, _LZMA, _ZSTD)
_JPEG_2000_YCBCR, _JPEG_2000 = 33003, (33003, 33005, 34712)
_BYTES = (_NONE, *_DEFLATE, *_BY_LIBTIFF)
_RGB, _YCBCR = 2, 6
_ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


def can_decode(page: Page) -> bool:
    """Whether this module reads the page's encoding; what it cannot, Pillow may be able to read as a whole."""
    if page.compression in _BYTES:
        kinds = (8, 16, 32) if page.predictor == 2 else (1, 8, 16, 32, 64) if page.predictor == 1 else ()
        plain = page.photometric in (0, 1, 2, 3) and (page.bits > 1 or page.samples == 1)
        return page.usual and plain and page.bits in kinds and (not page.floating or page.bits in (16, 32, 64))
    return page.usual and page.bits == 8 and page.planes == 1 and page.compression in (_JPEG, *_JPEG_2000)


def segment_pixels(page: Page, codes: list[bytes], rows: int, *, shown: str) -> list[NDArray[Any]]:
    """The pixels (rows, W, channels) of each segment, W being the width of the page's segments.

    An empty code stands for a tile that was never written: zeros. Raises InputError for damaged bytes.
    """
    import numpy as np

    width, channels = page.segment[0], 1 if page.planes == 2 else page.samples
    if page.compression in (_JPEG, *_JPEG_2000):
        found = {number: _of_code_stream(page, code, rows, shown) for number, code in enumerate(codes) if code}
    else:
        row_bytes = (width * channels * page.bits + 7) // 8
        there = [number for number, code in enumerate(codes) if code]
        raws = _bytes(page.compression, [codes[number] for number in there], row_bytes, rows)
        found = {number: _unpacked(page, raw, rows, shown) for number, raw in zip(there, raws, strict=True)}
    zeros = np.zeros((rows, width, channels), dtype=_kind(page))
    return [found.get(number, zeros) for number in range(len(codes))]


def _unpacked(page: Page, raw: bytes, rows: int, shown: str) -> NDArray[Any]:
    """The pixels of a segment from its bytes as they lie in memory."""
    import numpy as np

    width, channels = page.segment[0], 1 if page.planes == 2 else page.samples
    row_bytes = (width * channels * page.bits + 7) // 8
    if len(raw) < row_bytes * rows:
        raise damaged(shown)
    raw = raw[: row_bytes * rows]
    if page.bits == 1:
        bits = np.unpackbits(np.frombuffer(raw, np.uint8).reshape(rows, row_bytes), axis=1)
        return (bits[:, :width] * np.uint8(255))[..., None]
    array = np.frombuffer(raw, _kind(page).newbyteorder(page.order)).reshape(rows, width, channels)
    array = array.astype(_kind(page))
    return np.add.accumulate(array, axis=1, dtype=array.dtype) if page.predictor == 2 else array


def _kind(page: Page) -> Any:
    import numpy as np

    if page.bits == 1:
        return np.dtype(np.uint8)
    return np.dtype(f"{'f' if page.floating else 'i' if page.signed else 'u'}{page.bits // 8}")


def _bytes(compression: int, codes: list[bytes], row_bytes: int, rows: int) -> list[bytes]:
    if compression == _NONE or not codes:
        return codes
    size = row_bytes * rows
    if compression in _DEFLATE:
        return [zlib.decompressobj().decompress(code, size) for code in codes]
    whole = decoded(_as_tiff(compression, codes, row_bytes, rows), "TIFF", (row_bytes, rows * len(codes))).tobytes()
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def _as_tiff(compression: int, codes: list[bytes], width: int, rows: int) -> bytes:
    """A TIFF with one strip for each segment, whose grey pixels are the segment's bytes."""
    count = len(codes)
    tables = 8 + 2 + 9 * 12 + 4
    first = tables + 8 * count
    starts = itertools.accumulate(map(len, codes[:-1]), initial=first)
    sizes = struct.pack(f"<{2 * count}I", *starts, *map(len, codes))
    tags = (
        (256, 1, width), (257, 1, rows * count), (258, 1, 8), (259, 1, compression), (262, 1, 1),
        (273, count, tables if count > 1 else first), (277, 1, 1), (278, 1, rows),
        (279, count, tables + 4 * count if count > 1 else len(codes[0])),
    )  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, number, value) for tag, number, value in tags)
    return b"".join((b"II*\0", struct.pack("<IH", 8, len(tags)), entries, bytes(4), sizes, *codes))


def _of_code_stream(page: Page, code: bytes, rows: int, shown: str) -> NDArray[Any]:
    import numpy as np

    if page.compression == _JPEG:
        form = "JPEG"
        if page.tables[:2] == b"\xff\xd8" and code[:2] == b"\xff\xd8":  # quantisation and Huffman tables stand apart
            code = page.tables[: page.tables.rfind(b"\xff\xd9")] + code[2:]
        if page.photometric == _RGB and page.samples == 3:  # a JPEG that says nothing is taken for YCbCr
            code = code[:2] + _ADOBE_RGB + code[2:]
    else:
        form = "JPEG2000"
    width, height = stated_size(code)
    if width != page.segment[0] or not rows <= height <= page.segment[1]:
        raise damaged(shown)
    array = decoded(code, form, (width, height), from_ycbcr=page.compression == _JPEG_2000_YCBCR)
    array = (array if array.ndim == 3 else array[..., None])[:rows]
    if array.shape[2] < min(page.samples, 3):
        raise damaged(shown)
    return np.ascontiguousarray(array[..., : page.samples])
