"""How a unit is written, and which units convert into each other. It knows no measurement and no molar mass.

The one door to pint, which is imported with the first conversion: two spellings of one unit never need it. The units
are a closed list, so that no letter means the speed of light here.
"""

from __future__ import annotations

import math
import re
import unicodedata
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pint

_SAME = {
    "ratio": "", "1": "", "fraction": "", "point": "", "points": "", "score": "", "au": "", "agatston": "",
    "10*9/l": "10^9/l", "10*3/ul": "10^9/l", "10^3/ul": "10^9/l", "k/ul": "10^9/l", "10e9/l": "10^9/l",
    "cells/ul": "/ul", "/mm3": "/ul", "cells/mm3": "/ul",
    "mm[hg]": "mmhg", "cel": "°c", "degc": "°c", "c": "°c", "[degf]": "°f", "degf": "°f", "f": "°f",
    "breaths/min": "/min", "beats/min": "/min", "bpm": "/min", "/minute": "/min", "events/h": "/h", "/hour": "/h",
    "ml/min/{1.73_m2}": "ml/min/1.73m2", "ml/min/1.73": "ml/min/1.73m2", "percent": "%", "[hu]": "hu", "msec": "ms",
}  # fmt: skip

# A registry of its own, in the spelling of `same_unit`. What must never convert has a dimension of its own: HbA1c in %
# and in mmol/mol are two scales, a filtration rate per body surface is no plain rate, and an international unit is
# none of enzyme activity.
_DEFINITIONS = """
milli- = 1e-3 = m-
micro- = 1e-6 = u-
nano- = 1e-9 = n-
pico- = 1e-12 = p-
femto- = 1e-15 = f-
centi- = 1e-2 = c-
deci- = 1e-1 = d-
kilo- = 1e3 = k-
meter = [length] = m
gram = [mass] = g
second = [time] = s
mole = [substance] = mol
equivalent = [charge] = eq
kelvin = [temperature]
hounsfield = [attenuation] = hu
international_unit = [potency] = iu
enzyme_unit = [activity] = u
ifcc = [glycation]
standard_surface = [surface]
degree = [angle]
minute = 60 * second = min
hour = 60 * minute = h
liter = 1e-3 * meter ** 3 = l
pascal = kilogram / meter / second ** 2 = pa
millimeter_mercury = 133.322387415 * pascal = mmhg
percent = 0.01
celsius = kelvin; offset: 273.15
fahrenheit = 5 / 9 * kelvin; offset: 233.15 + 200 / 9
"""

_NAMES = {"%": "percent", "°": "degree", "°c": "celsius", "°f": "fahrenheit", "1.73m2": "standard_surface"}
_WHOLE = {"": "dimensionless", "mmol/mol": "ifcc"}
_PART = re.compile(r"(?:10\^(?P<tens>\d{1,2}))?(?P<name>%|°[cf]?|1\.73m2|[a-z]*)(?P<power>(?<=[a-z])[23])?")
# Which kind of amount a unit counts. Where two units differ in it no factor leads from one to the other.
_AMOUNT = re.compile(r"mol|eq|iu|hu")


@lru_cache(maxsize=4096)
def same_unit(unit: str) -> str:
    """One spelling for a unit that is written in many ways (`x10^9/L`, `10*9/L`, `K/uL`); never a conversion."""
    plain = unit.replace("⁹", "^9").replace("×", "x")
    plain = unicodedata.normalize("NFKC", plain).lower().replace("μ", "u")
    plain = re.sub(r"^x(?=10)", "", re.sub(r"\s+", "", plain))
    plain = re.sub(r"(?<=m)\^(?=[23](?!\d))", "", plain).replace("mcg", "ug").replace("[iu]", "iu")
    return _SAME.get(plain, plain)


def known(unit: str) -> bool:
    """Whether `unit` is one that `convert` can read; a pure number is written "1"."""
    return bool(unit.strip()) and _parsed(same_unit(unit)) is not None


def convert(value: float, unit: str, to: str) -> float | None:
    """`value` in another unit of the same dimension, to 12 digits; None where there is no way or none is certain.

    Molar and mass units, or equivalents and moles, never convert, for the factor is the substance's. A value without
    any unit ("") never converts either: whether 35 is a share or a percentage is not known.
    """
    if not unit.strip():
        return None
    old, new = same_unit(unit), same_unit(to)
    if old == new:
        return value
    line = _line(old, new)
    return None if line is None else float(f"{value * line[0] + line[1]:.12g}")


@lru_cache(maxsize=1024)
def _line(old: str, new: str) -> tuple[float, float] | None:
    """The scale and offset that lead from one unit to another; every unit here is a straight line of every other."""
    if sorted(_AMOUNT.findall(old)) != sorted(_AMOUNT.findall(new)):
        return None
    known_old, known_new = _parsed(old), _parsed(new)
    if known_old is None or known_new is None or known_old[1].dimensionality != known_new[1].dimensionality:
        return None

    def moved(value: float) -> float:
        start = _registry().Quantity(value * known_old[0], known_old[1])
        return float(start.to(known_new[1]).magnitude) / known_new[0]

    offset = moved(0.0)
    return moved(1.0) - offset, offset


@lru_cache(maxsize=1024)
def _parsed(unit: str) -> tuple[float, pint.Unit] | None:
    """A factor and pint's unit for a unit in `same_unit`'s spelling; None when it is none of ours."""
    tens, names = 0, []
    for place, part in enumerate([_WHOLE[unit]] if unit in _WHOLE else unit.split("/")):
        match = _PART.fullmatch(part)
        if match is None or (place and (match["tens"] or not match["name"])):
            return None
        if match["name"].startswith("°") and unit != match["name"]:  # a scale with its own zero has no quotient
            return None
        tens += int(match["tens"] or 0)
        if match["name"]:
            power = int(match["power"] or 1) * (-1 if place else 1)
            names.append(f"{_NAMES.get(match['name'], match['name'])} ** {power}")
    import pint

    try:
        return math.pow(10.0, tens), _registry().parse_units(" * ".join(names))
    except pint.PintError:
        return None


@cache
def _registry() -> pint.UnitRegistry[float]:
    import pint

    registry: pint.UnitRegistry[float] = pint.UnitRegistry(None)
    for line in _DEFINITIONS.strip().splitlines():
        registry.define(line)
    return registry
