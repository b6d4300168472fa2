"""What goes into encoders and comes out: pictures brought to a size, rows brought to unit length, refusals in words.

A door to Pillow, which is imported on first use. It does not know what an encoder makes of its input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ...core.errors import InputError, MissingExtraError
from ..store import Picture
from .protocol import Reads, Vectors

T = TypeVar("T")
Box: TypeAlias = tuple[float, float, float, float]

NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING = range(6)
"""Pillow's resampling filters by the numbers that preprocessor_config.json uses."""


def checked(picture: Picture) -> None:
    """Raises InputError for what is no picture: pixels come from outside, so their type is not taken on trust."""
    shape, kind = getattr(picture, "shape", None), getattr(picture, "dtype", None)
    if shape is None or kind != np.uint8 or len(shape) not in (2, 3) or 0 in shape or shape[2:] not in ((), (3,)):
        raise InputError(
            expected="a picture, uint8 [height, width] or [height, width, 3], of at least one pixel",
            got=f"{type(picture).__name__} of {kind} {list(shape) if shape is not None else 'without a shape'}",
            fix="bring the picture to 8 bits and to grey or RGB first",
        )


def resized(picture: Picture, height: int, width: int, *, resample: int = BILINEAR, box: Box | None = None) -> Picture:
    """The picture, or its part `box` (left, top, right, bottom), as uint8 [height, width, 3]; grey has equal channels.

    Pillow's filters look at all pixels they shrink and count in whole numbers, so the result is the same everywhere.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise MissingExtraError.of("pillow", "imaging") from None
    checked(picture)
    image = Image.fromarray(np.ascontiguousarray(picture))
    small = np.asarray(image.resize((width, height), Image.Resampling(resample), box=box))
    return np.repeat(small[..., None], 3, axis=2) if small.ndim == 2 else small


def unit_rows(rows: npt.NDArray[Any]) -> Vectors:
    """Each row at unit length, float32; a row of zeros, which has no direction, becomes the even one."""
    wide = np.asarray(rows, dtype=np.float64)
    wide = np.where(wide.any(axis=1, keepdims=True), wide, 1.0)
    lengths: npt.NDArray[np.float64] = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / lengths, dtype=np.float32)


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """`items` in their order, at most `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def reads_no(what: Reads, spec: str) -> InputError:
    """The refusal of an encoder that is given what it does not read."""
    kind, other = ("texts", "pictures") if what == "text" else ("pictures", "texts")
    return InputError(
        expected=f"an encoder that reads {kind}",
        got=f"{spec!r}, which reads {other} alone",
        fix=f"name one that reads {kind}: " + ("minilm or a model's folder" if what == "text" else "radiomics"),
    )
