"""What comes in: a case with its question, images and earlier visits, of one patient. It opens no file."""

from __future__ import annotations

import datetime
import re
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    field_validator,
    model_validator,
)

from .canonical import digest
from .errors import InputError
from .evidence import Claim, Evidence
from .frozen import Frozen

Modality: TypeAlias = Literal[
    "blood_smear", "ct", "dermoscopy", "ecg", "endoscopy", "fundus", "histology", "mammography",
    "microscopy", "mr", "nuclear", "oct", "photograph", "ultrasound", "xray",
]  # fmt: skip
Laterality: TypeAlias = Literal["left", "right", "bilateral"]
Status: TypeAlias = Literal["answered", "abstained", "needs_human", "failed"]

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200_000)]
Letter = Annotated[str, StringConstraints(pattern=r"^[A-Z]$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
CaseId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]

NOT_READ = "not_read"
"""The key of a case's metadata that names what a file of the patient's record held and could not be read."""

_PSEUDONYM = re.compile(r"p-[0-9a-f]{12}")


def _rare() -> Any:
    return Field(default=None, exclude_if=lambda value: value is None)


class Image(Frozen):
    """One picture of the patient, or one volume of slices.

    Given by the user as a `path` (PNG, JPEG, TIFF, DICOM or NIfTI, a folder that holds one DICOM series, or
    `package://skimage/data/retina.jpg`); once the clinic has taken it in, `blob` names the de-identified pixels by
    their sha256 and `path` is gone. `spacing_mm` is (row, column); `size_px` is (width, height) of what was read.

    `frame` counts from 1, as DICOM does; of a cine it may be chosen by `frame_time_s`, the seconds since the first of
    its `frames`. A volume has `slices`, `slice_spacing_mm` apart. `region_px` is the part that is read of a large
    picture: (x, y, width, height) in the pixels of its full size.
    """

    path: str | None = None
    blob: Sha256 | None = None
    modality: Modality | None = None
    body_part: str | None = None
    view: str | None = None
    laterality: Laterality | None = None
    spacing_mm: tuple[float, float] | None = None
    size_px: tuple[int, int] | None = None
    frame: int | None = None
    acquired: datetime.date | None = None
    patient_id: str | None = None
    source: str | None = None
    # What most images lack is written only where it is there: it does not change the id of their cases.
    region_px: tuple[NonNegativeInt, NonNegativeInt, PositiveInt, PositiveInt] | None = _rare()
    frames: PositiveInt | None = _rare()
    frame_time_s: NonNegativeFloat | None = _rare()
    slices: PositiveInt | None = _rare()
    slice_spacing_mm: PositiveFloat | None = _rare()

    @field_validator("path", mode="before")
    @classmethod
    def _path_as_text(cls, path: object) -> object:
        return str(path) if isinstance(path, PurePath) else path

    @model_validator(mode="after")
    def _has_pixels(self) -> Image:
        if (self.path is None) == (self.blob is None):
            raise ValueError("an image needs a path (or, once taken in, a blob), and not both")
        return self


class Lab(Frozen):
    """One measured value of a visit, with its unit and, where known, the reference interval [low, high]."""

    name: Text
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None


class Visit(Frozen):
    """One earlier encounter: its date, what was reported, diagnosed, prescribed, imaged and measured."""

    date: datetime.date
    reports: tuple[Text, ...] = ()
    conditions: tuple[Text, ...] = ()
    medications: tuple[Text, ...] = ()
    images: tuple[Image, ...] = ()
    labs: tuple[Lab, ...] = ()
    patient_id: str | None = None


class Exchange(Frozen):
    """An earlier turn of the same consultation: what was asked, what was answered and on what evidence."""

    question: Text
    status: Status
    answer: str
    claims: tuple[Claim, ...] = ()
    evidence: tuple[Evidence, ...] = ()


class Case(Frozen):
    """A question about one patient, with all that is known.

    `options` maps capital letters to answer texts (a multiple-choice question); `context` is text that came with
    the question, such as an abstract or a vignette; `metadata` holds plain facts, of which criteria read `sex`
    ("female" or "male"), `age` in years and `pregnant`. `id` is derived from the content when it is not given.
    """

    id: CaseId = ""
    patient_id: str | None = None
    question: Text
    options: dict[Letter, Text] = Field(default_factory=dict)
    context: tuple[Text, ...] = ()
    images: tuple[Image, ...] = ()
    visits: tuple[Visit, ...] = ()
    dialogue: tuple[Exchange, ...] = ()
    date: datetime.date | None = None
    language: str = "en"
    metadata: dict[str, str | int | float | bool] = Field(default_factory=dict)

    @field_validator("options")
    @classmethod
    def _at_least_two(cls, options: dict[str, str]) -> dict[str, str]:
        if len(options) == 1:
            raise ValueError("one option is no choice: give two or more, or none")
        return dict(sorted(options.items()))

    @field_validator("visits")
    @classmethod
    def _oldest_first(cls, visits: tuple[Visit, ...]) -> tuple[Visit, ...]:
        return tuple(sorted(visits, key=lambda visit: (visit.date, digest(visit.model_dump(mode="json")))))

    @model_validator(mode="after")
    def _one_patient(self) -> Case:
        check_one_patient(self.patient_ids())
        if not self.id:
            object.__setattr__(self, "id", self.derived_id())
        return self

    def derived_id(self) -> str:
        """The id of a case that was given none: a hash of everything else."""
        content = digest(self.model_dump(mode="json", exclude={"id"}))
        return f"case-{content[:10]}"

    def patient_ids(self) -> set[str]:
        """Every patient id that occurs in the case."""
        images = [*self.images, *(image for visit in self.visits for image in visit.images)]
        found = [self.patient_id, *(visit.patient_id for visit in self.visits), *(i.patient_id for i in images)]
        return {patient for patient in found if patient}

    def all_images(self) -> tuple[Image, ...]:
        """The case's own images, then those of its visits, oldest visit first."""
        return (*self.images, *(image for visit in self.visits for image in visit.images))


def pseudonym(patient_id: str) -> str:
    """What stands for a patient id wherever something is written or sent: the same for the same id.

    A pseudonym stands for itself, so that a record read without its id and a case that states the id are one patient's.
    """
    return patient_id if _PSEUDONYM.fullmatch(patient_id) else f"p-{digest(['patient', patient_id])[:12]}"


def check_one_patient(patient_ids: set[str]) -> None:
    """Raise InputError when two patients are mixed; the ids themselves are not repeated in the message."""
    patients = set(map(pseudonym, patient_ids))
    if len(patients) > 1:
        raise InputError(
            expected="one patient per case",
            got=f"{len(patients)} different patient ids",
            fix="split the case, one file per patient",
        )
