"""BM25 finds BioASQ's gold snippets first: what the words' ranking is worth on questions that people asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyclinic.knowledge.index.search import Index
from polyclinic.knowledge.store import Passage, Query


def test_the_first_snippet_is_mostly_gold(data_dir: Path) -> None:
    file = data_dir / "bioasq_golden" / "Task9BGoldenEnriched" / "9B1_golden.json"
    if not file.is_file():
        pytest.skip(f"no BioASQ questions: {file} is missing")
    questions = json.loads(file.read_text(encoding="utf-8"))["questions"]
    gold = [(item["body"], {snippet["text"] for snippet in item["snippets"]}) for item in questions]
    texts = sorted({text for _, own in gold for text in own})
    index = Index(
        Passage(id=f"s{n}", title="", text=text, citation="BioASQ", licence="CC-BY-2.5") for n, text in enumerate(texts)
    )
    ranked = [(index.rank(Query(text=body))[:1], own) for body, own in gold]
    assert sum(bool(found) and found[0].text in own for found, own in ranked) >= 0.8 * len(gold)
    hits = [(index.search(Query(text=body)), own) for body, own in gold]
    assert sum(bool(found) for found, _ in hits) >= 0.9 * len(gold)
    assert sum(found[0].passage.text in own for found, own in hits if found) >= 0.8 * len(gold)
    # Its own snippets held back, a question finds none of them, nor a copy.
    for body, own in gold[:10]:
        assert not any(hit.passage.text in own for hit in index.without(own).search(Query(text=body)))
