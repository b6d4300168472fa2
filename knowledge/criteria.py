"""Diagnostic rules as data (`criteria.toml`) and their judgement on measured values. It measures nothing itself."""

from __future__ import annotations

import math
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, ValidationError, model_validator

from ..core.canonical import digest
from ..core.case import Modality
from ..core.errors import SetupError
from ..core.evidence import Evidence
from ..core.frozen import Frozen

Metadata: TypeAlias = Mapping[str, str | int | float | bool]
Judgement: TypeAlias = Literal["met", "not_met", "not_measurable"]
Severity: TypeAlias = Literal["informative", "abnormal", "critical"]
FILE = Path(__file__).parent / "criteria.toml"

_SAYS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least", "within": "within"}


class Criterion(Frozen):
    """One rule: a measurement by its names, a threshold per unit, whom it is for, what it shows and who says so.

    `thresholds` maps a unit to the number that the source states in it, or to [low, high) for `within`; a pure number
    has the unit "1". `min_age` (inclusive) and `max_age` (exclusive) are in years; `assumes_adult` judges a patient
    of unknown age as an adult and says so. `pregnant = false` leaves out a patient known to be pregnant. `modality`
    names where the measurement is made and is not judged.
    """

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    measurements: tuple[str, ...] = Field(min_length=1)
    comparator: Literal["<", "<=", ">", ">=", "within"]
    thresholds: dict[str, float | tuple[float, float]] = Field(min_length=1)
    sex: Literal["female", "male"] | None = None
    min_age: float | None = None
    max_age: float | None = None
    assumes_adult: bool = False
    pregnant: Literal[False] | None = None
    modality: Modality | None = None
    finding: str
    severity: Severity
    condition: str = ""
    source: str = Field(min_length=20)

    @model_validator(mode="after")
    def _thresholds_fit(self) -> Criterion:
        for unit, threshold in self.thresholds.items():
            pair = isinstance(threshold, tuple)
            if pair != (self.comparator == "within") or (isinstance(threshold, tuple) and threshold[0] >= threshold[1]):
                raise ValueError(f"{self.id}: {threshold!r} {unit} is no threshold for {self.comparator!r}")
        return self


class Verdict(Frozen):
    """What one criterion says about one piece of evidence, with a sentence a clinician can check."""

    criterion: str
    evidence: str
    judgement: Judgement
    finding: str
    severity: Severity
    explanation: str
    source: str


class _File(Frozen):
    criterion: tuple[Criterion, ...]

    @model_validator(mode="after")
    def _ids_differ(self) -> _File:
        if len({criterion.id for criterion in self.criterion}) < len(self.criterion):
            raise ValueError("two criteria share an id")
        return self


@cache
def shipped_criteria() -> tuple[Criterion, ...]:
    """The rules that ship with the package, sorted by id. Raises SetupError when the file was damaged."""
    return read_criteria(FILE)


def read_criteria(path: Path) -> tuple[Criterion, ...]:
    """The rules of one TOML file, sorted by id. Raises SetupError when it is not valid."""
    try:
        found = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).criterion
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise SetupError(
            expected=f"valid criteria in {path.name}",
            got=str(error).replace("\n", " "),
            fix="correct the file, or reinstall polyclinic if you did not change it",
        ) from error
    return tuple(sorted(found, key=lambda criterion: criterion.id))


@cache
def criteria_version() -> str:
    """Hash of the shipped rules; changes whenever a verdict could."""
    return digest([criterion.model_dump(mode="json") for criterion in shipped_criteria()])


def evaluate(criteria: Iterable[Criterion], evidence: Iterable[Evidence], metadata: Metadata) -> tuple[Verdict, ...]:
    """One verdict for each criterion and each evidence that carries its measurement, in the order given.

    `metadata` may hold `sex` ("female" or "male"), `age` (years) and `pregnant`. A criterion for another population
    than the patient's gives no verdict; where the population is not known it is `not_measurable`, as it is
    for a unit the source does not state. Never raises.
    """
    measured = [item for item in evidence if item.value is not None and item.name]
    verdicts = (
        _judge(criterion, item, metadata)
        for criterion in criteria
        for item in measured
        if _plain(item.name) in {_plain(name) for name in criterion.measurements}
    )
    return tuple(verdict for verdict in verdicts if verdict is not None)


def _judge(criterion: Criterion, item: Evidence, metadata: Metadata) -> Verdict | None:
    unknown = _population(criterion, metadata)
    if unknown is None:
        return None
    judgement, said = _compare(criterion, item, unknown)
    if criterion.assumes_adult and _years(metadata.get("age")) is None:
        said += "; age not known, judged as an adult"
    note = f" Note: {criterion.condition}." if criterion.condition else ""
    earlier = " This value is from an earlier visit." if item.kind == "prior_visit" else ""
    return Verdict(
        criterion=criterion.id,
        evidence=item.id,
        judgement=judgement,
        finding=criterion.finding,
        severity=criterion.severity,
        explanation=f"{said} ({criterion.source}).{note}{earlier}",
        source=criterion.source,
    )


