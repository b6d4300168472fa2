"""TIFF files: every encoding gives the pixels that were written, and of a slide only what is asked for is decoded."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from numpy.typing import NDArray

from polyclinic.core.errors import InputError
from polyclinic.tools.imaging import tiff, tiff_segments
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.imaging.tiff_pages import read_pages

Take = Callable[..., TakenIn]
GREY = (np.add.outer(np.arange(90), np.arange(130)) % 256).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
KINDS: dict[str, NDArray[Any]] = {
    "8 bits": GREY,
    "16 bits": GREY.astype(np.uint16) * 200,
    "signed": GREY.astype(np.int16) - 100,
    "floating": GREY.astype(np.float32) / 3,
    "colour": COLOUR,
}


def written(array: NDArray[Any], **how: Any) -> bytes:
    buffer = io.BytesIO()
    photometric = how.pop("photometric", "rgb" if array.ndim == 3 else "minisblack")
    tifffile.imwrite(buffer, array, photometric=photometric, **how)
    return buffer.getvalue()


def by_pillow(picture: PIL.Image.Image, **how: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF", **how)
    return buffer.getvalue()


def pixels(store: ImageStore, taken: TakenIn) -> NDArray[Any]:
    return store.open(str(taken.image.blob)).array


def slide(
    levels: list[NDArray[np.uint8]], encode: Callable[[bytes, int], bytes], tile: int = 64, *, size: Any = None,
    **tags: Any,
) -> bytes:  # fmt: skip
    """A tiled TIFF with one page for each level; `encode` makes a tile's bytes from its raw RGB pixels."""
    out = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for number, level in enumerate(levels):
        height, width = level.shape[:2]
        codes = []
        for y in range(0, height, tile):
            for x in range(0, width, tile):
                one = np.zeros((tile, tile, 3), np.uint8)
                part = level[y : y + tile, x : x + tile]
                one[: part.shape[0], : part.shape[1]] = part
                codes.append(encode(one.tobytes(), tile))
        places = []
        for code in codes:
            places.append(len(out))
            out += code
        lists = [struct.pack(f"<{len(codes)}I", *values) for values in (places, map(len, codes))]
        at = []
        for values in (*lists, struct.pack("<3H", 8, 8, 8), tags.get("description", b"")):
            at.append(len(out))
            out += values
        few = len(codes) == 1
        entries = {
            254: (4, 1, int(number > 0)), 256: (4, 1, width if size is None or number else size[0]),
            257: (4, 1, height if size is None or number else size[1]), 258: (3, 3, at[2]),
            259: (3, 1, tags.get("compression", 1)), 262: (3, 1, tags.get("photometric", 2)),
            270: (2, len(tags.get("description", b"")), at[3]), 277: (3, 1, 3), 322: (4, 1, tile), 323: (4, 1, tile),
            324: (4, len(codes), places[0] if few else at[0]), 325: (4, len(codes), len(codes[0]) if few else at[1]),
        }  # fmt: skip
        out[link : link + 4] = struct.pack("<I", len(out))
        used = {tag: entry for tag, entry in entries.items() if entry[1]}
        out += struct.pack("<H", len(used))
        for tag, (kind, count, value) in used.items():
            out += struct.pack("<HHII", tag, kind, count, value)
        link = len(out)
        out += bytes(4)
    return bytes(out)


def raw(data: bytes, _: int) -> bytes:
    return data


def jpeg(data: bytes, tile: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.frombytes("RGB", (tile, tile), data).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def jpeg_2000(data: bytes, tile: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.frombytes("RGB", (tile, tile), data).save(buffer, "JPEG2000", no_jp2=True)
    return buffer.getvalue()


@pytest.mark.parametrize("layout", [{}, {"tile": (32, 48)}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        *((kind, encoding) for kind in KINDS for encoding in ({}, {"compression": "zlib"})),
        *((kind, {"compression": "zlib", "predictor": True}) for kind in ("8 bits", "16 bits", "colour")),
    ],
)
def test_what_was_written_is_read(
    kind: str, order: str, encoding: dict[str, Any], layout: dict[str, Any], take: Take, store: ImageStore
) -> None:
    array = KINDS[kind]
    data = written(array, byteorder=order, bigtiff=order == ">", **encoding, **layout)
    np.testing.assert_array_equal(pixels(store, take(data)), array)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "lzma", "zstd"])
def test_encodings_without_loss_through_pillow(compression: str, take: Take, store: ImageStore) -> None:
    data = by_pillow(PIL.Image.fromarray(COLOUR), compression=compression)
    np.testing.assert_array_equal(pixels(store, take(data)), COLOUR)


