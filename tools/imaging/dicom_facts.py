"""What a DICOM header says that names nobody, read off a header that `imaging` has opened. It opens no file."""

from __future__ import annotations

import datetime
import math
from typing import Any

from ...core.case import Laterality, Modality
from .dicom_words import BODY_PARTS, LATERALITIES, MODALITIES, SECONDARY_CAPTURE, VIEWS, WRITTEN_ON


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
    limitations += burnt_in(header)
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


def burnt_in(header: Any) -> tuple[str, ...]:
    """What has to be said about text in the pixels: nothing here removes it.

    Kinds of picture on which machines write names: ultrasound, endoscopy, screen shots and scans (PS3.3 C.8.6.1).
    """
    said = str(header.get("BurnedInAnnotation") or "").upper()
    if said == "YES":
        return ("The header says that text is burnt into the picture; it was not removed.",)
    secondary = str(header.get("SOPClassUID") or "").startswith(SECONDARY_CAPTURE) or header.get("ConversionType")
    if said != "NO" and (secondary or str(header.get("Modality") or "") in WRITTEN_ON):
        return ("The picture may hold burnt-in text; it was not looked for and not removed.",)
    return ()


def frame_times(header: Any, frames: int) -> tuple[float, ...]:
    """When each frame of a film was taken, in seconds after the first; () when the header does not say it.

    Sources: DICOM PS3.3 C.7.6.5 (Cine: frame time and frame time vector in ms, cine rate per second).
    """
    if frames < 2:
        return ()
    steps = [_number(step) for step in _listed(header.get("FrameTimeVector"))]
    if len(steps) == frames and all(step is not None and step >= 0 for step in steps):
        return tuple(math.fsum(step or 0.0 for step in steps[1 : end + 1]) / 1000 for end in range(frames))
    time_ms = _number(header.get("FrameTime"))
    rate = _number(header.get("CineRate")) or _number(header.get("RecommendedDisplayFrameRate"))
    step_s = time_ms / 1000 if time_ms else 1 / rate if rate else 0.0
    return tuple(step_s * index for index in range(frames)) if 0 < step_s < 3_600 else ()


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


def _listed(value: Any) -> list[Any]:
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else []


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(value: Any) -> datetime.date | None:
    try:
        return datetime.datetime.strptime(str(value), "%Y%m%d").date()
    except ValueError:
        return None
