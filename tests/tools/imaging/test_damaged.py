"""Damaged files: whatever the bytes, the door answers with a picture or with one plain line, never a crash.

bench/fuzz_images.py does the same ten thousand times over, in processes of their own.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file

from polyclinic.core.errors import InputError, PolyclinicError
from polyclinic.tools.imaging import dicom
from polyclinic.tools.imaging.store import TakenIn

DICOM = (
    "CT_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_dcmtk.dcm", "ExplVR_BigEnd.dcm", "ExplVR_LitEndNoMeta.dcm", "SC_rgb_rle_2frame.dcm",
)  # fmt: skip


def _seeds() -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    pictures = []
    for form in ("PNG", "JPEG"):
        buffer = io.BytesIO()
        PIL.Image.fromarray(noise).save(buffer, form, exif=exif)
        pictures.append(buffer.getvalue())
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", None):
        buffer = io.BytesIO()
        PIL.Image.fromarray(noise).save(buffer, "TIFF", compression=compression)
        pictures.append(buffer.getvalue())
    tiled = io.BytesIO()
    tifffile.imwrite(tiled, noise, tile=(16, 16), compression="zlib", photometric="rgb", bigtiff=True)
    volume = nibabel.Nifti1Image(noise.astype(np.int16) - 100, np.eye(4)).to_bytes()
    pictures += [tiled.getvalue(), volume, gzip.compress(volume, mtime=0)]
    return pictures + [Path(str(get_testdata_file(name, download=False))).read_bytes() for name in DICOM]


SEEDS = _seeds()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_but_our_own_errors_escapes(data: st.DataObject, take: Callable[..., TakenIn]) -> None:
    damaged = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 8))):  # the first kilobytes hold the headers: hit them more often
        reach = data.draw(st.sampled_from((min(len(damaged), 1500), len(damaged))))
        damaged[data.draw(st.integers(0, reach - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(1, len(damaged))) :]
    _survives(bytes(damaged), take)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.sampled_from((b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\0" * 128 + b"DICM", b"\x08\0", b"II*\0",
                             b"MM\0+\0\x08\0\0", b"\x1f\x8b\x08\0")),
       tail=st.binary(min_size=1, max_size=200))  # fmt: skip
def test_any_bytes_at_all(head: bytes, tail: bytes, take: Callable[..., TakenIn]) -> None:
    _survives(head + tail, take)


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_the_undamaged_seeds_are_read_or_plainly_refused(seed: int, take: Callable[..., TakenIn]) -> None:
    assert _survives(SEEDS[seed], take) == (b"RTPLAN" not in SEEDS[seed])


def test_a_header_that_announces_too_many_frames_is_refused_before_anything_is_decoded(
    take: Callable[..., TakenIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    header = dcmread(str(get_testdata_file("MR_small_RLE.dcm", download=False)))
    header.NumberOfFrames = 100_000
    buffer = io.BytesIO()
    header.save_as(buffer)
    monkeypatch.setattr(dicom, "_decoded", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(InputError, match="100000 frame"):
        take(buffer.getvalue())


def test_a_png_that_announces_a_bomb_is_refused_before_anything_is_decoded(
    take: Callable[..., TakenIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(20_000_000))) + chunk(b"IEND", b"")
    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(InputError, match="megapixels"):
        take(bomb)


def _survives(data: bytes, take: Callable[..., TakenIn]) -> bool:
    try:
        taken = take(data)
    except PolyclinicError as error:
        if "\n" in str(error):
            pytest.fail(f"more than one line: {error}")
        return False
    assert taken.image.path is None
    assert taken.image.size_px is not None
    return True
