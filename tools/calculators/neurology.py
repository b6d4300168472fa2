"""The brain by score: stroke severity, risk after a transient attack, and outcome of an intracerebral haemorrhage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..card import Arguments
from .amounts import Amount
from .points import LOWEST, Calculated, Component, Published, chosen, flag, shown, stepped, when
from .quantities import AdultAge, ComaScale, DiastolicPressure, SystolicPressure

if TYPE_CHECKING:
    from ..imaging.store import ImageStore


class TransientAttack(Arguments):
    age: AdultAge
    systolic: SystolicPressure
    diastolic: DiastolicPressure
    features: Literal["unilateral_weakness", "speech_without_weakness", "other"]
    duration: Literal["under_10_minutes", "10_to_59_minutes", "60_minutes_or_more"]
    diabetes: bool


ABCD2 = Published(
    name="abcd2", measures="abcd2_score", title="ABCD2 score",
    levels=((0, "low risk, stroke within 2 days in 1.0 %"), (4, "moderate risk, stroke within 2 days in 4.1 %"),
            (6, "high risk, stroke within 2 days in 8.1 %")),
    summary="ABCD2: early risk of stroke after a transient ischaemic attack.",
    source="Johnston SC et al., Validation and refinement of scores to predict very early stroke risk after transient "
    "ischaemic attack, Lancet 2007;369:283-292",
    limits=("Adults after a transient ischaemic attack.", "Does not see carotid stenosis nor atrial fibrillation; it "
            "does not decide who is assessed when."),
)  # fmt: skip


def _abcd2(given: TransientAttack, images: ImageStore) -> Calculated:
    pressures = f"{given.systolic:g}/{given.diastolic:g} mmHg"
    return ABCD2.scored((
        when("age", given.age >= 60, shown(given.age, "years"), "from 60 years"),
        when("blood pressure", given.systolic >= 140 or given.diastolic >= 90, pressures,
             "from 140 systolic or 90 mmHg diastolic"),
        chosen("clinical features", given.features,
               {"unilateral_weakness": 2, "speech_without_weakness": 1, "other": 0}),
        chosen("duration", given.duration, {"under_10_minutes": 0, "10_to_59_minutes": 1, "60_minutes_or_more": 2}),
        flag("diabetes", given.diabetes),
    ))  # fmt: skip


class IntracerebralBleed(Arguments):
    coma_scale: ComaScale
    volume: Annotated[float, Amount(what="haemorrhage volume", unit="mL", low=0.1, high=300, also=("cm3",), example=24)]
    intraventricular: bool = Field(description="Blood in the ventricles.")
    infratentorial: bool
    age: AdultAge


ICH = Published(
    name="ich_score", measures="ich_score", title="ICH score",
    levels=tuple((points, f"30-day mortality {share} % in the cohort of the source") for points, share in
                 ((0, 0), (1, 13), (2, 26), (3, 72), (4, 97), (5, 100))),
    summary="ICH score: 30-day mortality of an intracerebral haemorrhage.",
    source="Hemphill JC et al., The ICH score: a simple, reliable grading scale for intracerebral hemorrhage, Stroke "
    "2001;32:891-897",
    limits=("Adults with a haemorrhage without trauma.", "One cohort of 152 patients; not a reason to withdraw care."),
)  # fmt: skip


def _ich(given: IntracerebralBleed, images: ImageStore) -> Calculated:
    return ICH.scored((
        stepped("Glasgow Coma Scale", given.coma_scale, "points", ((LOWEST, 2), (5, 1), (13, 0))),
        when("volume", given.volume >= 30, shown(given.volume, "cm3"), "from 30 cm3"),
        flag("intraventricular blood", given.intraventricular),
        flag("infratentorial", given.infratentorial),
        when("age", given.age >= 80, shown(given.age, "years"), "from 80 years"),
    ))  # fmt: skip


def _item(what: str, most: int) -> Amount:
    return Amount(what=f"NIHSS item, {what}", unit="points", low=0, high=most, whole=True, example=1)


Arm = Annotated[float, _item("motor arm: 0 no drift to 4 no movement", 4)]
Leg = Annotated[float, _item("motor leg: 0 no drift to 4 no movement", 4)]


class StrokeScale(Arguments):
    consciousness: Annotated[float, _item("1a level of consciousness: 0 alert to 3 unresponsive", 3)]
    questions: Annotated[float, _item("1b month and age: questions answered wrongly", 2)]
    commands: Annotated[float, _item("1c eyes and hand: commands not followed", 2)]
    gaze: Annotated[float, _item("2 gaze: 0 normal, 1 partial palsy, 2 forced deviation", 2)]
    visual: Annotated[float, _item("3 visual fields: 0 no loss, 1 partial, 2 complete hemianopia, 3 blind", 3)]
    face: Annotated[float, _item("4 facial palsy: 0 none to 3 complete", 3)]
    left_arm: Arm
    right_arm: Arm
    left_leg: Leg
    right_leg: Leg
    ataxia: Annotated[float, _item("7 limb ataxia: limbs affected, at most 2", 2)]
    sensory: Annotated[float, _item("8 sensory loss: 0 none, 1 partial, 2 severe", 2)]
    language: Annotated[float, _item("9 aphasia: 0 none to 3 mute or global", 3)]
    dysarthria: Annotated[float, _item("10 dysarthria: 0 none, 1 mild, 2 severe", 2)]
    neglect: Annotated[float, _item("11 extinction and inattention: 0 none, 1 partial, 2 profound", 2)]


NIHSS = Published(
    name="nihss", measures="nihss", title="NIH Stroke Scale",
    levels=((0, "no deficit that the scale sees"), (1, "minor stroke (1 to 4)"), (5, "moderate stroke (5 to 15)"),
            (16, "moderate to severe stroke (16 to 20)"), (21, "severe stroke (21 to 42)")),
    summary="NIH Stroke Scale: the sum of its 15 items.",
    source="Brott T et al., Measurements of acute cerebral infarction: a clinical examination scale, Stroke "
    "1989;20:864-870; items of the scale in its present form by the National Institute of Neurological Disorders and "
    "Stroke",
    limits=("Adults with acute stroke.", "An item that cannot be tested is stated as 0.",
            "Sees the posterior circulation and the right hemisphere less well."),
)  # fmt: skip


def _nihss(given: StrokeScale, images: ImageStore) -> Calculated:
    items = tuple(
        Component(item=name.replace("_", " "), stated=f"{points:g}", points=points, why="as examined")
        for name, points in given
    )
    return NIHSS.scored(items)


TOOLS = (
    ABCD2.tool(TransientAttack, _abcd2),
    ICH.tool(IntracerebralBleed, _ich),
    NIHSS.tool(StrokeScale, _nihss),
)
