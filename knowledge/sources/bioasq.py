"""The golden snippets of BioASQ's question-answering tasks: one document per distinct snippet of PubMed.

BioASQ task b (Tsatsaronis et al., BMC Bioinformatics 2015;16:138): experts' questions, each with the stretches of
PubMed abstracts that answer it. One question of a file's list `questions`:

    {"id": "601bde6e1cb411341a000006", "type": "factoid", "body": "Which disease is caused by …?",
     "snippets": [{"text": "De Novo VPS4A Mutations …", "document": "http://www.ncbi.nlm.nih.gov/pubmed/33186545"}]}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ...core.canonical import sha256
from .place import FileSource, cited
from .protocol import Document
from .reading import Record, damaged, items

LICENCE = "CC BY 2.5"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with the ids of the documents that hold its gold snippets; `type` is BioASQ's (factoid, list, …)."""

    id: str
    body: str
    type: str
    gold: frozenset[str]


@dataclass(kw_only=True)
class BioAsq(FileSource):
    """Snippets of equal text are one document, cited by the first PubMed record that has it."""

    kind: ClassVar[str] = "bioasq"
    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def questions(self) -> Iterator[Question]:
        """The questions that have a snippet, in the order of the files."""
        for record in _asked(self.files()):
            gold = frozenset(document_id(snippet.needed("text")) for snippet in _snippets(record))
            if gold:
                yield Question(id=record.needed("id"), body=record.needed("body"), type=record.text("type"), gold=gold)

    def _documents(self, files: tuple[Path, ...]) -> Iterator[Document]:
        seen: set[str] = set()
        for record in _asked(files):
            for snippet in _snippets(record):
                text = snippet.needed("text")
                key = document_id(text)
                if key in seen:
                    self.skipped["a snippet met before"] += 1
                    continue
                seen.add(key)
                yield self._document(key, text, snippet.text("document"))

    def _document(self, key: str, text: str, address: str) -> Document:
        pmid = address.rstrip("/").rpartition("/")[2]
        numbered = f"PMID {pmid}" if pmid.isdecimal() else ""
        return Document(
            id=key,
            title=numbered or "BioASQ snippet",
            text=text,
            citation=cited(self.citation, "BioASQ golden snippet", numbered, address),
            licence=self.licence,
            modalities=self.modalities,
        )


def questions(path: Path) -> Iterator[Question]:
    """The questions of a BioASQ file or folder with the ids that `BioAsq` gives the documents of their snippets."""
    return BioAsq(path=path, name="bioasq", licence=LICENCE).questions()


def document_id(text: str) -> str:
    """The id of the document that holds this snippet."""
    return sha256(text.strip().encode())[:16]


def _asked(files: tuple[Path, ...]) -> Iterator[Record]:
    for path in files:
        yield from items(path, "questions")


def _snippets(question: Record) -> Iterator[Record]:
    """The question's snippets; those without text are passed over."""
    found = question.fields.get("snippets") or []
    if not isinstance(found, list) or not all(isinstance(snippet, dict) for snippet in found):
        raise damaged(question.where, expected="a list of objects in the field 'snippets'", got=f"{found!r:.80}")
    for number, fields in enumerate(found, 1):
        snippet = Record(fields=fields, where=f"{question.where}, snippet {number}")
        if snippet.text("text"):
            yield snippet
