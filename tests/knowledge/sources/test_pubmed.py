"""PubMed's XML becomes cited documents, the newest version of each; and XML that expands or fetches is refused."""

from __future__ import annotations

import datetime
import gzip
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.knowledge.sources import markup
from polyclinic.knowledge.sources.markup import elements, root_of
from polyclinic.knowledge.sources.protocol import Document
from polyclinic.knowledge.sources.pubmed import ROOTS, PubMed

HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January '
    '2025//EN" "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">\n'
)
DATED = "<Year>2019</Year><Month>Feb</Month><Day>7</Day>"
AUTHORS = "".join(f"<Author><LastName>{name}</LastName><Initials>J</Initials></Author>" for name in ("Doe", "Roe"))


def article(pmid: object = 1, *, title: str = "A title.", abstract: str = "<AbstractText>Text.</AbstractText>",
            date: str = DATED, authors: str = AUTHORS, kind: str = "Review", electronic: str = "") -> str:  # fmt: skip
    return f"""<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="1">{pmid}</PMID><Article>
        <Journal><JournalIssue><PubDate>{date}</PubDate></JournalIssue><Title>The Example Journal</Title></Journal>
        <ArticleTitle>{title}</ArticleTitle>{f"<Abstract>{abstract}</Abstract>" if abstract else ""}
        <AuthorList>{authors}</AuthorList><PublicationTypeList><PublicationType>{kind}</PublicationType>
        </PublicationTypeList>{electronic}</Article><MedlineJournalInfo><MedlineTA>Ex J</MedlineTA></MedlineJournalInfo>
        <CommentsCorrectionsList><CommentsCorrections><PMID>999</PMID></CommentsCorrections></CommentsCorrectionsList>
        </MedlineCitation><PubmedData><ArticleIdList><ArticleId>8</ArticleId></ArticleIdList></PubmedData>
        </PubmedArticle>"""


def source(path: Path) -> PubMed:
    return PubMed(path=path, name="pubmed", licence="see NLM")


def read(folder: Path, *articles: str) -> tuple[list[Document], PubMed]:
    path = folder / "a.xml"
    path.write_text(f"{HEAD}<PubmedArticleSet>{''.join(articles)}</PubmedArticleSet>", encoding="utf-8")
    found = source(path)
    return list(found.documents()), found


def test_an_article_is_its_labelled_abstract_and_its_citation(tmp_path: Path) -> None:
    abstract = (
        '<AbstractText Label="AIM" NlmCategory="OBJECTIVE">To weigh\n <i>H<sub>2</sub>O</i> &amp; β.</AbstractText>'
        '<AbstractText Label="UNLABELLED">Plain.</AbstractText><AbstractText Label="RESULTS"/>'
        "<CopyrightInformation>Copyright Example.</CopyrightInformation>"
    )
    (document,), _ = read(tmp_path, article(12345678, title="Is <b>water</b> wet?", abstract=abstract))
    assert document == Document(
        id="12345678",
        title="Is water wet?",
        text="AIM: To weigh H2O & β.\nPlain.",
        citation="Doe J, Roe J. Is water wet? Ex J 2019. PMID 12345678",
        licence="see NLM",
        date=datetime.date(2019, 2, 7),
    )


@pytest.mark.parametrize(
    ("date", "expected", "year"),
    [
        ("<Year>2019</Year>", datetime.date(2019, 12, 31), " 2019"),
        ("<Year>2020</Year><Month>02</Month>", datetime.date(2020, 2, 29), " 2020"),
        ("<Year>2020</Year><Month>Feb</Month><Day>31</Day>", datetime.date(2020, 2, 29), " 2020"),
        ("<Year>2020</Year><Season>Summer</Season>", datetime.date(2020, 12, 31), " 2020"),
        ("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", datetime.date(1998, 12, 31), " 1998"),
        ("<MedlineDate>Winter</MedlineDate>", None, ""),
        ("<Year>0000</Year>", None, ""),
        ("<Year>²⁰¹⁹</Year>", None, ""),
    ],
)
def test_a_date_is_the_last_day_that_it_can_mean(
    tmp_path: Path, date: str, expected: datetime.date | None, year: str
) -> None:
    (document,), _ = read(tmp_path, article(date=date))
    assert document.date == expected
    assert document.citation == f"Doe J, Roe J. A title. Ex J{year}. PMID 1"


def test_the_electronic_date_is_when_an_article_was_out(tmp_path: Path) -> None:
    early = "<ArticleDate><Year>2018</Year><Month>11</Month><Day>30</Day></ArticleDate>"
    (document,), _ = read(tmp_path, article(electronic=early))
    assert document.date == datetime.date(2018, 11, 30)


def test_many_authors_groups_and_none(tmp_path: Path) -> None:
    group = "<Author><CollectiveName>The Example Group</CollectiveName></Author>"
    (many, none), _ = read(tmp_path, article(1, authors=AUTHORS + group + AUTHORS), article(2, authors=""))
    assert many.citation.startswith("Doe J, Roe J, The Example Group et al. A title.")
    assert none.citation == "A title. Ex J 2019. PMID 2"


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    book = "<PubmedBookArticle><BookDocument><PMID>7</PMID></BookDocument></PubmedBookArticle>"
    documents, found = read(
        tmp_path, article(1), article(2, abstract=""), article(3, kind="Retracted Publication"), book, article(1)
    )
    assert [document.id for document in documents] == ["1"]
    assert found.skipped == {
        "an article without an abstract": 1, "a retracted article": 1, "a book, not an article": 1,
        "an older version of an article": 1,
    }  # fmt: skip


