"""Diagnostic rules as data (`rules/*.toml`) and their judgement on measured values. It measures nothing itself."""

from __future__ import annotations

import itertools
import math
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, ValidationError, field_validator, model_validator

from ..core.canonical import digest
from ..core.case import Modality
from ..core.errors import SetupError
from ..core.evidence import Evidence
from ..core.frozen import Frozen
from .units import convert, rounded, same_unit

Metadata: TypeAlias = Mapping[str, str | int | float | bool]
Judgement: TypeAlias = Literal["met", "not_met", "not_measurable"]
Severity: TypeAlias = Literal["informative", "abnormal", "critical"]
Comparator: TypeAlias = Literal["<", "<=", ">", ">=", "within", "between"]
Fact: TypeAlias = Literal[
    "cholecystectomy", "diabetes", "fever", "hypercapnic_respiratory_failure", "postmenopausal", "pregnant",
]  # fmt: skip
FEMALE: frozenset[Fact] = frozenset(("postmenopausal", "pregnant"))
"""Facts that are not true of a patient whose sex is given as male, unless the case states that they are."""
Limit: TypeAlias = float | tuple[float, float]
FOLDER = Path(__file__).parent / "rules"

_SAYS: dict[Comparator, str] = {
    "<": "below", "<=": "at most", ">": "above", ">=": "at least", "within": "within", "between": "within",
}  # fmt: skip
_AGREE = 0.001  # two statements of one threshold may differ by rounding: 8 kPa is 60 mmHg


class Criterion(Frozen):
    """One rule: a measurement by its names, a threshold per unit, whom it is for, what it shows and who says so.

    `thresholds` maps a unit to the number that the source states in it: [low, high) for `within`, [low, high] for
    `between`; a pure number has the unit "1". One unit of a dimension is enough, the others are converted; two that
    contradict each other are refused.

    `min_age` (inclusive) and `max_age` (exclusive) are in years; `assumes_adult` judges a patient of unknown age as an
    adult and says so. `requires` names facts of the case's metadata that must be true, and known to be (those of FEMALE
    are known not to be of a man); `excludes` names facts that must not be true, where they are known.

    `modality`, `body_part` and `view` say where the source measured. Another modality or body part is another
    measurement of the same name, so the rule gives no verdict; where they are not known (laboratory values, what a
    user typed) the name is trusted. Another view is the right measurement made in the wrong way, which a reader wants
    to be told: it is `not_measurable`, and so is an unknown view, for a heart looks larger on an antero-posterior film.
    """

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    measurements: tuple[str, ...] = Field(min_length=1)
    comparator: Comparator
    thresholds: dict[str, Limit] = Field(min_length=1)
    sex: Literal["female", "male"] | None = None
    min_age: float | None = None
    max_age: float | None = None
    assumes_adult: bool = False
    requires: tuple[Fact, ...] = ()
    excludes: tuple[Fact, ...] = ()
    modality: Modality | None = None
    body_part: tuple[str, ...] = ()
    view: tuple[str, ...] = ()
    finding: str = Field(min_length=1)
    severity: Severity
    condition: str = ""
    source: str = Field(min_length=20)

    @field_validator("measurements", "body_part", "view")
    @classmethod
    def _names_differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        plain = [_plain(name) for name in names]
        if "" in plain or len(set(plain)) < len(plain):
            raise ValueError(f"{names!r} has a name twice, or one without a letter")
        return names

    @model_validator(mode="after")
    def _thresholds_fit(self) -> Criterion:
        for unit, limit in self.thresholds.items():
            pair = isinstance(limit, tuple)
            if pair != (self.comparator in ("within", "between")) or (
                isinstance(limit, tuple) and limit[0] >= limit[1]
            ):
                raise ValueError(f"{self.id}: {limit!r} {unit} is no threshold for {self.comparator!r}")
        for (unit, limit), (other, stated) in itertools.combinations(self.thresholds.items(), 2):
            for value, edge in zip(_edges(limit), _edges(stated), strict=True):
                moved = convert(value, unit, other)
                if moved is not None and not math.isclose(moved, edge, rel_tol=_AGREE):
                    raise ValueError(f"{self.id}: {value:g} {unit} is {moved:g} {other}, not {edge:g}")
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


