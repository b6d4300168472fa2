"""Pictures with captions, listed in JSONL: one document per picture. The pixels are left to who reads `picture`.

One line; all fields but `image` and `caption` may be missing, and the path starts at the JSONL file's folder:

    {"image": "img/0001.png", "caption": "Drusen in both maculae.", "id": "0001", "label": "drusen",
     "modality": "fundus", "citation": "…", "licence": "CC BY 4.0", "date": "2024-03-31", "patient_id": "Q-7"}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast, get_args

from ...core.canonical import digest
from ...core.case import Modality, pseudonym
from .place import FileSource
from .protocol import Document
from .reading import Record, damaged, records

MODALITIES: tuple[str, ...] = get_args(Modality)
_TITLE_CHARACTERS = 100


@dataclass(kw_only=True)
class Captions(FileSource):
    kind: ClassVar[str] = "captions"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")
    strangers: ClassVar[bool] = False  # the pictures lie beside the list

    def _documents(self, files: tuple[Path, ...]) -> Iterator[Document]:
        for path in files:
            for record in records(path):
                document = self._document(record, path)
                if document.picture is None:
                    self.skipped["a picture that is not there"] += 1
                else:
                    yield document

    def _document(self, record: Record, listed_in: Path) -> Document:
        """Without a picture when no file is there."""
        named, caption, patient = record.needed("image"), record.text("caption"), record.number_or_text("patient_id")
        picture = _picture(named, listed_in.parent, record.where)
        place = self.shown(listed_in.parent)
        shown = named if not patient else f"picture-{digest(named)[:12]}"  # a patient's file may bear their name
        return Document(
            id=record.number_or_text("id") or (shown if place == "." else f"{place}/{shown}"),
            title=_first_words(caption) or record.text("label") or shown,
            text=caption,
            citation=record.text("citation") or f"{self.citation or self.name}: {shown}",
            licence=record.text("licence", "license") or self.licence,
            modalities=_modalities(record) or self.modalities,
            patient_id=pseudonym(patient) if patient else None,
            date=record.date("date"),
            picture=picture,
            label=record.text("label"),
        )


def _picture(named: str, folder: Path, where: str) -> Path | None:
    """The file that `named` means, None when there is none.

    Raises InputError for one outside `folder`, links followed.
    """
    try:
        found = (folder / named).resolve()
        inside, there = found.is_relative_to(folder.resolve()), found.is_file()
    except (OSError, ValueError, RuntimeError):  # a NUL byte, an over-long name, a loop of links
        inside, there = False, False
    if not inside or "://" in named or Path(named).is_absolute():
        raise damaged(where, expected="the path of a picture inside the list's folder", got=repr(named))
    return folder / named if there else None


def _modalities(record: Record) -> tuple[Modality, ...]:
    text = record.text("modality")
    if text and text not in MODALITIES:
        raise damaged(record.where, expected="a modality, one of " + ", ".join(MODALITIES), got=repr(text))
    return (cast(Modality, text),) if text else ()


def _first_words(caption: str) -> str:
    """The caption's first sentence, or as many of its words as a title may have."""
    start = caption.partition(". ")[0].partition("\n")[0].strip()
    if len(start) <= _TITLE_CHARACTERS:
        return start.rstrip(".")
    return start[:_TITLE_CHARACTERS].rpartition(" ")[0] + " …"
