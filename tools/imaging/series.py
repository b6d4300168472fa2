"""A folder of DICOM slices made one volume, sorted by where each slice lies in the patient. It opens no other format.

The place of a slice is its ImagePositionPatient along the normal of its ImageOrientationPatient (DICOM PS3.3
C.7.6.2.1.1), and the distance of slices is measured between places: SliceThickness says how thick a slice is, not how
far off the next one lies.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from ...core.errors import InputError
from .apart import Apart
from .dicom import is_dicom, kind_of, open_header, read_dicom
from .dicom_words import NOT_PICTURES
from .locate import read_bounded
from .pixels import AXIAL, Opened, check_voxels, smallest
from .raster import MAX_FRAMES, decoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

Vector: TypeAlias = tuple[float, float, float]
_MAX_BYTES = 2**30
_SECONDS = 180.0
_SAME_MM = 0.01
_UNEVEN = 0.05
_PARALLEL = math.cos(math.radians(0.5))
_OPPOSITE = dict(zip("SIPALR", "ISAPRL", strict=True))


@dataclass(frozen=True, kw_only=True)
class _Slice:
    """One file of the folder by its header; `row` and `column` are the directions in which x and y rise."""

    path: Path
    shown: str
    size: tuple[int, int]
    series: str
    instance: str
    number: int
    place: Vector | None
    row: Vector | None
    column: Vector | None
    patient: str

    @property
    def normal(self) -> Vector | None:
        return _cross(self.row, self.column) if self.row and self.column else None


def read_series(folder: Path, *, shown: str) -> Opened:
    """The volume that the DICOM files right inside `folder` make up; a folder with one picture is that picture.

    Files that are no DICOM pictures are left out, and localizers beside slices are too. Raises InputError when the
    pictures are of several series, patients, sizes or orientations, and beyond the limits, which are checked on the
    headers before any pixel is decoded.
    """
    until = time.monotonic() + _SECONDS
    limitations: list[str] = []
    slices = _headers(folder, shown, limitations, until)
    if len(slices) == 1:
        only = slices[0]
        return read_dicom(read_bounded(only.path, typed=only.shown), only.path, shown=only.shown, frame=None)
    _check_one_series(slices, shown)
    slices, between = _in_order(slices, shown, limitations)
    width, height = slices[0].size
    check_voxels(len(slices), height, width, shown=shown)
    read: list[Opened] = []
    with Apart() as apart:
        for one in slices:
            _check_time(until, shown)
            data = read_bounded(one.path, typed=one.shown)
            opened = read_dicom(data, one.path, shown=one.shown, frame=None, apart=apart)
            read.append(Opened(**{**vars(opened), "array": smallest(opened.array)}))
    return _stacked(read, slices[0], between, limitations, shown)


def _headers(folder: Path, shown: str, limitations: list[str], until: float) -> list[_Slice]:
    """The pictures of the folder by their headers, in the order of their names."""
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not path.is_dir())
        size = sum(path.stat().st_size for path in files)
    except OSError:
        _refuse("a folder that can be read", f"{shown!r}, which cannot", "check its permissions")
    if len(files) > MAX_FRAMES or size > _MAX_BYTES:
        _refuse(
            f"a folder of at most {MAX_FRAMES} files and {_MAX_BYTES // 2**30} GiB",
            f"{shown!r} with {len(files)} files of {size / 2**30:.1f} GiB",
            "put the one series into a folder of its own",
        )
    slices: list[_Slice] = []
    scouts: list[_Slice] = []
    for number, path in enumerate(files, start=1):
        _check_time(until, shown)
        name = f"{shown}: file {number} of {len(files)}"  # a file's own name may hold the patient's
        if not path.resolve().is_relative_to(folder.resolve()):
            _refuse("files that lie in the folder", f"{name}, a link out of it", "copy the files into the folder")
        header = _picture(path, name)
        if header is not None:
            with decoding(name):
                found = _described(header, path, name)
                words = [str(word).strip() for word in (header.get("ImageType") or ())]
            (scouts if "LOCALIZER" in words else slices).append(found)
    if others := len(files) - len(slices) - len(scouts):
        limitations.append(f"{others} of {len(files)} files of the folder are no DICOM pictures and were left out.")
    if slices and scouts:
        limitations.append(f"{len(scouts)} localizer picture(s) of the folder were left out.")
    if not slices and not scouts:
        _refuse("a folder that holds a DICOM series", f"{shown!r}, which holds none", "name the folder of the slices")
    return slices or scouts


def _picture(path: Path, shown: str) -> Any:
    """The header of a single DICOM picture without its pixels, or None for another file."""
    if path.name.upper() == "DICOMDIR" or not path.stat().st_size:
        return None
    data = read_bounded(path, typed=shown)
    if not is_dicom(data):
        return None
    header = open_header(data, path, shown=shown, pixels=False)
    with decoding(shown):
        if kind_of(header) in NOT_PICTURES or "Rows" not in header:
            return None
        if int(header.get("NumberOfFrames") or 1) > 1:
            _refuse("a series of single slices", f"{shown}, which holds several frames", "name that file itself")
    return header


def _described(header: Any, path: Path, shown: str) -> _Slice:
    pose = _numbers(header.get("ImageOrientationPatient"), 6)
    row, column = (_unit(pose[:3]), _unit(pose[3:])) if pose else (None, None)
    place = _numbers(header.get("ImagePositionPatient"), 3)
    return _Slice(
        path=path,
        shown=shown,
        size=(int(header.Columns), int(header.Rows)),
        series=str(header.get("SeriesInstanceUID") or ""),
        instance=str(header.get("SOPInstanceUID") or ""),
        number=int(header.get("InstanceNumber") or 0),
        place=(place[0], place[1], place[2]) if place else None,
        row=row,
        column=column,
        patient=str(header.get("PatientID") or "").strip(),
    )


def _check_one_series(slices: list[_Slice], shown: str) -> None:
    kinds = Counter(one.series for one in slices)
    if len({one.patient for one in slices}) > 1:
        _refuse("one patient per folder", f"{shown!r} with pictures of several", "put each patient into a folder")
    if len(kinds) > 1:
        counts = ", ".join(str(count) for count in sorted(kinds.values(), reverse=True)[:8])
        _refuse("one series per folder", f"{shown!r} with {len(kinds)} series of {counts} pictures",
                "put the series the question is about into a folder of its own")  # fmt: skip
    if len({one.size for one in slices}) > 1:
        _refuse("slices of one size", f"{shown!r} with several", "leave out what does not belong to the series")
    normals = [one.normal for one in slices]
    first = normals[0]
    if first and any(normal and abs(_dot(first, normal)) < _PARALLEL for normal in normals):
        _refuse("slices of one orientation", f"{shown!r} with several", "put each orientation into a folder")


def _in_order(slices: list[_Slice], shown: str, limitations: list[str]) -> tuple[list[_Slice], float | None]:
    """The slices by place, each place once, and their distance in mm; None where it is unknown or uneven."""
    normal = slices[0].normal
    if normal is None or any(one.place is None for one in slices):
        limitations.append("The headers do not say where the slices lie: they are in the order of their numbers.")
        return sorted(slices, key=lambda one: (one.number, one.instance)), None
    places = {id(one): _dot(one.place, normal) for one in slices if one.place}
    ordered: list[_Slice] = []
    for one in sorted(slices, key=lambda one: (places[id(one)], one.number, one.instance)):
        if not ordered or places[id(one)] - places[id(ordered[-1])] > _SAME_MM:
            ordered.append(one)
    if again := len(slices) - len(ordered):
        if len(slices) % len(ordered) == 0 or again > len(ordered) // 10:
            _refuse("one picture at each place", f"{shown!r} with {len(slices)} pictures at {len(ordered)} places",
                    "put one phase or echo into a folder of its own")  # fmt: skip
        limitations.append(f"{again} picture(s) lie where another one does and were left out.")
    steps = [places[id(b)] - places[id(a)] for a, b in itertools.pairwise(ordered)]
    between = sorted(steps)[len(steps) // 2]
    if any(abs(step - between) > _UNEVEN * between for step in steps):
        wide = max(steps)
        limitations.append(
            f"The slices are not evenly spaced ({min(steps):.2f} to {wide:.2f} mm): slices are missing, and no volume "
            "can be measured."
        )
        return ordered, None
    shift = tuple(b - a for a, b in zip(ordered[0].place or (), ordered[-1].place or (), strict=True))
    if math.hypot(*shift) * _PARALLEL > math.fsum(steps):
        limitations.append("The slices are shifted against each other (a tilted gantry): the volume is sheared.")
    return ordered, round(between, 4)


def _stacked(read: list[Opened], first: _Slice, between: float | None, limitations: list[str], shown: str) -> Opened:
    """The slices as one array (Z, Y, X), with the facts of the one in the middle."""
    import numpy as np

    middle = read[len(read) // 2]
    if any(one.array.ndim != 2 for one in read) or len({one.unit for one in read}) > 1:
        _refuse("slices of grey values of one kind", f"{shown!r} with others", "leave out what does not belong")
    spacings = {one.facts["spacing_mm"] for one in read}
    facts = {**middle.facts, "slice_spacing_mm": between}
    if len(spacings) > 1:
        facts["spacing_mm"] = None
        limitations.append("The slices state different pixel spacings: no length can be measured.")
    kinds = {one.array.dtype for one in read}
    array = np.stack([one.array for one in read], dtype=kinds.pop() if len(kinds) == 1 else np.float32)
    axes = "".join(map(_letter, (first.normal, first.column, first.row)))
    if len(axes) == 3 and axes[0] in "SI" and axes[1] in "PA":
        array, axes = _axial(array, axes)
    said = dict.fromkeys(note for one in read for note in one.limitations)
    return Opened(array=array, unit=middle.unit, what=middle.what, facts=facts, axes=axes if len(axes) == 3 else "",
                  limitations=(*limitations, *said), patient_key=middle.patient_key)  # fmt: skip


def _axial(array: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    """An axial volume turned so that its axes are SPL."""
    import numpy as np

    against = tuple(number for number, letter in enumerate(axes) if letter not in AXIAL)
    return np.ascontiguousarray(np.flip(array, against)), AXIAL


def _letter(direction: Vector | None) -> str:
    """Where a direction in the patient points mostly: x to the left, y to the back, z to the head."""
    if direction is None:
        return ""
    axis = max(range(3), key=lambda axis: abs(direction[axis]))
    letter = "LPS"[axis]
    return letter if direction[axis] > 0 else _OPPOSITE[letter]


def _numbers(value: Any, count: int) -> list[float] | None:
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _unit(vector: list[float]) -> Vector | None:
    length = math.hypot(*vector)
    return (vector[0] / length, vector[1] / length, vector[2] / length) if length > 0.5 else None


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def _dot(a: Vector, b: Vector) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def _check_time(until: float, shown: str) -> None:
    if time.monotonic() > until:
        _refuse(f"a series that opens in {_SECONDS:.0f} s", f"{shown!r}, which takes longer", "name fewer slices")


def _refuse(expected: str, got: str, fix: str) -> NoReturn:
    raise InputError(expected=expected, got=got, fix=fix) from None