@dataclass(frozen=True, kw_only=True)
class _Patient:
    """What the metadata of a case say of the patient, read once; None is not known."""

    sex: str | None
    age: float | None
    facts: Metadata

    @classmethod
    def of(cls, metadata: Metadata) -> _Patient:
        sex = metadata.get("sex")
        word = sex.strip().lower() if isinstance(sex, str) else None
        return cls(sex=word if word in ("female", "male") else None, age=_years(metadata.get("age")), facts=metadata)


_Index: TypeAlias = dict[str, list[tuple[int, Criterion]]]


@cache
def shipped_criteria() -> tuple[Criterion, ...]:
    """The rules that ship with the package, sorted by id. Raises SetupError when a file is damaged or all are gone."""
    return read_criteria(sorted(FOLDER.glob("*.toml")))


def read_criteria(paths: Iterable[Path]) -> tuple[Criterion, ...]:
    """The rules of some TOML files, sorted by id. Raises SetupError when one is not valid or there is no rule."""
    found: dict[str, Criterion] = {}
    for path in paths:
        try:
            rules = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).criterion
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
            raise _damaged(path.name, str(error).replace("\n", " ")) from error
        for rule in rules:
            if rule.id in found:
                raise _damaged(path.name, f"two criteria that share the id {rule.id!r}")
            found[rule.id] = rule
    if not found:
        raise _damaged(FOLDER.name, "no criterion at all")
    return tuple(rule for _, rule in sorted(found.items()))


def _damaged(name: str, got: str) -> SetupError:
    return SetupError(
        expected=f"valid criteria in {name}",
        got=got,
        fix="correct the file, or reinstall polyclinic if you did not change it",
    )


@cache
def criteria_version() -> str:
    """Hash of the shipped rules; changes whenever a verdict could."""
    return digest([criterion.model_dump(mode="json") for criterion in shipped_criteria()])


def evaluate(criteria: Iterable[Criterion], evidence: Iterable[Evidence], metadata: Metadata) -> tuple[Verdict, ...]:
    """One verdict for each criterion and each evidence that carries its measurement, in the order given.

    `metadata` may hold `sex` ("female" or "male"), `age` (years) and, true or false, the facts of `Fact`. A criterion
    for another population, modality or body part gives no verdict; where the population is not known it is
    `not_measurable`, as it is for the wrong view and for a unit that converts to none the source states. Never raises.
    """
    rules = _shipped_index() if criteria is shipped_criteria() else _index(criteria)
    patient = _Patient.of(metadata)
    found = [
        (place, position, criterion, item)
        for position, item in enumerate(evidence)
        if item.value is not None and item.name
        for place, criterion in rules.get(_plain(item.name), ())
    ]
    found.sort(key=lambda entry: entry[:2])
    verdicts = (_judge(criterion, item, patient) for _, _, criterion, item in found)
    return tuple(verdict for verdict in verdicts if verdict is not None)


@cache
def _shipped_index() -> _Index:
    return _index(shipped_criteria())


def _index(criteria: Iterable[Criterion]) -> _Index:
    """The criteria by the plain names of their measurements, each with its place in the order given."""
    index: _Index = {}
    for place, criterion in enumerate(criteria):
        for name in criterion.measurements:
            index.setdefault(_plain(name), []).append((place, criterion))
    return index


def _judge(criterion: Criterion, item: Evidence, patient: _Patient) -> Verdict | None:
    if item.modality and criterion.modality and item.modality != criterion.modality:
        return None
    if item.body_part and criterion.body_part and not _among(item.body_part, criterion.body_part):
        return None
    unknown = _population(criterion, patient)
    if unknown is None:
        return None
    judgement, said = _compare(criterion, item, unknown)
    if criterion.assumes_adult and patient.age is None:
        said += "; age not known, judged as an adult"
    note = f" Note: {criterion.condition}." if criterion.condition else ""
    when = f", of {item.date.isoformat()}" if item.date else ""
    earlier = f" This value is from an earlier visit{when}." if item.kind == "prior_visit" else ""
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
    reading = _reading(criterion, value, item)
    shown = f"{item.name} {_written(criterion, value, item, reading)}{_unit(item.unit)}"
    why = ""
    if criterion.view and not item.view:
        unknown = [*unknown, "view"]
    if unknown:
        why = f"{' and '.join(unknown)} not known"
    elif criterion.view and not _among(item.view, criterion.view):
        why = f"measured on the {item.view} view, and the rule holds on {criterion.view[0]}"
    elif reading is None:
        why = "another unit, and it cannot be converted" if item.unit.strip() else "no unit is stated"
    if why or reading is None:
        return "not_measurable", f"{shown} cannot be judged for {criterion.finding}, {_rule(criterion)}: {why}"
    limit = criterion.thresholds[reading.unit]
    met = _holds(reading.value, criterion.comparator, limit)
    said = f"{shown}{reading.said} is {'' if met else 'not '}{_SAYS[criterion.comparator]} "
    said += f"{_limit(criterion.comparator, limit)}{_unit(reading.unit)}: {criterion.finding}"
    said += "" if met else " is not shown"
    if reading.uncertainty and any(abs(reading.value - edge) <= reading.uncertainty for edge in _edges(limit)):
        said += f"; the threshold lies within the uncertainty of {item.uncertainty:g}"
    return ("met" if met else "not_met"), said


