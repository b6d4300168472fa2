"""A case as people write it, in a file or on the command line, made into a `Case`. It opens no image."""

from __future__ import annotations

import difflib
import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.case import Case, Visit
from ..core.errors import InputError
from ..tools.locate import locate

LIMIT_BYTES = 20_000_000


def read_case(path: Path, *, root: Path | None = None) -> dict[str, Any]:
    """The fields of a case file (JSON or YAML), with its images found beside it.

    Image paths are relative to the file's folder and must not lead out of it (or out of `root` when that is given).
    Raises InputError when the file is missing, not text, not JSON or YAML, no mapping, or names an image elsewhere.
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
    return fields


def read_visits(path: Path) -> list[Any]:
    """The visits in a file: a list, or a mapping with the key `visits`."""
    found = _parse(path)
    visits = found.get("visits") if isinstance(found, dict) else found
    if not isinstance(visits, list):
        raise InputError(
            expected=f"{path} to hold a list of visits, each with a date",
            got=f"a {type(visits).__name__}",
            fix="write them as a YAML list: - date: 2024-01-31",
        )
    return visits


def make_case(fields: Mapping[str, Any]) -> Case:
    """The case, or an InputError that names the first field that does not fit."""
    written = dict(fields)
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
    import yaml

    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise InputError(
                expected=f"a case file under {LIMIT_BYTES // 1_000_000} MB", got=f"{path}", fix="name images by path"
            )
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(expected=f"a case file at {path}", got=reason, fix="check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(
            expected=f"{path} to be a text file", got="bytes that are not UTF-8", fix="to ask about a picture, type "
            "polyclinic ask --image FILE --question …",
        ) from error  # fmt: skip
    try:
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        got = " ".join(str(error).split())
        raise InputError(expected=f"{path} to be {kind}", got=got[:200], fix="mend the file at that place") from error


def _images(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every image mapping of the case and of its visits, whatever else is wrong with the file."""
    visits = fields.get("visits")
    groups = [fields.get("images"), *(v.get("images") for v in visits or () if isinstance(v, dict))]
    return [image for group in groups if isinstance(group, list) for image in group if isinstance(image, dict)]


def _refused(error: ValidationError) -> InputError:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"] if part != "[key]") or "the case"
    if first["type"] == "extra_forbidden":
        return _unknown_key(str(first["loc"][-1]), where)
    got = reprlib.repr(first["input"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return InputError(expected=f"a case with {where}", got="none", fix=f"add {where}: … (or --{where})")
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
