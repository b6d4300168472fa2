"""Verification marks what the evidence does not carry, and nothing else."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from polyclinic.agents.evidence import Measured, measured
from polyclinic.agents.requests import Deps
from polyclinic.agents.state import State
from polyclinic.agents.tasks import ClaimDraft, Verdict
from polyclinic.agents.verify import check_claim, unmentioned, verify
from polyclinic.core.case import Case, Image
from polyclinic.core.evidence import Claim, Evidence, Source
from polyclinic.knowledge.corpus import shipped_passages
from polyclinic.knowledge.criteria import Criterion, evaluate, shipped_criteria
from polyclinic.tools.card import ToolCard, ToolResult
from polyclinic.tools.card import measured as measurement

TOOL = Source(kind="tool", name="ruler", version="1")
BOOK = Source(kind="document", name="book", citation="A book")
CARD = ToolCard(name="ruler", version="1", summary="s", measures=("length",), modalities=())
UNITS = ["1", "%", "mm", "cm2", "HU", "px", "mmol/L", "10^9/L", "mL/min/1.73m2", "/uL", "°C", "mmHg", "furlong"]


def value(key: str, content: str, number: float, unit: str, **more: Any) -> Evidence:
    return Evidence(id=key, kind="measurement", name=key, content=content, value=number, unit=unit, source=TOOL, **more)


def text(key: str, content: str, source: Source = BOOK) -> Evidence:
    return Evidence(id=key, kind="passage", name=key, content=content, source=source)


def criterion(key: str, name: str, content: str) -> Evidence:
    return Evidence(id=key, kind="criterion", name=name, content=content, source=Source(kind="criterion", name="rule"))


EVIDENCE = {
    item.id: item
    for item in (
        value("r.t1", "The ratio is 0.57.", 0.57, "1"),
        value("r.t2", "12.4 mm in the left eye", 12.4, "mm"),
        value("r.t3", "The nodule measures 9 mm.", 9, "mm"),
        value("r.t4", "The disc is 15.7 mm wide.", 15.7, "mm"),
        value("r.t5", "1234 cells were counted.", 1234, "1"),
        value("r.t6", "The optic disc is centred 235 px from the left.", 235, "px"),
        value("r.t7", "Vessels cover 15.2 % of the field.", 15.2, "%", uncertainty=1.6, laterality="left"),
        value("r.t8", "The median is -110 HU.", -110, "HU"),
        value("r.t9", "potassium 4.4 mmol/L on 2024-03-12 (reference 3.5 to 5.1)", 4.4, "mmol/L"),
        value("r.t10", "Platelets 45 x 10^9/L", 45, "10*9/L"),
        value("r.t11", "The filtration rate is low.", 39, "mL/min/1.73m2"),
        value("r.t12", "The nodule is small.", 3.3, "mm"),
        text("r.p1", "Above 0.5 the heart is enlarged (1992)."),
        text("r.p2", "Without cardiomegaly the outlook is better."),
        text("r.p3", "No cardiomegaly was seen.", Source(kind="case", name="given with the case")),
        text("r.p4", "Nodules of 3-5 mm are small."),
        criterion("r.c1", "cardiomegaly", "0.57 is above 0.5: cardiomegaly"),
        criterion("r.c2", "enlarged cardiac silhouette", "0.57 is above 0.5: enlarged cardiac silhouette"),
    )
}


@pytest.mark.parametrize(
    ("said", "cited", "support"),
    [
        ("The ratio is 0.57.", "r.t1", "supported"),
        ("The ratio is about 0.6.", "r.t1", "supported"),
        ("The ratio is 0.58.", "r.t1", "contradicted"),
        ("The ratio is 1.", "r.t1", "contradicted"),
        ("The ratio is .99", "r.t1", "contradicted"),
        ("The ratio is .57", "r.t1", "supported"),
        ("The ratio is 0.57 %.", "r.t1", "contradicted"),
        ("The ratio is 0.57, above 0.5.", "r.t1 r.p1", "supported"),
        ("The ratio is 0.57, above 0.5.", "r.t1", "contradicted"),
        ("The heart is enlarged.", "r.p1", "supported"),
        ("In 1992 the limit was set.", "r.p1", "supported"),
        ("The limit is 0.7.", "r.p1", "unsupported"),
        ("Anything.", "", "unsupported"),
        ("Anything.", "r.t99", "unsupported"),
        # numbers and units
        ("A value of 12,4 mm.", "r.t2", "supported"),
        ("A value of −12.4 mm.", "r.t2", "contradicted"),
        ("It measures 9 mm.", "r.t3", "supported"),
        ("A 9-mm nodule.", "r.t3", "supported"),
        ("It measures 9 millimetres.", "r.t3", "supported"),
        ("It measures 99mm.", "r.t3", "contradicted"),
        ("It measures 9 cm.", "r.t3", "contradicted"),
        ("It measures 9cm.", "r.t3", "contradicted"),
        ("It measures 9 mm2.", "r.t3", "contradicted"),
        ("It measures 0.9 cm.", "r.t3", "contradicted"),
        ("The disc is 15.7mm wide.", "r.t4", "supported"),
        ("There are 1,234 cells.", "r.t5", "supported"),
        ("There are 1 234 cells.", "r.t5", "contradicted"),  # only a space that cannot break joins
        ("There are 1\u202f234 cells.", "r.t5", "supported"),
        ("There are 1.234 cells.", "r.t5", "contradicted"),
        ("The median is -110 HU.", "r.t8", "supported"),
        ("The median is –110 HU.", "r.t8", "supported"),
        ("The median is 110 HU.", "r.t8", "contradicted"),
        ("Potassium 4.4 lies within 3.5-5.1 mmol/L.", "r.t9", "supported"),
        ("Potassium 4.4 lies within 3.5–5.5 mmol/L.", "r.t9", "contradicted"),
        ("4.4 mmol/L on 2024-03-12", "r.t9", "supported"),
        ("4.4 mmol/L on 12 March 2024", "r.t9", "supported"),
        ("4.4 mmol/L in 2024", "r.t9", "supported"),
        ("4.4 mmol/L on 2024-03-13", "r.t9", "contradicted"),
        ("On 2024-03-13 it measured 9 mm.", "r.t3", "supported"),
        ("Platelets 45 ×10⁹/L", "r.t10", "supported"),
        ("Platelets 45 K/uL", "r.t10", "supported"),
        ("Platelets 45 /µL", "r.t10", "contradicted"),
        ("eGFR 39 ml/min/1.73 m²", "r.t11", "supported"),
        ("eGFR 39 mL/min", "r.t11", "contradicted"),
        ("Vessels cover 15.2 ± 1.6 %.", "r.t7", "supported"),
        ("Vessels cover 1.6 %.", "r.t7", "contradicted"),
        ("It measures 3.3 mm.", "r.t12", "supported"),
        ("It measures 3.3 cm.", "r.t12", "contradicted"),
        ("Cells: 45 × 10^3.", "r.t10", "contradicted"),
        ("It measures 3 mm.", "r.p4", "supported"),
        ("It measures 3 cm.", "r.p4", "unsupported"),
        # a number in a name is no measurement
        ("Type 2 diabetes and COVID-19.", "r.p1", "supported"),
        ("L1, CD20, HbA1c, TR5, T2-weighted, L1-4, the 95th percentile, a 12-lead ECG, 3D.", "r.t1", "supported"),
        ("Version 1.2.3, doi:10.1136/thx.2010.136986, PMID 12345678", "r.t1", "supported"),
        ("As in 2024;105(4S):S117-S314", "r.p1", "unsupported"),
        # sides
        ("The left eye measures 12.4 mm.", "r.t2", "supported"),
        ("The right eye measures 12.4 mm.", "r.t2", "contradicted"),
        ("The left and right eye measure 12.4 mm.", "r.t2", "supported"),
        ("In the right eye vessels cover 15.2 %.", "r.t7", "contradicted"),
        ("A right-sided finding, 15.2 %.", "r.t7", "contradicted"),
        ("In the left eye vessels cover 15.2 %.", "r.t7", "supported"),
        ("On the right of the picture vessels cover 15.2 %.", "r.t7", "supported"),
        ("The disc of the right eye is centred at 235 px.", "r.t6", "supported"),
        # denials, of any criterion that is met
        ("There is cardiomegaly.", "r.c1", "supported"),
        ("There is no cardiomegaly.", "r.c1", "contradicted"),
        ("There is no evidence of cardiomegaly.", "r.c1", "contradicted"),
        ("Cardiomegaly is absent.", "r.c1", "contradicted"),
        ("Cardiomegaly is not present.", "r.c1", "contradicted"),
        ("There is no cardiomegaly.", "r.p1", "contradicted"),
        ("The cardiac silhouette is not enlarged.", "r.t1", "contradicted"),
        ("The cardiac silhouette is of normal size.", "r.t1", "contradicted"),
        ("Cardiomegaly cannot be excluded.", "r.c1", "supported"),
        ("The film does not rule out cardiomegaly.", "r.c1", "supported"),
        ("There is no doubt of cardiomegaly.", "r.c1", "supported"),
        ("Cardiomegaly without effusion.", "r.c1", "supported"),
        ("Without cardiomegaly the outlook is better.", "r.p2", "supported"),
        ("General knowledge: Without cardiomegaly the outlook is better.", "r.p2", "supported"),
        ("The outlook is better without cardiomegaly.", "r.p2", "contradicted"),
        ("No cardiomegaly was seen.", "r.p3", "contradicted"),
    ],
)
def test_support_is_judged_by_code(said: str, cited: str, support: str) -> None:
    claim = check_claim(ClaimDraft(text=said, evidence=tuple(cited.split())), EVIDENCE)
    assert claim.support == support, claim.why
    assert bool(claim.why) == (support != "supported")


def test_a_criterion_that_is_met_must_be_mentioned_and_a_denial_is_no_mention() -> None:
    met = {"r.c1": EVIDENCE["r.c1"]}
    assert "r.c1" in unmentioned((), met)[0]
    assert unmentioned((Claim(text="x", evidence=("r.c1",)),), met) == []
    assert unmentioned((Claim(text="Cardiomegaly is not seen.", evidence=("r.c1",)),), met)


@pytest.mark.parametrize("rule", shipped_criteria(), ids=lambda rule: rule.id)
def test_the_explanation_of_every_criterion_is_supported_by_what_it_explains(rule: Criterion) -> None:
    for unit, limit in rule.thresholds.items():
        edge = limit[0] if isinstance(limit, tuple) else limit + {"<": -1, ">": 1}.get(rule.comparator, 0) * 0.01
        item = value("x.t1", f"{rule.measurements[0]} {edge:g} {unit}", edge, unit).model_copy(
            update={"name": rule.measurements[0], "view": (*rule.view, "")[0]}
        )
        years = rule.min_age if rule.min_age is not None else (rule.max_age or 40) / 2
        facts = {"sex": rule.sex or "female", "age": years} | dict.fromkeys(rule.requires, True)
        (met,) = evaluate([rule], [item], facts)
        assert met.judgement == "met"
        fired = criterion("x.c1", met.finding, met.explanation)
        claim = check_claim(ClaimDraft(text=met.explanation, evidence=("x.c1",)), {"x.t1": item, "x.c1": fired})
        assert claim.support == "supported", claim.why


def test_every_shipped_passage_supports_itself_whatever_criterion_is_met() -> None:
    criteria = {rule.id: criterion(rule.id, rule.finding, "met") for rule in shipped_criteria()}
    for passage in shipped_passages():
        item = text("p", passage.text)
        assert check_claim(ClaimDraft(text=passage.text, evidence=("p",)), {"p": item, **criteria}).why == ""


@given(
    number=st.floats(-1e9, 1e9), unit=st.sampled_from(UNITS), digits=st.integers(0, 6),
    sentence=st.sampled_from(["The width is {}.", "{} of it", "Type 2 on L1: {}, from the left", "mean={}"]),
    laterality=st.sampled_from([None, "left", "right", "bilateral"]),
)  # fmt: skip
def test_a_tools_own_sentence_is_supported_by_its_evidence_and_another_number_is_not(
    number: float, unit: str, digits: int, sentence: str, laterality: Any
) -> None:
    shown = measurement("width", number, unit, sentence, digits=digits)
    result = ToolResult(measurements=(shown,))
    image = Image(blob="b" * 64, laterality=laterality)
    given = Measured(card=CARD, result=result, image=image, label="image-2: ", span_id="s")
    (item,) = measured("r", 1, given)
    assert item.laterality == laterality
    for said in (item.content, shown.text):
        assert check_claim(ClaimDraft(text=said, evidence=(item.id,)), {item.id: item}).why == ""
    other = measurement("width", number + max(1.0, abs(number)), unit, sentence, digits=digits)
    assume(other.value != shown.value)
    assert check_claim(ClaimDraft(text=other.text, evidence=(item.id,)), {item.id: item}).support == "contradicted"


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_gets_a_judgement(said: str, content: str) -> None:
    assume(said)
    check_claim(ClaimDraft(text=said, evidence=("a",)), {"a": text("a", content), "c": criterion("c", content, "")})
    assert check_claim(ClaimDraft(text=said, evidence=("a",)), {"a": text("a", said)}).why == ""


CASE = Case(
    question="Is a nodule of 9 mm, known since 2021, followed up?", options={"A": "after 3 months", "B": "no"},
    context=("Seen first at 41.",), metadata={"age": 52, "smoker": True},
)  # fmt: skip
CITED = (ClaimDraft(text="The ratio is 0.57: cardiomegaly.", evidence=("r.t1", "r.c1")),)
SOUND = Verdict(reasoning="r", answer="A. after 3 months", option="A", claims=CITED)


async def problems(verdict: Verdict, case: Case = CASE, **more: Any) -> tuple[str, ...]:
    own = {"radiology": tuple(EVIDENCE[key] for key in ("r.t1", "r.t3", "r.p2", "r.c1"))}
    state = State(case=case, shared=(), own=own, verdict=verdict, **more)
    found = await verify(state, cast(Deps, None))
    return found["problems"]


async def test_a_sound_verdict_has_no_problem() -> None:
    assert await problems(SOUND) == ()


async def test_after_a_failure_there_is_nothing_to_verify() -> None:
    assert await problems(SOUND.model_copy(update={"claims": ()}), failure="an outage") == ()


@pytest.mark.parametrize(
    "answer",
    [
        "The 52-year-old",
        "At 52 years the 9 mm nodule",
        "41 then",
        "since 2021",
        "The ratio of 0.57",
        "A 9-mm nodule",
        "in 3 months",
    ],
)
async def test_the_answer_may_say_numbers_of_the_case_and_of_the_evidence(answer: str) -> None:
    assert await problems(SOUND.model_copy(update={"answer": answer})) == ()


@pytest.mark.parametrize(
    ("answer", "stray"), [("The 53-year-old", "53-year"), ("A 9 cm nodule", "9 cm"), ("It is 8 mm", "8 mm")]
)
async def test_a_number_of_the_answer_that_nothing_says_is_a_problem(answer: str, stray: str) -> None:
    (problem,) = await problems(SOUND.model_copy(update={"answer": answer}))
    assert problem == f"the answer says {stray}, which no evidence says"


async def test_an_answer_that_denies_a_criterion_is_a_problem() -> None:
    (problem,) = await problems(SOUND.model_copy(update={"answer": "A. There is no cardiomegaly."}))
    assert "denies cardiomegaly" in problem
    quote = {"answer": f"The ratio is 0.57. {EVIDENCE['r.p2'].content}"}
    assert await problems(SOUND.model_copy(update=quote)) == ()


async def test_a_criterion_no_claim_mentions_is_a_problem() -> None:
    claims = (ClaimDraft(text="The ratio is 0.57.", evidence=("r.t1",)),)
    (problem,) = await problems(SOUND.model_copy(update={"claims": claims}))
    assert problem == "criterion r.c1 is met (cardiomegaly) and no claim mentions it"


async def test_a_claim_that_is_not_supported_is_a_problem_with_its_text_and_reason() -> None:
    claims = (*CITED, ClaimDraft(text="It measures 8 mm.", evidence=("r.t3",)))
    (problem,) = await problems(SOUND.model_copy(update={"claims": claims}))
    assert problem.startswith("contradicted: “It measures 8 mm.”: 8 mm is not what r.t3 says")


@pytest.mark.parametrize("option", ["Z", None])
async def test_an_option_not_offered_is_a_problem_unless_the_verdict_abstains(option: str | None) -> None:
    wrong = SOUND.model_copy(update={"option": option})
    assert await problems(wrong) == (f"expected one of the options A, B; got {option!r}",)
    assert await problems(wrong.model_copy(update={"abstains": True})) == ()
    assert await problems(wrong, case=CASE.model_copy(update={"options": {}})) == (
        "the answer says 3 months, which no evidence says",
    )


async def test_no_claims_at_all_is_a_problem_unless_the_verdict_abstains() -> None:
    silent = SOUND.model_copy(update={"claims": ()})
    assert "the answer makes no claim that could be checked" in await problems(silent)
    quiet = await problems(silent.model_copy(update={"abstains": True}))
    assert quiet == ("criterion r.c1 is met (cardiomegaly) and no claim mentions it",)
