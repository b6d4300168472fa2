"""Texts, Markdown and PDF: titles, what a text says of itself, pages, and PDFs that cannot be read."""

from __future__ import annotations

import datetime
import io
import logging
import sys
from pathlib import Path

import pypdf
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError, MissingExtraError
from polyclinic.knowledge.sources import pdf
from polyclinic.knowledge.sources.texts import Texts, first_heading, front_matter

LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=30)


def source(path: Path, citation: str = "") -> Texts:
    return Texts(path=path, name="texts", licence="CC0", citation=citation)


def a_pdf(*texts: str | None, encrypted: str | None = None) -> bytes:
    """A PDF with a page per text; None is a page with a drawing and no text, as a scan is."""
    writer = pypdf.PdfWriter()
    for text in texts:
        page = writer.add_blank_page(200, 200)
        drawn = f"BT /F1 12 Tf 10 100 Td ({text}) Tj ET" if text is not None else "0 0 100 100 re f"
        stream = pypdf.generic.DecodedStreamObject()
        stream.set_data(drawn.encode("latin-1"))
        font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
        name = pypdf.generic.NameObject
        fonts = pypdf.generic.DictionaryObject({name(key): name(value) for key, value in font.items()})
        page[name("/Resources")] = pypdf.generic.DictionaryObject(
            {name("/Font"): pypdf.generic.DictionaryObject({name("/F1"): fonts})}
        )
        page[name("/Contents")] = writer._add_object(stream)
    if encrypted is not None:
        writer.encrypt(encrypted, owner_password="owner", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def test_a_text_is_named_by_itself_its_heading_or_its_file(tmp_path: Path) -> None:
    (tmp_path / "ward").mkdir()
    (tmp_path / "ward" / "drains.md").write_text(
        "---\ntitle: 'Care of chest drains'\nlicense: CC BY 4.0\ncitation: \"Example Hospital. Drains. 2024.\"\n"
        "date: 2024-03-31\ndomains: [Pulmonology, surgery]\nmodalities: xray\nother:\n  - nested\n---\nBody.\n",
        newline="\r\n",
    )
    (tmp_path / "a.md").write_text("```\n# no heading\n```\nintro\n## The heading ##\ntext")
    (tmp_path / "notes.v2.txt").write_text("# not Markdown")
    (tmp_path / "empty.md").write_text("---\ntitle: nothing\n---\n \n")
    found = source(tmp_path, citation="Ward book")
    heading, plain, drains = found.documents()
    assert (heading.id, heading.title, heading.citation) == ("a.md", "The heading", "Ward book (a.md)")
    assert (plain.title, plain.text, plain.licence) == ("notes", "# not Markdown", "CC0")
    assert (drains.id, drains.title, drains.text) == ("ward/drains.md", "Care of chest drains", "Body.")
    assert (drains.licence, drains.citation) == ("CC BY 4.0", "Example Hospital. Drains. 2024.")
    assert drains.date == datetime.date(2024, 3, 31)
    assert (drains.domains, drains.modalities) == (("pulmonology", "surgery"), ("xray",))
    assert found.skipped == {"an empty text": 1}


@pytest.mark.parametrize(
    ("line", "got"),
    [("date: last week", "last week"), ("domains: astrology", "astrology"), ("modalities: xray, sonar", "sonar")],
)
def test_what_a_text_says_of_itself_must_make_sense(tmp_path: Path, line: str, got: str) -> None:
    (tmp_path / "a.md").write_text(f"---\n{line}\n---\nBody")
    with pytest.raises(InputError, match=rf"{got}.*a\.md"):
        list(source(tmp_path).documents())


@pytest.mark.parametrize("data", ["Überschrift".encode("latin-1"), b"a program\0\1"])
def test_a_text_in_another_encoding_is_left_out_and_counted(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_text("A heading")
    (tmp_path / "b.txt").write_bytes(data)
    read = source(tmp_path)
    assert [document.id for document in read.documents()] == ["a.txt"]
    assert read.skipped == {"a text that cannot be read: expected text in UTF-8": 1}


@given(
    st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), LINE, min_size=1, max_size=5), st.text(max_size=80)
)
@example({"title": "a: b"}, "---\nbody")
@example({"title": '"'}, "")
def test_what_is_written_in_front_is_read_and_the_rest_stays(facts: dict[str, str], body: str) -> None:
    written = "".join(f"{key}: {value}\n" for key, value in facts.items())
    found, rest = front_matter(f"---\n{written}---\n{body}")
    assert rest == body
    assert found.keys() == facts.keys()
    for key, value in facts.items():
        plain = value.strip()
        quoted = len(plain) > 1 and plain[0] == plain[-1] and plain[0] in "'\""
        assert found[key] == (plain[1:-1] if quoted else plain)


