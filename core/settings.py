"""The settings, and the one reader of the environment.

Defaults, then a TOML file, then POLYCLINIC_* variables, then arguments: each is stronger than the one before.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from .errors import SetupError
from .frozen import Frozen

FILE = "polyclinic.toml"
PREFIX = "POLYCLINIC_"


class Budget(Frozen):
    """What one case may spend: model calls, tokens, seconds; and how long one call may take.

    After three quarters of the seconds only the attending is asked. Tools have time-outs of their own.
    """

    calls: int = Field(default=20, ge=4)
    tokens: int = Field(default=200_000, ge=1)
    seconds: float = Field(default=600.0, gt=0)
    call_timeout_s: float = Field(default=60.0, gt=0)


class Settings(Frozen):
    """Everything that can be set from outside.

    `engine` is "embedded" (a server's URL is refused until served models are supported); `runs` is where traces go;
    `root`, when set, is the only folder that images may be read from.
    """

    engine: str = "embedded"
    model: str | None = None
    runs: Path = Path("runs")
    root: Path | None = None
    budget: Budget = Budget()


def load_settings(
    arguments: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> Settings:
    """Settings from `polyclinic.toml` in `folder` (the working directory; POLYCLINIC_SETTINGS names another file),
    the environment and `arguments` (None values count as not given).

    A nested setting is written `budget.calls` in TOML and POLYCLINIC_BUDGET_CALLS in the environment. Raises
    SetupError naming the setting that does not fit.
    """
    named = environment.get(PREFIX + "SETTINGS")
    path = Path(named) if named else (folder or Path.cwd()) / FILE
    merged: dict[str, Any] = _from_file(path, required=named is not None)
    _merge(merged, _from_environment(environment))
    _merge(merged, {name: value for name, value in (arguments or {}).items() if value is not None})
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        known = ", ".join(_names())
        raise SetupError(
            expected=f"a setting among {known}" if first["type"] == "extra_forbidden" else f"{name}: {first['msg']}",
            got=f"{name} = {first['input']!r}",
            fix=f"mend it in {path.name}, in {PREFIX}{name.upper().replace('.', '_')} or on the command line",
        ) from error


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        if not required:
            return {}
        raise SetupError(
            expected=f"a settings file at {path}", got="no such file", fix=f"create it or unset {PREFIX}SETTINGS"
        ) from error
    except (OSError, ValueError) as error:
        raise SetupError(expected=f"{path} to be TOML", got=str(error), fix="mend or remove the file") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _names():
        value = environment.get(PREFIX + name.upper().replace(".", "_"))
        if value is not None:
            group, _, leaf = name.rpartition(".")
            (found.setdefault(group, {}) if group else found)[leaf] = value
    return found


def _names() -> list[str]:
    plain = [name for name in Settings.model_fields if name != "budget"]
    return [*plain, *(f"budget.{name}" for name in Budget.model_fields)]


def _merge(weaker: dict[str, Any], stronger: Mapping[str, Any]) -> None:
    for name, value in stronger.items():
        if isinstance(value, Mapping) and isinstance(weaker.get(name), dict):
            _merge(weaker[name], value)
        else:
            weaker[name] = dict(value) if isinstance(value, Mapping) else value
