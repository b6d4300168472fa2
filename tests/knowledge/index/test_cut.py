"""Documents cut into passages: every word in one of them, none too long, and each knows where it starts."""

from __future__ import annotations

import datetime
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from polyclinic.knowledge.index.cut import WORDS, fingerprint, passages, stretches
from polyclinic.knowledge.sources.protocol import Document

words = st.sampled_from(["word", "e.g.", "No.", "3.5", "naïve", "x" * 30, "未知", "?", "end.", "(so!)", "\x0b", "-"])
gaps = st.sampled_from([" ", "  ", "\n", "\n\n", "\t", "\u00a0", "\r\n", "\x85"])
texts = st.lists(st.tuples(words, gaps, st.integers(1, 60)), max_size=30).map(
    lambda parts: "".join((word + gap) * times for word, gap, times in parts)
)


def document(text: str, **fields: object) -> Document:
    return Document(**{"id": "d", "title": "t", "text": text, "citation": "c", "licence": "l", **fields})  # type: ignore[arg-type]


@settings(max_examples=300)
@given(texts)
def test_pieces_cover_all_words_in_order(text: str) -> None:
    pieces = stretches(text)
    assert [word for start, end in pieces for word in text[start:end].split()] == text.split()
    assert all(len(text[start:end].split()) <= WORDS for start, end in pieces)
    assert all(a[1] <= b[0] for a, b in pairwise(pieces))


@settings(max_examples=200)
@given(texts)
def test_passages_point_back_into_their_document(text: str) -> None:
    found = list(passages(document(text), "s", Path("/w")))
    assert [one.text for one in found] == [text[one.offset : one.offset + len(one.text)] for one in found]
    assert {(one.document, one.source, one.title) for one in found} == {("d", "s", "t")}
    assert len({one.id for one in found}) == len(found)
    assert len(found) > 1 or found[0].id == "s/d"
    assert " ".join(one.text for one in found).split() == text.split()


def test_whole_sentences_stay_together() -> None:
    text = "One two three four five six seven eight nine ten. " * 40
    found = list(passages(document(text), "s", Path("/w")))
    assert [len(one.text.split()) for one in found] == [180, 180, 40]
    assert all(one.text.startswith("One") and one.text.endswith("ten.") for one in found)
    assert [one.id for one in found] == ["s/d#1", "s/d#2", "s/d#3"]


def test_a_sentence_without_end_is_cut_in_linear_time() -> None:
    text = "word " * 400_000
    started = time.process_time()
    assert len(stretches(text)) == -(-400_000 // WORDS)
    assert time.process_time() - started < 10


def test_the_fingerprint_is_of_what_a_document_says_and_shows() -> None:
    def hashed(text: str, shown: int | None = None, **fields: object) -> str:
        picture = None if shown is None else np.full((2, 2), shown, dtype=np.uint8)
        return fingerprint(list(passages(document(text, **fields), "s", Path("/w"))), picture)

    same = [hashed("a"), hashed("a", citation="other"), hashed("a", licence="other"), hashed("a", modalities=("ct",))]
    assert len(set(same)) == 1
    long = "One two three four five six seven eight nine ten. " * 40
    other = [
        hashed("b"), hashed("a", title="u"), hashed("a", date=datetime.date(2024, 1, 1)), hashed("a", label="x"),
        hashed("a", domains=("surgery",)), hashed("a", 1), hashed("a", 2), hashed(long), hashed(long + "One."),
        hashed("One. " + long),
    ]  # fmt: skip
    assert len({*same, *other}) == 1 + len(other)


def test_a_picture_is_one_passage_whatever_is_said_and_names_nobody() -> None:
    (shared,) = passages(document("word " * 500, picture=Path("/w/a/Doe.png")), "s", Path("/w"))
    assert shared.picture == "a/Doe.png"
    (own,) = passages(document("", picture=Path("/w/a/Doe.png"), patient_id="p-1", id="k"), "s", Path("/w"))
    assert "Doe" not in own.model_dump_json()
    assert own.picture == "k"
    (outside,) = passages(document("", picture=Path("/elsewhere/b.png")), "s", Path("/w"))
    assert outside.picture == "b.png"
