"""What a sentence states that code can compare: numbers with units, dates and sides. It does not know who is right.

Nothing is converted: 9 mm and 0.9 cm are two statements. Numbers written as words are not read.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from ..knowledge.units import same_unit

ROUGHLY = 0.1
"""Rounding may move a value by at most this share of it: "about 0.6" is 0.57, "1" is not. A choice of ours."""

_SPELT = {
    word: unit
    for unit, words in {
        "%": "percent, per cent", "px": "pixel, pixels", "°": "degree, degrees", "fold": "fold", "ul": "microlitre",
        "°C": "°c, degrees c, degrees celsius", "°F": "°f, degrees f, degrees fahrenheit", "T": "tesla", "HU":
        "hounsfield unit, hounsfield units", "mmHg": "mm hg", "inch": "inches", "feet": "foot", "lb": "lbs, pounds",
        "mm": "millimetre, millimetres, millimeter, millimeters", "m": "metre, metres, meter, meters",
        "cm": "centimetre, centimetres, centimeter, centimeters", "um": "micrometre, micrometres, micrometers, microns",
        "g": "gram, grams", "kg": "kilogram, kilograms", "mg": "milligram, milligrams", "ug": "micrograms, mcg",
        "l": "litre, litres, liter, liters", "ml": "millilitre, millilitres, milliliter, milliliters, cc",
        "s": "second, seconds, sec", "min": "minute, minutes", "h": "hour, hours, hr, hrs", "d": "day, days",
        "wk": "week, weeks", "mo": "month, months", "y": "year, years, yr, yrs, yo",
    }.items()
    for word in words.split(", ")
}  # fmt: skip
_COUNTS = "cells|copies|beats|breaths|K"
_LONG = (
    "mmol|umol|µmol|μmol|nmol|pmol|mol|mEq|mOsm|mIU|µIU|uIU|IU|mU|kU|kg|mg|µg|μg|ug|ng|pg|km|cm|mm|µm|μm|um|nm|dl|cl|ml|"
    "µl|μl|ul|nl|fl|kPa|hPa|Pa|mmHg|cmH2O|ms|min|HU|px|dB|Hz|kHz|MHz|bpm|kV|kVp|mAs|mA|mSv|mGy|cGy|Gy|MBq|kcal|kJ|hpf|lb|"
    "oz|inch|feet|fold|wk|mo|°C|°F"
)
_WORDS = "|".join(sorted(_SPELT, key=len, reverse=True))

_SPACE = " \u00a0\u2009\u202f"
_BASE = rf"(?:(?i:{_WORDS}|{_LONG})|[%‰°]|[gmlLshdyUCJTV])(?:\^?[23]|[²³])?(?!\w)"
_PER = rf"(?:[{_SPACE}]?/[{_SPACE}]?|[{_SPACE}]per[{_SPACE}])(?:1[.,]73(?:[{_SPACE}]?m(?:\^?2|²))?|{_BASE})(?!\w)"
_POWER = rf"(?:[x×*·][{_SPACE}]?)?10(?:[\^*]\d{{1,2}}|e\d{{1,2}}|[⁰¹²³⁴⁵⁶⁷⁸⁹]{{1,2}})(?:[{_SPACE}](?={_COUNTS}))?"
_UNIT = re.compile(rf"(?:[{_SPACE}]*|-)((?:{_POWER})?(?:{_COUNTS})?(?:{_PER})+|{_BASE}(?:{_PER})*)")
_TIMES_TEN = re.compile(rf"[{_SPACE}]?[x×*·][{_SPACE}]?10\^([-−]?\d{{1,2}})")
_MONTHS = {name: number for number, name in enumerate(
    "jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1
)}  # fmt: skip
_MONTH = r"(?P<month{0}>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    r"(?<!\w)(?:(?P<iso>\d{4}-\d{2}-\d{2})(?:T[\d:.]+Z?)?"
    rf"|(?P<day1>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?{_MONTH.format(1)},? (?P<year1>\d{{4}})"
    rf"|{_MONTH.format(2)} (?P<day2>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<year2>\d{{4}})"
    r"|\d{1,2}[./]\d{1,2}[./]\d{4})(?![\w-])",
    re.I,
)
# What has digits and is neither a quantity nor a date: addresses, identifiers, versions, decades.
_IDENTIFIER = re.compile(
    r"https?://\S+|\bdoi:\s?\S+|\bPMID:?\s?\d+|(?<![\w.,])\d+(?:\.\d+){2,}(?![\w])|\b(?:19|20)\d0s\b",
    re.I,
)
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]%/])[-−–](?=[\d.]))?"
    r"(?P<digits>[1-9]\d{0,2}(?:[,\u00a0\u2009\u202f]\d{3})+(?!\d)(?:\.\d+)?|[1-9]\d{0,2}(?: 000)+(?!\d)"
    r"|[1-9]\d{0,2}(?:\.\d{3})+,\d+|\d+[.,·]\d+|(?<![\w)])\.\d+|\d+)(?P<exponent>e[+-]?\d+)?",
    re.I,
)
_IN_A_NAME = re.compile(r"[^\W\d][-–]?$|[^\W\d]\d+[a-z]?[-–/]$|\^[-−]?$")  # L1, COVID-19, the 4 of L1-4
_NAMED = re.compile(
    r"\b(?:types?|trisomy|factors?|chromosomes?|images?|figures?|figs?\.|tables?|options?|visits?|turns?|versions?|scales?"
    r"|sections?|phases?) (?:\d+[a-z]?(?:[-–/]|, | and | or | to ))*$",
    re.I,
)
_ORDINAL_OR_NAME = re.compile(
    r"(?:st|nd|rd|th)\b|-?(?=[^\W\d])(?![x×][ \d])(?![^\W\d_]{3,})|-(?=[^\W\d])|[\^⁰¹²³⁴⁵⁶⁷⁸⁹]", re.I
)
_RANGE = re.compile(rf"[{_SPACE}]?(?:[-–/x×]|to|±|\+/[-−])[{_SPACE}]?")
_MARGIN = re.compile(r"(?:±|\+/[-−])\s?$")

_ANATOMY = "|".join(
    r"""
    adnex\w* adrenal\w* ankles? arms? atri\w+ auric\w* axill\w* breasts? bronch\w* bundle carotid cerebell\w*
    cerebral cheek chest clavic\w* colon\w* coronary cornea\w* costophrenic disc ears? elbows? eyes? eyelids? face
    facial femor\w* femur fibula\w* finger\w* flank foot feet forearm fossa frontal fundus groin hands? heart
    hemi\w+ hil[au]\w* hips? humer\w* iliac inguinal iris jaw kidneys? knees? lacrimal legs? lens limbs? lobes?
    lungs? macul\w* mandib\w* mastoid maxill\w* nipple nostril occipital optic orbit\w* ovar\w+ parietal parotid
    patell\w* pelvi\w+ pleura\w* pupil\w* quadrants? radius renal retin\w* ribs? sacroiliac scapul\w* shoulders?
    subclavian temporal testi\w+ thighs? thora\w+ thumb thyroid tibia\w* toes? tonsil\w* ulna\w* ureter\w*
    ventric\w+ wrists?
    """.split()
)
_NOT_BETWEEN = "of|and|or|to|in|on|is|the|edge|border|side|half|margin|corner"
_SIDE = re.compile(
    rf"\b(left|right)(?: (?!(?:{_NOT_BETWEEN})\b)[\w-]+){{0,2}}? (?:{_ANATOMY})\b"
    r"|\b(left|right)[- ]sided\b|\b(?:patient['’]s|his|her|their) (left|right)\b",
    re.I,
)
_YEAR = re.compile(r"\d{4}")  # every date that can be read for certain has one
_BOTH = re.compile(r"\bleft(?:,? (?:and|or) |/)right\b|\bright(?:,? (?:and|or) |/)left\b|\bbilateral", re.I)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number as written, its unit in `same_unit`'s spelling (None: not stated) and the step of its last digit.

    `margin` marks what follows ±: how sure a value is, not a value.
    """

    words: str
    value: float
    step: float = 0.0
    unit: str | None = None
    margin: bool = False


