"""Ten-year risk of a first atherosclerotic event by the pooled cohort equations of 2013."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..card import Arguments
from .amounts import Amount, Sex
from .points import Calculated, Published, term

if TYPE_CHECKING:
    from ..imaging.store import ImageStore


class FirstEvent(Arguments):
    age: Annotated[float, Amount(what="age", unit="years", low=40, high=79, example=55)]
    sex: Sex
    group: Literal["african_american", "white_or_other"] = Field(
        description="The groups for which the equations were fitted; the source uses the second for everyone else."
    )
    total_cholesterol: Annotated[
        float, Amount(what="total cholesterol", unit="mg/dL", low=130, high=320, also=("mmol/L",),
                      substance="cholesterol", example=213),
    ]  # fmt: skip
    hdl_cholesterol: Annotated[
        float, Amount(what="HDL cholesterol", unit="mg/dL", low=20, high=100, also=("mmol/L",),
                      substance="cholesterol", example=50),
    ]  # fmt: skip
    systolic: Annotated[
        float, Amount(what="systolic blood pressure", unit="mmHg", low=90, high=200, also=("kPa",), example=120)
    ]
    treated: bool = Field(description="Takes drugs for blood pressure.")
    smoker: bool = Field(description="Smokes at present.")
    diabetes: bool


POOLED_COHORT = Published(
    name="ascvd_risk", measures="ascvd_risk", title="10-year risk of a first atherosclerotic event", unit="%", digits=1,
    levels=((0, "low (below 5 %)"), (5, "borderline (5 to 7.4 %)"), (7.5, "intermediate (7.5 to 19.9 %)"),
            (20, "high (20 % or more)")),
    summary="Ten-year risk of a first atherosclerotic cardiovascular event (pooled cohort equations).",
    source="Goff DC et al., 2013 ACC/AHA guideline on the assessment of cardiovascular risk, Circulation "
    "2014;129(Suppl 2):S49-S73; ranges: Arnett DK et al., Circulation 2019;140:e596-e646",
    limits=("From 40 to 79 years, without atherosclerotic disease and LDL of 190 mg/dL or more.",
            "Fitted in the United States; too high in many present populations."),
)  # fmt: skip

# ln age, ln age squared, ln total cholesterol, ln age x ln total, ln HDL, ln age x ln HDL, ln treated pressure,
# ln age x ln treated, ln untreated pressure, ln age x ln untreated, smoker, ln age x smoker, diabetes;
# then the mean of the sum and the survival at 10 years.
_TABLE: dict[tuple[str, str], tuple[float, ...]] = {
    ("female", "white_or_other"): (
        -29.799, 4.884, 13.540, -3.114, -13.578, 3.149, 2.019, 0, 1.957, 0, 7.574, -1.665, 0.661, -29.18, 0.9665),
    ("female", "african_american"): (
        17.114, 0, 0.940, 0, -18.920, 4.475, 29.291, -6.432, 27.820, -6.087, 0.691, 0, 0.874, 86.61, 0.9533),
    ("male", "white_or_other"): (
        12.344, 0, 11.853, -2.664, -7.990, 1.769, 1.797, 0, 1.764, 0, 7.837, -1.795, 0.658, 61.18, 0.9144),
    ("male", "african_american"): (
        2.469, 0, 0.302, 0, -0.307, 0, 1.916, 0, 1.809, 0, 0.549, 0, 0.645, 19.54, 0.8954),
}  # fmt: skip


def _pooled_cohort(given: FirstEvent, images: ImageStore) -> Calculated:
    *weights, mean, survival = _TABLE[given.sex, given.group]
    age, total, hdl = math.log(given.age), math.log(given.total_cholesterol), math.log(given.hdl_cholesterol)
    treated, untreated = (math.log(given.systolic), 0.0) if given.treated else (0.0, math.log(given.systolic))
    smoker = 1.0 if given.smoker else 0.0
    parts = (age, age * age, total, age * total, hdl, age * hdl, treated, age * treated, untreated, age * untreated,
             smoker, age * smoker, 1.0 if given.diabetes else 0.0)  # fmt: skip
    together = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    risk = 100 * (1 - survival ** math.exp(together - mean))
    terms = (
        term("sum of the terms", together, "1", f"its mean in the cohort is {mean:g}"),
        term("survival at 10 years", survival, "1", "of the cohort at the mean"),
    )
    return POOLED_COHORT.given((POOLED_COHORT.value(risk),), terms)


TOOLS = (POOLED_COHORT.tool(FirstEvent, _pooled_cohort),)
