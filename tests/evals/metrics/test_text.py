"""Measures of short answers: against their published definitions, written out here, and their reference packages."""

from __future__ import annotations

import itertools
import math
import re
import string
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError, MissingExtraError
from polyclinic.evals.metrics import text
from polyclinic.evals.metrics.text import (
    best_over,
    chrf,
    exact,
    factoid,
    items_in,
    list_f1,
    list_overlap,
    normalised,
    normalised_match,
    rouge_l,
    same_answer,
    token_f1,
    vqa_match,
    vqa_normalised,
    yes_no,
    yes_or_no,
)

WORDS = ["the", "A", "an", "left", "Left", "lung,", "1.5", "x-ray", "(lower)", "none", "two", "Ödem", "p53", "?", "a"]
TEXTS = st.one_of(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), st.text(max_size=30))
NAMES = st.sampled_from(["p53", "TP53", "brca1 ", "BRCA1", "egfr", "her2", ""])


def squad(words: str) -> str:
    """The normalisation of SQuAD's evaluate-v2.0.py, step by step."""
    lowered = "".join(sign for sign in words.lower() if sign not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", lowered).split())


@given(TEXTS)
def test_the_normalised_text_is_squads(words: str) -> None:
    assert normalised(words) == squad(words)


@given(TEXTS, TEXTS)
def test_token_f1_is_squads(said: str, right: str) -> None:
    ours, theirs = squad(said).split(), squad(right).split()
    common = sum((Counter(ours) & Counter(theirs)).values())
    if not ours or not theirs:
        expected = float(ours == theirs)
    elif not common:
        expected = 0.0
    else:
        precision, recall = common / len(ours), common / len(theirs)
        expected = 2 * precision * recall / (precision + recall)
    assert token_f1(said, right) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("The left lung.", "left lung"),
        ("two", "2"),
        ("None", "0"),
        ("x-ray", "x ray"),  # no space beside the sign: it becomes one
        ("left -sided", "left sided"),
        ("yes, it is", "yes it is"),
        ("1,000 cells/ul", "1000 cellsul"),  # a comma between digits: every sign goes without a space
        ("1.5 cm", "1.5 cm"),
        ("5.", "5"),
        ("don't", "dont"),
        ("dont\nknow", "dont know"),
        ("a an the", ""),
        ("?", ""),
    ],
)
def test_the_text_as_vqa_compares_it(written: str, compared: str) -> None:
    assert vqa_normalised(written) == compared


def test_what_published_normalisation_equates_stays_apart_when_compared_exactly() -> None:
    for one, other in (("hepatitis A", "hepatitis"), ("1.5", "15"), ("vitamin a", "Vitamin")):
        assert normalised_match(one, other) == 1.0
        assert exact(one, other) == 0.0
    assert vqa_match("1.5", "15") == 0.0
    assert exact(" yes\n", "yes") == 1.0
    assert exact("Yes", "yes") == 0.0


def test_texts_of_which_nothing_is_left_match_only_as_written() -> None:
    assert normalised_match("the", "?!") == 0.0
    assert normalised_match("?!", "?!") == 1.0
    assert normalised_match("", "the") == 0.0
    assert vqa_match("the", "a") == 0.0


@given(TEXTS, TEXTS)
def test_every_measure_is_in_range_and_knows_the_same_text(said: str, right: str) -> None:
    for likeness in (exact, normalised_match, vqa_match, token_f1):
        assert 0.0 <= likeness(said, right) <= 1.0
        assert likeness(said, right) == likeness(right, said)
        assert likeness(said, said) == 1.0


def test_the_best_accepted_answer_counts_and_there_must_be_one() -> None:
    assert best_over(token_f1, "left lower lobe", ["right lung", "lower lobe"]) == pytest.approx(0.8)
    with pytest.raises(InputError, match="one accepted answer or more"):
        best_over(exact, "yes", [])


def by_hand_rouge_l(said: str, right: str) -> float:
    ours, theirs = (re.findall(r"[a-z0-9]+", words.lower()) for words in (said, right))
    longest = max(
        (
            size
            for size in range(1, min(len(ours), len(theirs)) + 1)
            if {*itertools.combinations(ours, size)} & {*itertools.combinations(theirs, size)}
        ),
        default=0,
    )
    return 2 * longest / (len(ours) + len(theirs)) if longest else 0.0