def test_jpeg_palette_cmyk_and_fax_are_read_as_pillow_reads_them(take: Take, store: ImageStore) -> None:
    colour = PIL.Image.fromarray(COLOUR)
    fax = PIL.Image.fromarray(GREY > 100)
    for picture, compression in (
        (colour, "jpeg"), (colour.quantize(64), None), (colour.convert("CMYK"), None), (fax, "group4"), (fax, None),
    ):  # fmt: skip
        data = by_pillow(picture, compression=compression)
        expected = np.asarray(PIL.Image.open(io.BytesIO(data)).convert("L" if picture is fax else "RGB"))
        assert np.abs(pixels(store, take(data)).astype(int) - expected).max() <= 2


def test_planes_of_colour_kept_apart_are_put_together(take: Take, store: ImageStore) -> None:
    apart = np.moveaxis(COLOUR, -1, 0)
    data = written(apart, photometric="rgb", planarconfig="separate", tile=(32, 32))
    np.testing.assert_array_equal(pixels(store, take(data)), COLOUR)


def test_deep_colour_transparency_and_white_as_zero_are_said_or_undone(take: Take, store: ImageStore) -> None:
    deep = take(written(COLOUR.astype(np.uint16) * 257))
    np.testing.assert_array_equal(pixels(store, deep), COLOUR)
    assert "more than 8 bits" in deep.limitations[0]
    clear = take(by_pillow(PIL.Image.fromarray(COLOUR).convert("RGBA")))
    assert clear.limitations == ("Of 4 channels the first three were read.",)
    light = take(written(GREY, photometric="miniswhite"))
    np.testing.assert_array_equal(pixels(store, light), 255 - GREY)


def test_pages_are_frames(take: Take, store: ImageStore) -> None:
    pages = [PIL.Image.fromarray(page) for page in (GREY, GREY.T, 255 - GREY)]
    data = by_pillow(pages[0], save_all=True, append_images=pages[1:])
    third = take(data, frame=3)
    np.testing.assert_array_equal(pixels(store, third), 255 - GREY)
    assert third.image.source == "TIFF 130×90, frame 3 of 3"
    with pytest.raises(InputError, match="a frame from 1 to 3"):
        take(data, frame=4)


def test_a_picture_lying_on_its_side_is_turned_upright(take: Take, store: ImageStore) -> None:
    for orientation, upright in ((3, GREY[::-1, ::-1]), (6, np.rot90(GREY, -1)), (8, np.rot90(GREY)), (5, GREY.T)):
        data = written(GREY, extratags=[(274, 3, 1, orientation, True)])
        np.testing.assert_array_equal(pixels(store, take(data)), upright)


