"""What an opened image is: one picture, or a volume with its axes and spacing, and how both are packed into bytes.

A volume's array is (Z, Y, X). `axes` says where its indices rise to, z first: S or I (head or feet), P or A (back or
front), L or R (the patient's left or right). "SPL" is an axial volume whose slices, seen from the feet, show the
patient's right on the left, as radiologists look at them. It opens no file.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ...core.errors import InputError
from .raster import MAX_PIXELS, decoding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Unit: TypeAlias = Literal["HU", "rgb", "intensity"]
Spacing3: TypeAlias = tuple[float, float, float]
AXIAL = "SPL"
MAX_VOXELS = 150_000_000  # 600 MB as float32
NUMPY = b"\x93NUMPY"


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """One picture: float32 or uint8, (H, W), or uint8 (H, W, 3) when `unit` is "rgb"."""

    array: NDArray[np.float32] | NDArray[np.uint8]
    unit: Unit


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Slices of one patient: (Z, Y, X), read-only, int16 where the values are whole numbers that fit, else float32
    (uint8 for 8-bit data). `spacing_mm` is (z, y, x), and None where one of the three is unknown or uneven; `axes` is
    "" where the file does not say how the patient lies."""

    array: NDArray[np.float32] | NDArray[np.int16] | NDArray[np.uint8]
    unit: Unit
    spacing_mm: Spacing3 | None = None
    axes: str = ""

    def middle(self) -> Pixels:
        """The slice in the middle, for what looks at one picture."""
        import numpy as np

        one = self.array[len(self.array) // 2]
        return Pixels(array=one if one.dtype == np.uint8 else one.astype(np.float32), unit=self.unit)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a file held, before it is stored: pixels (H, W), (H, W, 3) or (Z, Y, X), and the facts that name nobody.

    `facts` are fields of an Image; its `acquired` is the header's own date. `patient_key` is the id as read.
    """

    array: NDArray[Any]
    unit: Unit
    what: str
    facts: dict[str, Any] = field(default_factory=dict)
    frames: int = 1
    frame: int = 0
    axes: str = ""
    limitations: tuple[str, ...] = ()
    patient_key: str | None = None

    @property
    def is_volume(self) -> bool:
        return is_volume(self.array, self.unit)


def is_volume(array: NDArray[Any], unit: Unit) -> bool:
    return array.ndim == 3 and unit != "rgb"


def check_voxels(depth: int, height: int, width: int, *, shown: str) -> None:
    """Raise InputError when a volume's stated size is empty or beyond the limit; called before anything is decoded."""
    if min(depth, height, width) < 1 or depth * height * width > MAX_VOXELS or height * width > MAX_PIXELS:
        raise InputError(
            expected=f"a volume of 1 to {MAX_VOXELS // 1_000_000} million voxels",
            got=f"{shown!r} with {width} × {height} × {depth} voxels",
            fix="scale the volume down or cut out the part the question is about",
        )


def smallest(array: NDArray[Any]) -> NDArray[Any]:
    """`array` as uint8 where it is, as int16 where all values are whole numbers that fit, else as float32."""
    import numpy as np

    if array.dtype in (np.uint8, np.int16):
        return array
    whole = array.dtype.kind in "iu" or all(bool((part == np.rint(part)).all()) for part in array)
    if whole and array.size and float(array.min()) >= -32768 and float(array.max()) <= 32767:
        return array.astype(np.int16)
    return array.astype(np.float32)


def packed(array: NDArray[Any], unit: Unit, *, spacing_mm: Spacing3 | None = None, axes: str = "") -> bytes:
    """A picture (H, W) as float32 or a volume (Z, Y, X) as it is, as .npy whose only field is named after the unit.

    A volume's field has the title "AXES Z Y X" with its spacing in mm, or "AXES" alone; "?" stands for unknown axes.
    """
    import numpy as np

    if array.ndim == 2:
        array = array.astype("<f4")
        kind = np.dtype([(unit, "<f4")])
    else:
        title = " ".join([axes or "?", *(repr(float(step)) for step in spacing_mm or ())])
        kind = np.dtype([((title, unit), array.dtype.newbyteorder("<"))])
        array = array.astype(kind[unit], copy=False)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": array.shape}
    )
    return b"".join((buffer.getvalue(), np.ascontiguousarray(array).data.cast("B")))


def unpacked(data: bytes, *, shown: str) -> Pixels | Volume:
    """What `packed` wrote; the values of a volume stay in `data`. Raises InputError for other bytes."""
    import numpy as np

    with decoding(shown):
        buffer = io.BytesIO(data)
        np.lib.format.read_magic(buffer)
        shape, _, kind = np.lib.format.read_array_header_1_0(buffer)
        (unit,) = kind.names or ()
        array = np.frombuffer(data, kind[unit], count=math.prod(shape), offset=buffer.tell()).reshape(shape)
        if array.ndim == 2:
            return Pixels(array=array.astype(np.float32), unit="HU" if unit == "HU" else "intensity")
        title = kind.descr[0][0][0].split()
        steps = [float(step) for step in title[1:]]
        return Volume(
            array=array.astype(array.dtype.newbyteorder("="), copy=False),
            unit="HU" if unit == "HU" else "intensity",
            spacing_mm=(steps[0], steps[1], steps[2]) if steps else None,
            axes=title[0].replace("?", ""),
        )
