"""Conflicts between tools and with reports: which pairs contradict each other, the sentence, and any order."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.evidence import Evidence, Region, Source
from polyclinic.tools.card import Figure, ToolCard
from polyclinic.tools.conflicts import Reading, Stance, conflicts, readings, report_stances, stances

DAY = datetime.date(2021, 3, 4)
IMAGE, OTHER = "a" * 64, "b" * 64
ABOUT = ("pneumonia", "cup_disc_ratio")
AUROC = Figure(metric="AUROC", value=0.86, dataset="NIH", n=112, interval=(0.79, 0.92), about=ABOUT)
CARDS = {
    "xray_pneumonia": ToolCard(
        name="xray_pneumonia", version="1", summary="s", measures=(), modalities=("xray",), figures=(AUROC,)
    ),
    "lung_fields": ToolCard(name="lung_fields", version="1", summary="s", measures=(), modalities=("xray",)),
}


def seen(says: str, tool: str = "xray_pneumonia", **more: Any) -> Evidence:
    facts = {
        "id": f"{tool}.{says}", "kind": "classification", "content": "", "name": "p", "value": 0.91, "unit": "1",
        "finding": "pneumonia", "says": says, "source": Source(kind="tool", name=tool), "date": DAY,
        "region": Region(image=IMAGE),
    }  # fmt: skip
    return Evidence.model_validate(facts | more)


def test_a_tool_and_a_report_are_said_in_plain_words() -> None:
    told = report_stances("No evidence of pneumonia.", DAY, evidence="v1")
    found = conflicts([*stances([seen("present")], CARDS), *told])
    assert [conflict.sentence for conflict in found] == [
        "xray_pneumonia (AUROC 0.86, n = 112) takes pneumonia to be present with a probability of 0.91; "
        "the report of 2021-03-04 denies it."
    ]
    assert (found[0].about, found[0].evidence) == ("pneumonia", ("xray_pneumonia.present", "v1"))


def test_two_tools_on_one_image_are_said_with_the_reliability_that_is_known() -> None:
    items = [seen("absent", value=0.04), seen("present", "lung_fields", kind="segmentation", unit="%", value=12.0)]
    (found,) = conflicts(stances(items, CARDS))
    assert found.sentence == (
        "lung_fields (reliability not measured) takes pneumonia to be present; "
        "xray_pneumonia (AUROC 0.86, n = 112) takes it to be absent with a probability of 0.04."
    )


def test_a_report_that_states_what_a_tool_misses_is_named_first() -> None:
    told = report_stances("There is consolidation and pneumonia on the right.", DAY)
    (found,) = conflicts([*told, *stances([seen("absent")], CARDS)])
    assert found.sentence.startswith("the report of 2021-03-04 states pneumonia on the right; xray_pneumonia (AUROC")


def test_a_report_among_the_evidence_is_read_and_a_diagnosis_is_not() -> None:
    visit = Source(kind="visit", name="visit of 2021-03-04")
    told = Evidence(id="v1", kind="prior_visit", content="Report of 2021-03-04: No pneumonia.", source=visit, date=DAY)
    listed = told.model_copy(update={"id": "v2", "content": "Condition of 2021-03-04: no pneumonia"})
    found = conflicts(stances([seen("present"), told, listed], CARDS))
    assert [conflict.evidence for conflict in found] == [("xray_pneumonia.present", "v1")]


EYE = {"finding": "papilloedema", "image": "", "date": DAY}


def stance(who: str, says: Any, **more: Any) -> Stance:
    return Stance(**{"finding": "pneumonia", "who": who, "says": says, "image": IMAGE, "date": None} | more)


@pytest.mark.parametrize(
    ("one", "other", "many"),
    [
        (stance("a", "present"), stance("b", "absent"), 1),
        (stance("a", "present"), stance("b", "undecided"), 0),
        (stance("a", "present"), stance("b", "present"), 0),
        (stance("a", "present"), stance("a", "absent"), 0),
        (stance("a", "present"), stance("b", "absent", finding="consolidation"), 0),
        (stance("a", "present"), stance("b", "absent", image=OTHER), 0),
        (stance("a", "present", date=DAY), stance("b", "absent", image=OTHER, date=DAY), 1),
        (stance("a", "present", date=DAY), stance("b", "absent", image=OTHER, date=DAY.replace(day=5)), 0),
        (stance("a", "present"), stance("r", "absent", image="", reported=True), 1),
        (stance("a", "present"), stance("r", "absent", image="", reported=True, date=DAY), 0),
        (stance("a", "present", **EYE, laterality="left"), stance("b", "absent", **EYE, laterality="right"), 0),
        (stance("a", "present", **EYE, laterality="left"), stance("b", "absent", **EYE, laterality="left"), 1),
        (stance("a", "present", **EYE, laterality="left"), stance("b", "absent", **EYE), 1),
        (stance("a", "present", **EYE, laterality="left"), stance("b", "absent", **EYE, laterality="bilateral"), 1),
        (stance("a", "present", **EYE, laterality="bilateral"), stance("b", "absent", **EYE, laterality="right"), 1),
        (stance("a", "present", **EYE), stance("b", "absent", **EYE, laterality="right"), 0),
        (stance("a", "present", box_px=(0, 0, 9, 9)), stance("b", "absent", box_px=(5, 5, 20, 20)), 1),
        (stance("a", "present", box_px=(0, 0, 9, 9)), stance("b", "absent", box_px=(9, 0, 20, 20)), 0),
    ],
)
def test_which_stances_contradict_each_other(one: Stance, other: Stance, many: int) -> None:
    assert len(conflicts([one, other])) == many


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("No pneumothorax.", {("pneumothorax", "absent", None)}),
        ("No evidence of pneumonia or pleural effusion.",
         {("pneumonia", "absent", None), ("pleural-effusion", "absent", None)}),
        ("Pneumonia cannot be excluded.", set()),
        ("The heart is not enlarged.", {("cardiomegaly", "absent", None)}),
        ("Left pleural effusion. No right pleural effusion.",
         {("pleural-effusion", "present", "left"), ("pleural-effusion", "absent", "right")}),
        ("Bilateral pleural effusion.", {("pleural-effusion", "present", "bilateral")}),
        ("No left bundle branch block.", {("left-bundle-branch-block", "absent", None)}),
        ("Pneumothorax. There is no pneumothorax.", {("pneumothorax", "present", None)}),
        ("Her father had pneumonia.", set()),
        ("", set()),
    ],
)  # fmt: skip
def test_what_a_report_states_and_denies(text: str, said: set[tuple[str, str, str | None]]) -> None:
    found = report_stances(text, DAY)
    assert {(item.finding, item.says, item.laterality) for item in found} == said
    assert all(item.reported and item.who == "the report of 2021-03-04" for item in found)


def read(who: str, value: float, uncertainty: float = 0.01, **more: Any) -> Reading:
    facts = {"name": "cup_disc_ratio", "unit": "1", "image": IMAGE, "evidence": who}
    return Reading(**{"who": who, "value": value, "uncertainty": uncertainty} | facts | more)


@pytest.mark.parametrize(
    ("one", "other", "many"),
    [
        (read("a", 0.50, 0.03), read("b", 0.56, 0.04), 1),
        (read("a", 0.50, 0.03), read("b", 0.54, 0.04), 0),
        (read("a", 0.50), read("a", 0.90), 0),
        (read("a", 0.50), read("b", 0.90, image=OTHER), 0),
        (read("a", 0.50), read("b", 0.90, name="other"), 0),
        (read("a", 0.50), read("b", 0.90, unit="mm"), 0),
        (read("a", 1.0, unit="cm"), read("b", 10.0, unit="mm"), 0),
        (read("a", 1.0, unit="cm"), read("b", 12.0, unit="mm"), 1),
        (read("a", 0.50, box_px=(0, 0, 5, 5)), read("b", 0.90, box_px=(6, 6, 9, 9)), 0),
    ],
)
def test_values_contradict_beyond_their_joint_uncertainty(one: Reading, other: Reading, many: int) -> None:
    assert len(conflicts((), [one, other])) == many
    assert conflicts((), [one, other]) == conflicts((), [other, one])


def test_two_values_are_said_with_their_uncertainties() -> None:
    items = [
        seen("", tool, kind="measurement", name="cup_disc_ratio", value=value, uncertainty=0.02, finding="")
        for tool, value in (("xray_pneumonia", 0.7), ("lung_fields", 0.5))
    ]
    (found,) = conflicts((), readings(items, CARDS))
    assert found.sentence == (
        "lung_fields (reliability not measured) measures cup disc ratio as 0.5 ± 0.02, xray_pneumonia (AUROC 0.86, "
        "n = 112) as 0.7 ± 0.02: they differ by more than both uncertainties together."
    )


def test_a_value_without_an_uncertainty_says_nothing_of_a_difference() -> None:
    items = [seen("", tool, kind="measurement", value=value) for tool, value in (("a", 0.1), ("b", 0.9))]
    assert readings(items, CARDS) == ()


@pytest.mark.parametrize(
    ("about", "chosen"),
    [(("pneumonia",), True), (("p",), True), (("effusion", "pneumonia"), True), (("effusion",), False), ((), False)],
)
def test_only_a_figure_about_the_finding_or_the_measurement_is_its_reliability(
    about: tuple[str, ...], chosen: bool
) -> None:
    other = Figure(metric="pneumonia present, refused share", value=0.1, dataset="NIH", n=9)
    figures = (other, Figure(metric="sensitivity", value=0.8, dataset="NIH", n=60, about=about))
    card = CARDS["xray_pneumonia"].model_copy(update={"figures": figures})
    (found,) = stances([seen("present")], {card.name: card})
    assert found.reliability == (figures[1] if chosen else None)


parties = st.builds(
    Stance,
    finding=st.sampled_from(["pneumonia", "consolidation", "unheard-of"]),
    says=st.sampled_from(["present", "absent", "undecided"]),
    who=st.sampled_from("abc"),
    reported=st.booleans(),
    evidence=st.sampled_from(["t1", "t2"]),
    image=st.sampled_from(["", IMAGE, OTHER]),
    laterality=st.sampled_from([None, "left", "right", "bilateral"]),
    date=st.sampled_from([None, DAY]),
    probability=st.one_of(st.none(), st.floats(0, 1)),
    reliability=st.sampled_from([None, AUROC]),
)
values = st.builds(
    read, who=st.sampled_from("abc"), value=st.floats(0, 1), uncertainty=st.floats(0, 0.5), evidence=st.just("t3")
)


@given(st.lists(parties, max_size=8), st.lists(values, max_size=5), st.randoms())
def test_the_order_of_arrival_does_not_matter(said: list[Stance], read_: list[Reading], shuffle: Any) -> None:
    found = conflicts(said, read_)
    shuffle.shuffle(said)
    shuffle.shuffle(read_)
    assert conflicts([*said, *said], read_) == found
    assert list(found) == sorted(found, key=lambda item: (item.about, item.evidence, item.who, item.sentence))
    assert all(item.who[0] != item.who[1] and item.sentence.endswith(".") for item in found)


@given(st.text(max_size=200))
def test_any_report_can_be_read(text: str) -> None:
    found = report_stances(text)
    assert len({(item.finding, item.laterality) for item in found}) == len(found)
