"""The liver by score: MELD and its successors, Child-Pugh, fibrosis indices, alcoholic hepatitis and ascites."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..card import Arguments
from .amounts import Amount
from .points import LOWEST, Calculated, Component, Levels, Published, chosen, half_up, refused, shown, term
from .quantities import AdultAge, Albumin, Aminotransferase, Bilirubin, Creatinine, Inr, Platelets, Sodium

if TYPE_CHECKING:
    from ..imaging.store import ImageStore

_MORTALITY: Levels = (
    (6, "3-month mortality on the waiting list 1.9 % under 10 points"),
    (10, "3-month mortality on the waiting list 6.0 % with 10 to 19 points"),
    (20, "3-month mortality on the waiting list 19.6 % with 20 to 29 points"),
    (30, "3-month mortality on the waiting list 52.6 % with 30 to 39 points"),
    (40, "3-month mortality on the waiting list 71.3 % with 40 points"),
)
_WIESNER = "; mortality: Wiesner R et al., Gastroenterology 2003;124:91-96"
_DIALYSIS = "Whether there were two dialyses, or 24 hours of haemofiltration, in the past week."
_CIRRHOSIS = ("Chronic liver disease, from 12 years of age.", "Warfarin raises the INR and with it the score.")


class Meld(Arguments):
    bilirubin: Bilirubin
    inr: Inr
    creatinine: Creatinine
    dialysis: bool = Field(description=_DIALYSIS)


class MeldSodium(Meld):
    sodium: Sodium


class Meld3(MeldSodium):
    albumin: Albumin
    female: bool = Field(description="Whether the patient is female.")


MELD = Published(
    name="meld", measures="meld", title="MELD score", levels=_MORTALITY,
    summary="Model for End-Stage Liver Disease: bilirubin, INR and creatinine (UNOS version, 6 to 40).",
    source="Kamath PS et al., A model to predict survival in patients with end-stage liver disease, Hepatology "
    f"2001;33:464-470, as modified by UNOS{_WIESNER}",
    limits=_CIRRHOSIS,
)  # fmt: skip
MELD_NA = Published(
    name="meld_na", measures="meld_na", title="MELD-Na score", levels=_MORTALITY,
    summary="MELD with serum sodium (OPTN 2016, 6 to 40).",
    source="Kim WR et al., Hyponatremia and mortality among patients on the liver-transplant waiting list, New England "
    f"Journal of Medicine 2008;359:1018-1026, as in OPTN policy 9 of 2016{_WIESNER}",
    limits=(*_CIRRHOSIS, "The mortality by range was measured for MELD without sodium."),
)  # fmt: skip
MELD_3 = Published(
    name="meld_3", measures="meld_3_0", title="MELD 3.0 score",
    levels=((6, "a higher score means a higher 90-day mortality on the waiting list"),),
    summary="MELD 3.0: bilirubin, INR, creatinine, sodium, albumin and sex (OPTN 2023, 6 to 40).",
    source="Kim WR et al., MELD 3.0: the Model for End-Stage Liver Disease updated for the modern era, "
    "Gastroenterology 2021;161:1887-1895",
    limits=_CIRRHOSIS,
)  # fmt: skip


def _meld_terms(given: Meld) -> tuple[Component, ...]:
    creatinine = 4.0 if given.dialysis else min(max(given.creatinine, 1.0), 4.0)
    return (
        term("creatinine", 9.57 * math.log(creatinine), "1", f"9.57 ln({creatinine:.4g}), taken between 1 and 4 mg/dL"),
        term("bilirubin", 3.78 * math.log(max(given.bilirubin, 1.0)), "1", "3.78 ln(bilirubin), from 1 mg/dL"),
        term("INR", 11.2 * math.log(max(given.inr, 1.0)), "1", "11.2 ln(INR), from 1"),
        term("constant", 6.43, "1", "6.43"),
    )


def _meld(given: Meld, images: ImageStore) -> Calculated:
    terms = _meld_terms(given)
    return MELD.given((MELD.value(_within(sum(item.points for item in terms))),), terms)


def _meld_na(given: MeldSodium, images: ImageStore) -> Calculated:
    terms = _meld_terms(given)
    start = half_up(sum(item.points for item in terms))
    missing = 137 - min(max(given.sodium, 125.0), 137.0)
    added = 1.32 * missing - 0.033 * start * missing if start > 11 else 0.0
    terms = (*terms, term("sodium", added, "1", f"1.32 x {missing:g} - 0.033 x {start} x {missing:g}, above 11 points"))
    return MELD_NA.given((MELD_NA.value(_within(start + added)),), terms)


def _meld_3(given: Meld3, images: ImageStore) -> Calculated:
    bilirubin, inr = math.log(max(given.bilirubin, 1.0)), math.log(max(given.inr, 1.0))
    creatinine = math.log(3.0 if given.dialysis else min(max(given.creatinine, 1.0), 3.0))
    sodium = 137 - min(max(given.sodium, 125.0), 137.0)
    albumin = 3.5 - min(max(given.albumin, 1.5), 3.5)
    terms = (
        term("sex", 1.33 if given.female else 0.0, "1", "1.33 for women"),
        term("bilirubin", 4.56 * bilirubin, "1", "4.56 ln(bilirubin), from 1 mg/dL"),
        term("sodium", 0.82 * sodium, "1", "0.82 (137 - sodium), sodium taken between 125 and 137"),
        term("sodium and bilirubin", -0.24 * sodium * bilirubin, "1", "-0.24 (137 - sodium) ln(bilirubin)"),
        term("INR", 9.09 * inr, "1", "9.09 ln(INR), from 1"),
        term("creatinine", 11.14 * creatinine, "1", "11.14 ln(creatinine), taken between 1 and 3 mg/dL"),
        term("albumin", 1.85 * albumin, "1", "1.85 (3.5 - albumin), albumin taken between 1.5 and 3.5 g/dL"),
        term("albumin and creatinine", -1.83 * albumin * creatinine, "1", "-1.83 (3.5 - albumin) ln(creatinine)"),
        term("constant", 6.0, "1", "6"),
    )
    return MELD_3.given((MELD_3.value(_within(sum(item.points for item in terms))),), terms)


def _within(score: float) -> int:
    return min(max(half_up(score), 6), 40)


class ChildPugh(Arguments):
    bilirubin: Bilirubin
    albumin: Albumin
    inr: Inr
    ascites: Literal["none", "slight", "moderate"] = Field(
        description="Ascites: none, slight (or controlled by diuretics), or moderate and more."
    )
    encephalopathy: Literal["none", "grade_1_or_2", "grade_3_or_4"] = Field(description="Hepatic encephalopathy.")


CHILD_PUGH = Published(
    name="child_pugh", measures="child-pugh", title="Child-Pugh score",
    levels=((5, "class A"), (7, "class B"), (10, "class C")),
    summary="Child-Pugh score and class of cirrhosis.",
    source="Pugh RN et al., Transection of the oesophagus for bleeding oesophageal varices, British Journal of Surgery "
    "1973;60:646-649; INR in place of the prothrombin time, as is usual",
    limits=("Cirrhosis in adults.", "Primary biliary and sclerosing cholangitis have other bounds for bilirubin."),
)  # fmt: skip


def _child_pugh(given: ChildPugh, images: ImageStore) -> Calculated:
    return CHILD_PUGH.scored((
        _graded("bilirubin", given.bilirubin, "mg/dL", 2, 3, rising=True),
        _graded("albumin", given.albumin, "g/dL", 3.5, 2.8, rising=False),
        _graded("INR", given.inr, "1", 1.7, 2.3, rising=True),
        chosen("ascites", given.ascites, {"none": 1, "slight": 2, "moderate": 3}),
        chosen("encephalopathy", given.encephalopathy, {"none": 1, "grade_1_or_2": 2, "grade_3_or_4": 3}),
    ))  # fmt: skip


def _graded(item: str, value: float, unit: str, mild: float, severe: float, *, rising: bool) -> Component:
    """1 point short of `mild`, 3 beyond `severe`, 2 between, the two bounds included."""
    if (value < mild) if rising else (value > mild):
        points = 1
    else:
        points = 3 if ((value > severe) if rising else (value < severe)) else 2
    low, high = sorted((mild, severe))
    return Component(item=item, stated=shown(value, unit), points=points, why=f"2 from {low:g} to {high:g}, "
                     f"{'3 above, 1 below' if rising else '1 above, 3 below'}")  # fmt: skip


class FibrosisFour(Arguments):
    age: AdultAge
    ast: Aminotransferase
    alt: Aminotransferase
    platelets: Platelets


FIB_4 = Published(
    name="fib_4", measures="fib-4", title="FIB-4 index", digits=2,
    levels=((0, "advanced fibrosis is unlikely (below 1.45)"), (1.45, "not decisive (1.45 to 3.25)"),
            (3.26, "advanced fibrosis is likely (above 3.25)")),
    summary="FIB-4 index of liver fibrosis from age, AST, ALT and platelets.",
    source="Sterling RK et al., Development of a simple noninvasive index to predict significant fibrosis in patients "
    "with HIV/HCV coinfection, Hepatology 2006;43:1317-1325",
    limits=("Chronic liver disease in adults; not in acute hepatitis.",
            "Less accurate under 35 years, and above 65 more often falsely high.",
            "For fatty liver other bounds are used (1.3 and 2.67)."),
)  # fmt: skip


def _fib_4(given: FibrosisFour, images: ImageStore) -> Calculated:
    value = given.age * given.ast / (given.platelets * math.sqrt(given.alt))
    outside = ("The age is outside the 35 to 65 years in which the bounds hold best.",)
    return FIB_4.given((FIB_4.value(value),), limitations=() if 35 <= given.age <= 65 else outside)


class PlateletRatio(Arguments):
    ast: Aminotransferase
    ast_upper_limit: Annotated[
        float, Amount(what="upper limit of normal of the laboratory's AST", unit="U/L", low=10, high=100, example=40)
    ]
    platelets: Platelets


APRI = Published(
    name="apri", measures="apri", title="AST-to-platelet ratio index (APRI)", digits=2,
    levels=((0, "significant fibrosis is unlikely (at most 0.5)"), (0.51, "not decisive (0.5 to 1.5)"),
            (1.51, "significant fibrosis is likely (above 1.5)"), (2.01, "cirrhosis is likely (above 2)")),
    summary="AST-to-platelet ratio index of liver fibrosis.",
    source="Wai CT et al., A simple noninvasive index can predict both significant fibrosis and cirrhosis in patients "
    "with chronic hepatitis C, Hepatology 2003;38:518-526",
    limits=("Chronic hepatitis C in adults.",),
)  # fmt: skip


def _apri(given: PlateletRatio, images: ImageStore) -> Calculated:
    return APRI.given((APRI.value(100 * given.ast / given.ast_upper_limit / given.platelets),))


class Discriminant(Arguments):
    prothrombin_time: Annotated[float, Amount(what="prothrombin time", unit="s", low=8, high=120, example=18.5)]
    control_prothrombin_time: Annotated[
        float, Amount(what="prothrombin time of the laboratory's control", unit="s", low=9, high=18, example=12)
    ]
    bilirubin: Bilirubin


MADDREY = Published(
    name="maddrey", measures="maddrey_discriminant_function", title="Maddrey discriminant function", digits=1,
    levels=((LOWEST, "below 32: not severe"), (32, "severe alcoholic hepatitis (32 or more)")),
    summary="Maddrey discriminant function of alcoholic hepatitis.",
    source="Maddrey WC et al., Corticosteroid therapy of alcoholic hepatitis, Gastroenterology 1978;75:193-199, with "
    "the control subtracted as in Carithers RL et al., Annals of Internal Medicine 1989;110:685-690",
    limits=("Alcoholic hepatitis only.",),
)  # fmt: skip


def _maddrey(given: Discriminant, images: ImageStore) -> Calculated:
    longer = given.prothrombin_time - given.control_prothrombin_time
    return MADDREY.given((MADDREY.value(4.6 * longer + given.bilirubin),))


class AlbuminBilirubin(Arguments):
    albumin: Albumin
    bilirubin: Annotated[
        float, Amount(what="total bilirubin", unit="umol/L", low=2, high=1000, also=("mg/dL",), substance="bilirubin",
                      example=21),
    ]  # fmt: skip


ALBI = Published(
    name="albi", measures="albi_score", title="ALBI score", digits=2,
    levels=((LOWEST, "grade 1"), (-2.59, "grade 2"), (-1.38, "grade 3")),
    summary="Albumin-bilirubin (ALBI) score and grade of liver function.",
    source="Johnson PJ et al., Assessment of liver function in patients with hepatocellular carcinoma: a new "
    "evidence-based approach, the ALBI grade, Journal of Clinical Oncology 2015;33:550-558",
    limits=("Hepatocellular carcinoma in adults.",),
)  # fmt: skip


def _albi(given: AlbuminBilirubin, images: ImageStore) -> Calculated:
    bilirubin, albumin = 0.66 * math.log10(given.bilirubin), -0.085 * 10 * given.albumin
    terms = (term("bilirubin", bilirubin, "1", "0.66 log10(bilirubin in umol/L)"),
             term("albumin", albumin, "1", "-0.085 x albumin in g/L"))  # fmt: skip
    return ALBI.given((ALBI.value(bilirubin + albumin),), terms)


class AscitesAlbumin(Arguments):
    serum_albumin: Albumin
    ascites_albumin: Annotated[
        float, Amount(what="albumin of the ascites", unit="g/dL", low=0, high=7, also=("g/L",), example=1.1)
    ]


SAAG = Published(
    name="saag", measures="serum-ascites_albumin_gradient", title="serum-ascites albumin gradient", unit="g/dL",
    digits=1, levels=((LOWEST, "no portal hypertension (below 1.1)"), (1.1, "portal hypertension (1.1 or more)")),
    summary="Serum-ascites albumin gradient.",
    source="Runyon BA et al., The serum-ascites albumin gradient is superior to the exudate-transudate concept in the "
    "differential diagnosis of ascites, Annals of Internal Medicine 1992;117:215-220",
    limits=("Both samples of the same day.",),
)  # fmt: skip


def _saag(given: AscitesAlbumin, images: ImageStore) -> Calculated:
    if given.ascites_albumin > given.serum_albumin:
        raise refused("more albumin in serum than in ascites", f"{given.ascites_albumin:g} g/dL in the ascites",
                      "check whether the two values were exchanged")  # fmt: skip
    return SAAG.given((SAAG.value(given.serum_albumin - given.ascites_albumin),))


TOOLS = (
    MELD.tool(Meld, _meld),
    MELD_NA.tool(MeldSodium, _meld_na),
    MELD_3.tool(Meld3, _meld_3),
    CHILD_PUGH.tool(ChildPugh, _child_pugh),
    FIB_4.tool(FibrosisFour, _fib_4),
    APRI.tool(PlateletRatio, _apri),
    MADDREY.tool(Discriminant, _maddrey),
    ALBI.tool(AlbuminBilirubin, _albi),
    SAAG.tool(AscitesAlbumin, _saag),
)
