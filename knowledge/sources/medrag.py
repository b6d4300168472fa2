"""Corpora in the JSONL of MedRAG (textbooks, StatPearls, PubMed, Wikipedia): one document per snippet.

MedRAG: Xiong et al., Findings of ACL 2024, 6233-6251. One line, where `PMID` is PubMed's alone:

    {"id": "pubmed23n0001_0", "title": "…", "content": "…", "contents": "TITLE. CONTENT", "PMID": 21}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .place import FileSource, cited
from .protocol import Document
from .reading import Record, records


@dataclass(kw_only=True)
class MedRag(FileSource):
    """`content` is the text; `contents`, which repeats the title, only where there is no `content`."""

    kind: ClassVar[str] = "medrag"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def _documents(self, files: tuple[Path, ...]) -> Iterator[Document]:
        for path in files:
            for record in records(path):
                text = record.text("content", "contents")
                if text:
                    yield self._document(record, text)
                else:
                    self.skipped["a snippet without text"] += 1

    def _document(self, record: Record, text: str) -> Document:
        number, title, pmid = record.number_or_text("id"), record.text("title"), record.number_or_text("PMID")
        return Document(
            id=number or record.needed("id"),
            title=title,
            text=text,
            citation=cited(title, self.citation or self.name, f"PMID {pmid}" if pmid else number),
            licence=self.licence,
            modalities=self.modalities,
        )
