"""The settings, and the one reader of the environment.

Defaults, then a TOML file, then POLYCLINIC_* variables, then arguments: each is stronger than the one before.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from .errors import SetupError
from .frozen import Frozen

FILE = "polyclinic.toml"
PREFIX = "POLYCLINIC_"

Arrangement: TypeAlias = Literal["team", "vote", "single"]
"""Who works on a case: a team whose attending weighs the opinions; a team whose most frequent answer is taken; or one
general physician alone, with every tool and all that can be looked up."""


class Budget(Frozen):
    """What one case may spend: model calls, tokens, seconds; and how long one call may take.

    After three quarters of the seconds only the attending is asked. Tools have time-outs of their own.
    """

    calls: int = Field(default=20, ge=5)
    tokens: int = Field(default=600_000, ge=1)
    seconds: float = Field(default=600.0, gt=0)
    call_timeout_s: float = Field(default=60.0, gt=0)


class Sampling(Frozen):
    """How a served model is sampled; all of it is recorded in the trace.

    `samples` above 1 asks for that many answers in one request and takes the most frequent (self-consistency, Wang et
    al. 2023); it needs a temperature above 0. `max_tokens` bounds one reply; through the schema, `max_items` bounds
    each of its lists and `max_chars` each of its texts (None: no bound). `logprobs` derives the confidence in an option
    from its probability.
    """

    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int = 0
    samples: int = Field(default=1, ge=1, le=64)
    max_tokens: int = Field(default=2048, ge=16)
    max_items: int = Field(default=12, ge=1)
    max_chars: int | None = Field(default=None, ge=8)
    logprobs: bool = True

    @model_validator(mode="after")
    def _samples_differ(self) -> Sampling:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples above 1 need a temperature above 0: at 0 they are all the same")
        return self


class AgentModel(Frozen):
    """What one agent uses instead of the common model: another server, another model or LoRA adapter, other sampling.

    `model` may be the name of a LoRA adapter that the server knows (vLLM's `--lora-modules`); `profile` is that of
    `serving` where it is not given. The common key is sent to the common server only: another one needs its own.
    """

    url: str | None = None
    model: str | None = None
    profile: str | None = None
    api_key: SecretStr | None = None
    sampling: Sampling | None = None


class Serving(Frozen):
    """How servers are treated.

    `cases_at_once` bounds the cases that are worked on at a time: set it to what the server runs at once, and the first
    cases are done early although all together take as long. `max_in_flight` bounds the requests on their way to one
    server. A call is given up after `faults` failed attempts (refused, dropped, cut, 5xx); during an outage nothing is
    sent, and a call waits up to `patience_s` for its end, as it does for a server that is too busy (429). `profile`
    names the model profile when the model's name does not tell it. `priority` sends each case's place in the queue
    along, which some servers refuse.
    """

    cases_at_once: int = Field(default=16, ge=1)
    max_in_flight: int = Field(default=64, ge=1)
    faults: int = Field(default=6, ge=1)
    patience_s: float = Field(default=900.0, ge=0)
    profile: str | None = None
    priority: bool = True
    api_key: SecretStr | None = None


class Settings(Frozen):
    """Everything that can be set from outside.

    `arrangement` is "team", or one of those a team is compared with.
    `engine` is "embedded" or the URL of an OpenAI-compatible server; `model` is what that server calls its model (its
    only one when None); `agents` says which agents use something else: keys are "triage", "specialist" (all of them),
    "attending" or a specialty. `runs` is where traces go; `root`, when set, is the only folder that images may be read
    from; `knowledge` names the folders of indexes that are searched beside the shipped passages, `models` the folder
    whose own folders hold the weights of neural tools, `reliability` a table of how often roles and tools were right.
    """

    engine: str = "embedded"
    arrangement: Arrangement = "team"
    model: str | None = None
    runs: Path = Path("runs")
    root: Path | None = None
    knowledge: tuple[Path, ...] = ()
    models: Path | None = None
    reliability: Path | None = None
    budget: Budget = Budget()
    sampling: Sampling = Sampling()
    serving: Serving = Serving()
    agents: dict[str, AgentModel] = Field(default_factory=dict)

    @field_validator("knowledge", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        """A single folder, or several as a list, or in one variable as PATH has them."""
        if isinstance(given, str):
            return [part for part in given.split(os.pathsep) if part]
        return [given] if isinstance(given, Path) else given

    @model_validator(mode="before")
    @classmethod
    def _agents_inherit_sampling(cls, given: Any) -> Any:
        """What an agent does not say of its sampling is as for all."""
        common = given.get("sampling") if isinstance(given, dict) else None
        if not isinstance(common, dict) or not isinstance(given.get("agents"), dict):
            return given

        def whole(agent: Any) -> Any:
            own = agent.get("sampling") if isinstance(agent, dict) else None
            return {**agent, "sampling": {**common, **own}} if isinstance(own, dict) else agent

        return {**given, "agents": {name: whole(agent) for name, agent in given["agents"].items()}}


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
        in_table = name.startswith("agents.")
        known = ", ".join(AgentModel.model_fields) + " of an agent" if in_table else ", ".join([*_names(), "agents"])
        variable = "" if in_table else f", in {PREFIX}{name.upper().replace('.', '_')}"
        raise SetupError(
            expected=f"a setting among {known}" if first["type"] == "extra_forbidden" else f"{name}: {first['msg']}",
            got=f"{name} = {'…' if 'key' in name or name.startswith('serving') else repr(first['input'])}",
            fix=f"mend it in {path.name}{variable} or on the command line",
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
    """Every setting that one variable can hold; `agents` is a table, for the file only."""
    groups: dict[str, type[Frozen]] = {"budget": Budget, "sampling": Sampling, "serving": Serving}
    plain = [name for name in Settings.model_fields if name not in (*groups, "agents")]
    return [*plain, *(f"{group}.{name}" for group, model in groups.items() for name in model.model_fields)]


def _merge(weaker: dict[str, Any], stronger: Mapping[str, Any]) -> None:
    for name, value in stronger.items():
        if isinstance(value, Mapping) and isinstance(weaker.get(name), dict):
            _merge(weaker[name], value)
        else:
            weaker[name] = dict(value) if isinstance(value, Mapping) else value