@given(TEXTS, TEXTS)
def test_rouge_l_is_the_f1_of_the_longest_common_run(said: str, right: str) -> None:
    pytest.importorskip("rouge_score", reason="rouge_l needs rouge-score: install polyclinic[eval]")
    assert rouge_l(said, right) == pytest.approx(by_hand_rouge_l(said, right))


def by_hand_chrf(said: str, right: str) -> float:
    ours, theirs = "".join(said.split()), "".join(right.split())
    shares = []
    for wide in range(1, 7):
        one = Counter(ours[k : k + wide] for k in range(len(ours) - wide + 1))
        other = Counter(theirs[k : k + wide] for k in range(len(theirs) - wide + 1))
        if one and other:  # orders that one of the texts is too short for are left out
            common = (one & other).total()
            shares.append((common / one.total(), common / other.total()))
    if not shares:
        return 0.0
    precision, recall = (sum(share[k] for share in shares) / len(shares) for k in (0, 1))
    return 5 * precision * recall / (4 * precision + recall) if precision + recall else 0.0


@given(st.text("abc de", max_size=12), st.text("abc de", max_size=12))
def test_chrf_is_the_f2_of_character_n_grams(said: str, right: str) -> None:
    pytest.importorskip("sacrebleu", reason="chrf needs sacrebleu: install polyclinic[eval]")
    assert chrf(said, right) == pytest.approx(by_hand_chrf(said, right))


def test_the_best_of_several_references_is_sacrebleus() -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="chrf needs sacrebleu: install polyclinic[eval]")
    rights = ["pleural effusion on the left", "left effusion", "fluid"]
    expected = sacrebleu.sentence_chrf("left pleural effusion", rights).score / 100
    assert best_over(chrf, "left pleural effusion", rights) == pytest.approx(expected)


@pytest.mark.parametrize(("measure", "package"), [(rouge_l, "rouge_score"), (chrf, "sacrebleu")])
def test_without_its_package_a_measure_says_what_to_install(
    measure: text.Likeness, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    text._rouge.cache_clear()
    text._chrf.cache_clear()
    with pytest.raises(MissingExtraError, match=r"polyclinic\[eval\]"):
        measure("a", "a")


@given(st.lists(NAMES, max_size=5), st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=4))
def test_a_list_answer_hits_as_many_items_as_one_to_one_allows(said: list[str], items: list[list[str]]) -> None:
    found = list_overlap(said, items)
    distinct = {name.strip().casefold() for name in said if name.strip()}
    folded = [{name.strip().casefold() for name in names} for names in items]
    most = 0
    for size in range(1, min(len(distinct), len(items)) + 1):
        for ours in itertools.permutations(sorted(distinct), size):
            for theirs in itertools.combinations(folded, size):
                if all(name in names for name, names in zip(ours, theirs, strict=True)):
                    most = size
    assert (found.hits, found.said, found.there) == (most, len(distinct), len(items))


def test_synonyms_of_one_item_are_one_hit_and_repeats_are_one_answer() -> None:
    items = [["p53", "TP53"], ["BRCA1"]]
    assert list_f1(["TP53", "brca1"], items) == 1.0
    assert list_f1(["tp53", "p53", "P53 ", "BRCA1"], items) == pytest.approx(2 * 2 / (3 + 2))
    assert list_f1([], items) == 0.0
    assert list_f1(["the p53 gene"], items) == 0.0
    assert list_f1(["the p53"], items, likeness=normalised_match) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("said", "strict", "lenient", "rank"),
    [
        (["p53"], 1.0, 1.0, 1.0),
        (["egfr", "TP53 ", "p53"], 0.0, 1.0, 0.5),
        (["1", "2", "3", "4", "5", "p53"], 0.0, 0.0, 0.0),  # the sixth is not read
        ([], 0.0, 0.0, 0.0),
    ],
)
def test_factoids_count_the_first_and_the_first_five(
    said: list[str], strict: float, lenient: float, rank: float
) -> None:
    found = factoid(said, ["tp53", "P53"])
    assert (found.strict, found.lenient, found.reciprocal_rank) == (strict, lenient, rank)


@pytest.mark.parametrize(
    ("said", "read"),
    [("Yes, it does.", "yes"), ("NO", "no"), ("The yes", "yes"), ("Notably", ""), ("It does: yes", ""), ("", "")],
)
def test_yes_and_no_are_read_at_the_beginning(said: str, read: str) -> None:
    assert yes_or_no(said) == read


