"""Pregnancy and birth by formula: dates from the last period or an early scan, fetal weight, cervix and newborn."""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..card import Arguments, Measurement
from .amounts import Amount
from .points import Calculated, Component, Published, chosen, half_up, refused, stepped, term

if TYPE_CHECKING:
    from ..imaging.store import ImageStore

_TERM_DAYS = 280


class LastPeriod(Arguments):
    last_period: datetime.date = Field(description="First day of the last menstrual period, as 2026-03-14.")
    on: datetime.date = Field(description="Day for which the age is asked, as 2026-06-20.")


GESTATION_BY_PERIOD = Published(
    name="gestational_age_lmp", measures="gestational_age", title="gestational age by the last period", unit="weeks",
    digits=1,
    levels=((0, "first trimester"), (14, "second trimester"), (28, "third trimester"), (42, "post-term")),
    summary="Gestational age and due date from the last menstrual period (Naegele).",
    source="ACOG Committee Opinion 700, Methods for estimating the due date, Obstetrics and Gynecology "
    "2017;129:e150-e154: 280 days from the first day of the last menstrual period",
    limits=("Holds for regular cycles of 28 days and a date that is certain.",
            "An early scan replaces it where the two differ by more than the guideline allows."),
)  # fmt: skip


def _gestation_by_period(given: LastPeriod, images: ImageStore) -> Calculated:
    days = (given.on - given.last_period).days
    return _dated(GESTATION_BY_PERIOD, days, given.on, most=44 * 7)


CrownRump = Annotated[float, Amount(what="crown-rump length", unit="mm", low=6, high=84, also=("cm",), example=52)]


class EarlyScan(Arguments):
    crown_rump_length: CrownRump
    on: datetime.date = Field(description="Day of the scan, as 2026-06-20.")


GESTATION_BY_SCAN = Published(
    name="gestational_age_crl", measures="gestational_age", title="gestational age by crown-rump length", unit="weeks",
    digits=1, levels=GESTATION_BY_PERIOD.levels,
    summary="Gestational age and due date from the crown-rump length of an early scan.",
    source="Robinson HP, Fleming JE, A critical evaluation of sonar crown-rump length measurements, British Journal of "
    "Obstetrics and Gynaecology 1975;82:702-710, in the form of Loughna P et al., Ultrasound 2009;17:161-167: "
    "8.052 x (1.037 x CRL)^(1/2) + 23.73 days",
    limits=("A live single fetus in neutral position, 6 to 84 mm; above 84 mm the head circumference dates.",
            "Give or take about 5 days; without the factor of 1.037, as some print it, it gives up to 2 days less."),
)  # fmt: skip


def _gestation_by_scan(given: EarlyScan, images: ImageStore) -> Calculated:
    days = 8.052 * math.sqrt(1.037 * given.crown_rump_length) + 23.73
    return _dated(GESTATION_BY_SCAN, half_up(days), given.on, most=44 * 7)


def _dated(published: Published, days: int, on: datetime.date, *, most: int) -> Calculated:
    if not 0 <= days <= most:
        raise refused(f"a pregnancy of 0 to {most // 7} weeks", f"{days} days", "check both dates")
    due = on + datetime.timedelta(days=_TERM_DAYS - days)
    said = f"{days // 7} weeks and {days % 7} days on {on.isoformat()}, due on {due.isoformat()}"
    age: Measurement = published.value(days / 7, f"{said}; {published.meaning(days / 7)}")
    left = published.other("days_to_due_date", "number of days to the due date", _TERM_DAYS - days, "1", digits=0,
                           of=(published.measures,))  # fmt: skip
    return published.given((age, left), (term("gestational age", days, "days", said),), said)


def _length(what: str, low: float, high: float, example: float) -> Amount:
    return Amount(what=what, unit="cm", low=low, high=high, also=("mm",), example=example)


class FetalSize(Arguments):
    biparietal_diameter: Annotated[float, _length("biparietal diameter", 3, 11.5, 8.0)]
    head_circumference: Annotated[float, _length("head circumference", 10, 42, 29.5)]
    abdominal_circumference: Annotated[float, _length("abdominal circumference", 8, 45, 28.0)]
    femur_length: Annotated[float, _length("femur length", 1.5, 9, 6.1)]


FETAL_WEIGHT = Published(
    name="fetal_weight", measures="estimated_fetal_weight", title="estimated fetal weight by Hadlock", unit="g",
    summary="Fetal weight from head, abdomen and femur (Hadlock 1985).",
    source="Hadlock FP et al., Estimation of fetal weight with the use of head, body, and femur measurements: a "
    "prospective study, American Journal of Obstetrics and Gynecology 1985;151:333-337",
    limits=("A single fetus in the second half of pregnancy.", "One standard deviation of the error is about 7.5 %."),
)  # fmt: skip