def test_updates_replace_and_delete_what_older_files_hold(tmp_path: Path) -> None:
    old = article(1, title="Old.") + article(2, title="Gone.") + article(3, title="Kept.") + article(4)
    new = article(1, title="New.") + article(4, abstract="") + "<DeleteCitation><PMID>2</PMID></DeleteCitation>"
    for name, text in (("pubmed25n0001.xml.gz", old), ("pubmed25n0002.xml.gz", new)):
        (tmp_path / name).write_bytes(gzip.compress(f"{HEAD}<PubmedArticleSet>{text}</PubmedArticleSet>".encode()))
    found = source(tmp_path)
    assert [(document.id, document.title) for document in found.documents()] == [("1", "New."), ("3", "Kept.")]
    assert found.skipped == {"an older version of an article": 3, "an article without an abstract": 1}


def test_medline_citations_are_read_without_a_pubmed_wrapper(tmp_path: Path) -> None:
    citation = article(5).partition("<PubmedArticle>")[2].partition("<PubmedData>")[0]
    path = tmp_path / "m.xml"
    path.write_text(f"<MedlineCitationSet>{citation}</MedlineCitationSet>")
    assert [document.id for document in source(path).documents()] == ["5"]


@pytest.mark.parametrize("pmid", ["", "x1", "123456789", "-1", "1e3", "٣"])
def test_a_number_that_is_no_pmid_is_refused_with_its_record(tmp_path: Path, pmid: str) -> None:
    with pytest.raises(InputError, match=r"a PMID.*a\.xml, record 2"):
        read(tmp_path, article(1), article(pmid))


LAUGHS = '<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    "declared",
    [
        LAUGHS,
        '<!ENTITY j SYSTEM "file:///etc/passwd">',
        '<!ENTITY % p SYSTEM "http://localhost/p.dtd"> %p; <!ENTITY j "x">',
        f'<!ATTLIST PubmedArticle note CDATA "{"x" * 1000}">',
    ],
    ids=["billion laughs", "external", "parameter", "default attribute"],
)
def test_xml_that_declares_anything_is_refused_unread(tmp_path: Path, declared: str) -> None:
    path = tmp_path / "bomb.xml"
    path.write_text(
        f'<?xml version="1.0"?><!DOCTYPE PubmedArticleSet [{declared}]>'
        f"<PubmedArticleSet>{article(title='&j;')}</PubmedArticleSet>"
    )
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"without declarations of its own.*bomb\.xml"):
            list(source(path).documents())
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


def test_an_entity_that_nobody_declared_is_refused_and_not_dropped(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"undefined entity"):
        read(tmp_path, article(title="5 &micro;g"))


@pytest.mark.parametrize(
    ("text", "got"),
    [
        (f"{HEAD}<PubmedArticleSet>{article()}", "cut short"),
        (f"{HEAD}<PubmedArticleSet>{article()}<b></PubmedArticleSet>", "mismatched tag"),
        ("<html><body/></html>", "<html>"),
        ("", "none"),
        ("no xml", "syntax error"),
        ('<?xml version="1.0" encoding="klingon"?><PubmedArticleSet/>', "something else"),
        ("<!-- " + "x" * 2**20, "none"),
    ],
)
def test_what_is_no_pubmed_file_is_refused(tmp_path: Path, text: str, got: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.xml") as raised:
        list(source(path).documents())
    assert got in raised.value.got


def test_a_record_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markup, "MAX_RECORD_BYTES", 2**18)
    for inside in ("<PubmedArticle><x>" + "y" * 2**20, "<x/>" * 2**18):
        path = tmp_path / "a.xml.gz"
        path.write_bytes(gzip.compress(f"<PubmedArticleSet>{article()}{inside}".encode()))
        with pytest.raises(InputError, match=r"a larger one.*after record 1"):
            list(source(path).documents())


def test_many_articles_are_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.xml.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write("<PubmedArticleSet>")
        for number in range(6_000):
            file.write(article(number + 1, abstract=f"<AbstractText>{number:03000d}</AbstractText>"))
        file.write("</PubmedArticleSet>")
    tracemalloc.start()
    try:
        assert sum(1 for _ in source(path).documents()) == 6_000
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20  # 12 MB of it are the numbers met so far
    finally:
        tracemalloc.stop()


@given(st.text(alphabet='<>!?/&;"[]- aPubmedArtiSlxENTYDOC%\n', max_size=200))
@example("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>")
def test_any_text_is_an_input_error_or_a_root(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.xml"
    path.write_text(text)
    try:
        root = root_of(path)
        list(elements(path, roots=(*ROOTS, root), records=frozenset({"a"})))
    except InputError:
        return
    assert root in text
    assert "ENTITY" not in text.partition(f"<{root}")[0]
