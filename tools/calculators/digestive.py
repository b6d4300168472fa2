"""The digestive tract by score: bleeding, pancreatitis and appendicitis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..card import Arguments
from .amounts import Amount, Sex
from .points import LOWEST, Calculated, Published, chosen, flag, half_up, shown, stepped, when
from .quantities import (
    UREA,
    AdultAge,
    ComaScale,
    Haemoglobin,
    HeartRate,
    SystolicPressure,
    Temperature,
    Urea,
    WhiteCells,
)

if TYPE_CHECKING:
    from ..imaging.store import ImageStore


class UpperBleeding(Arguments):
    urea: Urea
    haemoglobin: Haemoglobin
    sex: Sex
    systolic: SystolicPressure
    pulse: HeartRate
    melaena: bool
    syncope: bool
    liver_disease: bool = Field(description="Known, or signs of chronic or acute liver disease.")
    cardiac_failure: bool = Field(description="Known, or signs of cardiac failure.")


BLATCHFORD = Published(
    name="glasgow_blatchford", measures="glasgow-blatchford_score", title="Glasgow-Blatchford score",
    levels=((0, "very low risk: outpatient management is possible (up to 1)"), (2, "needs assessment in hospital "
            "(2 or more)")),
    summary="Glasgow-Blatchford score of upper gastrointestinal bleeding, before endoscopy.",
    source="Blatchford O et al., A risk score to predict need for treatment for upper-gastrointestinal haemorrhage, "
    "Lancet 2000;356:1318-1321; bound of 1: Gralnek IM et al., Endoscopy 2021;53:300-332",
    limits=("Adults with upper gastrointestinal bleeding.",),
)  # fmt: skip


def _blatchford(given: UpperBleeding, images: ImageStore) -> Calculated:
    """The source's bounds of urea are in mmol/L with one decimal, and so urea is compared: a urea nitrogen of 18.2,
    22.4, 28 or 70 mg/dL, as the usual tables round the bounds, is then 6.5, 8.0, 10.0 or 25.0 mmol/L."""
    blood = ((LOWEST, 6.0), (10, 1), (12, 0)) if given.sex == "female" else ((LOWEST, 6.0), (10, 3), (12, 1), (13, 0))
    return BLATCHFORD.scored((
        stepped("urea", half_up(10 * given.urea) / 10, "mmol/L", ((6.5, 2), (8, 3), (10, 4), (25, 6))),
        stepped("haemoglobin", given.haemoglobin, "g/dL", blood),
        stepped("systolic pressure", given.systolic, "mmHg", ((LOWEST, 3), (90, 2), (100, 1), (110, 0))),
        when("pulse", given.pulse >= 100, shown(given.pulse, "/min"), "from 100 /min"),
        flag("melaena", given.melaena),
        flag("syncope", given.syncope, 2),
        flag("liver disease", given.liver_disease, 2),
        flag("cardiac failure", given.cardiac_failure, 2),
    ))  # fmt: skip


class Rockall(Arguments):
    age: AdultAge
    pulse: HeartRate
    systolic: SystolicPressure
    comorbidity: Literal["none", "heart_failure_ischaemia_or_other_major", "renal_or_liver_failure_or_metastases"]
    diagnosis: Literal["mallory_weiss_or_none", "other", "upper_gastrointestinal_cancer"]
    stigmata: Literal["none_or_dark_spot", "blood_clot_or_visible_vessel"]


ROCKALL = Published(
    name="rockall", measures="rockall_score", title="Rockall score",
    levels=((0, "low risk of death (up to 2)"), (3, "raised risk of death (3 to 7)"), (8, "high risk of death "
            "(8 or more)")),
    summary="Full Rockall score of upper gastrointestinal bleeding, after endoscopy.",
    source="Rockall TA et al., Risk assessment after acute upper gastrointestinal haemorrhage, Gut 1996;38:316-321",
    limits=("Adults after endoscopy.",),
)  # fmt: skip


def _rockall(given: Rockall, images: ImageStore) -> Calculated:
    fast = given.pulse >= 100
    shock = 2 if given.systolic < 100 else 1 if fast else 0
    vitals = f"pulse {given.pulse:g} /min, {given.systolic:g} mmHg"
    return ROCKALL.scored((
        stepped("age", given.age, "years", ((60, 1), (80, 2))),
        when("shock", shock > 0, vitals, "1 with a pulse from 100 /min, 2 below 100 mmHg", shock),
        chosen("comorbidity", given.comorbidity, {
            "none": 0, "heart_failure_ischaemia_or_other_major": 2, "renal_or_liver_failure_or_metastases": 3}),
        chosen("diagnosis", given.diagnosis, {
            "mallory_weiss_or_none": 0, "other": 1, "upper_gastrointestinal_cancer": 2}),
        chosen("stigmata", given.stigmata, {"none_or_dark_spot": 0, "blood_clot_or_visible_vessel": 2}),
    ))  # fmt: skip


class Pancreatitis(Arguments):
    urea: Urea
    coma_scale: ComaScale
    sirs_criteria: Annotated[
        float, Amount(what="number of SIRS criteria met", unit="points", low=0, high=4, whole=True, example=2)
    ]
    age: AdultAge
    pleural_effusion: bool


BISAP = Published(
    name="bisap", measures="bisap_score", title="BISAP score",
    levels=((0, "low risk: mortality under 2 % (below 3)"), (3, "raised risk of death and severe pancreatitis "
            "(3 or more)")),
    summary="BISAP: early risk of death in acute pancreatitis.",
    source="Wu BU et al., The early prediction of mortality in acute pancreatitis: a large population-based study, Gut "
    "2008;57:1698-1703",
    limits=("Adults with acute pancreatitis, values of the first 24 hours.",),
)  # fmt: skip


def _bisap(given: Pancreatitis, images: ImageStore) -> Calculated:
    return BISAP.scored((
        when("urea", given.urea > UREA.read("25 mg/dL"), shown(given.urea, "mmol/L"),
             "above 8.92 mmol/L (25 mg/dL of urea nitrogen)"),
        when("mental status", given.coma_scale < 15, f"Glasgow Coma Scale {given.coma_scale:g}", "below 15"),
        when("SIRS", given.sirs_criteria >= 2, f"{given.sirs_criteria:g} criteria", "from 2 criteria"),
        when("age", given.age > 60, shown(given.age, "years"), "above 60 years"),
        flag("pleural effusion", given.pleural_effusion),
    ))  # fmt: skip


class Appendicitis(Arguments):
    migration: bool = Field(description="Pain migrated to the right lower quadrant.")
    anorexia: bool = Field(description="Anorexia, or acetone in the urine.")
    nausea: bool = Field(description="Nausea or vomiting.")
    tenderness: bool = Field(description="Tenderness in the right lower quadrant.")
    rebound: bool
    temperature: Temperature
    white_cells: WhiteCells
    neutrophils: Annotated[float, Amount(what="share of neutrophils", unit="%", low=1, high=99, example=82)]


ALVARADO = Published(
    name="alvarado", measures="alvarado_score", title="Alvarado score",
    levels=((0, "appendicitis unlikely (up to 4)"), (5, "compatible with appendicitis (5 or 6)"),
            (7, "appendicitis probable (7 or 8)"), (9, "appendicitis very probable (9 or 10)")),
    summary="Alvarado score of acute appendicitis.",
    source="Alvarado A, A practical score for the early diagnosis of acute appendicitis, Annals of Emergency Medicine "
    "1986;15:557-564",
    limits=("Suspected appendicitis; less certain in pregnancy, children and old age.",),
)  # fmt: skip


def _alvarado(given: Appendicitis, images: ImageStore) -> Calculated:
    return ALVARADO.scored((
        flag("migration of pain", given.migration),
        flag("anorexia", given.anorexia),
        flag("nausea or vomiting", given.nausea),
        flag("tenderness in the right lower quadrant", given.tenderness, 2),
        flag("rebound", given.rebound),
        when("temperature", given.temperature >= 37.3, shown(given.temperature, "°C"), "from 37.3 °C"),
        when("leucocytosis", given.white_cells > 10, shown(given.white_cells, "10^9/L"), "above 10 x 10^9/L", 2),
        when("shift to the left", given.neutrophils > 75, shown(given.neutrophils, "%"), "above 75 % neutrophils"),
    ))  # fmt: skip


TOOLS = (
    BLATCHFORD.tool(UpperBleeding, _blatchford),
    ROCKALL.tool(Rockall, _rockall),
    BISAP.tool(Pancreatitis, _bisap),
    ALVARADO.tool(Appendicitis, _alvarado),
)
