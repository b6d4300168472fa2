"""Nodules of lung, thyroid and adrenal: what a guideline advises for a nodule that was measured and described."""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..card import Arguments
from .amounts import Amount
from .points import LOWEST, Calculated, Component, Published, chosen, flag, half_up, refused, shown, term

if TYPE_CHECKING:
    from ..imaging.store import ImageStore

NoduleDiameter = Annotated[
    float, Amount(what="mean of the long and short axis of the largest nodule", unit="mm", low=1, high=30,
                  also=("cm",), example=7),
]  # fmt: skip


class LungNodule(Arguments):
    kind: Literal["solid", "ground_glass", "part_solid"]
    diameter: NoduleDiameter
    multiple: bool
    high_risk: bool = Field(description="Risk factors such as smoking, upper lobe, spiculation, emphysema, fibrosis.")
    age: Annotated[float, Amount(what="age", unit="years", low=35, high=120, example=62)]
    cancer_or_immunosuppressed: bool = Field(description="Known cancer, or immunosuppressed.")
    solid_part: Annotated[
        float, Amount(what="solid component", unit="mm", low=0, high=30, also=("cm",), example=4)
    ] | None = None  # fmt: skip


FLEISCHNER = Published(
    name="fleischner", measures="pulmonary_nodule_diameter", title="pulmonary nodule diameter", unit="mm",
    summary="Follow-up of an incidental pulmonary nodule by the Fleischner Society 2017.",
    source="MacMahon H et al., Guidelines for management of incidental pulmonary nodules detected on CT images: from "
    "the Fleischner Society 2017, Radiology 2017;284:228-243",
    limits=("Incidental nodules from 35 years of age, without known cancer or immunosuppression, not from screening.",
            "Not for nodules that are plainly benign (calcified, fat) nor for perifissural ones."),
)  # fmt: skip

_DIAMETERS = {"solid": "solid pulmonary nodule", "ground_glass": "ground-glass nodule", "part_solid":
              "part-solid nodule"}  # fmt: skip


def _fleischner(given: LungNodule, images: ImageStore) -> Calculated:
    if given.cancer_or_immunosuppressed:
        raise refused("a patient without known cancer or immunosuppression", "one with either",
                      "follow the guideline for that patient instead")  # fmt: skip
    diameter = half_up(given.diameter)
    if given.kind == "solid":
        advice = _solid(diameter, multiple=given.multiple, high=given.high_risk)
    elif given.multiple:
        advice = "CT at 3 to 6 months; if stable, consider CT at 2 and 4 years"
        if diameter >= 6:
            advice = "CT at 3 to 6 months, then as the most suspicious nodule calls for"
    else:
        advice = _subsolid(given, diameter)
    title = _DIAMETERS[given.kind]
    value = FLEISCHNER.other(f"{title.replace(' ', '_')}_diameter", f"{title} diameter", diameter, said=advice)
    number = "multiple" if given.multiple else "single"
    item = Component(item=f"{number} {title}", stated=shown(given.diameter, "mm"), points=diameter,
                     why=f"rounded to whole mm; {'high' if given.high_risk else 'low'} risk")  # fmt: skip
    return FLEISCHNER.given((value,), (item,), advice)


def _solid(diameter: int, *, multiple: bool, high: bool) -> str:
    if diameter < 6:
        return "optional CT at 12 months" if high else "no routine follow-up"
    if multiple:
        return f"CT at 3 to 6 months, then {'' if high else 'consider '}CT at 18 to 24 months"
    if diameter <= 8:
        return f"CT at 6 to 12 months, then {'' if high else 'consider '}CT at 18 to 24 months"
    return "consider CT at 3 months, PET/CT or tissue sampling"


def _subsolid(given: LungNodule, diameter: int) -> str:
    if diameter < 6:
        return "no routine follow-up"
    if given.kind == "ground_glass":
        return "CT at 6 to 12 months to confirm persistence, then every 2 years until 5 years"
    if given.solid_part is not None and half_up(given.solid_part) > diameter:
        raise refused("a solid component within the nodule", f"{given.solid_part:g} of {given.diameter:g} mm",
                      "check both diameters")  # fmt: skip
    advice = "CT at 3 to 6 months to confirm persistence"
    if given.solid_part is None:
        return f"{advice}; if the solid component stays below 6 mm, CT every year for 5 years"
    if half_up(given.solid_part) >= 6:
        return f"{advice}; a persistent solid component of 6 mm or more is highly suspicious"
    return f"{advice}; if unchanged, CT every year for 5 years"


