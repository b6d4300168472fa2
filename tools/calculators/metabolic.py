"""Salts, acids, sugar and fats by formula: corrected values, gaps, expected compensation and LDL cholesterol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from ..card import Arguments
from .amounts import Amount
from .points import LOWEST, Calculated, Published, refused, term
from .quantities import Albumin, ArterialCarbonDioxide, Bicarbonate, Chloride, Glucose, Sodium, Urea

if TYPE_CHECKING:
    from ..imaging.store import ImageStore

Calcium = Annotated[
    float,
    Amount(what="total serum calcium", unit="mmol/L", low=0.5, high=6, also=("mg/dL", "mEq/L"), substance="calcium",
           example=2.1),
]  # fmt: skip


class CalciumAlbumin(Arguments):
    calcium: Calcium
    albumin: Albumin


CORRECTED_CALCIUM = Published(
    name="corrected_calcium", measures="corrected_calcium", title="calcium corrected for albumin", unit="mmol/L",
    digits=2,
    levels=((0, "below the usual reference interval (2.10 to 2.60)"), (2.1, "within the usual reference interval "
            "(2.10 to 2.60)"), (2.61, "above the usual reference interval (2.10 to 2.60)")),
    summary="Serum calcium corrected for albumin.",
    source="Correcting the calcium (editorial), British Medical Journal 1977;1:598: 0.02 mmol/L for each g/L of "
    "albumin below 40; after Payne RB et al., British Medical Journal 1973;4:643-646",
    limits=("Ionised calcium decides in critical illness, kidney disease and acid-base disorders.",),
)  # fmt: skip


def _corrected_calcium(given: CalciumAlbumin, images: ImageStore) -> Calculated:
    added = 0.02 * (40 - 10 * given.albumin)
    terms = (term("calcium", given.calcium, "mmol/L", "as measured"),
             term("albumin", added, "mmol/L", "0.02 x (40 - albumin in g/L)"))  # fmt: skip
    value = given.calcium + added
    if value <= 0:
        raise refused("a calcium and an albumin of one sample", f"a corrected calcium of {value:.2f} mmol/L",
                      "check both values and their units")  # fmt: skip
    return CORRECTED_CALCIUM.given((CORRECTED_CALCIUM.value(value),), terms)


class AnionGap(Arguments):
    sodium: Sodium
    chloride: Chloride
    bicarbonate: Bicarbonate
    albumin: Albumin | None = None


ANION_GAP = Published(
    name="anion_gap", measures="anion_gap", title="anion gap", unit="mmol/L", digits=1,
    levels=((LOWEST, "not raised (up to 12)"), (12.1, "raised (above 12)")),
    summary="Anion gap without potassium, corrected for albumin, and the delta ratio of a raised gap.",
    source="Emmett M, Narins RG, Clinical use of the anion gap, Medicine 1977;56:38-54; albumin: Figge J et al., "
    "Critical Care Medicine 1998;26:1807-1810; delta ratio: Rastegar A, Journal of the American Society of Nephrology "
    "2007;18:2429-2431",
    limits=("The bound of 12 mmol/L depends on the laboratory's electrodes; many use less.",
            "The correction is 2.5 mmol/L for each g/dL of albumin below 4.0."),
)  # fmt: skip


def _anion_gap(given: AnionGap, images: ImageStore) -> Calculated:
    gap = given.sodium - given.chloride - given.bicarbonate
    if not -10 <= gap <= 70:
        raise refused("sodium, chloride and bicarbonate of one sample", f"a gap of {gap:.0f} mmol/L",
                      "check the three values")  # fmt: skip
    values, judged, name = [ANION_GAP.value(gap)], gap, ANION_GAP.measures
    if given.albumin is not None:
        judged = gap + 2.5 * (4.0 - given.albumin)
        name = "albumin-corrected_anion_gap"
        values.append(ANION_GAP.other(name, "anion gap corrected for albumin", judged, of=(ANION_GAP.measures,),
                                      said=ANION_GAP.meaning(judged)))  # fmt: skip
    if judged > 12 and given.bicarbonate < 24:
        ratio = (judged - 12) / (24 - given.bicarbonate)
        said = ("a normal-gap acidosis besides" if ratio < 1 else "a raised-gap acidosis alone" if ratio <= 2 else
                "a metabolic alkalosis, or a chronic respiratory acidosis, besides")  # fmt: skip
        values.append(ANION_GAP.other("delta_ratio", "delta ratio", ratio, "1", digits=2, said=said, of=(name,)))
    return ANION_GAP.given(tuple(values), interpretation=ANION_GAP.meaning(judged))


class Osmolality(Arguments):
    sodium: Sodium
    glucose: Glucose
    urea: Urea
    ethanol: Annotated[
        float,
        Amount(what="blood ethanol", unit="mmol/L", low=0, high=200, also=("mg/dL",), substance="ethanol", example=20),
    ] = 0.0
    measured_osmolality: Annotated[
        float, Amount(what="measured serum osmolality", unit="mOsm/kg", low=180, high=600, example=302)
    ] | None = None  # fmt: skip


OSMOLALITY = Published(
    name="serum_osmolality", measures="calculated_osmolality", title="calculated serum osmolality", unit="mOsm/kg",
    levels=((0, "below the usual interval (275 to 295)"), (275, "within the usual interval (275 to 295)"),
            (296, "above the usual interval (275 to 295)")),
    summary="Serum osmolality and, with a measured one, the osmolal gap.",
    source="Worthley LI et al., For calculating osmolality, the simplest formula is the best, Anaesthesia and "
    "Intensive Care 1987;15:199-202",
    limits=("A gap of up to 10 mOsm/kg is usual, and a normal one does not exclude a toxic alcohol.",),
)  # fmt: skip


def _osmolality(given: Osmolality, images: ImageStore) -> Calculated:
    glucose = given.glucose / 18.0156
    terms = (
        term("sodium", 2 * given.sodium, "mOsm/kg", "2 x sodium"),
        term("glucose", glucose, "mOsm/kg", "glucose in mmol/L"),
        term("urea", given.urea, "mOsm/kg", "urea in mmol/L"),
        term("ethanol", given.ethanol, "mOsm/kg", "ethanol in mmol/L"),
    )
    total = sum(item.points for item in terms)
    values = [OSMOLALITY.value(total)]
    if given.measured_osmolality is not None:
        gap = given.measured_osmolality - total
        said = "raised (above 10): an osmole that was not counted" if round(gap) > 10 else "not raised (up to 10)"
        values.append(OSMOLALITY.other("osmolal_gap", "osmolal gap", gap, said=said, of=(OSMOLALITY.measures,)))
    return OSMOLALITY.given(tuple(values), terms)


class Compensation(Arguments):
    bicarbonate: Bicarbonate
    arterial_carbon_dioxide: ArterialCarbonDioxide | None = None


WINTERS = Published(
    name="winters_formula", measures="expected_paco2", title="PaCO2 expected in metabolic acidosis", unit="mmHg",
    summary="Winters' formula: the carbon dioxide expected in a metabolic acidosis.",
    source="Albert MS, Dell RB, Winters RW, Quantitative displacement of acid-base equilibrium in metabolic acidosis, "
    "Annals of Internal Medicine 1967;66:312-322",
    limits=("Simple metabolic acidosis only, with a bicarbonate below 22 mmol/L.",),
)  # fmt: skip


def _winters(given: Compensation, images: ImageStore) -> Calculated:
    if given.bicarbonate >= 22:
        raise refused("a metabolic acidosis: a bicarbonate of 1 to 22 mmol/L", f"{given.bicarbonate:g} mmol/L",
                      "use it in metabolic acidosis only")  # fmt: skip
    expected, said = 1.5 * given.bicarbonate + 8, "give or take 2 mmHg"
    if given.arterial_carbon_dioxide is not None:
        apart = given.arterial_carbon_dioxide - expected
        said += (", and the measured one agrees" if abs(apart) <= 2 else
                 ", and the measured one is higher: a respiratory acidosis besides" if apart > 0 else
                 ", and the measured one is lower: a respiratory alkalosis besides")  # fmt: skip
    return WINTERS.given((WINTERS.value(expected, said, uncertainty=2.0),), interpretation=said)


class SodiumGlucose(Arguments):
    sodium: Sodium
    glucose: Annotated[
        float, Amount(what="glucose above normal", unit="mg/dL", low=100, high=2000, also=("mmol/L",),
                      substance="glucose", example=540),
    ]  # fmt: skip


CORRECTED_SODIUM = Published(
    name="corrected_sodium", measures="corrected_sodium", title="sodium corrected for glucose", unit="mmol/L",
    levels=((0, "hyponatraemia besides the dilution (below 135)"), (135, "normal once corrected (135 to 145)"),
            (146, "a deficit of water (above 145)")),
    summary="Serum sodium corrected for hyperglycaemia.",
    source="Katz MA, Hyperglycemia-induced hyponatremia, New England Journal of Medicine 1973;289:843-844 (1.6 mmol/L "
    "for each 100 mg/dL); Hillier TA et al., American Journal of Medicine 1999;106:399-403 (2.4)",
    limits=("From 100 mg/dL of glucose on; above 400 the factor of 2.4 fits better.",),
)  # fmt: skip


def _corrected_sodium(given: SodiumGlucose, images: ImageStore) -> Calculated:
    hundreds = (given.glucose - 100) / 100
    values = (
        CORRECTED_SODIUM.value(given.sodium + 1.6 * hundreds),
        CORRECTED_SODIUM.other("corrected_sodium_hillier", "sodium corrected for glucose with the factor of 2.4",
                               given.sodium + 2.4 * hundreds),
    )  # fmt: skip
    return CORRECTED_SODIUM.given(values)


def _lipid(what: str, low: float, high: float, example: float, substance: str = "cholesterol") -> Amount:
    return Amount(what=what, unit="mg/dL", low=low, high=high, also=("mmol/L",), substance=substance, example=example)


class Lipids(Arguments):
    total_cholesterol: Annotated[float, _lipid("total cholesterol", 50, 1000, 214)]
    hdl_cholesterol: Annotated[float, _lipid("HDL cholesterol", 5, 200, 51)]
    triglycerides: Annotated[float, _lipid("fasting triglycerides below 400 mg/dL", 10, 399.99, 132, "triglycerides")]


FRIEDEWALD = Published(
    name="ldl_friedewald", measures="ldl_cholesterol", title="LDL cholesterol by Friedewald", unit="mg/dL",
    levels=((0, "below 190 mg/dL"), (190, "severe hypercholesterolaemia (190 mg/dL or more)")),
    summary="LDL cholesterol by the Friedewald formula, and non-HDL cholesterol.",
    source="Friedewald WT et al., Estimation of the concentration of low-density lipoprotein cholesterol in plasma, "
    "without use of the preparative ultracentrifuge, Clinical Chemistry 1972;18:499-502",
    limits=("Fasting, triglycerides below 400 mg/dL, no type III hyperlipoproteinaemia.",
            "Too low where LDL is below 70 mg/dL or triglycerides are above 150."),
)  # fmt: skip


def _friedewald(given: Lipids, images: ImageStore) -> Calculated:
    rest = given.total_cholesterol - given.hdl_cholesterol
    ldl = rest - given.triglycerides / 5
    if ldl <= 0:
        raise refused("more total cholesterol than HDL and a fifth of the triglycerides", f"{ldl:.0f} mg/dL of LDL",
                      "check the three values, or have LDL measured")  # fmt: skip
    values = (FRIEDEWALD.value(ldl), FRIEDEWALD.other("non-hdl_cholesterol", "non-HDL cholesterol", rest))
    return FRIEDEWALD.given(values)


class GlycatedHaemoglobin(Arguments):
    hba1c: Annotated[float, Amount(what="HbA1c (NGSP)", unit="%", low=4, high=18, example=7.2)]


AVERAGE_GLUCOSE = Published(
    name="estimated_average_glucose", measures="estimated_average_glucose", title="estimated average glucose",
    unit="mg/dL",
    summary="Average glucose of the past months by HbA1c.",
    source="Nathan DM et al., Translating the A1C assay into estimated average glucose values, Diabetes Care "
    "2008;31:1473-1478",
    limits=("Adults; not with anaemia, haemoglobin variants, transfusion or pregnancy.",),
)  # fmt: skip


def _average_glucose(given: GlycatedHaemoglobin, images: ImageStore) -> Calculated:
    said = "the mean of two to three months, not one reading"
    return AVERAGE_GLUCOSE.given((AVERAGE_GLUCOSE.value(28.7 * given.hba1c - 46.7, said),), interpretation=said)


TOOLS = (
    CORRECTED_CALCIUM.tool(CalciumAlbumin, _corrected_calcium),
    ANION_GAP.tool(AnionGap, _anion_gap),
    OSMOLALITY.tool(Osmolality, _osmolality),
    WINTERS.tool(Compensation, _winters),
    CORRECTED_SODIUM.tool(SodiumGlucose, _corrected_sodium),
    FRIEDEWALD.tool(Lipids, _friedewald),
    AVERAGE_GLUCOSE.tool(GlycatedHaemoglobin, _average_glucose),
)