def test_a_silence_is_wrong_and_no_class_of_its_own() -> None:
    found = yes_no(["yes", "", "no", "yes"], ["yes", "yes", "no", "no"])
    assert found.accuracy == 0.5
    assert found.f1_yes == pytest.approx(2 * 1 / (2 + 2))
    assert found.f1_no == pytest.approx(2 * 1 / (1 + 2))
    assert found.macro_f1 == pytest.approx((found.f1_yes + found.f1_no) / 2)
    assert math.isnan(yes_no([], []).accuracy)
    assert yes_no(["yes"], ["yes"]).macro_f1 == 0.5  # the class that never occurs has F1 0


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("27%", "2.7%"), ("c.19G<A", "c.19G>A"), ("Hemophilia", "Hemophilia A"), ("Hepatitis A", "hepatitis"),
        ("25cm x 17cm", "2.5cm x 1.7cm"), ("Uc.160-", "Uc.160+"), ("CD4", "CD4+"), ("5", "-5"), ("2", "three"),
    ],
)  # fmt: skip
def test_other_numbers_signs_and_letters_are_another_answer(said: str, right: str) -> None:
    assert same_answer(said, right) == same_answer(right, said) == 0.0


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("two.", "2"), ("a fracture", "Fracture"), ("hemophilia a", "Hemophilia A"), ("1,000", "1000"),
        ("hepatitis a virus", "Hepatitis A virus"), ("a mass in a lung", "Mass in lung"), ("None.", "none"),
        ("x ray", "x-ray"),
    ],
)  # fmt: skip
def test_the_same_answer_in_another_dress_is_the_same(said: str, right: str) -> None:
    assert same_answer(said, right) == same_answer(right, said) == 1.0


def test_no_two_texts_are_the_same_answer_that_neither_vqa_nor_squad_takes_for_one() -> None:
    @given(TEXTS, TEXTS)
    def held(said: str, right: str) -> None:
        assert same_answer(said, right) <= max(vqa_match(said, right), normalised_match(said, right))
        assert same_answer(said, said) == 1.0

    held()


@pytest.mark.parametrize(
    "text",
    [
        "aspirin, vitamin B-12 and iron", "aspirin, vitamin B-12, and iron.", "aspirin; vitamin B-12; iron",
        "1. aspirin\n2. vitamin B-12\n3. iron", "(1) aspirin\n(2) vitamin B-12\n(3) iron",
        "They are:\n• aspirin\n• vitamin B-12\n• iron", "- aspirin\n- vitamin B-12\n- iron\nThese three help.",
        "aspirin\nvitamin B-12\niron",
    ],
)  # fmt: skip
def test_a_list_is_read_however_it_is_written(text: str) -> None:
    assert items_in(text) == ("aspirin", "vitamin B-12", "iron")


def test_a_list_of_one_or_none_and_commas_in_names() -> None:
    assert items_in("1,25-dihydroxyvitamin D") == ("1,25-dihydroxyvitamin D",)
    assert items_in(" \n. ") == items_in("") == ()


@pytest.mark.parametrize(
    ("said", "right", "same"),
    [
        ("1,25 mg", "125 mg", False),
        ("1,250 mg", "1250 mg", True),
        ("A hepatitis", "hepatitis A", False),
        ("x-ray", "xray", True),
        ("IL-6", "IL6", True),
        ("EC 1.2.3", "EC 1.2-3", False),
        ("O -", "O", False),
        ("O -", "O-", True),
        ("1/2", "1-2", False),
        ("120 / 80 mmHg", "120/80 mmHg", True),
        ("x != 5", "x = 5", False),
    ],
)
def test_what_makes_two_answers_one(said: str, right: str, same: bool) -> None:
    assert same_answer(said, right) == same_answer(right, said) == float(same)


def test_items_of_a_list_keep_the_capitals_that_mean_something() -> None:
    for said, right in (("hepatitis virus", "Hepatitis A virus"), ("vitamin deficiency", "Vitamin A deficiency")):
        assert list_f1([said], [[right]], likeness=same_answer) == 0.0
        assert list_f1([right.upper()], [[right]], likeness=same_answer) == 1.0
    assert list_overlap(["p53", " P53", "P53 "], [["p53"]]).said == 1


def test_lists_of_many_lines_and_with_a_heading_are_read() -> None:
    assert items_in("\n".join(f"{n}. item {n}" for n in range(1, 13))) == tuple(f"item {n}" for n in range(1, 13))
    assert items_in("They are:\naspirin\niron") == ("aspirin", "iron")
