"""Postings equal those of bm25s, in memory and on disk, however they are sliced."""

from __future__ import annotations

from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyclinic.knowledge.index import postings
from polyclinic.knowledge.index.postings import K1, B, Flat, Postings

corpora = st.lists(st.lists(st.integers(0, 12), max_size=9), max_size=14)


def flat(documents: list[list[int]]) -> Flat:
    return Flat(
        np.array([number for one in documents for number in one], dtype=np.uint32),
        np.array([len(one) for one in documents], dtype=np.uint32),
    )


def reference(documents: list[list[int]], terms: int) -> bm25s.BM25:
    model = bm25s.BM25(k1=K1, b=B, method="lucene", dtype="float32", int_dtype="int64")
    vocabulary = {str(number): number for number in range(terms)}
    model.index((documents, vocabulary), show_progress=False, create_empty_token=False)
    return model


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=corpora, asked=st.lists(st.integers(0, 12), max_size=5), size=st.integers(1, 5))
def test_scores_equal_those_of_bm25s(
    documents: list[list[int]], asked: list[int], size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postings, "SLICE", size)
    terms = 13
    told: list[int] = []
    made = Postings.build(flat(documents), terms, step=told.append)
    Postings.build(flat(documents), terms, folder=tmp_path)
    opened = Postings.open(tmp_path, len(documents))
    assert sum(told) == 2 * len(documents)
    for one in (made, opened):
        scores = one.scores(asked)
        assert scores.shape == (len(documents),)
        if asked and any(documents):
            expected = reference(documents, terms).get_scores_from_ids(asked)
            np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
        else:
            assert not scores.any()
        for number in range(terms):
            assert one.frequency(number) == sum(number in document for document in documents)
    for name in ("starts", "rows", "gains"):
        size_made = len(getattr(made, name))
        np.testing.assert_array_equal(getattr(made, name), getattr(opened, name)[:size_made])


def test_nothing_is_indexed_and_opened(tmp_path: Path) -> None:
    for documents in ([], [[]], [[], []]):
        Postings.build(flat(documents), 0, folder=tmp_path)
        assert Postings.open(tmp_path, len(documents)).scores([]).tolist() == [0.0] * len(documents)


def test_a_document_gives_its_terms_back() -> None:
    documents = [[3, 1, 3], [], [2]]
    assert [flat(documents).of(row).tolist() for row in range(3)] == documents