def _compare(criterion: Criterion, item: Evidence, unknown: list[str]) -> tuple[Judgement, str]:
    """The judgement and why, in words that show value, threshold and unit."""
    value = math.nan if item.value is None else item.value
    shown = f"{item.name} {value:g}{_unit(item.unit)}"
    limits = {same_unit(name): (name, limit) for name, limit in criterion.thresholds.items()}
    unit, limit = limits.get(same_unit(item.unit), (None, math.nan))
    why = ""
    if unknown:
        why = f"{' and '.join(unknown)} not known"
    elif unit is None:
        why = "another unit, and nothing is converted"
    if why:
        return "not_measurable", f"{shown} cannot be judged for {criterion.finding}, {_rule(criterion)}: {why}"
    met = _holds(value, criterion.comparator, limit)
    said = f"{shown} is {'' if met else 'not '}{_SAYS[criterion.comparator]} {_limit(limit)}{_unit(unit or '')}"
    said += f": {criterion.finding}" if met else f": {criterion.finding} is not shown"
    if item.uncertainty and any(abs(value - edge) <= item.uncertainty for edge in _edges(limit)):
        said += f"; the threshold lies within the uncertainty of {item.uncertainty:g}"
    return ("met" if met else "not_met"), said


def _population(criterion: Criterion, metadata: Metadata) -> list[str] | None:
    """What is not known about the patient but needed; None when the criterion is for other people."""
    unknown = []
    sex = metadata.get("sex")
    sex = sex.strip().lower() if isinstance(sex, str) else None
    age = _years(metadata.get("age"))
    if criterion.sex and sex not in ("female", "male"):
        unknown.append("sex")
    elif criterion.sex and sex != criterion.sex:
        return None
    if criterion.pregnant is False and metadata.get("pregnant") is True:
        return None
    if criterion.min_age is not None or criterion.max_age is not None:
        if age is None and criterion.assumes_adult:
            return unknown
        if age is None:
            unknown.append("age")
        elif not (criterion.min_age or 0) <= age < (criterion.max_age or math.inf):
            return None
    return unknown


def _years(age: str | int | float | bool | None) -> float | None:
    try:
        years = math.nan if age is None or isinstance(age, bool) else float(age)
    except (ValueError, OverflowError):
        return None
    return years if math.isfinite(years) and years >= 0 else None


def _holds(value: float, comparator: str, limit: float | tuple[float, float]) -> bool:
    if isinstance(limit, tuple):
        return limit[0] <= value < limit[1]
    return {"<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit}[comparator]


def _rule(criterion: Criterion) -> str:
    limits = " or ".join(f"{_limit(limit)}{_unit(unit)}" for unit, limit in criterion.thresholds.items())
    return f"{_SAYS[criterion.comparator]} {limits}"


def _edges(limit: float | tuple[float, float]) -> tuple[float, ...]:
    return limit if isinstance(limit, tuple) else (limit,)


def _limit(limit: float | tuple[float, float]) -> str:
    return f"[{limit[0]:g}, {limit[1]:g})" if isinstance(limit, tuple) else f"{limit:g}"


def _unit(unit: str) -> str:
    unit = unit.strip()
    return "" if unit in ("", "1") else unit if unit == "%" else f" {unit}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", unicodedata.normalize("NFKC", name).lower()).strip()


_SAME = {
    "ratio": "", "1": "", "fraction": "", "10*9/l": "10^9/l", "10*3/ul": "10^9/l", "10^3/ul": "10^9/l",
    "k/ul": "10^9/l", "10e9/l": "10^9/l", "cells/ul": "/ul", "/mm3": "/ul", "/mm^3": "/ul",
    "cells/mm3": "/ul", "cells/mm^3": "/ul",
    "mm[hg]": "mmhg", "cel": "°c", "degc": "°c", "c": "°c", "breaths/min": "/min", "bpm": "/min", "/minute": "/min",
    "ml/min/{1.73_m2}": "ml/min/1.73m2", "ml/min/1.73m^2": "ml/min/1.73m2", "ml/min/1.73": "ml/min/1.73m2",
    "percent": "%", "[hu]": "hu",
}  # fmt: skip


def same_unit(unit: str) -> str:
    """One spelling for a unit that is written in many ways (`x10^9/L`, `10*9/L`, `K/uL`); never a conversion."""
    plain = unit.replace("⁹", "^9").replace("³", "^3").replace("×", "x")
    plain = unicodedata.normalize("NFKC", plain).lower().replace("μ", "u")
    plain = re.sub(r"^x(?=10)", "", re.sub(r"\s+", "", plain))
    return _SAME.get(plain, plain)
