"""The data types of HL7 FHIR R4 (4.0.1) as plain values: texts, dates, quantities, ranges, references, attachments.

Whatever the JSON holds, nothing here raises: what is missing or of another type than the specification's is "" or None.
It knows no resource.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import html
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ...core.canonical import Json

LONGEST_TEXT = 200_000
"""Characters that one text of a visit may have."""

_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:T.*)?", re.ASCII)
_TAG = re.compile(r"<[^<>]*>")
_TYPED = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})")
_HTML = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A measured amount; `comparator` is one of <, <=, >=, > where the true value is not known, else empty."""

    value: float
    unit: str = ""
    comparator: str = ""

    def __str__(self) -> str:
        return f"{self.comparator} {self.value:g} {self.unit}".strip()


def mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def mappings(value: Json) -> list[dict[str, Json]]:
    """The JSON objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Json) -> str:
    """A string without what UTF-8 cannot carry (lone surrogates) or a person cannot read (control characters)."""
    if not isinstance(value, str):
        return ""
    if value.isprintable():
        return value.strip()
    readable = value.encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    letters = (letter if letter.isprintable() or letter in "\n\t" else " " * letter.isspace() for letter in readable)
    return "".join(letters).strip()


def line(value: Json) -> str:
    """A string on one line, at most 500 characters of it."""
    return " ".join(text(value[:2000] if isinstance(value, str) else value).split())[:500]


def code(value: Json) -> str:
    """The first code of a CodeableConcept, or a plain code."""
    if isinstance(value, str):
        return line(value)
    return next((found for coding in mappings(mapping(value).get("coding")) if (found := line(coding.get("code")))), "")


def concept(value: Json) -> str:
    """A CodeableConcept in words: its text, else the first display name, else the first code."""
    found = mapping(value)
    shown = (line(coding.get("display")) for coding in mappings(found.get("coding")))
    return line(found.get("text")) or next(filter(None, shown), "") or code(found)


def concepts(value: Json) -> str:
    return ", ".join(filter(None, map(concept, mappings(value))))


def day(value: Json) -> datetime.date | None:
    """The day of a date, a dateTime, an instant or the start of a Period; None where the day is not given."""
    if isinstance(value, dict):
        return day(value.get("start")) or day(value.get("end"))
    found = _DAY.fullmatch(value) if isinstance(value, str) else None
    try:
        return datetime.date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def span(value: Json) -> tuple[datetime.date, datetime.date] | None:
    """The first and the last day that a date of full or partial precision (YYYY, YYYY-MM, YYYY-MM-DD) may mean."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", value, re.ASCII):
        return None
    year, month, date = [*map(int, value.split("-")), 0, 0][:3]
    try:
        first = datetime.date(year, month or 1, date or 1)
        if date:
            return first, first
        following = datetime.date(year + (month in (0, 12)), month % 12 + 1 if month else 1, 1)
        return first, following - datetime.timedelta(days=1)
    except ValueError:
        return None


def number(value: Json) -> float | None:
    """A finite JSON number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def quantity(value: Json) -> Quantity | None:
    """A Quantity with its unit as written, else its code; None without a finite value or with a strange comparator."""
    found = mapping(value)
    amount, comparator = number(found.get("value")), found.get("comparator", "")
    if amount is None or comparator not in ("", "<", "<=", ">=", ">"):
        return None
    return Quantity(value=amount, unit=line(found.get("unit")) or line(found.get("code")), comparator=comparator)


def limits(ranges: Json, unit: str) -> tuple[float | None, float | None]:
    """The normal reference interval [low, high] of a value in `unit`; (None, None) unless exactly one can be meant.

    A range of another type than normal, in another unit, or upside down is none.
    """
    normal = [found for item in mappings(ranges) if (code(item.get("type")) or "normal") == "normal"
              and (found := _interval(item, unit)) != (None, None)]  # fmt: skip
    return normal[0] if len(set(normal)) == 1 else (None, None)


def _interval(item: dict[str, Json], unit: str) -> tuple[float | None, float | None]:
    low, high = quantity(item.get("low")), quantity(item.get("high"))
    foreign = any(limit and limit.unit not in ("", unit) for limit in (low, high))
    if foreign or (low and high and low.value > high.value):
        return None, None
    return low.value if low else None, high.value if high else None


def reference(value: Json) -> tuple[str, str]:
    """The resource type ("" where the reference does not say) and the id that a Reference points to."""
    written = mapping(value).get("reference")
    if not isinstance(written, str):
        return "", ""
    typed = _TYPED.fullmatch(written.partition("/_history/")[0])
    if typed:
        return typed[1], typed[2]
    if "?" in written:  # a search, which names nothing in the bundle
        return "", ""
    return line(mapping(value).get("type")), line(written.rpartition(":")[2])


def narrative(value: Json) -> str:
    """The words of a Narrative, without its markup."""
    return _unmarked(text(mapping(value).get("div")))


def attached(value: Json) -> str | None:
    """The text of an Attachment that carries one; None when it is a link, a picture, a PDF or not readable."""
    found = mapping(value)
    kind, _, parameters = line(found.get("contentType")).lower().partition(";")
    if not isinstance(found.get("data"), str) or not (kind.startswith("text/") or kind in _HTML) or "rtf" in kind:
        return None
    try:
        data = base64.b64decode(found["data"], validate=False)
    except (binascii.Error, ValueError):
        return None
    latin = "8859-1" in parameters or "latin1" in parameters
    words = data.decode("latin-1" if latin else "utf-8", "replace")
    return (_unmarked(words) if kind in _HTML else text(words)) or None


def bounded(words: str) -> str:
    """`words`, cut with a mark where they are longer than a text of a visit may be."""
    return words if len(words) <= LONGEST_TEXT else f"{words[: LONGEST_TEXT - 6].rstrip()} […]"


def joined(parts: Iterable[str], separator: str = "; ") -> str:
    return separator.join(part for part in parts if part)


def _unmarked(words: str) -> str:
    lines = html.unescape(_TAG.sub(" ", words)).splitlines()
    return text("\n".join(filter(None, (" ".join(item.split()) for item in lines))))
