"""PNG and JPEG in, PNG out: orientation, depth, transparency, limits, and no metadata."""

from __future__ import annotations

import io
import logging
import os
import struct
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from polyclinic.core.errors import InputError, MissingExtraError
from polyclinic.tools.imaging.raster import decoding, png_bytes, read_raster, resized

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)
COLOUR = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)


def test_a_grey_png_comes_back_exactly() -> None:
    read = read_raster(encoded(GREY), shown="a", frame=None)
    assert read.format == "PNG"
    assert read.limitations == ()
    np.testing.assert_array_equal(read.array, GREY)


def test_grey_stored_as_colour_becomes_grey() -> None:
    stacked = np.repeat(GREY[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_raster(encoded(stacked), shown="a", frame=None).array, GREY)


def test_sixteen_bit_grey_keeps_its_values() -> None:
    deep = GREY.astype(np.uint16) * 1000
    array = read_raster(encoded(deep), shown="a", frame=None).array
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, deep)


def test_one_bit_pictures_become_black_and_white() -> None:
    array = read_raster(encoded(GREY > 20), shown="a", frame=None).array
    assert set(np.unique(array)) == {0, 255}


def test_an_exif_rotation_is_applied_and_dropped() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    exif[0x010E] = "a name"
    read = read_raster(encoded(COLOUR, exif=exif), shown="a", frame=None)
    np.testing.assert_array_equal(read.array, np.rot90(COLOUR, -1))
    assert b"a name" not in png_bytes(read.array)


def test_a_damaged_exif_is_a_limitation_not_an_error() -> None:
    data = encoded(COLOUR, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 40)
    read = read_raster(data, shown="a", frame=None)
    assert read.array.shape == COLOUR.shape
    assert any("metadata" in note for note in read.limitations)


def test_transparency_becomes_black_and_is_said() -> None:
    rgba = np.dstack([COLOUR, np.full(GREY.shape, 255, np.uint8)])
    rgba[0, 0, 3] = 0
    read = read_raster(encoded(rgba), shown="a", frame=None)
    assert read.limitations == ("Transparent parts of the picture were set to black.",)
    assert not read.array[0, 0].any()
    np.testing.assert_array_equal(read.array[1:], COLOUR[1:])


def test_sixteen_bits_per_colour_are_said() -> None:
    body = b"".join(b"\0" + bytes(range(48)) for _ in range(2))
    read = read_raster(_png(8, 2, 16, 2, zlib.compress(body)), shown="a", frame=None)
    assert read.limitations == ("The picture has more than 8 bits per colour; it was read with 8.",)


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (20_000, 5_001), (2_000_000_000, 1)])
def test_a_header_that_states_too_many_pixels_is_refused_before_anything_is_decoded(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError("decoding began")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    with pytest.raises(InputError, match="megapixels"):
        read_raster(_png(width, height, 8, 0, b""), shown="big.png", frame=None)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("keep", [0.2, 0.5, 0.8])
def test_a_picture_cut_short_is_refused(form: str, keep: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = encoded(noise, form)
    with pytest.raises(InputError, match="damaged or cut short"):
        read_raster(data[: int(len(data) * keep)], shown="a", frame=None)


def test_a_frame_beyond_the_first_of_a_single_picture_is_refused() -> None:
    with pytest.raises(InputError, match="a frame from 1 to 1"):
        read_raster(encoded(GREY), shown="a", frame=2)


def test_an_animated_png_gives_the_frame_asked_for() -> None:
    second = PIL.Image.fromarray(255 - COLOUR)
    data = encoded(COLOUR, save_all=True, append_images=[second])
    np.testing.assert_array_equal(read_raster(data, shown="a", frame=2).array, 255 - COLOUR)
    assert read_raster(data, shown="a", frame=None).frames == 2


def test_resized_averages_pictures_and_keeps_masks_binary() -> None:
    assert resized(np.array([[0, 100], [100, 200]], np.uint8), (1, 1))[0, 0] == 100
    mask = resized(np.eye(4, dtype=bool), (8, 8))
    assert mask.dtype == bool
    assert mask.sum() == 16
    assert resized(GREY, (6, 8)) is GREY


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"polyclinic\[imaging\]"):
        read_raster(b"", shown="a", frame=None)


def encoded(array: NDArray[Any], form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def _png(width: int, height: int, depth: int, colour: int, body: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_a_resized_mask_holds_nothing_but_zeros_and_ones() -> None:
    mask = np.zeros((4, 6), dtype=bool)
    mask[:, 3:] = True
    larger = resized(mask, (8, 12))
    assert larger.dtype == np.bool_
    assert set(np.unique(larger.view(np.uint8))) == {0, 1}
    assert (larger == np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1)).all()


@pytest.fixture
def another() -> Iterator[threading.Thread]:
    """A thread that is decoding all the while."""
    inside, done = threading.Event(), threading.Event()

    def decode() -> None:
        with decoding("slow"):
            inside.set()
            done.wait(60)

    thread = threading.Thread(target=decode)
    thread.start()
    assert inside.wait(60)
    yield thread
    done.set()
    thread.join()


def test_a_picture_is_read_while_another_one_is(another: threading.Thread) -> None:
    read: list[Any] = []
    reader = threading.Thread(
        target=lambda: read.append(read_raster(encoded(GREY), shown="a", frame=None)), daemon=True
    )
    reader.start()
    reader.join(30)
    np.testing.assert_array_equal(read[0].array, GREY)


def test_a_warning_reaches_the_thread_whose_picture_it_is_about(another: threading.Thread) -> None:
    with decoding("a") as caught:
        warnings.warn("of this thread", stacklevel=1)
    with pytest.warns(UserWarning, match="of no picture"):
        warnings.warn("of no picture", stacklevel=1)
    assert [str(one.message) for one in caught] == ["of this thread"]


def test_warnings_and_loggers_are_as_before_when_the_last_is_done() -> None:
    before = warnings.filters[:], logging.getLogger("PIL").level
    first, second = decoding("a"), decoding("b")
    first.__enter__()
    reader = threading.Thread(target=lambda: (second.__enter__(), second.__exit__(None, None, None)))
    reader.start()
    reader.join()
    assert logging.getLogger("PIL").level > logging.CRITICAL
    first.__exit__(None, None, None)
    assert (warnings.filters[:], logging.getLogger("PIL").level) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_while_a_thread_decodes_reads_pictures(another: threading.Thread) -> None:
    child = os.fork()
    if not child:
        try:
            quiet = logging.getLogger("PIL").level > logging.CRITICAL
            right = (read_raster(encoded(GREY), shown="a", frame=None).array == GREY).all()
            os._exit(0 if right and not quiet else 1)
        finally:
            os._exit(2)
    until = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > until:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the forked process hangs")
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 0


def test_a_large_picture_within_our_limits_has_nothing_wrong_with_it() -> None:
    large = PIL.Image.new("1", (9_700, 9_800), 1)  # beyond the size at which Pillow warns
    buffer = io.BytesIO()
    large.save(buffer, "PNG")
    assert read_raster(buffer.getvalue(), shown="a", frame=None).limitations == ()
