"""Acute illness by score: sepsis, early warning, coma, shock and burns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..card import Arguments
from .amounts import Amount
from .points import (
    LOWEST,
    Calculated,
    Component,
    Published,
    Steps,
    chosen,
    flag,
    half_up,
    refused,
    shown,
    stepped,
    when,
)
from .quantities import (
    AdultAge,
    ArterialCarbonDioxide,
    ArterialOxygen,
    Bilirubin,
    ComaScale,
    Creatinine,
    DiastolicPressure,
    Fio2,
    HeartRate,
    OxygenSaturation,
    Platelets,
    RespiratoryRate,
    SystolicPressure,
    Temperature,
    Weight,
    WhiteCells,
)

if TYPE_CHECKING:
    from ..imaging.store import ImageStore

_SEPSIS_3 = (
    "Singer M et al., The third international consensus definitions for sepsis and septic shock (Sepsis-3), JAMA "
    "2016;315:801-810"
)


class QuickSofa(Arguments):
    respiratory_rate: RespiratoryRate
    systolic: SystolicPressure
    coma_scale: ComaScale


QSOFA = Published(
    name="qsofa", measures="qsofa", title="qSOFA score",
    levels=((0, "not raised (below 2)"), (2, "raised: likely to do badly if infected (2 or more)")),
    summary="Quick SOFA of patients with suspected infection.",
    source="Seymour CW et al., Assessment of clinical criteria for sepsis, JAMA 2016;315:762-774",
    limits=("Adults with suspected infection outside intensive care.", "Not a screening test alone: it misses sepsis."),
)  # fmt: skip


def _qsofa(given: QuickSofa, images: ImageStore) -> Calculated:
    return QSOFA.scored((
        when("respiratory rate", given.respiratory_rate >= 22, shown(given.respiratory_rate, "/min"), "from 22 /min"),
        when("systolic pressure", given.systolic <= 100, shown(given.systolic, "mmHg"), "up to 100 mmHg"),
        when("mentation", given.coma_scale < 15, f"Glasgow Coma Scale {given.coma_scale:g}", "below 15"),
    ))  # fmt: skip


class Sofa(Arguments):
    arterial_oxygen: ArterialOxygen
    fio2: Fio2
    respiratory_support: bool = Field(description="Ventilated, invasively or not.")
    platelets: Platelets
    bilirubin: Bilirubin
    mean_arterial_pressure: Annotated[
        float, Amount(what="mean arterial pressure", unit="mmHg", low=20, high=220, also=("kPa",), example=78)
    ]
    vasopressor: Literal["none", "dopamine_up_to_5_or_dobutamine", "dopamine_above_5_or_noradrenaline_up_to_0.1",
                         "dopamine_above_15_or_noradrenaline_above_0.1"] = Field(
        description="Vasopressors for at least an hour, in ug/kg/min; adrenaline counts as noradrenaline."
    )  # fmt: skip
    coma_scale: ComaScale
    creatinine: Creatinine
    urine_output: Annotated[
        float, Amount(what="urine in 24 hours", unit="mL", low=0, high=20000, also=("L",), example=1400)
    ] | None = None  # fmt: skip
    baseline: Annotated[
        float, Amount(what="SOFA score before the acute illness", unit="points", low=0, high=24, whole=True, example=0)
    ] | None = None  # fmt: skip


SOFA = Published(
    name="sofa", measures="sofa_score", title="SOFA score",
    levels=((0, "a rise of 2 or more points from before the infection defines sepsis"),),
    summary="Sequential Organ Failure Assessment, and its rise where the score before is known.",
    source=f"Vincent JL et al., The SOFA score to describe organ dysfunction/failure, Intensive Care Medicine "
    f"1996;22:707-710; sepsis: {_SEPSIS_3}",
    limits=("Adults; the worst values of 24 hours.", "A score before of 0 may be assumed where no illness is known."),
)  # fmt: skip

_VASOPRESSOR = {
    "none": 0, "dopamine_up_to_5_or_dobutamine": 2, "dopamine_above_5_or_noradrenaline_up_to_0.1": 3,
    "dopamine_above_15_or_noradrenaline_above_0.1": 4,
}  # fmt: skip


def _sofa(given: Sofa, images: ImageStore) -> Calculated:
    items = _sofa_items(given)
    total = sum(item.points for item in items)
    if given.baseline is None:
        return SOFA.scored(items)
    rise = total - given.baseline
    said = f"{'sepsis, where due to infection' if rise >= 2 else 'no sepsis'}: {rise:+g} points from before"
    values = (
        SOFA.value(total, said),
        SOFA.other("sofa_score_increase", "rise in SOFA score", rise, said=said, of=(SOFA.measures,)),
    )
    return SOFA.given(values, items, said)


def _sofa_items(given: Sofa) -> tuple[Component, ...]:
    ratio = given.arterial_oxygen / given.fio2
    lungs = 4 if ratio < 100 else 3 if ratio < 200 else 2 if ratio < 300 else 1 if ratio < 400 else 0
    lungs = lungs if given.respiratory_support else min(lungs, 2)
    support = "with" if given.respiratory_support else "without"
    pressure = 1 if given.mean_arterial_pressure < 70 else 0
    kidney = stepped("creatinine", given.creatinine, "mg/dL", ((1.2, 1), (2, 2), (3.5, 3), (5, 4)))
    output = given.urine_output
    urine = 0 if output is None else 4 if output < 200 else 3 if output < 500 else 0
    return (
        Component(item="PaO2/FiO2", stated=f"{ratio:.0f} mmHg {support} ventilation", points=lungs,
                  why="1 below 400, 2 below 300, with ventilation 3 below 200 and 4 below 100"),
        stepped("platelets", given.platelets, "10^9/L", ((LOWEST, 4), (20, 3), (50, 2), (100, 1), (150, 0))),
        stepped("bilirubin", given.bilirubin, "mg/dL", ((1.2, 1), (2, 2), (6, 3), (12, 4))),
        Component(item="circulation", points=max(pressure, _VASOPRESSOR[given.vasopressor]),
                  stated=f"{given.mean_arterial_pressure:g} mmHg, vasopressor {given.vasopressor.replace('_', ' ')}",
                  why="1 for a mean pressure below 70 mmHg, 2 to 4 by vasopressor"),
        stepped("Glasgow Coma Scale", given.coma_scale, "points", ((LOWEST, 4), (6, 3), (10, 2), (13, 1), (15, 0))),
        kidney if kidney.points >= urine else Component(
            item="urine", stated=shown(output or 0, "mL"), points=urine, why="3 below 500, 4 below 200 mL in 24 hours"),
    )  # fmt: skip


class EarlyWarning(Arguments):
    respiratory_rate: RespiratoryRate
    oxygen_saturation: OxygenSaturation
    hypercapnic_target: bool = Field(
        description="Scale 2: hypercapnic respiratory failure with a prescribed saturation of 88 to 92 %."
    )
    supplemental_oxygen: bool
    systolic: SystolicPressure
    pulse: HeartRate
    consciousness: Literal["alert", "confusion", "voice", "pain", "unresponsive"] = Field(
        description="ACVPU; confusion only if new."
    )
    temperature: Temperature
    age: Annotated[float, Amount(what="age", unit="years", low=16, high=120, example=67)]


NEWS_2 = Published(
    name="news2", measures="news2", title="NEWS2 score",
    levels=((0, "low risk"), (5, "medium risk: urgent response"), (7, "high risk: emergency response")),
    summary="National Early Warning Score 2.",
    source="Royal College of Physicians, National Early Warning Score (NEWS) 2, London 2017",
    limits=("From 16 years; not in pregnancy or spinal cord injury.", "Values are rounded as they are charted."),
)  # fmt: skip


def _news2(given: EarlyWarning, images: ImageStore) -> Calculated:
    rate, pulse, systolic = half_up(given.respiratory_rate), half_up(given.pulse), half_up(given.systolic)
    saturation, temperature = half_up(given.oxygen_saturation), half_up(10 * given.temperature) / 10
    scale: Steps
    if not given.hypercapnic_target:
        scale = ((LOWEST, 3), (92, 2), (94, 1), (96, 0))
    elif given.supplemental_oxygen:
        scale = ((LOWEST, 3), (84, 2), (86, 1), (88, 0), (93, 1), (95, 2), (97, 3))
    else:
        scale = ((LOWEST, 3), (84, 2), (86, 1), (88, 0))
    items = (
        stepped("respiratory rate", rate, "/min", ((LOWEST, 3), (9, 1), (12, 0), (21, 2), (25, 3))),
        stepped(f"oxygen saturation, scale {2 if given.hypercapnic_target else 1}", saturation, "%", scale),
        flag("supplemental oxygen", given.supplemental_oxygen, 2),
        stepped("systolic pressure", systolic, "mmHg", ((LOWEST, 3), (91, 2), (101, 1), (111, 0), (220, 3))),
        stepped("pulse", pulse, "/min", ((LOWEST, 3), (41, 1), (51, 0), (91, 1), (111, 2), (131, 3))),
        chosen("consciousness", given.consciousness,
               {"alert": 0, "confusion": 3, "voice": 3, "pain": 3, "unresponsive": 3}),
        stepped("temperature", temperature, "°C", ((LOWEST, 3), (35.1, 1), (36.1, 0), (38.1, 1), (39.1, 2))),
    )  # fmt: skip
    total = sum(item.points for item in items)
    single = total < 5 and any(item.points == 3 for item in items)
    said = "low to medium risk: a single item of 3 points needs an urgent ward-based response" if single else None
    return NEWS_2.scored(items, interpretation=said)


class Sirs(Arguments):
    temperature: Temperature
    heart_rate: HeartRate
    respiratory_rate: RespiratoryRate
    white_cells: WhiteCells
    arterial_carbon_dioxide: ArterialCarbonDioxide | None = None
    band_forms: Annotated[float, Amount(what="band forms", unit="%", low=0, high=100, example=4)] | None = None


SIRS = Published(
    name="sirs", measures="sirs", title="number of SIRS criteria that are met",
    levels=((0, "no systemic inflammatory response syndrome"), (2, "systemic inflammatory response syndrome")),
    summary="Systemic inflammatory response syndrome.",
    source="Bone RC et al., Definitions for sepsis and organ failure and guidelines for the use of innovative "
    "therapies in sepsis, Chest 1992;101:1644-1655",
    limits=("Adults; common without infection too.",),
)  # fmt: skip


def _sirs(given: Sirs, images: ImageStore) -> Calculated:
    carbon, bands = given.arterial_carbon_dioxide, given.band_forms
    fast = given.respiratory_rate > 20 or (carbon is not None and carbon < 32)
    cells = given.white_cells > 12 or given.white_cells < 4 or (bands is not None and bands > 10)
    return SIRS.scored((
        when("temperature", given.temperature > 38 or given.temperature < 36, shown(given.temperature, "°C"),
             "above 38 or below 36 °C"),
        when("heart rate", given.heart_rate > 90, shown(given.heart_rate, "/min"), "above 90 /min"),
        when("breathing", fast, shown(given.respiratory_rate, "/min"), "above 20 /min, or PaCO2 below 32 mmHg"),
        when("white cells", cells, shown(given.white_cells, "10^9/L"),
             "above 12 or below 4, or more than 10 % band forms"),
    ))  # fmt: skip


class Coma(Arguments):
    eyes: Annotated[
        float, Amount(what="eye opening: 4 by itself, 3 to speech, 2 to pain, 1 none", unit="points", low=1, high=4,
                      whole=True, example=3),
    ]  # fmt: skip
    verbal: Annotated[
        float, Amount(what="verbal response: 5 oriented, 4 confused, 3 words, 2 sounds, 1 none", unit="points", low=1,
                      high=5, whole=True, example=4),
    ]  # fmt: skip
    motor: Annotated[
        float, Amount(what="motor response: 6 obeys, 5 localises, 4 withdraws, 3 abnormal flexion, 2 extension, 1 none",
                      unit="points", low=1, high=6, whole=True, example=5),
    ]  # fmt: skip


COMA_SCALE = Published(
    name="glasgow_coma_scale", measures="glasgow_coma_scale", title="Glasgow Coma Scale",
    levels=((3, "severe: coma (8 or less)"), (9, "moderate (9 to 12)"), (13, "mild (13 to 15)")),
    summary="Glasgow Coma Scale from its three responses.",
    source="Teasdale G, Jennett B, Assessment of coma and impaired consciousness: a practical scale, Lancet "
    "1974;304:81-84, with abnormal flexion as in Teasdale G, Jennett B, Acta Neurochirurgica 1976;34:45-55",
    limits=("A response that cannot be tested (tube, swelling) gives no sum.", "From 5 years of age."),
)  # fmt: skip


def _coma_scale(given: Coma, images: ImageStore) -> Calculated:
    return COMA_SCALE.scored(tuple(
        Component(item=item, stated=f"{points:g}", points=points, why=f"1 to {most}")
        for item, points, most in (("eyes", given.eyes, 4), ("verbal", given.verbal, 5), ("motor", given.motor, 6))
    ))  # fmt: skip


class Pressures(Arguments):
    systolic: SystolicPressure
    diastolic: DiastolicPressure


MEAN_PRESSURE = Published(
    name="mean_arterial_pressure", measures="mean_arterial_pressure", title="mean arterial pressure", unit="mmHg",
    levels=((0, "below 65 mmHg, the target in septic shock"), (65, "at least 65 mmHg")),
    summary="Mean arterial pressure from systolic and diastolic pressure.",
    source="Diastolic pressure and a third of the pulse pressure; target: Evans L et al., Surviving Sepsis Campaign "
    "2021, Critical Care Medicine 2021;49:e1063-e1143",
    limits=("An estimate at usual heart rates; a fast heart has a higher mean.",),
)  # fmt: skip


def _mean_pressure(given: Pressures, images: ImageStore) -> Calculated:
    if given.diastolic >= given.systolic:
        raise refused("a systolic above the diastolic pressure", f"{given.systolic:g}/{given.diastolic:g} mmHg",
                      "check whether the two values were exchanged")  # fmt: skip
    return MEAN_PRESSURE.given((MEAN_PRESSURE.value((given.systolic + 2 * given.diastolic) / 3),))


class Shock(Arguments):
    heart_rate: HeartRate
    systolic: SystolicPressure


SHOCK_INDEX = Published(
    name="shock_index", measures="shock_index", title="shock index", digits=2,
    levels=((0, "not raised (up to 0.9)"), (0.91, "raised (above 0.9)")),
    summary="Shock index: heart rate over systolic pressure.",
    source="Allgöwer M, Burri C, Schockindex, Deutsche Medizinische Wochenschrift 1967;92:1947-1950; bound: Rady MY et "
    "al., Annals of Emergency Medicine 1994;24:685-690",
    limits=("Adults; beta blockers and pacemakers hide it.",),
)  # fmt: skip


def _shock_index(given: Shock, images: ImageStore) -> Calculated:
    return SHOCK_INDEX.given((SHOCK_INDEX.value(given.heart_rate / given.systolic),))


class Burn(Arguments):
    weight: Weight
    burnt_surface: Annotated[
        float, Amount(what="burnt body surface, second and third degree", unit="%", low=15, high=100, example=30)
    ]
    age: AdultAge


PARKLAND = Published(
    name="parkland", measures="parkland_fluid", title="fluid in the first 24 hours by the Parkland formula", unit="mL",
    summary="Parkland formula: crystalloid in the first day after a burn.",
    source="Baxter CR, Shires T, Physiological response to crystalloid resuscitation of severe burns, Annals of the "
    "New York Academy of Sciences 1968;150:874-894",
    limits=("Adults with second- and third-degree burns of 15 % or more.",
            "A starting point: urine output guides what follows."),
)  # fmt: skip


def _parkland(given: Burn, images: ImageStore) -> Calculated:
    fluid = 4 * given.weight * given.burnt_surface
    said = "half of it in the first 8 hours after the burn, the rest in the next 16"
    half = PARKLAND.other("parkland_first_8_hours", "share of the first 8 hours", fluid / 2, of=("parkland_fluid",))
    return PARKLAND.given((PARKLAND.value(fluid, said), half), interpretation=said)


TOOLS = (
    QSOFA.tool(QuickSofa, _qsofa),
    SOFA.tool(Sofa, _sofa),
    NEWS_2.tool(EarlyWarning, _news2),
    SIRS.tool(Sirs, _sirs),
    COMA_SCALE.tool(Coma, _coma_scale),
    MEAN_PRESSURE.tool(Pressures, _mean_pressure),
    SHOCK_INDEX.tool(Shock, _shock_index),
    PARKLAND.tool(Burn, _parkland),
)