class ThyroidNodule(Arguments):
    composition: Literal["cystic", "spongiform", "mixed", "solid", "hidden_by_calcification"]
    echogenicity: Literal["anechoic", "hyperechoic", "isoechoic", "hypoechoic", "very_hypoechoic", "not_assessable"]
    shape: Literal["wider_than_tall", "taller_than_wide"]
    margin: Literal["smooth", "ill_defined", "lobulated_or_irregular", "extrathyroidal_extension", "not_assessable"]
    comet_tail: bool = Field(description="Large comet-tail artefacts.")
    macrocalcifications: bool
    rim_calcifications: bool
    punctate_foci: bool = Field(description="Punctate echogenic foci.")
    diameter: Annotated[
        float, Amount(what="largest diameter of the nodule", unit="cm", low=0.1, high=12, also=("mm",), example=1.8)
    ]


TI_RADS = Published(
    name="ti_rads", measures="ti-rads_points", title="ACR TI-RADS score",
    levels=((0, "TR1, benign"), (2, "TR2, not suspicious"), (3, "TR3, mildly suspicious"),
            (4, "TR4, moderately suspicious"), (7, "TR5, highly suspicious")),
    summary="ACR TI-RADS points, level and advice for a thyroid nodule.",
    source="Tessler FN et al., ACR Thyroid Imaging, Reporting and Data System (TI-RADS): white paper of the ACR "
    "TI-RADS Committee, Journal of the American College of Radiology 2017;14:587-595",
    limits=("Adults; nodules found by ultrasound.", "Lymph nodes are judged apart."),
)  # fmt: skip

_NEEDLE_CM = {3: (2.5, 1.5), 4: (1.5, 1.0), 5: (1.0, 0.5)}  # aspiration from, follow-up from


def _ti_rads(given: ThyroidNodule, images: ImageStore) -> Calculated:
    items = _ti_rads_items(given)
    total = sum(item.points for item in items)
    if total == 1:
        raise refused("features that the chart combines (0 points, or 2 and more)", "a sum of 1 point",
                      "look again: an anechoic nodule is cystic, the solid part of a mixed one is not")  # fmt: skip
    tier = 1 if total == 0 else 2 if total == 2 else 3 if total == 3 else 4 if total <= 6 else 5
    advice, values = "no aspiration", []
    if tier in _NEEDLE_CM:
        needle, follow = _NEEDLE_CM[tier]
        advice = ("fine-needle aspiration" if given.diameter >= needle else "follow-up" if given.diameter >= follow
                  else "no follow-up")  # fmt: skip
        advice += f" at {given.diameter:g} cm (aspiration from {needle:g}, follow-up from {follow:g} cm)"
        values.append(TI_RADS.other(f"tr{tier}_thyroid_nodule_diameter", f"diameter of the TR{tier} thyroid nodule",
                                    given.diameter, "cm", digits=2, of=(TI_RADS.measures,)))  # fmt: skip
    said = f"{TI_RADS.meaning(total)}: {advice}"
    return TI_RADS.given((TI_RADS.value(total, said), *values), items, said)


def _ti_rads_items(given: ThyroidNodule) -> tuple[Component, ...]:
    composition = chosen("composition", given.composition, {
        "cystic": 0, "spongiform": 0, "mixed": 1, "solid": 2, "hidden_by_calcification": 2})  # fmt: skip
    if given.composition == "spongiform":  # the chart adds no further points to it
        return (composition,)
    foci = (("large comet-tail artefacts", given.comet_tail, 0), ("macrocalcifications", given.macrocalcifications, 1),
            ("rim calcifications", given.rim_calcifications, 2), ("punctate foci", given.punctate_foci, 3))  # fmt: skip
    return (
        composition,
        chosen("echogenicity", given.echogenicity, {"anechoic": 0, "hyperechoic": 1, "isoechoic": 1, "hypoechoic": 2,
                                                    "very_hypoechoic": 3, "not_assessable": 1}),
        chosen("shape", given.shape, {"wider_than_tall": 0, "taller_than_wide": 3}),
        chosen("margin", given.margin, {"smooth": 0, "ill_defined": 0, "lobulated_or_irregular": 2,
                                        "extrathyroidal_extension": 3, "not_assessable": 0}),
        *(flag(item, there, points) for item, there, points in foci),
    )  # fmt: skip


