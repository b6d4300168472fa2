"""Red flags: each is raised by a plain sentence, silenced by a denial, and no text breaks the search."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import SetupError
from polyclinic.knowledge.red_flags import find_red_flags, read_patterns, shipped_patterns

RAISED = {
    "head-injury": "He hit his head and vomited three times.",
    "mesenteric-ischaemia": "Abdominal pain out of proportion to the findings.",
    "self-harm": "She says she is suicidal.",
    "testicular-torsion": "Sudden testicular pain during sport.",
    "acute-coronary-syndrome": "Crushing chest pain, now sweating and clammy.",
    "anaphylaxis": "Hives after a bee sting. Now wheezing.",
    "aortic-dissection": "Abrupt tearing pain between chest and back.",
    "bacterial-meningitis": "Fever with a stiff neck since the morning.",
    "cauda-equina": "Low back pain with saddle anaesthesia.",
    "dysphagia": "Progressive dysphagia for solids.",
    "ectopic-pregnancy": "Positive pregnancy test, lower abdominal pain and she fainted.",
    "giant-cell-arteritis": "Headache and jaw claudication at 74.",
    "haemoptysis": "He coughed up blood twice.",
    "neutropenic-sepsis": "Febrile ten days after chemotherapy.",
    "postmenopausal-bleeding": "A single episode of postmenopausal bleeding.",
    "sepsis": "Cold, with mottled skin.",
    "severe-pre-eclampsia": "34 weeks pregnant with epigastric pain.",
    "status-epilepticus": "Still seizing on arrival.",
    "stroke": "Facial droop and slurred speech for an hour.",
    "sudden-visual-loss": "Sudden painless loss of vision in the right eye.",
    "tension-pneumothorax": "Tracheal shift, tension pneumothorax feared.",
    "thunderclap-headache": "The worst headache of her life.",
    "upper-gastrointestinal-bleeding": "Two episodes of melaena.",
}


def ids(text: str) -> list[str]:
    return [flag.id for flag in find_red_flags(text)]


def test_every_shipped_pattern_has_a_sentence_here() -> None:
    assert set(RAISED) == {pattern.id for pattern in shipped_patterns()}


@pytest.mark.parametrize("flag", sorted(RAISED))
def test_each_flag_is_raised_with_its_words_reason_and_source(flag: str) -> None:
    (found,) = (item for item in find_red_flags(RAISED[flag]) if item.id == flag)
    assert all(phrase in RAISED[flag] for phrase in found.phrases)
    assert found.why
    assert any(c.isdigit() for c in found.citation)


@pytest.mark.parametrize(
    "text",
    [
        "No chest pain, nausea or sweating.",
        "She denies chest pain, sweating, vomiting.",
        "Chest pain was denied. He sweats.",
        "Fever without neck stiffness.",
        "The patient does not have a stiff neck; fever since Monday.",
        "No haemoptysis.",
        "Haemoptysis absent.",
        "There is no evidence of tension pneumothorax.",
        "Negative for melena, haematemesis.",
        "A routine check of the eyes.",
        "Chest pain on palpation of a rib.",
        "He denies suicidal thoughts.",
        "Head injury without vomiting or loss of consciousness.",
        "",
    ],
)
def test_what_is_denied_or_not_there_raises_nothing(text: str) -> None:
    assert ids(text) == []


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("He denies fever but has sudden severe headache.", "thunderclap-headache"),
        ("No known allergies, haemoptysis for two days.", "haemoptysis"),
        ("Does not smoke, haemoptysis for two days.", "haemoptysis"),
        ("No history of trauma. Haemoptysis.", "haemoptysis"),
        ("No relief of haemoptysis.", "haemoptysis"),
        ("No haemoptysis last year. Now haemoptysis.", "haemoptysis"),
        ("CHEST\n  PAIN and SWEATING", "acute-coronary-syndrome"),
    ],
)
def test_a_denial_reaches_no_further_than_it_should(text: str, flag: str) -> None:
    assert ids(text) == [flag]


def test_emergencies_come_first_whatever_the_order_of_words() -> None:
    one = ids("Haemoptysis. Slurred speech. Melaena.")
    assert (
        one
        == ids("Melaena. Slurred speech. Haemoptysis.")
        == [
            "stroke",
            "upper-gastrointestinal-bleeding",
            "haemoptysis",
        ]
    )


@given(st.text(max_size=200) | st.lists(st.sampled_from([*list(RAISED.values()), "no", "not", ","])).map(" ".join))
def test_no_text_breaks_the_search(text: str) -> None:
    found = find_red_flags(text)
    assert len({flag.id for flag in found}) == len(found)
    assert [flag.urgency for flag in found] == sorted(flag.urgency for flag in found)


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "flags.toml"
    path.write_text('[[red_flag]]\nid = "x"\n', encoding="utf-8")
    with pytest.raises(SetupError, match=r"flags\.toml"):
        read_patterns(path)
