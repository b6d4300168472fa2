"""bench/retrieval.py: its measures by hand, the files it reads, and a whole run over a handful of passages."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from polyclinic.knowledge.encoders.protocol import Reads, Vectors
from polyclinic.knowledge.store import Picture

QUESTIONS = [
    ("Which drug lowers the pressure in glaucoma?", ["Latanoprost lowers eye pressure.", "Timolol lowers pressure."]),
    ("What causes scurvy?", ["Scurvy is caused by a lack of vitamin C."]),
]
QRELS = "All-qrels_LiveQAMed2017-TestQuestions_2479_Judged-Answers.txt"
ANSWERS = "All-2479-Answers-retrieved-from-MedQuAD.csv"
TEST = "TREC-2017-LiveQA-Medical-Test-Questions-w-summaries.xml"


class Letters:
    """Texts by their letters."""

    spec, identity, dimension = "letters", "letters/1", 26
    reads: frozenset[Reads] = frozenset({"text"})

    def __init__(self) -> None:
        self.calls = 0

    def encode_texts(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        self.calls += 1
        counts = np.array([[text.lower().count(letter) for letter in map(chr, range(97, 123))] for text in texts])
        vectors = counts.astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode_pictures(self, pictures: Sequence[Picture]) -> Vectors:
        raise NotImplementedError


@pytest.fixture(scope="module")
def retrieval(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("retrieval")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The two collections, in small."""
    asked = [
        {"id": f"q{number}", "type": "factoid", "body": body,
         "snippets": [{"text": text, "document": f"http://www.ncbi.nlm.nih.gov/pubmed/{number}"} for text in texts]}
        for number, (body, texts) in enumerate(QUESTIONS)
    ]  # fmt: skip
    answered = [
        {"id": str(number), "source": "A", "focus": "", "question": body, "answer": " ".join(texts)}
        for number, (body, texts) in enumerate(QUESTIONS)
    ]
    for folder in ("bioasq_golden", "medquad"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bioasq_golden" / "7B1.json").write_text(json.dumps({"questions": asked}), encoding="utf-8")
    lines = "".join(f"{json.dumps(one)}\n" for one in answered)
    (tmp_path / "medquad" / "medquad.jsonl").write_text(lines, encoding="utf-8")
    return tmp_path


@pytest.fixture
def liveqa(tmp_path: Path) -> Path:
    """Two consumers' questions, three judged answers."""
    folder = tmp_path / "liveqa"
    folder.mkdir()
    asked = [("1", "Eyes", "my eye pressure is high", "What treats glaucoma?"), ("2", "Gums", "they bleed", "Scurvy?")]
    xml = "".join(
        f'<NLM-QUESTION qid="TQ{number}"><Original-Question><SUBJECT>{subject}</SUBJECT>\n<MESSAGE>{message}</MESSAGE>'
        f"</Original-Question><NLM-Summary>{summary}</NLM-Summary></NLM-QUESTION>\n"
        for number, subject, message, summary in asked
    )
    (folder / TEST).write_text(xml, encoding="utf-8")
    (folder / QRELS).write_text("1 4-Excellent A1\n1 2-Related A2\n1 1-Incorrect A3\n2 3-Incomplete A3\n")
    (folder / ANSWERS).write_text(
        "AnswerID,Answer\n"
        'A1,"Question: What treats glaucoma ?\nURL: https://a\nAnswer: Drops lower  the pressure. "\n'
        'A2,"Question: What is glaucoma ?\nAnswer: Damage of the optic nerve."\n'
        'A3,"Question: What is scurvy ?\nURL: https://b\nAnswer: A lack of vitamin C."\n'
        'A4,"Question: What is nothing ?\nURL: https://c\nAnswer: "\n'
    )
    return folder


def test_measures(retrieval: ModuleType) -> None:
    gains = {"a": 3.0, "b": 1.0}
    best = 3 + 1 / math.log2(3)
    assert retrieval.ndcg(["a", "b"], gains) == pytest.approx(1)
    assert retrieval.ndcg(["x", "b"], gains) == pytest.approx(1 / math.log2(3) / best)
    assert retrieval.ndcg([*"0123456789", "a"], gains) == 0
    assert retrieval.recall(["x", "b"], gains) == 0.5
    assert retrieval.recall([str(number) for number in range(10)], {str(n): 1.0 for n in range(20)}) == 1
    assert retrieval.interval(np.full(5, 0.25)) == "+0.250 [+0.250, +0.250]"


def test_judgements_are_read(retrieval: ModuleType, liveqa: Path) -> None:
    summaries, messages = retrieval.questions(liveqa)
    assert summaries == {"1": "What treats glaucoma?", "2": "Scurvy?"}
    assert messages == {"1": "Eyes my eye pressure is high", "2": "Gums they bleed"}
    assert retrieval.judgements(liveqa) == {"1": {"A1": 3.0, "A2": 1.0}, "2": {"A3": 2.0}}
    found = [(given.id, given.title, given.text) for given in retrieval.answers(liveqa)]
    assert found[0] == ("A1", "What treats glaucoma ?", "Drops lower the pressure.")
    assert [key for key, _, _ in found] == ["A1", "A2", "A3"]


def test_vectors_of_passages_are_kept_and_those_of_questions_are_not(retrieval: ModuleType, tmp_path: Path) -> None:
    letters = Letters()
    kept = retrieval.Kept(letters, tmp_path / "cache")
    passages = [f"passage {'x' * number}" for number in range(retrieval.BULK)]
    first = kept.encode_texts(passages)
    assert np.array_equal(kept.encode_texts(passages), first)
    assert letters.calls == 1
    assert np.array_equal(kept.encode_texts(["passage "]), first[:1])
    kept.encode_texts(["passage "], query=True)
    assert letters.calls == 3


def test_a_whole_run(
    retrieval: ModuleType, data: Path, liveqa: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(retrieval, "load_encoder", lambda spec: Letters())
    monkeypatch.setattr(
        sys, "argv", ["retrieval", "--data", str(data), "--liveqa", str(liveqa), "--encoder", "letters"]
    )
    retrieval.main()
    said = capsys.readouterr().out
    assert "BioASQ: 2 questions, 3 snippets" in said
    assert "words                    nDCG@10 +1.000" in said
    assert "words + letters less letters alone: nDCG@10" in said
    assert "MedQuAD: 2 answers, 2 passages" in said
    assert "LiveQA: 2 questions in an expert's words, 3 answers" in said
    assert "words, with titles less without: nDCG@10" in said
    assert said.count("nothing for 20 of 20 everyday questions") >= 2
