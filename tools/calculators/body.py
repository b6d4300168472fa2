"""The body by formula: mass index, surface, ideal weight, energy at rest and maintenance fluid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from ..card import Arguments
from .amounts import Amount, Sex
from .points import Calculated, Published, refused, term
from .quantities import AdultAge, Height, Weight

if TYPE_CHECKING:
    from ..imaging.store import ImageStore


class AdultSize(Arguments):
    weight: Weight
    height: Height


class Size(Arguments):
    weight: Annotated[float, Amount(what="body weight", unit="kg", low=1, high=400, also=("g", "lb"), example=72)]
    height: Annotated[float, Amount(what="height", unit="cm", low=40, high=250, also=("m", "in"), example=172)]


BMI = Published(
    name="body_mass_index", measures="body_mass_index", title="body mass index", unit="kg/m2", digits=1,
    levels=((0, "underweight (below 18.5)"), (18.5, "normal (18.5 to 24.9)"), (25, "overweight (25.0 to 29.9)"),
            (30, "obesity class I (30.0 to 34.9)"), (35, "obesity class II (35.0 to 39.9)"),
            (40, "obesity class III (40.0 or more)")),
    summary="Body mass index of an adult.",
    source="WHO, Obesity: preventing and managing the global epidemic, Technical Report Series 894, Geneva 2000",
    limits=("Adults; not in pregnancy, ascites or oedema.", "Lower bounds are used for Asian populations."),
)  # fmt: skip


def _bmi(given: AdultSize, images: ImageStore) -> Calculated:
    value = given.weight / (given.height / 100) ** 2
    if not 8 <= value <= 120:
        raise refused("a weight and a height of one adult", f"{value:.0f} kg/m2", "check both values and their units")
    return BMI.given((BMI.value(value),))


SURFACE = Published(
    name="body_surface_area", measures="body_surface_area", title="body surface area by Mosteller", unit="m2", digits=2,
    summary="Body surface area (Mosteller, and Du Bois).",
    source="Mosteller RD, Simplified calculation of body-surface area, New England Journal of Medicine 1987;317:1098; "
    "Du Bois D, Du Bois EF, Archives of Internal Medicine 1916;17:863-871",
    limits=("Du Bois and Du Bois measured nine people; it is too low in infants and in obesity.",),
)  # fmt: skip


def _surface(given: Size, images: ImageStore) -> Calculated:
    mosteller = math.sqrt(given.height * given.weight / 3600)
    dubois = 0.007184 * given.weight**0.425 * given.height**0.725
    if abs(mosteller - dubois) > 0.25 * mosteller:
        raise refused("a weight and a height of one person", f"{given.weight:g} kg and {given.height:g} cm",
                      "check both values and their units")  # fmt: skip
    said = "for scaling doses and flows"
    values = (SURFACE.value(mosteller, said),
              SURFACE.other("body_surface_area_du_bois", "body surface area by Du Bois", dubois))  # fmt: skip
    return SURFACE.given(values, interpretation=said)


class IdealWeight(Arguments):
    height: Annotated[
        float, Amount(what="height of an adult from 152.4 cm (60 inches)", unit="cm", low=152.4, high=250,
                      also=("m", "in"), example=172),
    ]  # fmt: skip
    sex: Sex
    weight: Weight | None = None


IDEAL_WEIGHT = Published(
    name="ideal_body_weight", measures="ideal_body_weight", title="ideal body weight by Devine", unit="kg", digits=1,
    summary="Ideal body weight and, with the weight, the adjusted one for dosing in obesity.",
    source="Devine BJ, Gentamicin therapy, Drug Intelligence and Clinical Pharmacy 1974;8:650-655; adjusted with 0.4 "
    "of the excess: Bauer LA et al., European Journal of Clinical Pharmacology 1983;24:643-647",
    limits=("Adults from 152.4 cm (60 inches).", "A weight for dosing, not one to aim at."),
)  # fmt: skip


def _ideal_weight(given: IdealWeight, images: ImageStore) -> Calculated:
    start = 50.0 if given.sex == "male" else 45.5
    ideal = start + 2.3 * (given.height / 2.54 - 60)
    said = "for dosing drugs that do not enter fat"
    values = [IDEAL_WEIGHT.value(ideal, said)]
    if given.weight is not None and given.weight > ideal:
        adjusted = ideal + 0.4 * (given.weight - ideal)
        values.append(IDEAL_WEIGHT.other("adjusted_body_weight", "adjusted body weight", adjusted,
                                         of=(IDEAL_WEIGHT.measures,)))  # fmt: skip
    terms = (
        term("start", start, "kg", "50 kg in men, 45.5 kg in women"),
        term("height", ideal - start, "kg", "2.3 kg for each inch above 60"),
    )
    return IDEAL_WEIGHT.given(tuple(values), terms, said)


class RestingEnergy(Arguments):
    weight: Weight
    height: Height
    age: AdultAge
    sex: Sex


RESTING_ENERGY = Published(
    name="resting_energy", measures="resting_energy_expenditure", title="resting energy expenditure", unit="kcal/d",
    summary="Resting energy expenditure of an adult (Mifflin-St Jeor).",
    source="Mifflin MD et al., A new predictive equation for resting energy expenditure in healthy individuals, "
    "American Journal of Clinical Nutrition 1990;51:241-247",
    limits=("Healthy adults at rest; illness, fever and burns need more.",),
)  # fmt: skip


def _resting_energy(given: RestingEnergy, images: ImageStore) -> Calculated:
    terms = (
        term("weight", 10 * given.weight, "kcal/d", "10 x weight in kg"),
        term("height", 6.25 * given.height, "kcal/d", "6.25 x height in cm"),
        term("age", -5 * given.age, "kcal/d", "-5 x age in years"),
        term("sex", 5 if given.sex == "male" else -161, "kcal/d", "+5 in men, -161 in women"),
    )
    said = "without activity or stress"
    value = RESTING_ENERGY.value(sum(item.points for item in terms), said)
    return RESTING_ENERGY.given((value,), terms, said)


class MaintenanceFluid(Arguments):
    weight: Annotated[
        float, Amount(what="body weight of a child from 3.5 kg", unit="kg", low=3.5, high=100, also=("g", "lb"),
                      example=18),
    ]  # fmt: skip


MAINTENANCE = Published(
    name="maintenance_fluid", measures="maintenance_fluid", title="maintenance fluid in 24 hours", unit="mL",
    summary="Maintenance fluid of a child by weight (Holliday-Segar).",
    source="Holliday MA, Segar WE, The maintenance need for water in parenteral fluid therapy, Pediatrics "
    "1957;19:823-832",
    limits=("Children after the first month of life; not in heart or kidney failure or shock.",
            "Says how much water, not how much salt."),
)  # fmt: skip


def _maintenance(given: MaintenanceFluid, images: ImageStore) -> Calculated:
    first, next_ten, rest = min(given.weight, 10), min(max(given.weight - 10, 0), 10), max(given.weight - 20, 0)
    terms = (
        term("first 10 kg", 100 * first, "mL", "100 mL for each kg"),
        term("next 10 kg", 50 * next_ten, "mL", "50 mL for each kg"),
        term("rest", 20 * rest, "mL", "20 mL for each kg"),
    )
    said = "spread evenly; losses and deficits come on top"
    total = sum(item.points for item in terms)
    hourly = MAINTENANCE.other("maintenance_rate", "maintenance rate", total / 24, "mL/h", of=(MAINTENANCE.measures,))
    return MAINTENANCE.given((MAINTENANCE.value(total, said), hourly), terms, said)


TOOLS = (
    BMI.tool(AdultSize, _bmi),
    SURFACE.tool(Size, _surface),
    IDEAL_WEIGHT.tool(IdealWeight, _ideal_weight),
    RESTING_ENERGY.tool(RestingEnergy, _resting_energy),
    MAINTENANCE.tool(MaintenanceFluid, _maintenance),
)
