"""The door to nibabel: NIfTI files to volumes whose axes are stated. It knows a modality only if it is told one.

A volume comes out as (Z, Y, X) with axes "SPL" (see `pixels`): z rises to the head, y to the back, x to the patient's
left, whatever order the file stores. Source of the format: NIfTI-1.1 and NIfTI-2 header (nifti1.h, nifti2.h).
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

from ...core.case import Modality
from ...core.errors import InputError, MissingExtraError
from .pixels import AXIAL, Opened, Unit, check_voxels, smallest
from .raster import MAX_FRAMES, check_frame, damaged, decoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

GZIP = b"\x1f\x8b"
_MAX_BYTES = 2**30
_HEAD_BYTES = 544  # the longer of the two headers, NIfTI-2, and the flag of its extensions
_MM = {"mm": 1.0, "micron": 0.001, "meter": 1000.0, "unknown": 1.0}
_SECONDS = {"sec": 1.0, "msec": 0.001, "usec": 0.000001}
_LABEL_INTENT = 1002
_LABELS_AT_MOST = 1_000


def is_nifti(data: bytes) -> bool:
    """Whether the bytes are a NIfTI file, or a gzip stream that starts like one."""
    if data.startswith(GZIP):
        try:
            data = zlib.decompressobj(31).decompress(data[:65_536], _HEAD_BYTES)
        except zlib.error:
            return False
    return data[344:348] in (b"n+1\0", b"ni1\0") or data[4:8] in (b"n+2\0", b"ni2\0")


def read_nifti(
    data: bytes, *, shown: str, frame: int | None, at_s: float | None = None, modality: Modality | None = None
) -> Opened:
    """The volume of a NIfTI file; of several in time, the one named by `frame` (from 1) or by `at_s`.

    The format does not say what made the picture: values are Hounsfield units only where `modality` is "ct". Sizes
    are checked on the header, before anything behind it is unpacked. Raises InputError.
    """
    nibabel = _nibabel()
    with decoding(shown):
        head = _unpacked(data, _HEAD_BYTES)
        kind = nibabel.Nifti2Header if head[4:7] in (b"n+2", b"ni2") else nibabel.Nifti1Header
        header = kind(head[: kind.sizeof_hdr], check=False)
        shape, count = _shape(header, shown=shown)
        times = _times(header, count)
        index = check_frame(frame, count, shown=shown)
        if count > 1 and frame is None:
            if at_s is None or not times:
                raise InputError(
                    expected="one volume", got=f"{shown!r}, which holds {count} volumes",
                    fix=f"name one of them with frame: 1 to {count}",
                )  # fmt: skip
            index = min(range(count), key=lambda at: abs(times[at] - at_s))
        array, limitations = _values(data, header, shape, index, shown=shown)
        if _is_label_map(array, header):
            raise InputError(
                expected="a picture of the patient",
                got=f"{shown!r}, which holds a map of labels (a segmentation)",
                fix="name the volume that was segmented",
            )
        array, spacing, notes = _turned(array, header, shown=shown)
    unit: Unit = "intensity"
    if modality == "ct" and float(array.min()) < 0:
        unit = "HU"
    elif modality == "ct":
        notes.append("No value is below 0, so this is no Hounsfield scale; the values are grey levels only.")
    elif modality is None:
        notes.append("The file does not say what made the picture; its values are grey levels only.")
    facts: dict[str, Any] = {"frame_time_s": times[index] if times else None}
    if spacing is not None:
        facts |= {"spacing_mm": spacing[1:], "slice_spacing_mm": spacing[0]}
    if len(array) == 1:
        array = array[0].astype("float32") if array.dtype != "uint8" else array[0]
        facts["slice_spacing_mm"] = None
    return Opened(array=array, unit=unit, what="NIfTI", facts=facts, frames=count, frame=index, axes=AXIAL,
                  limitations=(*limitations, *notes))  # fmt: skip


def _nibabel() -> Any:
    try:
        import nibabel.orientations
    except ModuleNotFoundError:
        raise MissingExtraError.of("nibabel", "imaging") from None
    return nibabel


def _unpacked(data: bytes, size: int) -> bytes:
    """The first `size` bytes of the file's content, and no more: what is packed behind them stays packed."""
    if not data.startswith(GZIP):
        return data[:size]
    parts: list[bytes] = []
    left = size
    while left and data:  # a gzip file may consist of several members
        member = zlib.decompressobj(31)
        parts.append(member.decompress(data, left))
        left -= len(parts[-1])
        if not member.eof or not parts[-1]:
            break
        data = member.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _shape(header: Any, *, shown: str) -> tuple[tuple[int, int, int], int]:
    """(X, Y, Z) and the number of volumes that the header states. Raises InputError beyond the limits."""
    stated = [int(size) for size in header["dim"]]
    if not 1 <= stated[0] <= 7 or any(size < 1 for size in stated[1 : stated[0] + 1]):
        raise damaged(shown)
    sizes = [*stated[1 : stated[0] + 1], *[1] * 7][:7]
    x, y, z, count = sizes[0], sizes[1], sizes[2], math.prod(sizes[3:])
    check_voxels(z, y, x, shown=shown)
    if count > MAX_FRAMES:
        raise InputError(
            expected=f"at most {MAX_FRAMES} volumes", got=f"{shown!r} with {count}", fix="cut out the one that matters"
        )
    return (x, y, z), count


