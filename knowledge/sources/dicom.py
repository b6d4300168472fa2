"""Folders of DICOM pictures: one document per picture, said in the closed words of its header alone.

It opens no file: `read_facts` does, which whoever may import pydicom hands in (`read_dicom_facts` of `tools/imaging/`).
File names and free text of the header may hold the patient's name, so ids are hashes and only `picture` keeps the path.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

from ...core.canonical import digest
from ...core.case import Laterality, Modality
from ...core.errors import InputError
from .place import FileSource, plain_suffix, written
from .protocol import Document
from .reading import opened

LICENCE = "private record"


@dataclass(frozen=True, kw_only=True)
class DicomFacts:
    """What a DICOM header says that names nobody; `patient_id` is the pseudonym of its patient.

    `date` is the latest day of its acquisition, content, series and study, so that no search up to a day finds the
    picture before it was there.
    """

    modality: Modality | None = None
    body_part: str | None = None
    view: str | None = None
    laterality: Laterality | None = None
    date: datetime.date | None = None
    patient_id: str | None = None


ReadFacts: TypeAlias = Callable[[Path], DicomFacts]
"""Raises InputError, whose `expected` names no file, when the file is no picture that can be read."""


@dataclass(kw_only=True)
class Dicom(FileSource):
    """Files that end in .dcm or carry the DICM mark; what is no picture (plans, reports) or is damaged is skipped."""

    kind: ClassVar[str] = "dicom"
    suffixes: ClassVar[tuple[str, ...]] = (".dcm",)

    read_facts: ReadFacts

    def reads(self, path: Path) -> bool:
        return plain_suffix(path) in self.suffixes or is_dicom(path)

    def _documents(self, files: tuple[Path, ...]) -> Iterator[Document]:
        for path in files:
            try:
                facts = self.read_facts(path)
            except InputError as error:
                self.skipped[f"not {error.expected}"] += 1
                continue
            yield self._document(path, facts)

    def _document(self, path: Path, facts: DicomFacts) -> Document:
        key, modality = digest(["picture", self.shown(path)])[:16], facts.modality or self.modality
        said = described(facts, modality)
        dated = f" of {facts.date}" if facts.date else ""
        return Document(
            id=key,
            title=said,
            text=said,
            citation=f"{self.citation or 'Patient record'}, picture {key}{dated}",
            licence=self.licence,
            modalities=(modality,) if modality else (),
            patient_id=facts.patient_id,
            date=facts.date,
            picture=path,
        )


def described(facts: DicomFacts, modality: Modality | None) -> str:
    """The picture in words: `X-ray, chest, PA view`, `MRI, left knee`."""
    kind = written(modality) if modality else "picture"
    part = " ".join(word for word in (facts.laterality, facts.body_part) if word)
    return ", ".join(word for word in (kind, part, f"{facts.view} view" if facts.view else "") if word)


def is_dicom(path: Path) -> bool:
    """Whether the file carries the mark `DICM` behind a preamble of 128 bytes."""
    with opened(path) as file:
        return file.read(132)[128:] == b"DICM"