def agrees(said: Quantity, known: Quantity) -> bool:
    """Whether `said` is `known`, rounded to the digits it was said with; two units that are stated must be the same."""
    if said.unit is not None and known.unit is not None and said.unit != known.unit:
        return False
    if known.margin and not said.margin:
        return False
    if said.value == known.value:
        return True
    allowed = min(0.5 * said.step, ROUGHLY * abs(known.value))
    return abs(said.value - known.value) <= allowed + 1e-9 * abs(known.value)


@lru_cache(maxsize=4096)
def quantities(text: str) -> tuple[Quantity, ...]:
    """Every number of the text that is a value: not in a name, an ordinal, a date or an identifier."""
    text = _DATE.sub(_blank, text)
    text = _IDENTIFIER.sub(_blank, text)
    found: list[tuple[int, int, Quantity]] = []
    for match in _NUMBER.finditer(text):
        item = _quantity(text, match)
        if item is None or (found and match.start() < found[-1][1]):  # the 1.73 of mL/min/1.73m2
            continue
        start, end, quantity = item
        if found and found[-1][2].unit is None and _RANGE.fullmatch(text, found[-1][1], start):
            found[-1] = (*found[-1][:2], replace(found[-1][2], unit=quantity.unit))  # 3.5-5.1 mmol/L, 148/86 mmHg
        found.append((start, end, quantity))
    return tuple(quantity for _, _, quantity in found)


