"""The heart and its vessels by score and formula: stroke and bleeding risk, chest pain, QTc, pressure index, risk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..card import Arguments
from .amounts import Amount, Sex
from .points import LOWEST, Calculated, Published, chosen, flag, refused, shown, stepped, term, when
from .quantities import AdultAge, Creatinine, HeartRate, SystolicPressure

if TYPE_CHECKING:
    from ..imaging.store import ImageStore


class StrokeRisk(Arguments):
    age: AdultAge
    sex: Sex
    heart_failure: bool = Field(description="Heart failure or an ejection fraction of 40 % or less.")
    hypertension: bool
    diabetes: bool
    stroke: bool = Field(description="Stroke, transient ischaemic attack or systemic embolism before.")
    vascular_disease: bool = Field(description="Myocardial infarction, peripheral artery disease or aortic plaque.")


CHA2DS2_VASC = Published(
    name="cha2ds2_vasc", measures="cha2ds2-vasc", title="CHA2DS2-VASc score",
    levels=((0, "low risk of stroke"), (1, "low to intermediate risk of stroke"), (2, "raised risk of stroke")),
    summary="CHA2DS2-VASc: risk of stroke in atrial fibrillation.",
    source="Lip GY et al., Refining clinical risk stratification for predicting stroke and thromboembolism in atrial "
    "fibrillation, Chest 2010;137:263-272",
    limits=("Adults with non-valvular atrial fibrillation.",
            "Anticoagulation is recommended from 2 points in men and 3 in women (ESC 2020)."),
)  # fmt: skip


def _cha2ds2_vasc(given: StrokeRisk, images: ImageStore) -> Calculated:
    return CHA2DS2_VASC.scored((
        flag("heart failure", given.heart_failure),
        flag("hypertension", given.hypertension),
        stepped("age", given.age, "years", ((65, 1), (75, 2))),
        flag("diabetes", given.diabetes),
        flag("stroke, TIA or embolism", given.stroke, 2),
        flag("vascular disease", given.vascular_disease),
        chosen("sex", given.sex, {"female": 1, "male": 0}),
    ))  # fmt: skip


class BleedingRisk(Arguments):
    uncontrolled_hypertension: bool = Field(description="Systolic pressure above 160 mmHg.")
    renal_disease: bool = Field(description="Dialysis, transplant or a creatinine above 200 umol/L (2.26 mg/dL).")
    liver_disease: bool = Field(description="Cirrhosis, or bilirubin above 2 and transaminases above 3 times normal.")
    stroke: bool = Field(description="Stroke before.")
    bleeding: bool = Field(description="Major bleeding before, or a disposition to it such as anaemia.")
    labile_inr: bool = Field(description="Time in therapeutic range below 60 %; no without a vitamin K antagonist.")
    age: AdultAge
    drugs: bool = Field(description="Antiplatelet drugs or non-steroidal anti-inflammatory drugs.")
    alcohol: bool = Field(description="8 drinks or more in a week.")


HAS_BLED = Published(
    name="has_bled", measures="has-bled", title="HAS-BLED score",
    levels=((0, "not raised (below 3)"), (3, "high risk of major bleeding (3 or more)")),
    summary="HAS-BLED: risk of major bleeding in atrial fibrillation.",
    source="Pisters R et al., A novel user-friendly score (HAS-BLED) to assess 1-year risk of major bleeding in "
    "patients with atrial fibrillation, Chest 2010;138:1093-1100",
    limits=("Adults with atrial fibrillation.", "A reason to mend causes, not to withhold anticoagulation."),
)  # fmt: skip


def _has_bled(given: BleedingRisk, images: ImageStore) -> Calculated:
    return HAS_BLED.scored((
        flag("uncontrolled hypertension", given.uncontrolled_hypertension),
        flag("renal disease", given.renal_disease),
        flag("liver disease", given.liver_disease),
        flag("stroke", given.stroke),
        flag("bleeding", given.bleeding),
        flag("labile INR", given.labile_inr),
        when("age", given.age > 65, shown(given.age, "years"), "above 65 years"),
        flag("drugs", given.drugs),
        flag("alcohol", given.alcohol),
    ))  # fmt: skip


class ChestPain(Arguments):
    history: Literal["slightly_suspicious", "moderately_suspicious", "highly_suspicious"]
    ecg: Literal["normal", "nonspecific_repolarisation", "significant_st_deviation"]
    age: AdultAge
    risk_factors: Literal["none", "one_or_two", "three_or_more_or_atherosclerosis"] = Field(
        description="Hypertension, cholesterol, diabetes, obesity, smoking, family history; or known atherosclerosis."
    )
    troponin: Literal["normal", "up_to_3_times_limit", "above_3_times_limit"]


HEART = Published(
    name="heart_score", measures="heart_score", title="HEART score",
    levels=((0, "low risk, 1.7 % with a major cardiac event in 6 weeks"), (4, "moderate risk, 16.6 % with a major "
            "cardiac event in 6 weeks"), (7, "high risk, 50.1 % with a major cardiac event in 6 weeks")),
    summary="HEART score of chest pain in the emergency department.",
    source="Backus BE et al., A prospective validation of the HEART score for chest pain patients at the emergency "
    "department, International Journal of Cardiology 2013;168:2153-2158",
    limits=("Adults with chest pain in an emergency department, without ST elevation.",),
)  # fmt: skip


def _heart(given: ChestPain, images: ImageStore) -> Calculated:
    return HEART.scored((
        chosen("history", given.history,
               {"slightly_suspicious": 0, "moderately_suspicious": 1, "highly_suspicious": 2}),
        chosen("ECG", given.ecg, {"normal": 0, "nonspecific_repolarisation": 1, "significant_st_deviation": 2}),
        stepped("age", given.age, "years", ((45, 1), (65, 2))),
        chosen("risk factors", given.risk_factors,
               {"none": 0, "one_or_two": 1, "three_or_more_or_atherosclerosis": 2}),
        chosen("troponin", given.troponin, {"normal": 0, "up_to_3_times_limit": 1, "above_3_times_limit": 2}),
    ))  # fmt: skip


class Timi(Arguments):
    age: AdultAge
    three_risk_factors: bool = Field(
        description="3 or more of family history, hypertension, hypercholesterolaemia, diabetes, active smoking."
    )
    known_stenosis: bool = Field(description="A coronary stenosis of 50 % or more is known.")
    aspirin: bool = Field(description="Took aspirin within 7 days.")
    severe_angina: bool = Field(description="2 or more episodes of angina within 24 hours.")
    st_deviation: bool = Field(description="ST deviation of 0.5 mm or more.")
    markers: bool = Field(description="Raised cardiac markers.")


TIMI = Published(
    name="timi", measures="timi_score", title="TIMI score of unstable angina and NSTEMI",
    levels=tuple(
        (points, f"{share} % died, had an infarction or needed urgent revascularisation within 14 days")
        for points, share in ((0, 4.7), (2, 8.3), (3, 13.2), (4, 19.9), (5, 26.2), (6, 40.9))
    ),
    summary="TIMI risk score of unstable angina and infarction without ST elevation.",
    source="Antman EM et al., The TIMI risk score for unstable angina/non-ST elevation MI, JAMA 2000;284:835-842",
    limits=("Adults with unstable angina or infarction without ST elevation.",),
)  # fmt: skip


def _timi(given: Timi, images: ImageStore) -> Calculated:
    return TIMI.scored((
        when("age", given.age >= 65, shown(given.age, "years"), "from 65 years"),
        flag("three risk factors", given.three_risk_factors),
        flag("known stenosis", given.known_stenosis),
        flag("aspirin", given.aspirin),
        flag("severe angina", given.severe_angina),
        flag("ST deviation", given.st_deviation),
        flag("raised markers", given.markers),
    ))  # fmt: skip


class Grace(Arguments):
    age: AdultAge
    heart_rate: HeartRate
    systolic: SystolicPressure
    creatinine: Creatinine
    killip: Literal["I", "II", "III", "IV"] = Field(
        description="Killip class: I no heart failure, II rales, III pulmonary oedema, IV cardiogenic shock."
    )
    cardiac_arrest: bool = Field(description="Cardiac arrest at admission.")
    st_deviation: bool
    raised_enzymes: bool


GRACE = Published(
    name="grace", measures="grace_score", title="GRACE score of death in hospital",
    levels=((0, "low risk (at most 108)"), (109, "intermediate risk (109 to 140)"), (141, "high risk (above 140)")),
    summary="GRACE score of death in hospital in acute coronary syndromes.",
    source="Granger CB et al., Predictors of hospital mortality in the Global Registry of Acute Coronary Events, "
    "Archives of Internal Medicine 2003;163:2345-2353; ranges for syndromes without ST elevation: ESC 2011",
    limits=("Adults with an acute coronary syndrome.", "The table of 2003, not GRACE 2.0."),
)  # fmt: skip


def _grace(given: Grace, images: ImageStore) -> Calculated:
    ages = ((LOWEST, 0.0), (30, 8), (40, 25), (50, 41), (60, 58), (70, 75), (80, 91), (90, 100))
    rates = ((LOWEST, 0.0), (50, 3), (70, 9), (90, 15), (110, 24), (150, 38), (200, 46))
    pressures = ((LOWEST, 58.0), (80, 53), (100, 43), (120, 34), (140, 24), (160, 10), (200, 0))
    creatinines = ((LOWEST, 1.0), (0.4, 4), (0.8, 7), (1.2, 10), (1.6, 13), (2, 21), (4, 28))
    return GRACE.scored((
        chosen("Killip class", given.killip, {"I": 0, "II": 20, "III": 39, "IV": 59}),
        stepped("systolic pressure", given.systolic, "mmHg", pressures),
        stepped("heart rate", given.heart_rate, "/min", rates),
        stepped("age", given.age, "years", ages),
        stepped("creatinine", given.creatinine, "mg/dL", creatinines),
        flag("cardiac arrest at admission", given.cardiac_arrest, 39),
        flag("ST deviation", given.st_deviation, 28),
        flag("raised enzymes", given.raised_enzymes, 14),
    ))  # fmt: skip


class QtInterval(Arguments):
    qt: Annotated[float, Amount(what="QT interval", unit="ms", low=200, high=800, also=("s",), example=410)]
    heart_rate: Annotated[
        float, Amount(what="heart rate", unit="/min", low=30, high=200, also=("beats/min", "bpm"), example=78)
    ]
    formula: Literal["bazett", "fridericia", "framingham", "hodges"] = Field(
        default="fridericia", description="The formula whose value is taken as the QTc; all four are given."
    )


QTC = Published(
    name="qtc", measures="qtc", title="corrected QT interval", unit="ms",
    levels=((0, "below 450 ms"), (450, "prolonged in men (450 ms or more), and in women from 460 ms"),
            (460, "prolonged (450 ms or more in men, 460 in women)"),
            (501, "prolonged, with a raised risk of torsade de pointes (above 500 ms)")),
    summary="QT interval corrected for the heart rate (Bazett, Fridericia, Framingham, Hodges).",
    source="Bazett HC, Heart 1920;7:353-370; Fridericia LS, Acta Medica Scandinavica 1920;53:469-486; Sagie A et al., "
    "American Journal of Cardiology 1992;70:797-801; Hodges M et al., Journal of the American College of Cardiology "
    "1983;1:694; bounds: Rautaharju PM et al., Journal of the American College of Cardiology 2009;53:982-991",
    limits=("Sinus rhythm or another regular rhythm from 30 to 200 /min.",
            "A wide QRS prolongs the QT interval by itself."),
)  # fmt: skip


def _qtc(given: QtInterval, images: ImageStore) -> Calculated:
    cycle = 60 / given.heart_rate
    by = {
        "bazett": given.qt / math.sqrt(cycle),
        "fridericia": given.qt / cycle ** (1 / 3),
        "framingham": given.qt + 154 * (1 - cycle),
        "hodges": given.qt + 1.75 * (given.heart_rate - 60),
    }
    how = {"bazett": "QT / RR^(1/2)", "fridericia": "QT / RR^(1/3)", "framingham": "QT + 154 ms (1 - RR)",
           "hodges": "QT + 1.75 ms (rate - 60)"}  # fmt: skip
    if min(by.values()) < 150 or max(by.values()) > 900:
        raise refused("a QT interval that goes with the heart rate", f"{given.qt:g} ms at {given.heart_rate:g} /min",
                      "measure the QT interval again")  # fmt: skip
    others = tuple(
        QTC.other(f"qtc_{name}", f"QT interval corrected by {name.capitalize()}", value) for name, value in by.items()
    )
    notes = () if 60 <= given.heart_rate <= 100 else (
        "Outside 60 to 100 /min the formulas disagree; Bazett is too long at high and too short at low rates.",
    )  # fmt: skip
    chosen_value = QTC.value(by[given.formula], of=(f"qtc_{given.formula}",))
    terms = tuple(term(name.capitalize(), value, "ms", how[name]) for name, value in by.items())
    return QTC.given((chosen_value, *others), terms, limitations=notes)


AnklePressure = Annotated[
    float, Amount(what="higher of the two pressures at one ankle", unit="mmHg", low=20, high=300, example=118)
]


class PressureIndex(Arguments):
    ankle_systolic: AnklePressure
    brachial_systolic: Annotated[
        float, Amount(what="higher of the two arm pressures", unit="mmHg", low=60, high=300, example=132)
    ]


ANKLE_BRACHIAL = Published(
    name="ankle_brachial_index", measures="ankle-brachial_index", title="ankle-brachial index", digits=2,
    levels=((0, "peripheral artery disease (at most 0.90)"), (0.91, "borderline (0.91 to 0.99)"), (1.0, "normal (1.00 "
            "to 1.40)"), (1.41, "arteries that cannot be compressed (above 1.40)")),
    summary="Ankle-brachial pressure index of one leg.",
    source="Aboyans V et al., Measurement and interpretation of the ankle-brachial index, Circulation "
    "2012;126:2890-2909",
    limits=("Adults lying down after 5 to 10 minutes of rest; stiff arteries hide a stenosis.",),
)  # fmt: skip


def _ankle_brachial(given: PressureIndex, images: ImageStore) -> Calculated:
    return ANKLE_BRACHIAL.given((ANKLE_BRACHIAL.value(given.ankle_systolic / given.brachial_systolic),))


TOOLS = (
    CHA2DS2_VASC.tool(StrokeRisk, _cha2ds2_vasc),
    HAS_BLED.tool(BleedingRisk, _has_bled),
    HEART.tool(ChestPain, _heart),
    TIMI.tool(Timi, _timi),
    GRACE.tool(Grace, _grace),
    QTC.tool(QtInterval, _qtc),
    ANKLE_BRACHIAL.tool(PressureIndex, _ankle_brachial),
)