def _written(criterion: Criterion, value: float, item: Evidence, reading: _Reading | None) -> str:
    """The value rounded, unless rounded it would be judged otherwise."""
    short = _reading(criterion, rounded(value), item) if math.isfinite(value) else None
    if reading is None or short is None:
        return f"{value:g}"
    limit = criterion.thresholds[reading.unit]
    same = _holds(short.value, criterion.comparator, limit) == _holds(reading.value, criterion.comparator, limit)
    return f"{rounded(value) if same else value:g}"


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """A value in a unit that a criterion states, and the words for it where it was converted."""

    value: float
    unit: str
    uncertainty: float
    said: str


def _reading(criterion: Criterion, value: float, item: Evidence) -> _Reading | None:
    """The value in its own unit where the criterion states it, else converted to the first it can be; None if none."""
    stated, margin = same_unit(item.unit), item.uncertainty or 0.0
    for unit in criterion.thresholds:
        if same_unit(unit) == stated:
            return _Reading(value=value, unit=unit, uncertainty=margin, said="")
    for unit in criterion.thresholds:
        moved, upper = convert(value, item.unit, unit), convert(value + margin, item.unit, unit)
        if moved is not None and upper is not None:
            said = f", that is {moved:g}{_unit(unit)},"
            return _Reading(value=moved, unit=unit, uncertainty=abs(upper - moved), said=said)
    return None


def _population(criterion: Criterion, patient: _Patient) -> list[str] | None:
    """What is not known about the patient but needed; None when the criterion is for other people."""
    unknown = []
    if criterion.sex and patient.sex is None:
        unknown.append("sex")
    elif criterion.sex and patient.sex != criterion.sex:
        return None
    if any(patient.facts.get(fact) is True for fact in criterion.excludes):
        return None
    for fact in criterion.requires:
        if patient.facts.get(fact, False if patient.sex == "male" and fact in FEMALE else None) is False:
            return None
        if patient.facts.get(fact) is not True:
            unknown.append(f"whether {fact.replace('_', ' ')}")
    if criterion.min_age is not None or criterion.max_age is not None:
        if patient.age is None and not criterion.assumes_adult:
            unknown.append("age")
        elif patient.age is not None and not (criterion.min_age or 0) <= patient.age < (criterion.max_age or math.inf):
            return None
    return unknown


def _years(age: str | int | float | bool | None) -> float | None:
    try:
        years = math.nan if age is None or isinstance(age, bool) else float(age)
    except (ValueError, OverflowError):
        return None
    return years if math.isfinite(years) and years >= 0 else None


def _holds(value: float, comparator: Comparator, limit: Limit) -> bool:
    if isinstance(limit, tuple):
        return limit[0] <= value < limit[1] or (comparator == "between" and value == limit[1])
    return {"<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit}[comparator]


def _rule(criterion: Criterion) -> str:
    stated = (f"{_limit(criterion.comparator, limit)}{_unit(unit)}" for unit, limit in criterion.thresholds.items())
    return f"{_SAYS[criterion.comparator]} {' or '.join(stated)}"


def _edges(limit: Limit) -> tuple[float, ...]:
    return limit if isinstance(limit, tuple) else (limit,)


def _limit(comparator: Comparator, limit: Limit) -> str:
    if isinstance(limit, tuple):
        return f"[{limit[0]:g}, {limit[1]:g}{']' if comparator == 'between' else ')'}"
    return f"{limit:g}"


def _unit(unit: str) -> str:
    unit = unit.strip()
    return "" if unit in ("", "1") else unit if unit == "%" else f" {unit}"


def _among(name: str, names: Iterable[str]) -> bool:
    return _plain(name) in {_plain(other) for other in names}


@lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", unicodedata.normalize("NFKC", name).lower()).strip()