@lru_cache(maxsize=4096)
def dates(text: str) -> frozenset[datetime.date]:
    """The dates whose day, month and year can be read for certain; 03/04/2024 cannot."""
    return frozenset(_dates(text)) if _YEAR.search(text) else frozenset()


def unit_of(unit: str) -> str | None:
    """A unit in the spelling that `Quantity` compares; None when none is stated ("1" states a pure number)."""
    plain = re.sub(rf"[{_SPACE}]+per[{_SPACE}]+", "/", unit.strip()).replace("^2", "2").replace("²", "2")
    parts = [_SPELT.get(part.strip().lower(), part.strip()) for part in plain.split("/")]
    return same_unit("/".join(parts)) if unit.strip() else None


def sides(text: str) -> set[str]:
    """Which side of the patient a text speaks of: left or right of something anatomical, not of a picture."""
    if _BOTH.search(text):
        return {"left", "right"}
    return {side.lower() for match in _SIDE.finditer(text) for side in match.groups() if side}


def _quantity(text: str, match: re.Match[str]) -> tuple[int, int, Quantity] | None:
    start, end = match.span()
    before = text[max(0, match.start("digits") - 60) : match.start("digits")]
    times = re.search(r"\d[ \u00a0]?[x×]$", before)  # 9x9 mm
    if not match["sign"] and not times and _IN_A_NAME.search(before):
        return None
    value, step = _value(match)
    power = _TIMES_TEN.match(text, end)
    unit = _UNIT.match(text, end)
    if power and not unit:
        factor = 10.0 ** int(power[1].replace("−", "-"))
        value, step, end = value * factor, step * factor, power.end()
        unit = _UNIT.match(text, end)
    if unit is None and (_NAMED.search(before) or _ORDINAL_OR_NAME.match(text, end)):
        return None
    margin = bool(_MARGIN.search(text[max(0, start - 5) : start]))
    stop = unit.end() if unit else end
    stated = unit_of(unit[1]) if unit else None
    return start, stop, Quantity(words=text[start:stop], value=value, step=step, unit=stated, margin=margin)


def _value(match: re.Match[str]) -> tuple[float, float]:
    """The number and the step of its last digit. A comma with exactly three digits after it parts thousands."""
    digits = match["digits"].replace("·", ".")
    if re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3})+,\d+", digits):
        digits = digits.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"[1-9]\d{0,2}(?:[,\s]\d{3})+(?:\.\d+)?", digits):
        digits = re.sub(r"[,\s]", "", digits)
    digits = digits.replace(",", ".")
    exponent = int((match["exponent"] or "e0")[1:])
    decimals = len(digits.partition(".")[2])
    sign = "-" if match["sign"] else ""
    return float(f"{sign}{digits}e{exponent}"), float(f"1e{exponent - decimals}")


def _dates(text: str) -> Iterator[datetime.date]:
    for match in _DATE.finditer(text):
        try:
            if match["iso"]:
                yield datetime.date.fromisoformat(match["iso"])
            for which in ("1", "2"):
                if match[f"month{which}"]:
                    month = _MONTHS[match[f"month{which}"].lower()]
                    yield datetime.date(int(match[f"year{which}"]), month, int(match[f"day{which}"]))
        except ValueError:
            continue  # 2024-02-30 is no date


def _blank(match: re.Match[str]) -> str:
    return "\n" * len(match.group())
