"""Questions and answers of MedQuAD, flattened to JSONL: one document per answer.

MedQuAD: 47,457 question-answer pairs from twelve NIH websites, of which some 16,400 may be shared with their answers
(Ben Abacha and Demner-Fushman, BMC Bioinformatics 2019;20:511). One line of it:

    {"id": "0000001_1-1", "file": "1_CancerGov_QA/0000001_1.xml", "source": "CancerGov", "url": "https://…",
     "focus": "Adult Acute Lymphoblastic Leukemia", "question": "What is (are) …?", "answer": "Key Points …", …}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .place import FileSource, cited
from .protocol import Document
from .reading import Record, records

LICENCE = "CC BY 4.0"


@dataclass(kw_only=True)
class MedQuad(FileSource):
    """`id` is not unique in MedQuAD; it is together with the XML file it came from."""

    kind: ClassVar[str] = "medquad"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def _documents(self, files: tuple[Path, ...]) -> Iterator[Document]:
        for path in files:
            for record in records(path):
                answer = record.text("answer")
                if answer:
                    yield self._document(record, answer)
                else:
                    self.skipped["a question without an answer"] += 1

    def _document(self, record: Record, answer: str) -> Document:
        number, origin = record.needed("id"), record.text("source") or "MedQuAD"
        written, focus = record.needed("question"), record.text("focus")
        question = written.rstrip("? ") + "?" if written.endswith("?") else written
        known = not focus or focus.lower() in question.lower()
        return Document(
            id=f"{record.text('file').removesuffix('.xml') or origin}/{number}",
            title=question if known else f"{focus}: {question}",
            text=answer,
            citation=cited(self.citation, origin, question, f"MedQuAD {number}", record.text("url")),
            licence=self.licence,
            modalities=self.modalities,
        )
