"""PubMed and MEDLINE in NLM's XML (.xml, .xml.gz): one document per article that has an abstract.

Files are those of PubMed's yearly baseline and daily updates, or any export with the root PubmedArticleSet or
MedlineCitationSet (https://dtd.nlm.nih.gov/ncbi/pubmed/doc/out/). The newest version of an article counts: files are
read from the last name to the first, as updates have higher numbers, and of each PMID the first that is met.
"""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element

from .markup import elements
from .place import FileSource, cited
from .protocol import Document
from .reading import damaged

ROOTS = ("PubmedArticleSet", "MedlineCitationSet")
_RECORDS = frozenset({"PubmedArticle", "PubmedBookArticle", "MedlineCitation", "DeleteCitation"})
_AUTHORS_NAMED = 3
_HIGHEST_PMID = 99_999_999  # PubMed writes them with up to eight digits
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}


@dataclass(kw_only=True)
class PubMed(FileSource):
    kind: ClassVar[str] = "pubmed"
    suffixes: ClassVar[tuple[str, ...]] = (".xml",)

    def _documents(self, files: tuple[Path, ...]) -> Iterator[Document]:
        seen = _Seen()
        for path in reversed(files):
            for number, element in enumerate(elements(path, roots=ROOTS, records=_RECORDS), 1):
                document = self._document(element, seen, f"{path}, record {number}")
                if document is not None:
                    yield document

    def _document(self, element: Element, seen: _Seen, where: str) -> Document | None:
        """The article as a document; None, counted, when it is to be left out."""
        if element.tag == "DeleteCitation":
            for gone in element.iter("PMID"):
                seen.add(_number(gone, where))
            return None
        citation = element if element.tag == "MedlineCitation" else element.find("MedlineCitation")
        article = citation.find("Article") if citation is not None else None
        if citation is None or article is None:
            self.skipped["a book, not an article"] += 1
            return None
        pmid = _number(citation.find("PMID"), where)
        abstract = _abstract(article)
        if not seen.add(pmid):
            self.skipped["an older version of an article"] += 1
        elif any(_text(kind) == "Retracted Publication" for kind in article.iter("PublicationType")):
            self.skipped["a retracted article"] += 1
        elif not abstract:
            self.skipped["an article without an abstract"] += 1
        else:
            return self._made(pmid, citation, article, abstract)
        return None

    def _made(self, pmid: int, citation: Element, article: Element, abstract: str) -> Document:
        title = _text(article.find("ArticleTitle")) or _text(article.find("VernacularTitle")) or f"PMID {pmid}"
        journal = _text(citation.find("MedlineJournalInfo/MedlineTA")) or _text(article.find("Journal/Title"))
        year = _year(article.find("Journal/JournalIssue/PubDate")) or _year(article.find("ArticleDate"))
        place = " ".join(part for part in (journal, str(year or "")) if part)
        return Document(
            id=str(pmid),
            title=title,
            text=abstract,
            citation=cited(_authors(article), title, place, f"PMID {pmid}"),
            licence=self.licence,
            modalities=self.modalities,
            date=_last_day(article.find("ArticleDate")) or _last_day(article.find("Journal/JournalIssue/PubDate")),
        )


class _Seen:
    """The PMIDs met so far, a bit each: all of PubMed in 12 MB."""

    def __init__(self) -> None:
        self._bits = bytearray(_HIGHEST_PMID // 8 + 1)

    def add(self, pmid: int) -> bool:
        """Whether `pmid` is met for the first time."""
        byte, bit = pmid >> 3, 1 << (pmid & 7)
        first = not self._bits[byte] & bit
        self._bits[byte] |= bit
        return first


def _number(pmid: Element | None, where: str) -> int:
    text = _text(pmid)
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_HIGHEST_PMID))):
        raise damaged(where, expected="a PMID of at most eight digits", got=repr(text[:40]) if text else "none")
    return int(text)


def _text(element: Element | None) -> str:
    """All text below the element (titles and abstracts hold <i> and <sup>), white space folded."""
    return " ".join("".join(element.itertext()).split()) if element is not None else ""


def _abstract(article: Element) -> str:
    """The sections of the abstract, a line each, with their labels: `METHODS: We …`."""
    sections = []
    for section in article.findall("Abstract/AbstractText"):
        label, text = (section.get("Label") or "").strip(), _text(section)
        if text:
            sections.append(f"{label}: {text}" if label and label != "UNLABELLED" else text)
    return "\n".join(sections)


def _authors(article: Element) -> str:
    names = []
    for author in article.findall("AuthorList/Author"):
        person = f"{_text(author.find('LastName'))} {_text(author.find('Initials'))}".strip()
        names.append(person or _text(author.find("CollectiveName")))
    names = [name for name in names if name]
    return ", ".join(names[:_AUTHORS_NAMED]) + (" et al" if len(names) > _AUTHORS_NAMED else "")


def _year(date: Element | None) -> int | None:
    """The year of a date, which a MedlineDate (`1998 Dec-1999 Jan`) has in front."""
    if date is None:
        return None
    text = (_text(date.find("Year")) or _text(date.find("MedlineDate")))[:4]
    return int(text) if text.isascii() and text.isdecimal() and len(text) == 4 and text > "0000" else None


def _last_day(date: Element | None) -> datetime.date | None:
    """The last day that the date can mean: who asks for what was known at a time must not find what came later."""
    year = _year(date)
    if date is None or year is None:
        return None
    written, day = _text(date.find("Month")).lower()[:3], _text(date.find("Day"))
    month = _MONTHS.get(written) or (int(written) if written.isascii() and written.isdecimal() else 0)
    if not 1 <= month <= 12:
        return datetime.date(year, 12, 31)
    last = calendar.monthrange(year, month)[1]
    exact = day.isascii() and day.isdecimal() and 1 <= int(day[:3]) <= last
    return datetime.date(year, month, int(day[:3]) if exact else last)