def _times(header: Any, count: int) -> tuple[float, ...]:
    second = _SECONDS.get(str(header.get_xyzt_units()[1]))
    step = float(header["pixdim"][4]) * (second or 0.0)
    return tuple(step * index for index in range(count)) if count > 1 and 0 < step < 3_600 else ()


def _values(
    data: bytes, header: Any, shape: tuple[int, int, int], index: int, *, shown: str
) -> tuple[NDArray[Any], list[str]]:
    """The values (X, Y, Z) of volume `index`, scaled as the header says."""
    import numpy as np

    if header["magic"].item()[:2] == b"ni":
        raise InputError(
            expected="a NIfTI file with its voxels", got=f"{shown!r}, the header of a pair of files",
            fix="save it as one .nii.gz",
        )  # fmt: skip
    kind = np.dtype(header.get_data_dtype())
    if kind.kind not in "iuf" or kind.itemsize > 8:
        raise InputError(
            expected="voxels that are real numbers", got=f"{shown!r} with voxels of another kind",
            fix="save it as 16-bit or 32-bit numbers",
        )  # fmt: skip
    size = math.prod(shape)
    start = int(header["vox_offset"]) + index * size * kind.itemsize
    end = start + size * kind.itemsize
    if start < header.sizeof_hdr or end > _MAX_BYTES:
        raise damaged(shown) if start < header.sizeof_hdr else _too_large(shown)
    raw = _unpacked(data, end)
    if len(raw) < end:
        raise damaged(shown)
    array = np.frombuffer(raw, kind, count=size, offset=start).reshape(shape, order="F")
    array = array.astype(kind.newbyteorder("="), copy=False)
    slope, intercept = (float(header[name]) for name in ("scl_slope", "scl_inter"))
    if math.isfinite(slope) and slope != 0 and (slope, intercept) != (1.0, 0.0):
        array = array.astype(np.float32) * np.float32(slope) + np.float32(intercept if math.isfinite(intercept) else 0)
    limitations = []
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
        empty = np.isnan(array)
        if empty.any():
            limitations.append("Voxels that hold no number were set to 0.")
            array = np.where(empty, np.float32(0), array)
        if not np.isfinite(array).all():
            raise damaged(shown)
    return smallest(array), limitations


def _is_label_map(array: NDArray[Any], header: Any) -> bool:
    """Whether the voxels are numbers of regions: said so, or small whole numbers that hardly ever differ from the next.

    A neighbour is asked only inside the labelled part: the surroundings are 0 in pictures too.
    """
    import numpy as np

    if int(header["intent_code"]) == _LABEL_INTENT:
        return True
    if header.get_data_dtype().kind not in "iu" or array.dtype.kind not in "iu":
        return False
    low, high = int(array.min()), int(array.max())
    if low < 0 or not low < high <= _LABELS_AT_MOST:
        return False
    left, right = array[:-1], array[1:]
    inside = left > 0
    filled = int(np.count_nonzero(inside))
    return filled > 0 and int(np.count_nonzero((left == right) & inside)) > 0.8 * filled


def _turned(
    array: NDArray[Any], header: Any, *, shown: str
) -> tuple[NDArray[Any], tuple[float, float, float] | None, list[str]]:
    """The array as (Z, Y, X) with axes SPL, its spacing in mm (z, y, x), and what has to be said about either."""
    import numpy as np

    turning = _nibabel().orientations
    limitations = []
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    if int(header["qform_code"]) == 0 and int(header["sform_code"]) == 0:
        limitations.append("The file does not say how the patient lies; left and right may be exchanged.")
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or (lengths == 0).any():
        raise damaged(shown)
    now = turning.io_orientation(affine)
    if not np.isfinite(now).all():
        raise damaged(shown)
    to = turning.ornt_transform(now, turning.axcodes2ornt(("L", "P", "S")))
    tilt = math.degrees(math.acos(min(1.0, float(np.abs(affine[:3, :3] / lengths).max(axis=0).min()))))
    if tilt > 1:
        limitations.append(f"The slices lie at an angle of up to {tilt:.0f}° to the axes of the body.")
    in_mm = _MM.get(str(header.get_xyzt_units()[0]), 1.0)
    if header.get_xyzt_units()[0] == "unknown":
        limitations.append("The file states lengths without a unit; they are taken as mm.")
    steps = [0.0, 0.0, 0.0]
    for axis in range(3):
        steps[int(to[axis, 0])] = float(lengths[axis]) * in_mm
    x, y, z = steps
    turned = np.ascontiguousarray(turning.apply_orientation(array, to).transpose(2, 1, 0))
    return turned, (z, y, x) if all(0 < step < 1_000 for step in steps) else None, limitations


def _too_large(shown: str) -> InputError:
    return InputError(
        expected=f"a file that unpacks to at most {_MAX_BYTES // 2**30} GiB",
        got=f"{shown!r}, which is larger",
        fix="save it with 16-bit voxels, or cut out the volume that matters",
    )
