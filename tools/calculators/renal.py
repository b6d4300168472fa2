"""The kidney by formula: estimated filtration, creatinine clearance, fractional excretion and the water deficit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..card import Arguments
from .amounts import Amount, Sex
from .points import Calculated, Levels, Published, refused, term
from .quantities import AdultAge, Creatinine, Sodium, Urea, Weight

if TYPE_CHECKING:
    from ..imaging.store import ImageStore

_KDIGO: Levels = (
    (0, "kidney failure (G5)"), (15, "severely decreased (G4)"), (30, "moderately to severely decreased (G3b)"),
    (45, "mildly to moderately decreased (G3a)"), (60, "mildly decreased (G2)"), (90, "normal or high (G1)"),
)  # fmt: skip
_STEADY = (
    "Holds in a steady state only: not in acute kidney injury, pregnancy, dialysis or extremes of muscle mass.",
    "Adults from 18 years.",
    "The category is that of KDIGO 2024; chronic kidney disease needs three months or another marker of damage.",
)
_TITLE = "estimated glomerular filtration rate by"
_UNIT = "mL/min/1.73m2"

CystatinC = Annotated[float, Amount(what="serum cystatin C", unit="mg/L", low=0.1, high=15, example=0.95)]


class FiltrationByCreatinine(Arguments):
    creatinine: Creatinine
    age: AdultAge
    sex: Sex


class FiltrationByCystatin(Arguments):
    cystatin_c: CystatinC
    age: AdultAge
    sex: Sex


class FiltrationByBoth(Arguments):
    creatinine: Creatinine
    cystatin_c: CystatinC
    age: AdultAge
    sex: Sex


EGFR_CREATININE = Published(
    name="egfr_creatinine", measures="egfr", title=f"{_TITLE} CKD-EPI 2021 (creatinine)", unit=_UNIT, levels=_KDIGO,
    summary="Estimates the glomerular filtration rate from creatinine, age and sex (CKD-EPI 2021, without race).",
    source="Inker LA et al., New creatinine- and cystatin C-based equations to estimate GFR without race, New England "
    "Journal of Medicine 2021;385:1737-1749, doi:10.1056/NEJMoa2102953",
    limits=_STEADY,
)  # fmt: skip


def _egfr_creatinine(given: FiltrationByCreatinine, images: ImageStore) -> Calculated:
    female = given.sex == "female"
    kappa, alpha = (0.7, -0.241) if female else (0.9, -0.302)
    ratio = given.creatinine / kappa
    terms = (
        term("creatinine / kappa, up to 1", min(ratio, 1.0) ** alpha, "1", f"min(Scr/{kappa}, 1)^{alpha}"),
        term("creatinine / kappa, from 1", max(ratio, 1.0) ** -1.2, "1", f"max(Scr/{kappa}, 1)^-1.200"),
        term("age", 0.9938**given.age, "1", "0.9938^age"),
        term("sex", 1.012 if female else 1.0, "1", "1.012 for women"),
    )
    return EGFR_CREATININE.given((EGFR_CREATININE.value(_product(142, *(item.points for item in terms))),), terms)


EGFR_CYSTATIN_C = Published(
    name="egfr_cystatin_c", measures="egfr", title=f"{_TITLE} CKD-EPI 2012 (cystatin C)", unit=_UNIT, levels=_KDIGO,
    summary="Estimates the glomerular filtration rate from cystatin C, age and sex (CKD-EPI 2012).",
    source="Inker LA et al., Estimating glomerular filtration rate from serum creatinine and cystatin C, New England "
    "Journal of Medicine 2012;367:20-29, doi:10.1056/NEJMoa1114248",
    limits=(*_STEADY, "Thyroid disease, corticosteroids and inflammation move cystatin C without the filtration."),
)  # fmt: skip


def _egfr_cystatin_c(given: FiltrationByCystatin, images: ImageStore) -> Calculated:
    ratio = given.cystatin_c / 0.8
    terms = (
        term("cystatin C / 0.8, up to 1", min(ratio, 1.0) ** -0.499, "1", "min(Scys/0.8, 1)^-0.499"),
        term("cystatin C / 0.8, from 1", max(ratio, 1.0) ** -1.328, "1", "max(Scys/0.8, 1)^-1.328"),
        term("age", 0.996**given.age, "1", "0.996^age"),
        term("sex", 0.932 if given.sex == "female" else 1.0, "1", "0.932 for women"),
    )
    return EGFR_CYSTATIN_C.given((EGFR_CYSTATIN_C.value(_product(133, *(item.points for item in terms))),), terms)


EGFR_COMBINED = Published(
    name="egfr_creatinine_cystatin_c", measures="egfr", title=f"{_TITLE} CKD-EPI 2021 (creatinine and cystatin C)",
    unit=_UNIT, levels=_KDIGO,
    summary="Estimates the glomerular filtration rate from creatinine, cystatin C, age and sex (CKD-EPI 2021).",
    source=EGFR_CREATININE.source,
    limits=_STEADY,
)  # fmt: skip


def _egfr_combined(given: FiltrationByBoth, images: ImageStore) -> Calculated:
    female = given.sex == "female"
    kappa, alpha = (0.7, -0.219) if female else (0.9, -0.144)
    creatinine, cystatin = given.creatinine / kappa, given.cystatin_c / 0.8
    terms = (
        term("creatinine / kappa, up to 1", min(creatinine, 1.0) ** alpha, "1", f"min(Scr/{kappa}, 1)^{alpha}"),
        term("creatinine / kappa, from 1", max(creatinine, 1.0) ** -0.544, "1", f"max(Scr/{kappa}, 1)^-0.544"),
        term("cystatin C / 0.8, up to 1", min(cystatin, 1.0) ** -0.323, "1", "min(Scys/0.8, 1)^-0.323"),
        term("cystatin C / 0.8, from 1", max(cystatin, 1.0) ** -0.778, "1", "max(Scys/0.8, 1)^-0.778"),
        term("age", 0.9961**given.age, "1", "0.9961^age"),
        term("sex", 0.963 if female else 1.0, "1", "0.963 for women"),
    )
    return EGFR_COMBINED.given((EGFR_COMBINED.value(_product(135, *(item.points for item in terms))),), terms)


class ChildFiltration(Arguments):
    creatinine: Creatinine
    height: Annotated[
        float, Amount(what="height of a child", unit="cm", low=60, high=200, also=("m", "in"), example=120)
    ]
    age: Annotated[float, Amount(what="age of a child", unit="years", low=1, high=17, example=8)]


EGFR_CHILD = Published(
    name="egfr_child", measures="egfr", title=f"{_TITLE} the bedside Schwartz formula", unit=_UNIT, levels=_KDIGO,
    summary="Estimates a child's glomerular filtration rate from creatinine and height (bedside Schwartz 2009).",
    source="Schwartz GJ et al., New equations to estimate GFR in children with CKD, Journal of the American Society of "
    "Nephrology 2009;20:629-637",
    limits=("Children from 1 to 17 years, with an enzymatic creatinine assay.",
            "Derived in children with a filtration of 15 to 75 mL/min/1.73m2; less certain above."),
)  # fmt: skip


def _egfr_child(given: ChildFiltration, images: ImageStore) -> Calculated:
    return EGFR_CHILD.given((EGFR_CHILD.value(0.413 * given.height / given.creatinine),))


class Clearance(Arguments):
    creatinine: Creatinine
    age: AdultAge
    weight: Weight
    sex: Sex


CREATININE_CLEARANCE = Published(
    name="creatinine_clearance", measures="creatinine_clearance", title="creatinine clearance by Cockcroft and Gault",
    unit="mL/min",
    summary="Estimates the creatinine clearance for drug dosing (Cockcroft-Gault).",
    source="Cockcroft DW, Gault MH, Prediction of creatinine clearance from serum creatinine, Nephron 1976;16:31-41",
    limits=("Adults in a steady state; the weight stated is used as it is: give the adjusted weight in obesity.",
            "Not scaled to body surface: it is for dosing by labels that were written with it, not for staging."),
)  # fmt: skip


def _creatinine_clearance(given: Clearance, images: ImageStore) -> Calculated:
    if given.age > 110:
        raise refused("an age of 18 to 110 years", f"{given.age:g} years", "estimate it from cystatin C instead")
    clearance = (140 - given.age) * given.weight / (72 * given.creatinine)
    factor = 0.85 if given.sex == "female" else 1.0
    terms = (
        term("(140 - age) x weight / (72 x creatinine)", clearance, "mL/min", "years, kg and mg/dL"),
        term("sex", factor, "1", "0.85 for women"),
    )
    return CREATININE_CLEARANCE.given(
        (CREATININE_CLEARANCE.value(clearance * factor),), terms, "a clearance for dosing, in mL/min"
    )


UrineSodium = Annotated[
    float,
    Amount(what="urine sodium", unit="mmol/L", low=1, high=400, also=("mEq/L",), substance="sodium", example=20),
]
UrineCreatinine = Annotated[
    float,
    Amount(what="urine creatinine", unit="mg/dL", low=1, high=800, also=("mmol/L", "umol/L"), substance="creatinine",
           example=90),
]  # fmt: skip
UrineUrea = Annotated[
    float,
    Amount(what="urine urea in mmol/L, or urine urea nitrogen in mg/dL", unit="mmol/L", low=1, high=2000,
           also=("mg/dL",), substance="urea nitrogen", example=180),
]  # fmt: skip


class SodiumExcretion(Arguments):
    urine_sodium: UrineSodium
    serum_sodium: Sodium
    urine_creatinine: UrineCreatinine
    serum_creatinine: Creatinine


FENA = Published(
    name="fractional_excretion_sodium", measures="fractional_excretion_of_sodium",
    title="fractional excretion of sodium", unit="%", digits=2,
    summary="Fractional excretion of sodium, to tell prerenal azotaemia from tubular necrosis in oliguria.",
    source="Espinel CH, The FENa test: use in the differential diagnosis of acute renal failure, JAMA 1976;236:579-581",
    levels=((0, "below 1 %, as in prerenal azotaemia"), (1, "between 1 and 3 %, not decisive"),
            (3.01, "above 3 %, as in acute tubular necrosis")),
    limits=("Oliguric acute kidney injury only.", "Not valid after diuretics, in glycosuria or in chronic disease."),
)  # fmt: skip


def _fena(given: SodiumExcretion, images: ImageStore) -> Calculated:
    share = given.urine_sodium * given.serum_creatinine / (given.serum_sodium * given.urine_creatinine)
    return FENA.given((FENA.value(_percent(share)),))


class UreaExcretion(Arguments):
    urine_urea: UrineUrea
    serum_urea: Urea
    urine_creatinine: UrineCreatinine
    serum_creatinine: Creatinine


FEUREA = Published(
    name="fractional_excretion_urea", measures="fractional_excretion_of_urea", title="fractional excretion of urea",
    unit="%", digits=1,
    summary="Fractional excretion of urea, for oliguria under diuretics.",
    source="Carvounis CP et al., Significance of the fractional excretion of urea in the differential diagnosis of "
    "acute renal failure, Kidney International 2002;62:2223-2229",
    levels=((0, "at most 35 %, as in prerenal azotaemia"), (35.1, "above 35 %, as in acute tubular necrosis")),
    limits=("Acute kidney injury only.", "Urea excretion also changes with protein intake, sepsis and old age."),
)  # fmt: skip


def _feurea(given: UreaExcretion, images: ImageStore) -> Calculated:
    share = given.urine_urea * given.serum_creatinine / (given.serum_urea * given.urine_creatinine)
    return FEUREA.given((FEUREA.value(_percent(share)),))


def _percent(share: float) -> float:
    if share > 1:
        raise refused("less excreted than filtered", f"a share of {100 * share:.0f} %",
                      "check which values are of urine and which of serum")  # fmt: skip
    return 100 * share


class WaterDeficit(Arguments):
    sodium: Annotated[
        float,
        Amount(what="serum sodium above 140", unit="mmol/L", low=140, high=210, also=("mEq/L",), substance="sodium",
               example=156),
    ]  # fmt: skip
    weight: Weight
    age: AdultAge
    sex: Sex
    target_sodium: Annotated[
        float,
        Amount(what="sodium to reach", unit="mmol/L", low=135, high=150, also=("mEq/L",), substance="sodium",
               example=140),
    ] = Field(default=140.0)  # fmt: skip


FREE_WATER_DEFICIT = Published(
    name="free_water_deficit", measures="free_water_deficit", title="free water deficit", unit="L", digits=1,
    summary="Free water deficit in hypernatraemia.",
    source="Adrogue HJ, Madias NE, Hypernatremia, New England Journal of Medicine 2000;342:1493-1499",
    limits=("An estimate of pure water loss; ongoing losses and salt loss come on top.",
            "Total body water is taken as 0.6 of the weight in men, 0.5 in women and 0.5 and 0.45 from 65 years."),
)  # fmt: skip


def _free_water_deficit(given: WaterDeficit, images: ImageStore) -> Calculated:
    share = {("male", False): 0.6, ("female", False): 0.5, ("male", True): 0.5, ("female", True): 0.45}[
        given.sex, given.age >= 65
    ]
    if given.sodium < given.target_sodium:
        raise refused("a sodium above the one to reach", f"{given.sodium:g} mmol/L", "state a lower target_sodium")
    water = share * given.weight
    terms = (
        term("total body water", water, "L", f"{share:g} of the weight"),
        term("sodium / target - 1", given.sodium / given.target_sodium - 1, "1", "share of water that is missing"),
    )
    return FREE_WATER_DEFICIT.given(
        (FREE_WATER_DEFICIT.value(water * terms[1].points),), terms,
        "water to replace slowly: chronic hypernatraemia is lowered by at most 10 mmol/L in a day",
    )  # fmt: skip


def _product(*factors: float) -> float:
    value = 1.0
    for factor in factors:
        value *= factor
    return value


TOOLS = (
    EGFR_CREATININE.tool(FiltrationByCreatinine, _egfr_creatinine),
    EGFR_CYSTATIN_C.tool(FiltrationByCystatin, _egfr_cystatin_c),
    EGFR_COMBINED.tool(FiltrationByBoth, _egfr_combined),
    EGFR_CHILD.tool(ChildFiltration, _egfr_child),
    CREATININE_CLEARANCE.tool(Clearance, _creatinine_clearance),
    FENA.tool(SodiumExcretion, _fena),
    FEUREA.tool(UreaExcretion, _feurea),
    FREE_WATER_DEFICIT.tool(WaterDeficit, _free_water_deficit),
)
