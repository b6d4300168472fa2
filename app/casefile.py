"""A case as people write it, in a file or on the command line, made into a `Case`. It opens no image.

Earlier visits are written as a list, or come from a patient's record (a FHIR Bundle).
"""

from __future__ import annotations

import datetime
import difflib
import json
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.case import NOT_READ, Case, Visit, check_one_patient, pseudonym
from ..core.errors import InputError
from ..knowledge.patient.fhir import PatientRecord, is_fhir, read_json, record_of
from ..tools.imaging.locate import locate

LIMIT_BYTES = 5_000_000


def read_case(path: Path, *, root: Path | None = None) -> dict[str, Any]:
    """The fields of a case file (JSON or YAML), with its images, and a file of visits it names, found beside it.

    Paths are relative to the file's folder and must not lead out of it (or out of `root` when that is given).
    Raises InputError when the file is missing, not text, not JSON or YAML, no mapping, or names a file elsewhere.
    """
    fields = _parse(path)
    if not isinstance(fields, dict):
        raise InputError(
            expected=f"{path} to hold the keys of a case, such as question:",
            got=f"a {type(fields).__name__}",
            fix="start the file with question: …",
        )
    for image in _images(fields):
        name = image.get("path")
        if isinstance(name, str) and not name.startswith("package://"):
            image["path"] = str(locate(name, base=path.parent, root=root or path.parent))
    if isinstance(fields.get("visits"), str):
        return with_visits(fields, locate(fields["visits"], base=path.parent, root=root or path.parent))
    return fields


