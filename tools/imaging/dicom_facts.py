"""What a DICOM header says that names nobody, read off a header that `imaging` has opened. It opens no file."""

from __future__ import annotations

import datetime
import math
from typing import Any

from ...core.case import Laterality, Modality
from .dicom_words import BODY_PARTS, LATERALITIES, MODALITIES, VIEWS


def header_facts(header: Any, kind: str, index: int, limitations: list[str]) -> dict[str, Any]:
    """What the header says that names nobody; words only from the closed lists, since free text may hold a name."""
    modality: Modality | None = MODALITIES.get(kind)
    side: Laterality | None = LATERALITIES.get(str(header.get("ImageLaterality") or header.get("Laterality") or ""))
    view = str(header.get("ViewPosition") or "").upper()
    measures = functional_group(header, index, "PixelMeasuresSequence") or header
    spacing = _spacing(measures.get("PixelSpacing"))
    if spacing is None:
        spacing = _spacing(header.get("ImagerPixelSpacing"))
        if spacing is not None:
            limitations.append("Pixel spacing is given at the detector: lengths in the patient are shorter.")
    if str(header.get("BurnedInAnnotation") or "").upper() == "YES":
        limitations.append("The header says that text is burnt into the picture; it was not removed.")
    return {
        "modality": modality,
        "body_part": BODY_PARTS.get(str(header.get("BodyPartExamined") or "").upper().strip()),
        "view": view if view in VIEWS else None,
        "laterality": side,
        "spacing_mm": spacing,
        "acquired": _date(header.get("AcquisitionDate") or header.get("ContentDate") or header.get("StudyDate")),
    }


def known_on(header: Any) -> datetime.date | None:
    """The latest day that the header states: from then on the picture is certainly part of the record.

    Dates of one header may be years apart (a picture sent again, a study that goes on, a clock that is wrong). What is
    measured belongs to the day of acquisition, as in `header_facts`; what must not be found too early, to this one.
    """
    names = ("AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate", "AcquisitionDateTime")
    return max(filter(None, (_date(str(header.get(name) or "")[:8]) for name in names)), default=None)


def functional_group(header: Any, index: int, name: str) -> Any:
    """The item of an enhanced multi-frame's functional group, of this frame or shared by all; None without one."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or ()
    for group in (*per_frame[index : index + 1], *(header.get("SharedFunctionalGroupsSequence") or ())[:1]):
        if group.get(name):
            return group[name].value[0]
    return None


def _spacing(value: Any) -> tuple[float, float] | None:
    try:
        row, column = (float(number) for number in value)
    except (TypeError, ValueError):
        return None
    usable = all(math.isfinite(number) and 0 < number < 1_000 for number in (row, column))
    return (row, column) if usable else None


def _date(value: Any) -> datetime.date | None:
    try:
        return datetime.datetime.strptime(str(value), "%Y%m%d").date()
    except ValueError:
        return None
