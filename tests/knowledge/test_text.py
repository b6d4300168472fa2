"""The tokenizer and the sentence splitter: what is folded together, what is kept apart, and that nothing crashes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.knowledge.text import sentences, terms


@pytest.mark.parametrize(
    ("british", "american"),
    [
        ("haemorrhage", "hemorrhage"),
        ("oedema", "edema"),
        ("anaemia", "anemia"),
        ("paediatric tumours", "pediatric tumors"),
        ("calibre", "caliber"),
        ("titre", "titer"),
        ("localised", "localized"),
        ("catheterisation", "catheterization"),
        ("labelled", "labeled"),
        ("sulphate", "sulfate"),
        ("diarrhoea", "diarrhea"),
    ],
)
def test_british_and_american_spelling_meet(british: str, american: str) -> None:
    assert terms(british) == terms(american)


@pytest.mark.parametrize(
    ("one", "many"),
    [("nodule", "nodules"), ("diagnosis", "diagnoses"), ("biopsy", "biopsies"), ("metastasis", "metastases")],
)
def test_singular_and_plural_meet(one: str, many: str) -> None:
    assert terms(one) == terms(many)


def test_hyphens_numbers_and_units() -> None:
    assert terms("HER-2, Ki-67 and IL-6") == ["her2", "ki67", "il6"]
    assert terms("cup-to-disc") == ["cup", "disc"]
    assert terms("30mm 6.5 % 1,500") == ["30", "mm", "6.5", "1500"]
    assert terms("CO2 B12 T2") == ["co2", "b12", "t2"]


def test_words_that_only_look_alike_stay_apart() -> None:
    assert terms("sepsis") == ["sepsis"]
    assert terms("abscess") == ["abscess"]
    assert terms("thrombus") != terms("thrombi")
    assert terms("grey") == terms("gray")
    assert terms("what is the") == []


@given(st.text(max_size=200))
def test_any_text_gives_terms_without_spaces(text: str) -> None:
    found = terms(text)
    assert all(term and not any(c.isspace() for c in term) for term in found)
    assert terms(text) == found


@given(st.text(max_size=200))
def test_sentences_are_ordered_trimmed_and_lose_no_letter(text: str) -> None:
    spans = sentences(text)
    assert "".join(text[a:b] for a, b in spans).split() == text.split() or len(spans) > 1
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
    assert all(a < b and text[a:b] == text[a:b].strip() for a, b in spans)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


def test_an_abbreviation_or_a_decimal_ends_no_sentence() -> None:
    text = "Use a drug, e.g. Nimodipine, at 6.5 mg. Then wait! Smith et al. Agree?"
    assert [text[a:b] for a, b in sentences(text)] == [
        "Use a drug, e.g. Nimodipine, at 6.5 mg.",
        "Then wait!",
        "Smith et al. Agree?",
    ]


def test_no_ends_a_sentence_unless_a_number_follows() -> None:
    text = "Pain: No. Fever? See No. 5 of the list. Done."
    assert [text[start:end] for start, end in sentences(text)] == [
        "Pain: No.",
        "Fever?",
        "See No. 5 of the list.",
        "Done.",
    ]
