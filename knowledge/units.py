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

# A part of a unit, between its "/", in the words of UCUM, of laboratories and of plain English.
_PARTS = {
    "mm[hg]": "mmhg", "torr": "mmhg", "cel": "°c", "degc": "°c", "c": "°c", "[degf]": "°f", "degf": "°f", "f": "°f",
    "deg": "°", "percent": "%", "[hu]": "hu", "[ph]": "", "[lb_av]": "lb", "lbs": "lb", "[in_i]": "in", "inch": "in",
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "msec": "ms", "minute": "min", "minutes": "min",
    "mins": "min", "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d", "24h": "d", "24hr": "d",
    "(24.h)": "d", "{24_h}": "d", "liter": "l", "litre": "l", "cc": "ml", "gm": "g", "gms": "g", "cmm": "mm3",
    "cumm": "mm3", "unit": "u", "units": "u", "hpf": "[hpf]", "lpf": "[lpf]",
}  # fmt: skip
_THINGS = "beats|breaths|cells|events|counts?|rbcs?|wbcs?|leukocytes|erythrocytes|platelets|#"
_COUNTED = re.compile(rf"(?<![a-z])(?:{_THINGS})(?=/)|\{{(?:{_THINGS}|score|ratio|index|inr|creat)\}}")
"""What only says which things are counted. Any other annotation stays: `ug/mL{FEU}` is another unit than `ug/mL`."""

_SAME = {
    "ratio": "", "1": "", "fraction": "", "point": "", "points": "", "score": "", "au": "", "agatston": "",
    "10^3/ul": "10^9/l", "10^3/mm3": "10^9/l", "k/ul": "10^9/l", "k/mm3": "10^9/l", "thou/ul": "10^9/l",
    "10^6/ul": "10^12/l", "10^6/mm3": "10^12/l", "m/ul": "10^12/l", "m/mm3": "10^12/l", "mil/ul": "10^12/l",
    "/mm3": "/ul", "bpm": "/min", "g%": "g/dl", "mg%": "mg/dl",
    "ml/min/{1.73_m2}": "ml/min/1.73m2", "ml/min/1.73_m2": "ml/min/1.73m2", "ml/min/1.73": "ml/min/1.73m2",
}  # fmt: skip
_WRITTEN = {
    "mmhg": "mmHg", "°c": "°C", "°f": "°F", "/[hpf]": "/HPF", "/[lpf]": "/LPF", "/min": "/min", "lb": "lb", "in": "in",
    "ml/min/1.73m2": "mL/min/1.73 m2", "°": "°", "%": "%", "hu": "HU", "mm/h": "mm/h", "s": "s",
}  # fmt: skip
_NO_SHARE = re.compile(r"points?|score|au|agatston|\{.*\}|\[ph\]", re.IGNORECASE)
"""Pure numbers of which none is a part of a whole: 3 points are not 300 %."""

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
day = 24 * hour
pound = 453.59237 * gram
inch = 2.54 * centimeter
liter = 1e-3 * meter ** 3 = l
pascal = kilogram / meter / second ** 2 = pa
millimeter_mercury = 133.322387415 * pascal = mmhg
percent = 0.01
celsius = kelvin; offset: 273.15
fahrenheit = 5 / 9 * kelvin; offset: 233.15 + 200 / 9
"""

_NAMES = {
    "%": "percent", "°": "degree", "°c": "celsius", "°f": "fahrenheit", "1.73m2": "standard_surface",
    "d": "day", "lb": "pound", "in": "inch",
}  # fmt: skip
_WHOLE = {"": "dimensionless", "mmol/mol": "ifcc"}
_PART = re.compile(r"(?:10\^(?P<tens>\d{1,2}))?(?P<name>%|°[cf]?|1\.73m2|[a-z]*)(?P<power>(?<=[a-z])[23])?")
# Which kind of amount a unit counts. Where two units differ in it no factor leads from one to the other.
_AMOUNT = re.compile(r"mol|eq|iu|hu")


@lru_cache(maxsize=4096)
def same_unit(unit: str) -> str:
    """One spelling for a unit that is written in many ways (`x10^9/L`, `10*9/L`, `K/uL`); never a conversion.

    What is no unit it knows keeps its spelling and so is the same as itself alone (`/[HPF]`, `{titer}`).
    """
    plain, again = "", unit
    while again != plain:  # what one pass uncovers is spelt by the next
        plain, again = again, _spelt(again)
    return plain


def _spelt(unit: str) -> str:
    plain = re.sub(r"(?<=10)(?=[⁰¹²³⁴⁵⁶⁷⁸⁹])", "^", unit.replace("×", "x"))
    plain = unicodedata.normalize("NFKC", plain).lower().replace("μ", "u")
    plain = re.sub(r"\s+", "", re.sub(r"(?<=\S)\s+per\s+(?=\S)", "/", plain))
    plain = re.sub(r"^x?10(?:(?:[*e^]|\*\*)(\d{1,2})|\((\d{1,2})\))(?!\d)", r"10^\1\2", plain)
    plain = re.sub(r"(?<=m)\^(?=[23](?!\d))", "", plain).replace("mcg", "ug").replace("[iu]", "iu")
    plain = _COUNTED.sub("", plain)
    plain = "/".join(_PARTS.get(part, part) for part in plain.split("/"))
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
    if "" in (old, new) and any(_NO_SHARE.fullmatch(one.strip()) for one in (unit, to)):
        return None
    line = _line(old, new)
    return None if line is None else float(f"{value * line[0] + line[1]:.12g}")


def rounded(value: float) -> float:
    """The value as a clinician writes it: three digits that count, and every digit before the point."""
    return float(f"{value:.3g}") if abs(value) < 1000 else float(round(value))


def shown(value: float, unit: str = "") -> str:
    """A value as a clinician writes it, rounded, with its unit in plain spelling: `126 mmHg` for 125.893 mm[Hg]."""
    number = f"{rounded(value):.15g}"
    same = same_unit(unit)
    written = _WRITTEN.get(same, "" if same == "" else unit.strip().replace("10*", "10^"))
    return f"{number}{written}" if written in ("%", "°") else f"{number} {written}".strip()


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