def _fetal_weight(given: FetalSize, images: ImageStore) -> Calculated:
    abdomen, femur = given.abdominal_circumference, given.femur_length
    if not 0.9 < given.head_circumference / (2.7 * given.biparietal_diameter + 7.9) < 1.5:
        raise refused("head measures of one fetus",
                      f"{given.biparietal_diameter:g} and {given.head_circumference:g} cm",
                      "check the biparietal diameter and the head circumference")  # fmt: skip
    logarithm = (
        1.3596 - 0.00386 * abdomen * femur + 0.0064 * given.head_circumference
        + 0.00061 * given.biparietal_diameter * abdomen + 0.0424 * abdomen + 0.174 * femur
    )  # fmt: skip
    weight = 10**logarithm
    said = "compare with a chart for the gestational age"
    terms = (term("log10 of the weight", logarithm, "1",
                  "1.3596 - 0.00386 AC FL + 0.0064 HC + 0.00061 BPD AC + 0.0424 AC + 0.174 FL, in cm"),)  # fmt: skip
    return FETAL_WEIGHT.given((FETAL_WEIGHT.value(weight, said, uncertainty=round(0.075 * weight)),), terms, said)


class Cervix(Arguments):
    dilatation: Annotated[float, Amount(what="dilatation of the cervix", unit="cm", low=0, high=10, example=2)]
    effacement: Annotated[float, Amount(what="effacement of the cervix", unit="%", low=0, high=100, example=50)]
    station: Annotated[float, Amount(what="station of the head", unit="1", low=-3, high=3, whole=True, example=-2)]
    consistency: Literal["firm", "medium", "soft"]
    position: Literal["posterior", "middle", "anterior"]


BISHOP = Published(
    name="bishop", measures="bishop_score", title="Bishop score",
    levels=((0, "unfavourable cervix (6 or less)"), (7, "between (7 or 8)"), (9, "favourable cervix (above 8)")),
    summary="Bishop score of the cervix before induction of labour.",
    source="Bishop EH, Pelvic scoring for elective induction, Obstetrics and Gynecology 1964;24:266-268; bounds: ACOG "
    "Practice Bulletin 107, Obstetrics and Gynecology 2009;114:386-397",
    limits=("A single fetus at term, head first.",),
)  # fmt: skip


def _bishop(given: Cervix, images: ImageStore) -> Calculated:
    return BISHOP.scored((
        stepped("dilatation", given.dilatation, "cm", ((1, 1), (3, 2), (5, 3))),
        stepped("effacement", given.effacement, "%", ((40, 1), (60, 2), (80, 3))),
        stepped("station", given.station, "1", ((-2, 1), (-1, 2), (1, 3))),
        chosen("consistency", given.consistency, {"firm": 0, "medium": 1, "soft": 2}),
        chosen("position", given.position, {"posterior": 0, "middle": 1, "anterior": 2}),
    ))  # fmt: skip


class Newborn(Arguments):
    minute: Literal[1, 5, 10, 15, 20] = Field(description="Minutes after birth.")
    appearance: Literal["blue_or_pale", "body_pink", "all_pink"]
    pulse: Literal["absent", "below_100", "from_100"]
    grimace: Literal["none", "grimace", "cries_or_withdraws"]
    activity: Literal["limp", "some_flexion", "active_motion"]
    respiration: Literal["absent", "weak_or_irregular", "good_cry"]


APGAR = Published(
    name="apgar", measures="apgar_score", title="Apgar score",
    levels=((0, "low (3 or less)"), (4, "moderately abnormal (4 to 6)"), (7, "reassuring (7 or more)")),
    summary="Apgar score of a newborn at a stated minute.",
    source="Apgar V, A proposal for a new method of evaluation of the newborn infant, Current Researches in Anesthesia "
    "and Analgesia 1953;32:260-267; ranges: ACOG Committee Opinion 644, Obstetrics and Gynecology 2015;126:e52-e55",
    limits=("Says nothing of later outcome by itself; resuscitation changes it.",),
)  # fmt: skip


def _apgar(given: Newborn, images: ImageStore) -> Calculated:
    tables = (
        ("appearance", given.appearance, ("blue_or_pale", "body_pink", "all_pink")),
        ("pulse", given.pulse, ("absent", "below_100", "from_100")),
        ("grimace", given.grimace, ("none", "grimace", "cries_or_withdraws")),
        ("activity", given.activity, ("limp", "some_flexion", "active_motion")),
        ("respiration", given.respiration, ("absent", "weak_or_irregular", "good_cry")),
    )
    items: tuple[Component, ...] = tuple(
        chosen(item, answer, {word: points for points, word in enumerate(words)}) for item, answer, words in tables
    )
    minutes = f"{given.minute} minute{'' if given.minute == 1 else 's'}"
    total = sum(item.points for item in items)
    value = APGAR.other(f"apgar_score_at_{minutes.replace(' ', '_')}", f"Apgar score at {minutes}", total,
                        said=APGAR.meaning(total))  # fmt: skip
    return APGAR.given((value,), items)


TOOLS = (
    GESTATION_BY_PERIOD.tool(LastPeriod, _gestation_by_period),
    GESTATION_BY_SCAN.tool(EarlyScan, _gestation_by_scan),
    FETAL_WEIGHT.tool(FetalSize, _fetal_weight),
    BISHOP.tool(Cervix, _bishop),
    APGAR.tool(Newborn, _apgar),
)
