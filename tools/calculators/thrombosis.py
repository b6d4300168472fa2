"""Venous thrombosis and embolism by score: pretest probability, exclusion without a test, and risk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..card import Arguments
from .amounts import Amount
from .points import LOWEST, Calculated, Published, flag, shown, stepped, when
from .quantities import AdultAge, HeartRate, OxygenSaturation, SystolicPressure

if TYPE_CHECKING:
    from ..imaging.store import ImageStore


class WellsThrombosis(Arguments):
    active_cancer: bool = Field(description="Cancer under treatment, treated within 6 months, or palliative.")
    paralysis_or_cast: bool = Field(description="Paralysis, paresis or recent plaster immobilisation of the leg.")
    bedridden_or_surgery: bool = Field(
        description="Bedridden for 3 days or more, or major surgery with anaesthesia within 12 weeks."
    )
    tenderness: bool = Field(description="Localised tenderness along the deep veins.")
    entire_leg_swollen: bool
    calf_swelling: bool = Field(description="Calf at least 3 cm larger than on the other side.")
    pitting_oedema: bool = Field(description="Pitting oedema confined to the symptomatic leg.")
    collateral_veins: bool = Field(description="Collateral superficial veins that are not varicose.")
    previous_thrombosis: bool = Field(description="Deep vein thrombosis documented before.")
    alternative_as_likely: bool = Field(description="Another diagnosis is at least as likely.")


WELLS_DVT = Published(
    name="wells_dvt", measures="wells_dvt_score", title="Wells score for deep vein thrombosis",
    levels=((LOWEST, "deep vein thrombosis unlikely (below 2)"), (2, "deep vein thrombosis likely (2 or more)")),
    summary="Wells score for deep vein thrombosis (two levels).",
    source="Wells PS et al., Evaluation of D-dimer in the diagnosis of suspected deep-vein thrombosis, New England "
    "Journal of Medicine 2003;349:1227-1235",
    limits=("Adult outpatients with a suspected first or repeated thrombosis; not in pregnancy.",),
)  # fmt: skip


def _wells_dvt(given: WellsThrombosis, images: ImageStore) -> Calculated:
    return WELLS_DVT.scored((
        flag("active cancer", given.active_cancer),
        flag("paralysis, paresis or cast", given.paralysis_or_cast),
        flag("bedridden or major surgery", given.bedridden_or_surgery),
        flag("tenderness along the deep veins", given.tenderness),
        flag("entire leg swollen", given.entire_leg_swollen),
        flag("calf swelling of 3 cm", given.calf_swelling),
        flag("pitting oedema", given.pitting_oedema),
        flag("collateral superficial veins", given.collateral_veins),
        flag("previous deep vein thrombosis", given.previous_thrombosis),
        flag("alternative diagnosis as likely", given.alternative_as_likely, -2),
    ))  # fmt: skip


class WellsEmbolism(Arguments):
    signs_of_thrombosis: bool = Field(description="Signs of deep vein thrombosis: leg swelling and pain on palpation.")
    alternative_less_likely: bool = Field(description="An alternative diagnosis is less likely than embolism.")
    heart_rate: HeartRate
    immobilised_or_surgery: bool = Field(description="Immobilised for 3 days or more, or surgery within 4 weeks.")
    previous_thromboembolism: bool = Field(description="Deep vein thrombosis or pulmonary embolism before.")
    haemoptysis: bool
    malignancy: bool = Field(description="Cancer under treatment, treated within 6 months, or palliative.")


WELLS_PE = Published(
    name="wells_pe", measures="wells_pe_score", title="Wells score for pulmonary embolism", digits=1,
    levels=((0, "pulmonary embolism unlikely (at most 4)"), (4.1, "pulmonary embolism likely (above 4)")),
    summary="Wells score for pulmonary embolism (two levels).",
    source="Wells PS et al., Derivation of a simple clinical model to categorize patients probability of pulmonary "
    "embolism, Thrombosis and Haemostasis 2000;83:416-420",
    limits=("Adults with suspected embolism; not in pregnancy.",
            "That another diagnosis is less likely is the examiner's judgement, and weighs 3 points."),
)  # fmt: skip


def _wells_pe(given: WellsEmbolism, images: ImageStore) -> Calculated:
    return WELLS_PE.scored((
        flag("signs of deep vein thrombosis", given.signs_of_thrombosis, 3),
        flag("alternative diagnosis less likely", given.alternative_less_likely, 3),
        when("heart rate", given.heart_rate > 100, shown(given.heart_rate, "/min"), "above 100 /min", 1.5),
        flag("immobilised or surgery", given.immobilised_or_surgery, 1.5),
        flag("previous thromboembolism", given.previous_thromboembolism, 1.5),
        flag("haemoptysis", given.haemoptysis),
        flag("malignancy", given.malignancy),
    ))  # fmt: skip


class RevisedGeneva(Arguments):
    age: AdultAge
    previous_thromboembolism: bool = Field(description="Deep vein thrombosis or pulmonary embolism before.")
    surgery_or_fracture: bool = Field(description="Surgery under general anaesthesia or leg fracture within 1 month.")
    active_malignancy: bool = Field(description="Cancer that is active or considered cured for less than 1 year.")
    unilateral_leg_pain: bool
    haemoptysis: bool
    heart_rate: HeartRate
    vein_pain_and_oedema: bool = Field(description="Pain on palpation of leg veins and unilateral oedema.")


GENEVA = Published(
    name="revised_geneva", measures="revised_geneva_score", title="revised Geneva score",
    levels=((0, "low probability of pulmonary embolism (8 %)"), (4, "intermediate probability of pulmonary embolism "
            "(28 %)"), (11, "high probability of pulmonary embolism (74 %)")),
    summary="Revised Geneva score for pulmonary embolism.",
    source="Le Gal G et al., Prediction of pulmonary embolism in the emergency department: the revised Geneva score, "
    "Annals of Internal Medicine 2006;144:165-171",
    limits=("Adults with suspected embolism in an emergency department; not in pregnancy.",),
)  # fmt: skip


def _geneva(given: RevisedGeneva, images: ImageStore) -> Calculated:
    return GENEVA.scored((
        when("age", given.age > 65, shown(given.age, "years"), "above 65 years"),
        flag("previous thromboembolism", given.previous_thromboembolism, 3),
        flag("surgery or fracture within 1 month", given.surgery_or_fracture, 2),
        flag("active malignancy", given.active_malignancy, 2),
        flag("unilateral leg pain", given.unilateral_leg_pain, 3),
        flag("haemoptysis", given.haemoptysis, 2),
        stepped("heart rate", given.heart_rate, "/min", ((75, 3), (95, 5))),
        flag("pain on leg vein palpation and unilateral oedema", given.vein_pain_and_oedema, 4),
    ))  # fmt: skip


class Perc(Arguments):
    age: AdultAge
    heart_rate: HeartRate
    oxygen_saturation: OxygenSaturation
    unilateral_leg_swelling: bool
    haemoptysis: bool
    surgery_or_trauma: bool = Field(description="Surgery or trauma within 4 weeks that needed hospital treatment.")
    previous_thromboembolism: bool = Field(description="Deep vein thrombosis or pulmonary embolism before.")
    oestrogen: bool = Field(description="Takes oestrogen.")


PERC = Published(
    name="perc", measures="perc_criteria", title="number of PERC criteria that are positive",
    levels=((0, "embolism is excluded without a test where the pretest probability is low"),
            (1, "embolism is not excluded by the rule")),
    summary="Pulmonary Embolism Rule-out Criteria (PERC).",
    source="Kline JA et al., Clinical criteria to prevent unnecessary diagnostic testing in emergency department "
    "patients with suspected pulmonary embolism, Journal of Thrombosis and Haemostasis 2004;2:1247-1255",
    limits=("Only where the examiner judges the probability to be low (under 15 %).", "Adults; not in pregnancy."),
)  # fmt: skip


def _perc(given: Perc, images: ImageStore) -> Calculated:
    return PERC.scored((
        when("age", given.age >= 50, shown(given.age, "years"), "from 50 years"),
        when("heart rate", given.heart_rate >= 100, shown(given.heart_rate, "/min"), "from 100 /min"),
        when("oxygen saturation", given.oxygen_saturation < 95, shown(given.oxygen_saturation, "%"), "below 95 %"),
        flag("unilateral leg swelling", given.unilateral_leg_swelling),
        flag("haemoptysis", given.haemoptysis),
        flag("surgery or trauma within 4 weeks", given.surgery_or_trauma),
        flag("previous thromboembolism", given.previous_thromboembolism),
        flag("oestrogen", given.oestrogen),
    ))  # fmt: skip


class SimplifiedPesi(Arguments):
    age: AdultAge
    cancer: bool = Field(description="Cancer, present or past.")
    chronic_cardiopulmonary: bool = Field(description="Chronic heart failure or chronic lung disease.")
    heart_rate: HeartRate
    systolic: SystolicPressure
    oxygen_saturation: OxygenSaturation


SPESI = Published(
    name="spesi", measures="spesi", title="simplified pulmonary embolism severity index",
    levels=((0, "low risk, 30-day mortality 1.0 %"), (1, "raised risk, 30-day mortality 10.9 %")),
    summary="Simplified Pulmonary Embolism Severity Index.",
    source="Jiménez D et al., Simplification of the pulmonary embolism severity index for prognostication in patients "
    "with acute symptomatic pulmonary embolism, Archives of Internal Medicine 2010;170:1383-1389",
    limits=("Adults with proven acute pulmonary embolism.",),
)  # fmt: skip


def _spesi(given: SimplifiedPesi, images: ImageStore) -> Calculated:
    return SPESI.scored((
        when("age", given.age > 80, shown(given.age, "years"), "above 80 years"),
        flag("cancer", given.cancer),
        flag("chronic heart or lung disease", given.chronic_cardiopulmonary),
        when("heart rate", given.heart_rate >= 110, shown(given.heart_rate, "/min"), "from 110 /min"),
        when("systolic pressure", given.systolic < 100, shown(given.systolic, "mmHg"), "below 100 mmHg"),
        when("oxygen saturation", given.oxygen_saturation < 90, shown(given.oxygen_saturation, "%"), "below 90 %"),
    ))  # fmt: skip


class Padua(Arguments):
    active_cancer: bool
    previous_thromboembolism: bool = Field(description="Venous thromboembolism before, but of superficial veins.")
    reduced_mobility: bool = Field(description="Bed rest with bathroom privileges for at least 3 days.")
    thrombophilia: bool = Field(description="A known thrombophilic condition.")
    trauma_or_surgery: bool = Field(description="Trauma or surgery within 1 month.")
    age: AdultAge
    heart_or_respiratory_failure: bool
    infarction_or_stroke: bool = Field(description="Acute myocardial infarction or ischaemic stroke.")
    infection_or_rheumatic: bool = Field(description="Acute infection or rheumatological disorder.")
    bmi: Annotated[float, Amount(what="body mass index", unit="kg/m2", low=8, high=120, example=26)]
    hormonal_treatment: bool = Field(description="Ongoing hormonal treatment.")


PADUA = Published(
    name="padua", measures="padua_score", title="Padua prediction score",
    levels=((0, "low risk of venous thromboembolism (below 4)"),
            (4, "high risk of venous thromboembolism (4 or more)")),
    summary="Padua Prediction Score of venous thromboembolism in medical inpatients.",
    source="Barbar S et al., A risk assessment model for the identification of hospitalized medical patients at risk "
    "for venous thromboembolism: the Padua Prediction Score, Journal of Thrombosis and Haemostasis 2010;8:2450-2457",
    limits=("Adult medical inpatients; the risk of bleeding is weighed apart.",),
)  # fmt: skip


def _padua(given: Padua, images: ImageStore) -> Calculated:
    return PADUA.scored((
        flag("active cancer", given.active_cancer, 3),
        flag("previous thromboembolism", given.previous_thromboembolism, 3),
        flag("reduced mobility", given.reduced_mobility, 3),
        flag("thrombophilia", given.thrombophilia, 3),
        flag("trauma or surgery within 1 month", given.trauma_or_surgery, 2),
        when("age", given.age >= 70, shown(given.age, "years"), "from 70 years"),
        flag("heart or respiratory failure", given.heart_or_respiratory_failure),
        flag("myocardial infarction or stroke", given.infarction_or_stroke),
        flag("acute infection or rheumatological disorder", given.infection_or_rheumatic),
        when("body mass index", given.bmi >= 30, shown(given.bmi, "kg/m2"), "from 30 kg/m2"),
        flag("hormonal treatment", given.hormonal_treatment),
    ))  # fmt: skip


TOOLS = (
    WELLS_DVT.tool(WellsThrombosis, _wells_dvt),
    WELLS_PE.tool(WellsEmbolism, _wells_pe),
    GENEVA.tool(RevisedGeneva, _geneva),
    PERC.tool(Perc, _perc),
    SPESI.tool(SimplifiedPesi, _spesi),
    PADUA.tool(Padua, _padua),
)
