"""Which measurements a question means: whole phrases and what people say, never a word that many share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.knowledge.patient.asked import COMMON, SPOKEN, asked, unrecorded

SYSTOLIC, DIASTOLIC, A1C = (
    "Systolic Blood Pressure", "Diastolic Blood Pressure", "Hemoglobin A1c/Hemoglobin.total in Blood",
)  # fmt: skip
TOTAL, LDL, HDL = "Total Cholesterol", "Low Density Lipoprotein Cholesterol", "High Density Lipoprotein Cholesterol"
RECORD = (
    SYSTOLIC, DIASTOLIC, A1C, TOTAL, LDL, HDL, "Triglycerides", "Body Weight", "Body Height", "Body Mass Index",
    "Hemoglobin [Mass/volume] in Blood", "Hematocrit [Volume Fraction] of Blood by Automated count",
    "Platelets [#/volume] in Blood by Automated count", "Platelet mean volume [Entitic volume] in Blood",
    "Leukocytes [#/volume] in Blood by Automated count", "WBC Auto (Bld) [#/Vol]", "Oral temperature", "Glucose",
    "Estimated Glomerular Filtration Rate", "Creatinine", "Urea Nitrogen", "Microalbumin Creatinine Ratio",
    "Pain severity - 0-10 verbal numeric rating [Score] - Reported", "cup_disc_ratio",
)  # fmt: skip


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("How did her blood pressure go?", [SYSTOLIC, DIASTOLIC]),
        ("What is the latest BP?", [SYSTOLIC, DIASTOLIC]),
        ("How did the diastolic blood pressure go?", [DIASTOLIC]),
        ("How did her weight change?", ["Body Weight"]),
        ("How much does he weigh?", ["Body Weight"]),
        ("What is his latest HbA1c?", [A1C]),
        ("What is the glycated haemoglobin?", [A1C]),
        ("What is her haemoglobin?", ["Hemoglobin [Mass/volume] in Blood"]),
        ("Is her cholesterol rising?", [TOTAL, LDL, HDL]),
        ("Is her LDL cholesterol rising?", [LDL]),
        ("What was the blood sugar?", ["Glucose"]),
        ("How are the platelets?", ["Platelets [#/volume] in Blood by Automated count"]),
        ("How high is the white cell count?", list(RECORD[14:16])),
        ("Did the eGFR fall?", ["Estimated Glomerular Filtration Rate"]),
        ("How was the creatinine?", ["Creatinine"]),
        ("Has her BMI changed?", ["Body Mass Index"]),
        ("How was the pain?", ["Pain severity - 0-10 verbal numeric rating [Score] - Reported"]),
        ("Is the cup to disc ratio raised?", ["cup_disc_ratio"]),
        ("Is there blood in the stool?", []),
        ("What is the level?", []),
        ("How many visits were there?", []),
        ("", []),
    ],
)
def test_a_question_means_what_it_says(question: str, meant: list[str]) -> None:
    assert list(asked(question, RECORD)) == meant
    assert asked(question, reversed(RECORD)) == asked(question, RECORD)


@given(st.lists(st.sampled_from(sorted(COMMON)), max_size=3).map(" ".join))
def test_common_words_alone_mean_no_measurement_that_is_not_named_by_them(words: str) -> None:
    spoken = {phrase for said in SPOKEN for phrase in said}
    if not any(phrase in words for phrase in spoken):
        assert all(set(name.lower().split()) & set(words.split()) for name in asked(words, RECORD))
        assert SYSTOLIC not in asked(words.replace("pressure", ""), RECORD)


@given(st.text(max_size=40), st.lists(st.text(max_size=20), max_size=5))
def test_any_text_is_read_without_an_error(question: str, names: list[str]) -> None:
    assert set(asked(question, names)) <= set(names)


def test_what_is_asked_about_and_not_recorded_is_named() -> None:
    recorded = ["Body Weight", "Systolic Blood Pressure"]
    assert unrecorded("What is his latest HbA1c?", recorded) == ("HbA1c",)
    assert unrecorded("How did her blood pressure go?", recorded) == ()
    assert unrecorded("How did her blood pressure go?", ["Body Weight"]) == ("blood pressure",)
    assert unrecorded("Why is he tired?", recorded) == ()
    assert unrecorded("Did the blood count change?", ["Body Weight"]) == ("blood count",)
