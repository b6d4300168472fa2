"""The store of pixels: files come in, identifiers stay out. It judges no image."""

from __future__ import annotations

import datetime
import math
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.blobs import Blobs
from ...core.case import Image
from ...core.errors import InputError, TraceError
from .deidentify import days_back, secret_in, shifted
from .dicom import is_dicom, read_dicom, read_dicom_facts
from .locate import locate, read_bounded, read_head
from .nifti import is_nifti, read_nifti
from .pixels import NUMPY, Opened, Pixels, Spacing3, Unit, Volume, is_volume, packed, unpacked
from .raster import check_frame, png_bytes, read_raster, resized
from .series import read_series
from .tiff import read_tiff
from .tiff_pages import is_tiff

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ImageStore", "Pixels", "TakenIn", "Unit", "Volume", "read_dicom_facts", "read_picture"]

_PNG = b"\x89PNG\r\n\x1a\n"
_OTHER_FORMATS = {
    b"\x1f\x8b": "a gzip archive", b"GIF8": "a GIF", b"BM": "a BMP", b"RIFF": "a WebP", b"%PDF": "a PDF",
    b"PK": "a zip archive",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TakenIn:
    """An image whose pixels are stored. `patient_key` is the DICOM patient id as read: compare it, never store it."""

    image: Image
    limitations: tuple[str, ...] = ()
    patient_key: str | None = None


class ImageStore:
    """De-identified pixels under their sha256. 8-bit pictures are PNG; others are .npy whose field names the unit.

    The secret that moves dates lies beside the blobs' folder, so the folder around it has to be the owner's as well.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    @property
    def folder(self) -> Path:
        """Where the blobs lie."""
        return self._blobs.folder

    def take_in(
        self,
        image: Image,
        *,
        base: Path,
        root: Path | None,
        header_dates: bool = True,
        patient_id: str | None = None,
    ) -> TakenIn:
        """Read the image's file or series (see `locate`), store its pixels and describe them.

        What the user stated wins over the header. The header's date is moved back (see `deidentify`), or left out where
        `header_dates` is False: the case states dates of its own, or there is no other picture to compare with.
        `patient_id` is the case's, for files that name nobody. An image that has a blob already is only checked. Raises
        InputError for anything that is no usable picture.
        """
        if image.blob is not None:
            try:
                self.open(image.blob)
            except TraceError as error:
                raise InputError(
                    expected="an image whose pixels were taken in before", got=str(error.got), fix="give its path again"
                ) from error
            return TakenIn(image=image)
        read = _read(image, base=base, root=root)
        stated = image.model_dump(exclude={"path", "frame_time_s", "frames", "slices"}, exclude_none=True)
        dated = image.acquired is None and header_dates
        acquired, notes = self._moved(read, image.patient_id or patient_id) if dated else (None, ())
        facts = {**read.facts, "acquired": acquired}
        known = {key: value for key, value in facts.items() if value is not None} | stated
        height, width = read.array.shape[1:] if read.is_volume else read.array.shape[:2]
        one_of = f", frame {read.frame + 1} of {read.frames}" if read.frames > 1 else ""
        depth = f"×{len(read.array)}" if read.is_volume else ""
        if read.frames > 1:
            known |= {"frame": read.frame + 1, "frames": read.frames}
        unseen: tuple[str, ...] = (
            (f"{read.frames - 1} of {read.frames} frames were not looked at.",) if read.frames > 1 else ()
        )
        if read.is_volume:
            known["slices"] = len(read.array)
            unseen += (f"Of {len(read.array)} slices, what looks at a single picture sees the one in the middle.",)
        plane, between = known.get("spacing_mm"), known.get("slice_spacing_mm")
        spacing = (between, *plane) if plane and between else None
        blob = self._put(read.array, read.unit, spacing_mm=spacing, axes=read.axes)
        known |= {"blob": blob, "size_px": (width, height)}
        known["source"] = f"{read.what} {width}×{height}{depth}{one_of}"
        return TakenIn(
            image=Image(**known), limitations=(*read.limitations, *notes, *unseen), patient_key=read.patient_key
        )

    def open(self, blob: str) -> Pixels:
        """The pixels stored as `blob`; of a volume, its middle slice.

        Raises TraceError when they are gone or changed, InputError for no picture.
        """
        return _one(_opened(self._blobs.get(blob), blob))

    def open_volume(self, blob: str) -> Volume:
        """The volume stored as `blob`. Raises what `open` raises, and InputError for a single picture."""
        found = _opened(self._blobs.get(blob), blob)
        if isinstance(found, Volume):
            return found
        raise InputError(
            expected="a volume of slices", got="a single picture", fix="name a NIfTI volume or a folder with a series"
        )

    def png(self, blob: str, *, most_pixels: int | None) -> bytes:
        """The picture stored as `blob` as an 8-bit PNG that a model can be shown, scaled down to `most_pixels`.

        Of a volume it is the middle slice. Raises what `open` raises.
        """
        import numpy as np

        from ..pictures import as_picture

        data = self._blobs.get(blob)
        if data.startswith(_PNG):
            width, height = struct.unpack(">II", data[16:24])
            if (most_pixels is None or width * height <= most_pixels) and data[24] <= 8:
                return data
        pixels = _one(_opened(data, blob))
        array = pixels.array if pixels.array.dtype == np.uint8 else as_picture(pixels)
        height, width = array.shape[:2]
        scale = 1.0 if most_pixels is None else min(1.0, math.sqrt(most_pixels / (width * height)))
        return png_bytes(resized(array, (max(1, math.floor(height * scale)), max(1, math.floor(width * scale)))))

    def put_mask(self, mask: NDArray[np.bool_]) -> str:
        """Store a mask (H, W) as a PNG of 0 and 255 and return its sha256."""
        import numpy as np

        return self._blobs.put(png_bytes(np.where(mask, 255, 0).astype(np.uint8)))

    def put_picture(self, picture: NDArray[np.uint8]) -> str:
        """Store a uint8 RGB picture (H, W, 3) as a PNG and return its sha256."""
        return self._blobs.put(png_bytes(picture))

    def _moved(self, read: Opened, stated: str | None) -> tuple[datetime.date | None, tuple[str, ...]]:
        """The header's date as it may be written, and what has to be said about it."""
        day, patient = read.facts.get("acquired"), read.patient_key or stated
        if day is None:
            return None, ()
        if patient is None:
            return None, ("The header's date was left out: it names no patient whose dates would move together.",)
        days = days_back(secret_in(self.folder.parent), patient)
        return shifted(day, days), ("The header's date was moved back: intervals hold, calendar days do not.",)

    def _put(self, array: NDArray[Any], unit: Unit, *, spacing_mm: Spacing3 | None = None, axes: str = "") -> str:
        import numpy as np

        if array.dtype == np.uint8 and not is_volume(array, unit):
            return self._blobs.put(png_bytes(array))
        return self._blobs.put(packed(array, unit, spacing_mm=spacing_mm, axes=axes))


def _opened(data: bytes, blob: str) -> Pixels | Volume:
    if data.startswith(_PNG):
        array = read_raster(data, shown=blob[:12], frame=None).array
        return Pixels(array=array, unit="rgb" if array.ndim == 3 else "intensity")
    if data.startswith(NUMPY):
        return unpacked(data, shown=blob[:12])
    raise InputError(expected="a stored picture", got=f"the blob {blob[:12]}…, which is none", fix="check the id")


def _one(found: Pixels | Volume) -> Pixels:
    return found.middle() if isinstance(found, Volume) else found


def _read(image: Image, *, base: Path, root: Path | None) -> Opened:
    typed = image.path
    assert typed is not None  # Image has a path or a blob
    path = locate(typed, base=base, root=root)
    if path.is_dir():
        check_frame(image.frame, 1, shown=typed)
        return _part(read_series(path, shown=typed), image.region_px, typed)
    head = read_head(path, typed=typed)
    if is_tiff(head) and head[128:] != b"DICM":  # a DICOM file may begin as a TIFF does, to be readable as both
        return read_tiff(path, shown=typed, frame=image.frame, region=image.region_px)
    return _part(_read_file(image, path, typed), image.region_px, typed)


def _read_file(image: Image, path: Path, typed: str) -> Opened:
    data = read_bounded(path, typed=typed)
    if data.startswith((_PNG, b"\xff\xd8\xff")):
        raster = read_raster(data, shown=typed, frame=image.frame)
        unit: Unit = "rgb" if raster.array.ndim == 3 else "intensity"
        index = check_frame(image.frame, raster.frames, shown=typed)
        return Opened(array=raster.array, unit=unit, what=raster.format, frames=raster.frames, frame=index,
                      limitations=raster.limitations)  # fmt: skip
    if is_nifti(data):
        return read_nifti(data, shown=typed, frame=image.frame, at_s=image.frame_time_s, modality=image.modality)
    if is_dicom(data):
        return read_dicom(data, path, shown=typed, frame=image.frame, at_s=image.frame_time_s)
    other = next((name for magic, name in _OTHER_FORMATS.items() if data.startswith(magic)), "something else")
    raise InputError(
        expected="a PNG, JPEG, TIFF, DICOM or NIfTI picture (judged by content, not by name)",
        got=f"{typed!r}, which holds {other}",
        fix="export the picture as PNG, JPEG or DICOM",
    )


def _part(read: Opened, region: tuple[int, int, int, int] | None, typed: str) -> Opened:
    """The region of a picture, or all of it."""
    if region is None:
        return read
    x, y, width, height = region
    if read.is_volume or x + width > read.array.shape[1] or y + height > read.array.shape[0]:
        size = "a volume" if read.is_volume else f"{read.array.shape[1]} × {read.array.shape[0]} pixels"
        raise InputError(
            expected="a region inside one picture",
            got=f"the region {list(region)} of {typed!r}, which has {size}".replace("has a volume", "is a volume"),
            fix="name x, y, width and height in pixels of the full size",
        )
    return replace(read, array=read.array[y : y + height, x : x + width].copy())


def read_picture(path: Path) -> NDArray[np.uint8]:
    """The picture in a file as people see it: uint8 RGB (H, W, 3), the first of several frames.

    Raises InputError for anything that is no usable picture.
    """
    from ..pictures import as_picture

    read = _read(Image(path=str(path)), base=Path.cwd(), root=None)
    pixels = Pixels(array=read.array, unit=read.unit)
    return as_picture(Volume(array=read.array, unit=read.unit).middle() if read.is_volume else pixels)