@pytest.mark.parametrize(
    ("encode", "tags", "off"),
    [
        (raw, {}, 0), (jpeg, {"compression": 7, "photometric": 6}, 12), (jpeg_2000, {"compression": 33005}, 0),
        (lambda data, _: zlib.compress(data), {"compression": 8}, 0),
    ],
)  # fmt: skip
def test_a_region_is_read_from_the_tiles_it_touches(
    encode: Callable[[bytes, int], bytes], tags: dict[str, Any], off: int, take: Take, store: ImageStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rows, columns = np.mgrid[0:700, 0:900]
    full = np.stack([rows // 3, columns // 4, (rows + columns) // 8], axis=-1).astype(np.uint8)
    data = slide([full, full[::4, ::4]], encode, **tags)
    decoded: list[bytes] = []

    def counted(page: Any, codes: list[bytes], *given: Any, **named: Any) -> Any:
        decoded.extend(codes)
        return tiff_segments.segment_pixels(page, codes, *given, **named)

    monkeypatch.setattr(tiff, "segment_pixels", counted)
    taken = take(data, region_px=(130, 70, 100, 50))
    assert len(decoded) == 2
    assert taken.image.region_px == (130, 70, 100, 50)
    assert taken.image.size_px == (100, 50)
    assert np.abs(pixels(store, taken).astype(int) - full[70:120, 130:230]).max() <= off
    np.testing.assert_allclose(pixels(store, take(data, region_px=(890, 690, 10, 10))), full[690:, 890:], atol=off)
    with pytest.raises(InputError, match=r"a part of 900 × 700 pixels.*region_px|x, y, width and height"):
        take(data, region_px=(850, 0, 51, 10))


def test_too_large_a_slide_is_shown_by_its_overview_or_refused(
    take: Take, store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, columns = np.mgrid[0:1200, 0:1600]
    full = np.stack([rows // 8, columns // 8, rows // 8], axis=-1).astype(np.uint8)
    note = b"Aperio Image |MPP = 0.5000|Patient = DOE^JANE\0"
    data = slide([full, full[::4, ::4], full[::16, ::16]], raw, description=note)
    monkeypatch.setattr(tiff, "MAX_PIXELS", 1_000_000)
    taken = take(data)
    np.testing.assert_array_equal(pixels(store, taken), full[::4, ::4])
    assert "overview at 1/4" in taken.limitations[0]
    assert taken.image.spacing_mm == (0.002, 0.002)
    assert take(data, region_px=(0, 0, 100, 100)).image.spacing_mm == (0.0005, 0.0005)
    assert "DOE" not in taken.image.model_dump_json()
    with pytest.raises(InputError, match=r"region_px: \[0, 0, 2048, 2048\]"):
        take(slide([full], raw))
    with pytest.raises(InputError, match=r"name a frame it has"):
        take(data, frame=2)


def test_a_region_of_any_other_picture_is_cut_out(take: Take, store: ImageStore) -> None:
    np.testing.assert_array_equal(pixels(store, take(GREY, region_px=(10, 20, 30, 40))), GREY[20:60, 10:40])
    with pytest.raises(InputError, match="a region inside one picture"):
        take(GREY, region_px=(120, 0, 30, 40))


def test_a_deflated_bomb_is_unpacked_no_further_than_the_page_states(take: Take, store: ImageStore) -> None:
    bomb = zlib.compress(bytes(50_000_000))
    data = slide([np.zeros((64, 64, 3), np.uint8)], lambda *_: bomb, compression=8)
    assert pixels(store, take(data)).shape == (64, 64)
    most: list[int] = []
    real = zlib.decompressobj

    class Counted:
        def decompress(self, code: bytes, size: int) -> bytes:
            most.append(size)
            return real().decompress(code, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiff_segments.zlib, "decompressobj", Counted)
        take(data)
    assert most == [64 * 64 * 3]


@pytest.mark.parametrize(
    "data",
    [
        slide([COLOUR], raw, size=(400_000, 400_000)), slide([COLOUR], raw)[:-200], b"II*\0" + b"\xff" * 40,
        slide([COLOUR], lambda *_: b"\xff\xd8\xff\xd9", compression=7, photometric=6), b"MM\0+" + bytes(60),
        slide([COLOUR], lambda *_: jpeg(bytes(256 * 256 * 3), 256), compression=7, photometric=6),
        slide([COLOUR], lambda *_: b"\x80\x0b", compression=5),
    ],
)  # fmt: skip
def test_pages_that_do_not_fit_their_file_are_refused(data: bytes, take: Take) -> None:
    with pytest.raises(InputError):
        take(data)


def test_no_pixel_is_decoded_where_too_many_pages_are_announced(
    take: Take, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = bytearray(slide([COLOUR], raw))
    start = struct.unpack_from("<I", page, 4)[0]
    count = struct.unpack_from("<H", page, start)[0]
    directory = page[start : start + 2 + 12 * count]
    for _ in range(5_001):
        page[-4:] = struct.pack("<I", len(page))
        page += directory + bytes(4)
    monkeypatch.setattr(tiff, "segment_pixels", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(InputError, match="at most 5000 frames"):
        take(bytes(page))
    path = tmp_path / "ring.tif"
    ring = bytearray(slide([COLOUR], raw))
    ring[-4:] = ring[4:8]
    path.write_bytes(ring)
    with path.open("rb") as file:
        assert len(read_pages(file, len(ring), shown="ring")[0]) == 1


def many_strips(count: int, width: int, *, shared: bool) -> bytes:
    """A grey TIFF of `count` LZW strips of one row; `shared` ones are all the same bytes of the file."""
    one = by_pillow(PIL.Image.new("L", (width, 1)), compression="tiff_lzw")
    with PIL.Image.open(io.BytesIO(one)) as picture:
        at, size = picture.tag_v2[273][0], picture.tag_v2[279][0]
    strip = one[at : at + size]
    strips = strip * (1 if shared else count)
    offsets = [8 + (0 if shared else number * size) for number in range(count)]
    tables = 8 + len(strips)
    tags = (
        (256, 1, width), (257, 1, count), (258, 1, 8), (259, 1, 5), (262, 1, 1), (273, count, tables), (277, 1, 1),
        (278, 1, 1), (279, count, tables + 4 * count),
    )  # fmt: skip
    start = tables + 8 * count
    head = b"II*\0" + struct.pack("<I", start) + strips
    head += struct.pack(f"<{count}I", *offsets) + struct.pack(f"<{count}I", *[size] * count)
    entries = b"".join(struct.pack("<HHII", tag, 4, number, value) for tag, number, value in tags)
    return head + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(("width", "shared"), [(64, True), (64, False), (2_000, True)])
def test_a_small_file_cannot_ask_for_the_work_of_a_large_one(width: int, shared: bool, take: Take) -> None:
    began = time.monotonic()
    with pytest.raises(InputError, match="are smaller or overlap"):
        take(many_strips(20_000, width, shared=shared))
    assert time.monotonic() - began < 2


def test_many_strips_of_ordinary_width_are_read(take: Take, store: ImageStore) -> None:
    deep = np.random.default_rng(0).integers(0, 255, (4_200, 1_030), dtype=np.uint8)
    data = by_pillow(PIL.Image.fromarray(deep), compression="tiff_lzw", strip_size=1_030)
    np.testing.assert_array_equal(pixels(store, take(data)), deep)


def test_a_tiff_that_takes_too_long_is_refused(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "_SECONDS", -1.0)
    with pytest.raises(InputError, match="takes longer"):
        take(written(GREY, tile=(16, 16)))