@given(st.text(max_size=200))
@example("---\n\n---\nrule above and below")
@example("---\nA sentence, then a rule.\n---\n")
@example("---\nno: end\n")
def test_any_text_is_split_without_loss(text: str) -> None:
    facts, rest = front_matter(text)
    assert text.endswith(rest)
    assert bool(facts) == (rest != text)
    assert first_heading(text) in text


def test_a_heading_has_the_length_of_one() -> None:
    assert first_heading("# " + " " * 200_000 + "x") == ""
    assert first_heading("### " + "x" * 200 + " ###") == "x" * 200


def test_a_pdf_is_a_document_per_page(tmp_path: Path) -> None:
    (tmp_path / "guide.pdf").write_bytes(a_pdf("Chest drains", None, "Page three"))
    found = source(tmp_path / "guide.pdf", citation="Example Hospital")
    first, third = found.documents()
    assert (first.id, first.title, first.text) == ("guide.pdf#page=1", "guide, page 1", "Chest drains")
    assert third.id == "guide.pdf#page=3"
    assert third.citation == "Example Hospital (guide.pdf), page 3"
    assert found.skipped == {"a page of a PDF without text": 1}


def test_a_pdf_that_cannot_be_read_is_counted_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = a_pdf("text " * 400)
    for name, data in {
        "encrypted.pdf": a_pdf("secret", encrypted="word"), "printing.pdf": a_pdf("open", encrypted=""),
        "scan.pdf": a_pdf(None, None), "cut.pdf": whole[:300], "no.pdf": b"%PDF-1.7\nnothing", "empty.pdf": b"",
        "garbled.pdf": bytes(255 - byte if place > 100 else byte for place, byte in enumerate(whole)),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(data)
    with (tmp_path / "large.pdf").open("wb") as file:
        file.truncate(pdf.MAX_FILE_BYTES + 1)
    found = source(tmp_path)
    with caplog.at_level(logging.DEBUG):
        assert [document.id for document in found.documents()] == ["printing.pdf#page=1"]
    assert found.skipped == {
        "an encrypted PDF": 1, "a PDF without text, probably scanned": 1, "a damaged PDF": 4,
        "a PDF of more than 256 MiB": 1,
    }  # fmt: skip
    assert [record for record in caplog.records if record.name.startswith("pypdf")] == []


@given(st.binary(max_size=300), st.integers(0, 900), st.integers(0, 60))
def test_a_damaged_pdf_ends_no_build(folder: Path, noise: bytes, at: int, cut: int) -> None:
    data = a_pdf("One", "Two")
    (folder / "a.pdf").write_bytes(data[:at] + noise + data[at + cut :])
    found = source(folder)
    documents = list(found.documents())
    assert documents or found.skipped, "what is left out is counted"
    assert all(document.text for document in documents)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def test_without_pypdf_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pdf").write_bytes(a_pdf("x"))
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(MissingExtraError, match=r"polyclinic\[documents\]"):
        list(source(tmp_path).documents())
