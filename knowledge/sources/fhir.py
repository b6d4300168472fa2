"""Patients' records as FHIR R4 Bundles, a file each: one document per visit, under the record's pseudonyms.

Names of record files tend to name the patient, so no id, title or citation repeats them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ...core.canonical import digest
from .place import FileSource
from .protocol import Document

LICENCE = "private record"


@dataclass(kw_only=True)
class Fhir(FileSource):
    """Ids are `PSEUDONYM/DATE-HASH`, the hash being of what is told of the visit."""

    kind: ClassVar[str] = "fhir"
    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def _documents(self, files: tuple[Path, ...]) -> Iterator[Document]:
        from ..patient.fhir import read_record, visit_text

        met: set[str] = set()
        for path in files:
            record = read_record(path)
            self.skipped.update(record.skipped)
            if not record.visits:
                self.skipped["a record without visits"] += 1
            for visit in record.visits:
                text = visit_text(visit)
                if not text.strip():
                    self.skipped["a visit of which nothing is written"] += 1
                    continue
                # By what it says: a visit keeps its id whatever other files of the patient there are.
                key = f"{record.patient_id}/{visit.date}-{digest(text)[:10]}"
                if key in met:
                    self.skipped["a visit told the same before"] += 1
                    continue
                met.add(key)
                yield Document(
                    id=key,
                    title=f"Visit of {visit.date}",
                    text=text,
                    citation=f"{self.citation or 'Patient record'}, visit of {visit.date}",
                    licence=self.licence,
                    patient_id=record.patient_id,
                    other_ids=record.other_ids,
                    date=visit.date,
                )
