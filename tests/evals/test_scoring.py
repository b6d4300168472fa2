"""From what was said to a row: right answers, wrong ones, and all the ways of not answering."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyclinic.core.case import Case
from polyclinic.evals.metrics.text import chrf
from polyclinic.evals.outcomes import OUTCOMES, Place, Row, Said
from polyclinic.evals.sample import Answer, Answers, Boxes, Letter, Mask, Points, Sample, Target
from polyclinic.evals.scoring import row_of, shown_target


def sample(target: Target, **more: object) -> Sample:
    options = {"A": "yes", "B": "no"} if isinstance(target, Letter) else {}
    return Sample(case=Case(id="s1", question="Is it?", options=options), target=target, group="g", **more)  # type: ignore[arg-type]


def outcome(target: Target, said: Said, **more: object) -> str:
    return row_of(sample(target, **more), said, benchmark="quiz", arm="one", epoch=1).outcome


def test_options_are_right_or_wrong_by_their_letter() -> None:
    assert outcome(Letter(letter="A"), Said(option="A", answer="no")) == "right"
    assert outcome(Letter(letter="A"), Said(option="B", answer="yes")) == "wrong"


@pytest.mark.parametrize("option", [None, "C", "a"])
def test_an_answer_without_an_option_there_is_cannot_be_read(option: str | None) -> None:
    assert outcome(Letter(letter="A"), Said(option=option, answer="yes")) == "unparsable"


@pytest.mark.parametrize("silence", OUTCOMES[2:])
def test_silence_is_kept_as_it_is_even_where_an_option_is_right(silence: str) -> None:
    said = Said(option="A", answer="yes", silence=silence)  # type: ignore[arg-type]
    row = row_of(sample(Letter(letter="A")), said, benchmark="quiz", arm="one", epoch=1)
    assert row.outcome == silence
    assert row.scores == {}


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("the Liver.", True),
        ("liver", True),
        ("hepar", True),
        ("2", True),
        ("two", True),
        ("liver and spleen", False),
        ("", False),
    ],
)
def test_short_answers_are_right_in_any_accepted_form(said: str, right: bool) -> None:
    target = Answer(accepted=("liver", "hepar", "two"))
    assert outcome(target, Said(answer=said)) == ("right" if right else "wrong")


def test_a_list_is_right_when_it_is_whole() -> None:
    target = Answers(items=(("TP53", "p53"), ("BRCA1",)))
    assert outcome(target, Said(answer="BRCA1, p53")) == "right"
    assert outcome(target, Said(answer="- BRCA1\n- TP53")) == "right"
    row = row_of(sample(target), Said(answer="BRCA1; KRAS"), benchmark="quiz", arm="one", epoch=1)
    assert row.outcome == "wrong"
    assert row.scores["list F1"] == pytest.approx(0.5)


def test_what_is_cited_is_held_against_the_gold_evidence() -> None:
    said = Said(option="A", answer="yes", cited=("1", "9"))
    row = row_of(sample(Letter(letter="A"), gold=("1", "2", "3", "4")), said, benchmark="quiz", arm="one", epoch=1)
    assert row.scores == {"citation recall": 0.25, "citation precision": 0.5}
    silent = row_of(
        sample(Letter(letter="A"), gold=("1",)), Said(option="A", answer="yes"), benchmark="quiz", arm="one", epoch=1
    )
    assert silent.scores == {"citation recall": 0.0}


def test_what_is_not_of_the_kind_that_was_asked_for_cannot_be_read(tmp_path: Path) -> None:
    spoken = Said(answer="there, in the corner")
    assert outcome(Boxes(boxes=(("lesion", (0, 0, 5, 5)),)), spoken) == "unparsable"
    assert outcome(Points(points=(("cell", (1.0, 1.0)),)), spoken) == "unparsable"
    assert outcome(Mask(path=tmp_path / "truth.png", label="lesion"), spoken) == "unparsable"


def test_places_are_shown_by_their_number() -> None:
    target = Boxes(boxes=(("cell", (0, 0, 5, 5)), ("cell", (9, 9, 12, 12))))
    said = Said(boxes=(Place(label="cell", box=(0, 0, 5, 5)), Place(label="cell", box=(40, 40, 45, 45), score=0.2)))
    row = row_of(sample(target), said, benchmark="quiz", arm="one", epoch=1)
    assert (row.target, row.shown, row.outcome) == ("2 cell", "1 cell", "wrong")
    assert row.there == (Place(label="", box=(0, 0, 5, 5)), Place(label="", box=(9, 9, 12, 12)))  # one thing is sought
    assert Row.model_validate(row.model_dump(mode="json")) == row


GENES = Answers(items=(("TP53", "p53"), ("BRCA1",)))


def test_what_is_listed_counts_before_what_is_said_and_is_shown_by_its_first_names() -> None:
    assert outcome(GENES, Said(answer="two genes", answers=("BRCA1", "p53"))) == "right"
    assert shown_target(sample(GENES)) == "TP53; BRCA1"


def test_silence_is_shown_and_each_score_is_its_own() -> None:
    silent = Said(option="A", answer="yes", silence="abstained")
    assert row_of(sample(Letter(letter="A")), silent, benchmark="b", arm="a", epoch=1).shown == "abstained"
    answered = row_of(
        sample(Answer(accepted=("left lung",))), Said(answer="left lungs"), benchmark="b", arm="a", epoch=1
    )
    assert answered.scores["chrF"] == chrf("left lungs", "left lung") != answered.scores["ROUGE-L"]
