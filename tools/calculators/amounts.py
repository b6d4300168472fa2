"""How a calculator is told a quantity: a number with its unit, converted, and refused where it cannot be.

An argument is text such as "106 umol/L"; the calculator gets the number in the unit its formula was published in. A
bare number is refused wherever units differ in use, for 106 in mg/dL is another patient. It knows no formula.

Molar masses follow the formulas and the abridged atomic weights of Prohaska et al., Pure and Applied Chemistry
2022;94:573-600. Urea in mass units is read as urea nitrogen, of which one mole of urea holds 28.014 g.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ...core.errors import ToolRefusedError
from ...knowledge.units import convert

Sex: TypeAlias = Literal["female", "male"]


@dataclass(frozen=True, kw_only=True)
class Substance:
    """What leads from moles to grams and, for an ion, to equivalents; `part` is the formula of what is weighed."""

    part: str
    g_per_mol: float
    valence: int = 0


SUBSTANCES = {
    "albumin": Substance(part="", g_per_mol=0),  # a protein has no one molar mass: g/dL and g/L only
    "bicarbonate": Substance(part="", g_per_mol=0, valence=1),
    "bilirubin": Substance(part="C33H36N4O6", g_per_mol=584.673),
    "calcium": Substance(part="Ca", g_per_mol=40.078, valence=2),
    "chloride": Substance(part="Cl", g_per_mol=35.45, valence=1),
    "cholesterol": Substance(part="C27H46O", g_per_mol=386.664),
    "creatinine": Substance(part="C4H7N3O", g_per_mol=113.12),
    "ethanol": Substance(part="C2H6O", g_per_mol=46.069),
    "glucose": Substance(part="C6H12O6", g_per_mol=180.156),
    "sodium": Substance(part="Na", g_per_mol=22.99, valence=1),
    "triglycerides": Substance(part="C57H104O6", g_per_mol=885.453),  # triolein stands for the mixture
    "urea nitrogen": Substance(part="N2", g_per_mol=28.014),
}

_CUSTOMARY = {"lb": (0.45359237, "kg"), "lbs": (0.45359237, "kg"), "in": (2.54, "cm"), "inch": (2.54, "cm"),
              "inches": (2.54, "cm")}  # fmt: skip
_BARE = {"1": ("",), "years": ("", "year", "y", "yr", "yrs"), "days": ("", "day", "d"), "points": ("", "point")}
_WRITTEN = re.compile(
    r"(?P<number>[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?)"
    r"(?:\s*(?P<unit>[^\d\s.,].*)|\s+(?P<power>10\S+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """What may be stated for one argument: `what` it is, the formula's `unit`, the range taken for plausible, and
    other units people write. Annotates a float: `Annotated[float, Amount(...)]`.

    `unit` "1", "years", "days" or "points" takes a plain number. Reading raises ToolRefusedError, which pydantic hands
    on as it is, so that a refusal says what to type.
    """

    what: str
    unit: str
    low: float
    high: float
    also: tuple[str, ...] = ()
    substance: str = ""
    example: float
    whole: bool = False

    def read(self, stated: object) -> float:
        """The value in `unit`. Raises ToolRefusedError when it is none, has no unit, or lies outside the range."""
        shown = stated if isinstance(stated, str) else repr(stated)
        number, unit = self._taken_apart(stated)
        value = self._converted(number, unit)
        if value is None:
            raise self._refused(f"{shown[:60]!r}, in a unit that does not convert" if unit else
                                f"{shown[:60]!r}, a number without a unit")  # fmt: skip
        if not self.low <= value <= self.high:
            raise self._refused(f"{shown[:60]!r}, outside that range")
        if self.whole and value != round(value):
            raise self._refused(f"{shown[:60]!r}, which is no whole number")
        return value

    def write(self, value: float) -> str | float:
        """What `read` turns back into `value`."""
        return value if self.unit in _BARE else f"{value!r} {self.unit}"

    @property
    def range(self) -> str:
        unit = "" if self.unit == "1" else self.unit if self.unit == "%" else f" {self.unit}"
        return f"{self.low:g} to {self.high:g}{unit}"

    @property
    def typed(self) -> str:
        """The example, as one would type it."""
        return f"{self.example:g}" if self.unit in _BARE else f"{self.example:g} {self.unit}"

    def _taken_apart(self, stated: object) -> tuple[float, str]:
        if isinstance(stated, bool) or not isinstance(stated, (int, float, str)):
            raise self._refused(f"{stated!r:.60}, which is no quantity")
        if not isinstance(stated, str):
            return float(stated) if abs(stated) < 1e15 else self.high * 10 + 1, ""
        match = _WRITTEN.fullmatch(unicodedata.normalize("NFKC", stated).replace("−", "-").strip())
        if match is None or len(match["number"]) > 40:
            raise self._refused(f"{stated[:60]!r}, which is not a number (with a decimal point) and its unit")
        return float(match["number"].replace(",", "")), (match["unit"] or match["power"] or "").strip()

    def _converted(self, number: float, unit: str) -> float | None:
        if self.unit in _BARE:
            if unit.lower() in (*_BARE[self.unit], self.unit):
                return number
            return convert(number, unit, "1") if self.unit == "1" else None
        if unit.lower() in _CUSTOMARY:
            factor, metric = _CUSTOMARY[unit.lower()]
            number, unit = float(f"{number * factor:.12g}"), metric
        direct = convert(number, unit, self.unit)
        return direct if direct is not None or not unit else self._by_substance(number, unit)

    def _by_substance(self, number: float, unit: str) -> float | None:
        """The value by way of moles; None where the unit is none of moles, grams or equivalents in a volume."""
        known = SUBSTANCES.get(self.substance)
        if known is None:
            return None
        moles = convert(number, unit, "mol/L")
        grams, equivalents = convert(number, unit, "g/L"), convert(number, unit, "eq/L")
        if grams is not None and known.g_per_mol:
            moles = grams / known.g_per_mol
        elif equivalents is not None and known.valence:
            moles = equivalents / known.valence
        if moles is None:
            return None
        value = convert(moles, "mol/L", self.unit)
        if value is None and known.g_per_mol:
            value = convert(moles * known.g_per_mol, "g/L", self.unit)
        return None if value is None else float(f"{value:.9g}")

    def _refused(self, got: str) -> ToolRefusedError:
        others = f" (or in {', '.join(self.also)})" if self.also else ""
        return ToolRefusedError(
            expected=f"{self.what}, {self.range}{others}",
            got=got,
            fix=f'type it like "{self.typed}"' if self.unit not in _BARE else f"type it like {self.typed}",
        )

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(self.write)
        return core_schema.no_info_before_validator_function(self.read, handler(source), serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        about = f"{self.what[:1].upper()}{self.what[1:]}, {self.range}"
        if self.unit in _BARE:
            kind = "integer" if self.whole else "number"
            return {"type": kind, "minimum": self.low, "maximum": self.high, "description": f"{about}.",
                    "examples": [round(self.example) if self.whole else self.example]}  # fmt: skip
        units = ", ".join((self.unit, *self.also))
        return {
            "type": "string", "pattern": r"^[0-9.,+-]+ ?\S.*$", "examples": [self.typed],
            "description": f"{about}. A number and its unit, one of: {units}.",
        }  # fmt: skip