Diameter = Annotated[
    float, Amount(what="diameter of the nodule", unit="mm", low=2, high=100, also=("cm",), example=8.5)
]


class Growth(Arguments):
    earlier_diameter: Diameter
    earlier_date: datetime.date
    later_diameter: Diameter
    later_date: datetime.date


DOUBLING_TIME = Published(
    name="volume_doubling_time", measures="volume_doubling_time", title="volume doubling time", unit="days",
    levels=((0, "fast: as malignant nodules grow (up to 400 days)"), (401, "between (400 to 600 days)"),
            (601, "slow: as benign nodules grow (above 600 days)")),
    summary="Doubling time of a nodule's volume between two dates, from its mean diameters.",
    source="Schwartz M, A biomathematical approach to clinical tumor growth, Cancer 1961;14:1272-1294; bounds: "
    "Callister ME et al., BTS guidelines for pulmonary nodules, Thorax 2015;70(Suppl 2):ii1-ii54",
    limits=("Solid lung nodules taken as spheres; a diameter is uncertain by about 1.5 mm, so short intervals mislead.",
            "A change of volume under 25 % is within the error of measurement."),
)  # fmt: skip


def _doubling_time(given: Growth, images: ImageStore) -> Calculated:
    days = (given.later_date - given.earlier_date).days
    if days < 1:
        raise refused("a later scan after the earlier one", f"{days} days between them", "exchange or mend the dates")
    growth = 3 * math.log(given.later_diameter / given.earlier_diameter)
    if growth <= 0:
        raise refused("a nodule that has grown", f"{given.earlier_diameter:g} mm and then {given.later_diameter:g} mm",
                      "no doubling time exists: report it as stable or smaller")  # fmt: skip
    percent = 100 * math.expm1(growth)
    terms = (term("volume change", percent, "%", "(later diameter / earlier diameter)^3 - 1"),
             term("interval", days, "days", f"{given.earlier_date} to {given.later_date}"))  # fmt: skip
    notes = (
        () if percent >= 25 else ("The volume changed by less than 25 %, which is within the error of measurement.",)
    )
    return DOUBLING_TIME.given((DOUBLING_TIME.value(days * math.log(2) / growth),), terms, limitations=notes)


class Washout(Arguments):
    unenhanced: Annotated[float, Amount(what="unenhanced attenuation", unit="HU", low=-100, high=200, example=18)]
    enhanced: Annotated[float, Amount(what="attenuation at 60 to 75 s", unit="HU", low=-50, high=400, example=92)]
    delayed: Annotated[float, Amount(what="attenuation at 15 min", unit="HU", low=-50, high=400, example=41)]


WASHOUT = Published(
    name="adrenal_washout", measures="absolute_adrenal_washout", title="absolute adrenal washout", unit="%",
    levels=((LOWEST, "not that of an adenoma (below 60 %)"), (60, "that of an adenoma (60 % or more)")),
    summary="Absolute and relative washout of an adrenal nodule on CT.",
    source="Caoili EM et al., Adrenal masses: characterization with combined unenhanced and delayed enhanced CT, "
    "Radiology 2002;222:629-633",
    limits=("Scans at 60 to 75 s and 15 min after contrast.", "Phaeochromocytoma and some metastases wash out too."),
)  # fmt: skip


def _washout(given: Washout, images: ImageStore) -> Calculated:
    if given.enhanced - given.unenhanced < 10 or given.delayed > given.enhanced or given.enhanced <= 0:
        raise refused("a nodule that enhances by 10 HU or more and then fades",
                      f"{given.unenhanced:g}, {given.enhanced:g} and {given.delayed:g} HU",
                      "check the three phases; a nodule without enhancement has no washout")  # fmt: skip
    absolute = 100 * (given.enhanced - given.delayed) / (given.enhanced - given.unenhanced)
    relative = 100 * (given.enhanced - given.delayed) / given.enhanced
    said = "that of an adenoma (40 % or more)" if round(relative) >= 40 else "not that of an adenoma (below 40 %)"
    values = (
        WASHOUT.value(absolute),
        WASHOUT.other("relative_adrenal_washout", "relative adrenal washout", relative, said=said),
    )
    return WASHOUT.given(values)


TOOLS = (
    FLEISCHNER.tool(LungNodule, _fleischner),
    TI_RADS.tool(ThyroidNodule, _ti_rads),
    DOUBLING_TIME.tool(Growth, _doubling_time),
    WASHOUT.tool(Washout, _washout),
)
