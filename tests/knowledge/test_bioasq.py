"""BM25 finds BioASQ's gold snippets better than the dense encoder does: the reason for the default weight."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyclinic.knowledge.index.search import Index
from polyclinic.knowledge.store import Passage, Query


def test_bm25_beats_the_dense_encoder_on_gold_snippets(data_dir: Path) -> None:
    file = data_dir / "bioasq_golden" / "Task9BGoldenEnriched" / "9B1_golden.json"
    if not file.is_file():
        pytest.skip(f"no BioASQ questions: {file} is missing")
    questions = json.loads(file.read_text(encoding="utf-8"))["questions"]
    gold = [(item["body"], {snippet["text"] for snippet in item["snippets"]}) for item in questions]
    texts = sorted({text for _, own in gold for text in own})
    passages = [
        Passage(id=f"s{n}", title="", text=text, citation="BioASQ", licence="CC-BY-2.5") for n, text in enumerate(texts)
    ]

    def first_is_gold(weight: float) -> float:
        index = Index(passages, dense_weight=weight)
        firsts = [(index.rank(Query(text=body))[:1], own) for body, own in gold]
        return sum(found[0].text in own for found, own in firsts if found) / len(gold)

    assert first_is_gold(0.0) >= max(0.8, first_is_gold(1.0) + 0.03)
