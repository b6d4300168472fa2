"""MedQuAD, BioASQ, MedRAG and the shipped passages: every record becomes the document it should, or is counted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from polyclinic.core.errors import InputError
from polyclinic.knowledge.corpus import shipped_passages
from polyclinic.knowledge.sources.bioasq import BioAsq, document_id, questions
from polyclinic.knowledge.sources.medquad import MedQuad
from polyclinic.knowledge.sources.medrag import MedRag
from polyclinic.knowledge.sources.shipped import Shipped

MEDQUAD: dict[str, Any] = {
    "id": "0000009_9-1", "file": "1_CancerGov_QA/0000009_9.xml", "source": "CancerGov", "url": "https://example.test/a",
    "focus": "Sample Disease", "question": "What is (are) Sample Disease ? ?", "answer": "A made-up one.",
    "cui": ["C0"],
}  # fmt: skip


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_medquad_answer_is_cited_with_its_site_question_and_address(tmp_path: Path) -> None:
    other = {**MEDQUAD, "file": "2_GARD_QA/0000009_9.xml", "question": "What causes it ?", "source": "GARD"}
    path = write(tmp_path / "medquad.jsonl", MEDQUAD, {**MEDQUAD, "answer": " "}, other)
    source = MedQuad(path=path, name="medquad", licence="CC BY 4.0")
    first, second = source.documents()
    assert first.id == "1_CancerGov_QA/0000009_9/0000009_9-1"
    assert first.title == "What is (are) Sample Disease?"
    assert first.text == "A made-up one."
    assert first.citation == ("CancerGov. What is (are) Sample Disease? MedQuAD 0000009_9-1. https://example.test/a")
    assert first.licence == "CC BY 4.0"
    assert second.id == "2_GARD_QA/0000009_9/0000009_9-1"
    assert second.title == "Sample Disease: What causes it?"
    assert source.skipped == {"a question without an answer": 1}
    assert len(list(source.documents())) == 2
    assert source.skipped == {"a question without an answer": 1}, "counted anew at each reading"


@pytest.mark.parametrize("missing", ["id", "question"])
def test_a_medquad_line_without_what_is_needed_is_refused(tmp_path: Path, missing: str) -> None:
    path = write(tmp_path / "m.jsonl", MEDQUAD, {key: value for key, value in MEDQUAD.items() if key != missing})
    with pytest.raises(InputError, match=rf"field '{missing}'.*m\.jsonl, line 2"):
        list(MedQuad(path=path, name="m", licence="CC BY 4.0").documents())


def test_all_of_medquad_is_read(data_dir: Path) -> None:
    path = data_dir / "medquad" / "medquad.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"no MedQuAD: {path} is missing")
    source = MedQuad(path=path, name="medquad", licence="CC BY 4.0")
    documents = list(source.documents())
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert len(documents) + source.skipped.total() == len(rows)
    assert len({document.id for document in documents}) == len(documents)
    assert sum(len(document.text) for document in documents) == sum(len(row["answer"].strip()) for row in rows)
    assert all(document.title and "://" in document.citation for document in documents)
    assert documents[:50] == [document for document, _ in zip(source.documents(), range(50), strict=False)]


def bioasq(folder: Path) -> Path:
    def snippet(text: str, pmid: int) -> dict[str, Any]:
        return {"text": text, "document": f"http://www.ncbi.nlm.nih.gov/pubmed/{pmid}", "beginSection": "abstract"}

    (folder / "b1").mkdir()
    first = [
        {"id": "q1", "type": "yesno", "body": "Is it one?", "snippets": [snippet("One.", 1), snippet(" Two. ", 2)]},
        {"id": "q2", "type": "list", "body": "Which?", "snippets": [snippet("Two.", 3), snippet("  ", 4)]},
        {"id": "q3", "type": "summary", "body": "What else?", "snippets": []},
    ]
    (folder / "b1" / "a.json").write_text(json.dumps({"questions": first}))
    later = {"username": "x", "questions": [{"id": "q4", "body": "Last?", "snippets": [snippet("Three.", 5)]}]}
    (folder / "b2.json.gz").write_bytes(gzip.compress(json.dumps(later, indent=1).encode()))
    return folder


def test_a_bioasq_snippet_is_one_document_however_often_it_is_given(tmp_path: Path) -> None:
    source = BioAsq(path=bioasq(tmp_path), name="bioasq", licence="CC BY 2.5")
    documents = list(source.documents())
    assert [document.text for document in documents] == ["One.", "Two.", "Three."]
    assert documents[1].title == "PMID 2"
    assert documents[1].citation == "BioASQ golden snippet. PMID 2. http://www.ncbi.nlm.nih.gov/pubmed/2"
    assert source.skipped == {"a snippet met before": 1}


def test_bioasq_questions_name_the_documents_of_their_snippets(tmp_path: Path) -> None:
    ids = {document.text: document.id for document in BioAsq(path=bioasq(tmp_path), name="b", licence="x").documents()}
    found = list(questions(tmp_path))
    assert [(question.id, question.type) for question in found] == [("q1", "yesno"), ("q2", "list"), ("q4", "")]
    assert found[0].gold == {ids["One."], ids["Two."]}
    assert found[1].gold == {ids["Two."]} == {document_id("  Two.")}


@pytest.mark.parametrize("snippets", ["text", [1], {"text": "x"}])
def test_bioasq_snippets_that_are_no_list_of_objects_are_refused(tmp_path: Path, snippets: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"questions": [{"id": "q", "body": "?", "snippets": snippets}]}))
    with pytest.raises(InputError, match=r"a\.json, item 1 of 'questions'"):
        list(questions(tmp_path))


def test_all_of_bioasq_is_read(data_dir: Path) -> None:
    folder = data_dir / "bioasq_golden"
    files = sorted(folder.rglob("*.json"))
    if not files:
        pytest.skip(f"no BioASQ questions: {folder} holds none")
    asked = [item for file in files for item in json.loads(file.read_text(encoding="utf-8"))["questions"]]
    texts = {snippet["text"].strip() for item in asked for snippet in item["snippets"]} - {""}
    documents = {document.id: document for document in BioAsq(path=folder, name="bioasq", licence="x").documents()}
    assert {document.text for document in documents.values()} == texts
    assert len(documents) == len(texts)
    found = list(questions(folder))
    assert len(found) == sum(any(snippet["text"].strip() for snippet in item["snippets"]) for item in asked)
    bodies = {item["id"]: {snippet["text"].strip() for snippet in item["snippets"]} - {""} for item in asked}
    assert all({documents[key].text for key in question.gold} == bodies[question.id] for question in found)


def test_medrag_snippets_are_cited_by_pmid_or_id(tmp_path: Path) -> None:
    path = write(
        tmp_path / "chunk.jsonl",
        {"id": "pubmed23n0001_0", "title": "A trial.", "content": "It worked.", "contents": "A trial. It worked.",
         "PMID": 21},
        {"id": "Sample_Book_0", "title": "Sample_Book", "contents": "Sample_Book. Bones."},
        {"id": 3, "title": "T", "content": ""},
        {"id": 4, "title": "", "content": "No title."},
    )  # fmt: skip
    source = MedRag(path=path, name="chunk", licence="CC0", citation="Open Textbooks")
    first, second, third = source.documents()
    assert (first.id, first.text) == ("pubmed23n0001_0", "It worked.")
    assert first.citation == "A trial. Open Textbooks. PMID 21"
    assert (second.text, second.citation) == ("Sample_Book. Bones.", "Sample_Book. Open Textbooks. Sample_Book_0")
    assert (third.id, third.citation) == ("4", "Open Textbooks. 4")
    assert source.skipped == {"a snippet without text": 1}


def test_the_shipped_passages_come_whole(tmp_path: Path) -> None:
    source = Shipped()
    documents = list(source.documents())
    assert [document.id for document in documents] == [passage.id for passage in shipped_passages()]
    for document, passage in zip(documents, shipped_passages(), strict=True):
        for field in ("title", "text", "citation", "licence", "domains", "modalities"):
            assert getattr(document, field) == getattr(passage, field)
    assert source.files()
    assert all(path.is_file() for path in source.files())