def with_visits(fields: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A case's fields with the visits of a file in the place of any others.

    The file holds a list of visits (or a mapping with the key `visits`) in YAML or JSON, or it is a FHIR Bundle, which
    may be compressed. Of a Bundle the case also takes the patient's pseudonym, sex and age where it states none. Raises
    InputError for a file that cannot be used and for a record of another patient than the case's.
    """
    if path.suffix in (".json", ".gz") and is_fhir(found := read_json(path)):
        return _with_record(fields, record_of(found))
    return {**fields, "visits": _visits(path)}


def _with_record(fields: Mapping[str, Any], record: PatientRecord) -> dict[str, Any]:
    stated, metadata = fields.get("patient_id"), fields.get("metadata") or {}
    if isinstance(stated, str) and stated and pseudonym(stated) not in record.other_ids:
        check_one_patient({stated, record.patient_id})
    known: dict[str, Any] = {"sex": record.sex, "age": record.age_on(_date(fields)), NOT_READ: "; ".join(record.gaps())}
    facts = {name: fact for name, fact in known.items() if fact not in (None, "")}
    return {
        **fields,
        "patient_id": stated or record.patient_id,
        "metadata": {**facts, **metadata} if isinstance(metadata, dict) else metadata,
        "visits": [visit.model_copy(update={"patient_id": None}) for visit in record.visits],
    }


def _date(fields: Mapping[str, Any]) -> datetime.date:
    """The case's date, else today."""
    stated = fields.get("date")
    try:
        return stated if isinstance(stated, datetime.date) else datetime.date.fromisoformat(str(stated)[:10])
    except ValueError:
        return datetime.datetime.now(datetime.UTC).date()


def _visits(path: Path) -> list[Any]:
    found = _parse(path)
    visits = found.get("visits") if isinstance(found, dict) else found
    if not isinstance(visits, list):
        raise InputError(
            expected=f"{path} to hold a list of visits, each with a date, or a FHIR Bundle",
            got=f"a {type(visits).__name__}",
            fix="write them as a YAML list: - date: 2024-01-31",
        )
    return visits


def make_case(fields: Mapping[str, Any]) -> Case:
    """The case, or an InputError that names the first field that does not fit."""
    written = {name: value for name, value in fields.items() if value is not None}
    if isinstance(written.get("options"), dict):
        written["options"] = {letter: _as_written(text) for letter, text in written["options"].items()}
    try:
        return Case.model_validate(written)
    except ValidationError as error:
        raise _refused(error) from error


def _as_written(value: Any) -> Any:
    """An option as it was typed: YAML reads a bare yes or no as a truth value and 5 as a number."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int | float) else value


def parse_options(text: str) -> dict[str, str]:
    """Options typed as "A=first;B=second". Raises InputError for options without letters."""
    options: dict[str, str] = {}
    for part in text.split(";"):
        letter, separator, option = part.partition("=")
        letter = letter.strip().upper()
        if not separator or len(letter) != 1 or not letter.isascii() or not letter.isalpha() or not option.strip():
            raise InputError(
                expected="options as letters with texts, separated by semicolons",
                got=repr(text),
                fix='type for example --options "A=yes;B=no"',
            )
        if letter in options:
            raise InputError(
                expected="each letter once in --options", got=f"{letter} twice", fix="give every option its own letter"
            )
        options[letter] = option.strip()
    return options


def _parse(path: Path) -> Any:
    """The JSON or YAML of a case file. A key written twice is refused: one of the two would be lost."""
    import yaml

    text = _text(path)
    kind = "JSON" if path.suffix == ".json" else "YAML"
    try:
        return json.loads(text, object_pairs_hook=_once) if kind == "JSON" else yaml.load(text, _loader())  # noqa: S506
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        got = " ".join(str(error).split())
        raise InputError(expected=f"{path} to be {kind}", got=got[:200], fix="mend the file at that place") from error


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise InputError(expected=f"a case file at {path}", got="no regular file", fix="name a JSON or YAML file")
        if path.stat().st_size > LIMIT_BYTES:
            raise InputError(
                expected=f"a case file under {LIMIT_BYTES // 1_000_000} MB", got=f"{path}", fix="name images by path"
            )
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(expected=f"a case file at {path}", got=reason, fix="check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(
            expected=f"{path} to be a text file", got="bytes that are not UTF-8", fix="to ask about a picture, type "
            "polyclinic ask --image FILE --question …",
        ) from error  # fmt: skip


def _once(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} twice")
        found[key] = value
    return found


def _loader() -> Any:
    """The safe YAML loader, the one written in C where there is one, with every key allowed once."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag.endswith(":str")]
            _once((key, None) for key in keys)
            mapping: dict[Any, Any] = super().construct_mapping(node, deep)
            return mapping

    return Loader


def _images(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every image mapping of the case and of its visits, whatever else is wrong with the file."""
    visits = fields.get("visits")
    earlier = [visit.get("images") for visit in visits if isinstance(visit, dict)] if isinstance(visits, list) else []
    groups = [fields.get("images"), *earlier]
    return [image for group in groups if isinstance(group, list) for image in group if isinstance(image, dict)]


def _refused(error: ValidationError) -> InputError:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"] if part != "[key]") or "the case"
    if first["type"] == "extra_forbidden":
        return _unknown_key(str(first["loc"][-1]), where)
    got = reprlib.repr(first["input"])
    message = first["msg"].removeprefix("Value error, ").replace("tuple", "list").replace("dictionary", "mapping")
    if first["type"] == "missing":
        typed = " (or type --question)" if where == "question" else ""
        return InputError(expected=f"a case with {where}", got="none", fix=f"add {where}: …{typed}")
    if where.startswith("options"):
        return InputError(
            expected="options as capital letters with texts",
            got=got,
            fix="write them as options: {A: first, B: second}",
        )
    return InputError(
        expected=f"{where}: {message[0].lower()}{message[1:]}",
        got=got,
        fix=f"mend {where}",
    )


def _unknown_key(key: str, where: str) -> InputError:
    known = [*Case.model_fields, *Visit.model_fields]
    near = difflib.get_close_matches(key, known, n=1)
    return InputError(
        expected=f"a key of a case: {', '.join(Case.model_fields)}",
        got=f"the unknown key {where!r}",
        fix=f"did you mean {near[0]!r}?" if near else "remove it, or put plain facts under metadata:",
    )
