"""Confidence: the probability of the letter that was chosen, however a tokenizer cuts the text, and fair votes."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.agents.engines.confidence import LEAST_MASS, ballot, elected, option_probabilities
from polyclinic.agents.tasks import OpinionDraft, Pick, SpecialistTurn, TriagePlan, Verdict

LETTERS = ("A", "B", "C")


def found(text: str, tokens: Any, letters: tuple[str, ...] = LETTERS) -> dict[str, float] | None:
    return option_probabilities(text, {"content": tokens}, letters)


def token(text: str, logprob: float = 0.0, *alternatives: tuple[str, float]) -> dict[str, Any]:
    named = [{"token": each, "bytes": list(each.encode()), "logprob": value} for each, value in alternatives]
    own = {"token": text, "bytes": list(text.encode()), "logprob": logprob}
    return {**own, "top_logprobs": named or [dict(own)]}


def cut(text: str, pieces: list[str], at: int, *alternatives: tuple[str, float]) -> list[dict[str, Any]]:
    assert "".join(pieces) == text
    return [
        token(piece, -0.1, *(alternatives if number == at else ((piece, -0.1),))) for number, piece in enumerate(pieces)
    ]


def reply(option: str | None = "B", reasoning: str = "r", **more: Any) -> str:
    return json.dumps({"reasoning": reasoning, "answer": "x", "option": option, **more}, ensure_ascii=False)


def logs(**shares: float) -> list[tuple[str, float]]:
    return [(letter, math.log(share)) for letter, share in shares.items()]


def test_the_letters_share_the_probability() -> None:
    text = reply()
    before, after = text.split('"option": "B"')
    tokens = cut(text, [before, '"option": "', "B", '"' + after], 2, *logs(B=0.6, A=0.3, C=0.1))
    assert found(text, tokens) == {"A": 0.3, "B": 0.6, "C": 0.1}


@pytest.mark.parametrize(
    ("pieces", "at", "alternatives"),
    [
        (['"option"', ': "B', '"'], 1, [(': "B', 0.6), (': "A', 0.3), (': "C', 0.1)]),
        (['"option":', ' "', 'B"'], 2, [('B"', 0.6), ('A"', 0.3), ('C"', 0.1)]),
        (['"option": ', '"B"}'], 1, [('"B"}', 0.5), ('"B"', 0.1), ('"A"', 0.3), ('"C",', 0.1)]),
        (['"option": "', "B"], 1, [("B", 0.5), (" B", 0.1), ("A", 0.3), ("C", 0.1)]),
        (['"option": "B"'], 0, [('"option": "B"', 0.6), ('"option": "A"', 0.3), ('"option": "C"', 0.1)]),
        (['"opt', 'ion": "', "B"], 2, [("B", 0.6), ("A", 0.3), ("C", 0.1), ("\n", 0.2), ("<|im_end|>", 0.1)]),
    ],
)
def test_a_token_may_hold_more_than_the_letter(pieces: list[str], at: int, alternatives: list[Any]) -> None:
    text = reply()
    before, after = text.rsplit("".join(pieces), 1)
    whole = [piece for piece in (before, *pieces, after) if piece]
    tokens = cut(text, whole, at + 1, *((each, math.log(share)) for each, share in alternatives))
    assert found(text, tokens) == {"A": 0.3, "B": 0.6, "C": 0.1}


def test_a_letter_that_is_not_shown_gets_the_most_it_can_have() -> None:
    text = reply()
    before, after = text.rsplit("B", 1)
    tokens = cut(text, [before, "B", after], 1, *logs(B=0.9, A=0.05), ("x", math.log(0.01)))
    shares = found(text, tokens)
    assert shares is not None
    assert shares == {letter: round(value / 0.96, 6) for letter, value in {"A": 0.05, "B": 0.9, "C": 0.01}.items()}


def test_an_option_named_in_the_reasoning_is_not_the_one_chosen() -> None:
    text = reply(reasoning='Some would write "option": "B" here, or "option":"C".', option="A")
    before, after = text.rsplit('"A"', 1)
    tokens = cut(text, [before, '"', "A", '"' + after], 2, *logs(A=0.8, B=0.1, C=0.1))
    assert found(text, tokens) == {"A": 0.8, "B": 0.1, "C": 0.1}


def test_thinking_before_the_reply_and_characters_split_over_tokens_do_not_shift_the_place() -> None:
    text = reply(reasoning="Größe 12 µm 🫀")
    said = ("<think>" + reply("C") + "</think>\n" + text).encode()
    place = said.rfind(b'"option": "B"') + len(b'"option": "')
    pieces = [said[start : start + 3] for start in range(0, place, 3)]
    pieces[-1] = said[(len(pieces) - 1) * 3 : place]
    tokens = [
        {"token": piece.decode(errors="replace"), "bytes": list(piece), "logprob": 0.0, "top_logprobs": []}
        for piece in pieces
    ]
    tokens += [token("B", -0.1, *logs(B=0.7, A=0.2, C=0.1)), token(said[place + 1 :].decode())]
    assert found(text, tokens) == {"A": 0.2, "B": 0.7, "C": 0.1}


def test_tokens_without_bytes_are_read_by_their_text() -> None:
    text = reply()
    before, after = text.rsplit("B", 1)
    tokens = [{**each, "bytes": None} for each in cut(text, [before, "B", after], 1, *logs(B=0.5, A=0.3, C=0.2))]
    assert found(text, tokens) == {"A": 0.3, "B": 0.5, "C": 0.2}


@pytest.mark.parametrize(
    ("text", "tokens", "letters"),
    [
        (reply(None), [token(reply(None))], LETTERS),  # abstains
        (reply(), None, LETTERS),
        (reply(), [], LETTERS),
        (reply(), [token("something else")], LETTERS),
        (reply(), [token(reply())], ()),
        ("no JSON", [token("no JSON")], LETTERS),
        ("", [], LETTERS),
    ],
)
def test_where_no_letter_can_be_weighed_there_is_none(text: str, tokens: Any, letters: tuple[str, ...]) -> None:
    assert found(text, tokens, letters) is None


@given(
    shares=st.lists(st.floats(1e-9, 1.0), min_size=2, max_size=9),
    shown=st.integers(1, 9),
    reasoning=st.text(max_size=40),
    size=st.integers(1, 9),
)
def test_shares_of_any_well_formed_reply_sum_to_one(shares: list[float], shown: int, reasoning: str, size: int) -> None:
    letters = tuple("ABCDEFGHI"[: len(shares)])
    text = reply("A", reasoning.encode(errors="replace").decode())
    before, after = text.rsplit('"A"', 1)
    ranked = sorted(zip(letters, shares, strict=True), key=lambda pair: -pair[1])[:shown]
    tokens = [token((before + '"')[start : start + size]) for start in range(0, len(before) + 1, size)]
    tokens += [token("A", -0.1, *((letter, math.log(share)) for letter, share in ranked)), token('"' + after)]
    weighed = found(text, tokens, letters)
    if weighed is None:  # the letters are improbable altogether
        assert sum(share for _, share in ranked) < LEAST_MASS * (1 + 1e-9)
        return
    assert set(weighed) == set(letters)
    assert all(0 <= share <= 1 for share in weighed.values())
    assert math.fsum(weighed.values()) == pytest.approx(1, abs=1e-5)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-300, 300) | st.floats() | st.text(max_size=4),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=4), inside, max_size=4),
    max_leaves=8,
)
_TOKEN = st.fixed_dictionaries(
    {}, optional={"token": _JSON, "bytes": _JSON, "logprob": _JSON, "top_logprobs": _JSON | st.lists(_JSON, max_size=3)}
)


@given(tokens=_JSON | st.lists(_TOKEN | _JSON, max_size=4))
def test_junk_instead_of_tokens_is_no_probability_and_no_crash(tokens: Any) -> None:
    assert found(reply(), tokens) is None
    assert option_probabilities(reply(), tokens, LETTERS) is None


@pytest.mark.parametrize(
    "spoilt",
    [
        {"token": "B", "bytes": [66]},
        {"token": "B", "bytes": [66], "logprob": None},
        {"token": "B", "bytes": [6600], "logprob": -0.1},
        {"token": "B", "bytes": "B", "logprob": -0.1},
        "B",
    ],
)
def test_a_spoilt_alternative_is_no_crash(spoilt: Any) -> None:
    text = reply()
    before, after = text.rsplit("B", 1)
    tokens = cut(text, [before, "B", after], 1, *logs(B=0.5, A=0.5))
    tokens[1]["top_logprobs"].append(spoilt)
    weighed = found(text, tokens)
    assert weighed is None or math.fsum(weighed.values()) == pytest.approx(1)


def test_half_a_character_is_no_crash() -> None:
    assert found(reply(reasoning="\ud83e"), [token("x")]) is None


# Votes


def draft(kind: type[Any] = OpinionDraft, **more: Any) -> Any:
    return kind(**{"reasoning": "r", "answer": "Yes", **more})


def test_what_a_sample_votes_for() -> None:
    assert ballot(draft(option="B")) == ballot(draft(Verdict, option="B", answer="No")) == "B"
    assert ballot(draft(answer="  A  Nodule ")) == ballot(draft(answer="a nodule"))
    assert ballot(draft(option="B", abstains=True)) == "abstains"
    assert ballot(SpecialistTurn(reasoning="r")) == "asks for more"
    assert ballot(SpecialistTurn(reasoning="r", opinion=draft(option="C"))) == "C"
    picks = (Pick(reason="r", specialty="b"), Pick(reason="s", specialty="a"))
    plan: dict[str, Any] = {"reasoning": "r", "urgency": "routine", "difficulty": "hard"}
    assert ballot(TriagePlan(specialists=picks, **plan)) == ballot(TriagePlan(specialists=picks[::-1], **plan))


@pytest.mark.parametrize(
    ("ballots", "winner", "share"),
    [("A", 0, 1.0), ("ABB", 1, 2 / 3), ("ABAB", 0, 0.5), ("CBAAB", 1, 0.4), ("ABC", 0, 1 / 3)],
)
def test_the_majority_wins_and_ties_go_to_the_earlier(ballots: str, winner: int, share: float) -> None:
    assert elected(list(ballots)) == (winner, pytest.approx(share))


@given(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=20))
def test_nobody_has_more_votes_than_the_elected(ballots: list[str]) -> None:
    number, share = elected(ballots)
    most = max(ballots.count(choice) for choice in ballots)
    assert share == most / len(ballots)
    assert number == min(ballots.index(choice) for choice in ballots if ballots.count(choice) == most)
