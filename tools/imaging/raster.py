"""The door to Pillow: PNG and JPEG bytes to pixels and back, and resizing. It keeps no metadata, reads no DICOM."""

from __future__ import annotations

import io
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from ...core.errors import InputError, MissingExtraError, PolyclinicError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PilImage

MAX_PIXELS = 100_000_000
MAX_FRAMES = 5_000
_TALKATIVE = ("PIL", "nibabel", "pydicom", "tifffile")


@dataclass(frozen=True, kw_only=True)
class Raster:
    """Upright pixels of a PNG or JPEG: uint8 (H, W) or (H, W, 3), or float32 (H, W) for more than 8 bits."""

    array: NDArray[np.uint8] | NDArray[np.float32]
    format: str
    frames: int
    limitations: tuple[str, ...]


class _Quiet:
    """Keeps decoders quiet: their warnings go to the thread that decodes, and their loggers say nothing.

    Filters and levels belong to the whole process, so the first thread that decodes sets them and the last one puts
    them back. Nothing is locked while a picture is decoded.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = ExitStack()
        self._here = threading.local()

    @contextmanager
    def listening(self) -> Iterator[list[warnings.WarningMessage]]:
        """Yields the list of warnings that this thread has caught so far."""
        caught: list[warnings.WarningMessage] = []
        outer = getattr(self._here, "caught", None)
        with self._lock:
            if not self._inside:
                self._silence()
            self._inside += 1
        self._here.caught = caught
        try:
            yield caught
        finally:
            self._here.caught = outer
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._before.close()

    def forked(self) -> None:
        """Of all threads a forked process has only the one that forked."""
        self._lock = threading.Lock()
        if self._inside and getattr(self._here, "caught", None) is None:
            self._inside = 0
            self._before.close()
        self._inside = min(self._inside, 1)

    def _silence(self) -> None:
        self._before.enter_context(warnings.catch_warnings())
        warnings.simplefilter("always")
        usual = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
            line: str | None = None,
        ) -> None:  # fmt: skip
            caught = getattr(self._here, "caught", None)
            if caught is None:  # another thread's, which decodes nothing
                usual(message, category, filename, lineno, file, line)
            elif category.__name__ != "DecompressionBombWarning":  # limits of our own hold, and Pillow's are lower
                caught.append(warnings.WarningMessage(message, category, filename, lineno, file, line))

        warnings.showwarning = show
        for logger in map(logging.getLogger, _TALKATIVE):
            self._before.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL + 1)


_quiet = _Quiet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_quiet.forked)


@contextmanager
def decoding(shown: str) -> Iterator[list[warnings.WarningMessage]]:
    """The border to the decoders: whatever they raise on damaged bytes leaves as InputError, in plain words.

    Yields the list of warnings caught so far. Their texts may quote the file's header, so none is passed on; for the
    same reason the decoders' loggers are silent meanwhile.
    """
    with _quiet.listening() as caught:
        try:
            yield caught
        except PolyclinicError:
            raise
        except Exception:  # noqa: BLE001 - decoders raise anything on damaged bytes, struct.error to RecursionError
            raise damaged(shown) from None


def damaged(shown: str) -> InputError:
    return InputError(
        expected="a complete picture",
        got=f"{shown!r}, which is damaged or cut short",
        fix="export or copy the file again",
    )


def check_size(width: int, height: int, frames: int, *, shown: str) -> None:
    """Raise InputError when the stated size is empty or beyond the limits; called before anything is decoded."""
    if not 0 < width * height <= MAX_PIXELS or not 0 < frames <= MAX_FRAMES or width < 1:
        raise InputError(
            expected=f"a picture of 1 to {MAX_PIXELS // 1_000_000} megapixels and at most {MAX_FRAMES} frames",
            got=f"{shown!r} with {width} × {height} pixels and {frames} frame(s)",
            fix="scale the picture down or cut out the part the question is about",
        )


def check_frame(frame: int | None, frames: int, *, shown: str) -> int:
    """The frame to read, counted from 0; `frame` counts from 1 as DICOM does. Raises InputError beyond `frames`."""
    if frame is not None and not 1 <= frame <= frames:
        raise InputError(
            expected=f"a frame from 1 to {frames}", got=f"frame {frame} of {shown!r}", fix="name a frame it has"
        )
    return (frame or 1) - 1


def read_raster(data: bytes, *, shown: str, frame: int | None, formats: tuple[str, ...] = ("PNG", "JPEG")) -> Raster:
    """The pixels of PNG or JPEG bytes (or of other `formats`), turned upright as their EXIF says. Raises InputError."""
    pil = _pil()
    with decoding(shown) as caught:
        try:
            picture = pil.open(io.BytesIO(data), formats=formats)
        except pil.DecompressionBombError:
            raise InputError(
                expected=f"a picture of at most {MAX_PIXELS // 1_000_000} megapixels",
                got=f"{shown!r}, which states a larger size",
                fix="scale the picture down or cut out the part the question is about",
            ) from None
        frames = getattr(picture, "n_frames", 1)
        check_size(picture.width, picture.height, frames, shown=shown)
        index = check_frame(frame, frames, shown=shown)
        if frames > 1:
            picture.seek(index)
        limitations = []
        form = picture.format if picture.format in ("PNG", "TIFF") else "JPEG"
        if picture.mode in {"RGB", "RGBA"} and form == "PNG" and data[24] == 16:
            limitations.append("The picture has more than 8 bits per colour; it was read with 8.")
        picture.load()
        array, notes = _upright(picture)
        if caught or notes:
            limitations += notes or ["The file's metadata is damaged; its pixels could be read."]
    return Raster(array=array, format=form, frames=frames, limitations=tuple(limitations))


def decoded(data: bytes, form: str, size: tuple[int, int], *, from_ycbcr: bool = False) -> NDArray[Any]:
    """The samples (H, W) or (H, W, C) of bytes in Pillow's format `form`, which must state the `size` (width, height).

    To be called inside `decoding`; raises ValueError before anything is decoded when the size is another.
    """
    import numpy as np

    picture = _pil().open(io.BytesIO(data), formats=(form,))
    if picture.size != size:
        raise ValueError("another size than announced")
    if from_ycbcr and picture.mode == "RGB":
        picture = _pil().frombytes("YCbCr", picture.size, picture.tobytes()).convert("RGB")
    return np.asarray(picture)


def png_bytes(array: NDArray[np.uint8]) -> bytes:
    """`array` (H, W) or (H, W, 3) as a PNG without any metadata."""
    buffer = io.BytesIO()
    _pil().fromarray(array).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def resized(array: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """`array`, a uint8 picture or a bool mask, brought to `shape` (H, W): area averages, or nearest for a mask."""
    import numpy as np

    if array.shape[:2] == shape:
        return array
    pil = _pil()
    if array.dtype == np.bool_:  # by way of bytes: Pillow's own 1-bit pictures come back as bools that hold 255
        bytes_ = pil.fromarray(array.astype(np.uint8)).resize(shape[::-1], pil.Resampling.NEAREST)
        return np.asarray(bytes_, dtype=np.uint8).astype(np.bool_)
    return np.asarray(pil.fromarray(array).resize(shape[::-1], pil.Resampling.BOX), dtype=array.dtype)


def _upright(picture: PilImage) -> tuple[NDArray[Any], list[str]]:
    import numpy as np
    from PIL import ImageOps

    notes: list[str] = []
    try:
        picture = ImageOps.exif_transpose(picture)
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything; the pixels are still good
        notes.append("The orientation in the file's metadata is damaged; the picture may be turned.")
    if picture.mode.startswith("I") or picture.mode == "F":
        return np.asarray(picture).astype(np.float32), notes
    if picture.mode in {"LA", "PA", "RGBA"} or ("transparency" in picture.info and picture.mode == "P"):
        rgba = np.asarray(picture.convert("RGBA"))
        if rgba[..., 3].min() < 255:
            notes.append("Transparent parts of the picture were set to black.")
        array = (rgba[..., :3].astype(np.uint16) * rgba[..., 3:] // 255).astype(np.uint8)
    else:
        array = np.asarray(picture.convert("L" if picture.mode in {"1", "L"} else "RGB"))
    return without_equal_channels(array), notes


def without_equal_channels(array: NDArray[Any]) -> NDArray[Any]:
    """A grey picture stored as (H, W, 3) as (H, W); anything else unchanged."""
    if array.ndim == 3 and (array[..., 0] == array[..., 1]).all() and (array[..., 0] == array[..., 2]).all():
        return array[..., 0].copy()
    return array


def _pil() -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise MissingExtraError.of("pillow", "imaging") from None
    return Image
