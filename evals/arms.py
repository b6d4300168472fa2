"""Who answers the samples of a run: teams of agents, and what they are held against. It scores nothing.

Every arm is given the same samples and nothing of what is right, except `majority`, which is told how often each
option is right in the whole set: it is the best that can be had without looking at a question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from ..agents.budget import LARGEST_TEAM
from ..agents.clinic import Clinic
from ..agents.reliability import read_reliability
from ..core.canonical import digest
from ..core.errors import InputError
from ..core.runs import REPORT, TRACE, blobs_of, read_run, report_of
from ..core.settings import Settings
from ..knowledge.store import Knowledge, NoKnowledge
from ..tools.card import Tool
from .arm import ASKS, Arm
from .interview import asking
from .outcomes import Row, Said, said_of
from .sample import Answer, Answers, Letter, Sample
from .short_cut import Brightness, one_choice
from .tool_arm import PREFIX, check_pictures, cited_by_team, constant, taught_by_tools, tool_arm


@dataclass(frozen=True, kw_only=True)
class Team(Arm):
    """A clinic, which can ask for what the sample's patient or chart knows. A finished run in the folder is read, an
    unfinished one goes on: no call is made twice."""

    clinic: Clinic

    @property
    def identity(self) -> str:  # type: ignore[override]
        return f"{self.clinic.engine.identity}{ASKS}{self.clinic.arrangement}, {self.clinic.configuration}"

    async def prepare(self) -> None:
        await self.clinic.engine.prepare()

    async def answer(self, sample: Sample, folder: Path, *, root: Path) -> Said:
        try:
            if not _finished(folder):
                clinic = asking(self.clinic, sample.known)
                case, notes = await clinic.take_in(sample.case)
                await clinic.consult_taken(case, notes, runs=folder)
        except InputError as error:
            return Said(silence="failed", why=str(error))
        run = _finished(folder)[0]
        _, records = read_run(run / TRACE)
        report = report_of(records)
        said = said_of(report, records, folder=run, root=root)
        said = taught_by_tools(sample, report, said, cards=self.clinic.toolbox.cards)
        if said.silence:
            return said
        return cited_by_team(sample, report, said, blobs=blobs_of(self.clinic.runs), root=root)


def _finished(folder: Path) -> list[Path]:
    """The finished runs of a sample: one at most, unless somebody put others there."""
    return sorted(path.parent for path in folder.glob(f"*/{REPORT}"))


@dataclass(frozen=True, kw_only=True)
class Majority(Arm):
    """Always the option that is right most often in the set; ties go to the first letter."""

    letters: Mapping[str, int]
    identity: str = "majority"

    async def answer(self, sample: Sample, folder: Path, *, root: Path) -> Said:
        here = {letter: self.letters.get(letter, 0) for letter in sample.case.options}
        if not here:
            return Said(silence="abstained", why="no options to choose from")
        best = min(here, key=lambda letter: (-here[letter], letter))
        share = self.letters.get(best, 0) / max(1, sum(self.letters.values()))
        return Said(option=best, answer=sample.case.options[best], confidence=share)


@dataclass(frozen=True, kw_only=True)
class Chance(Arm):
    """An option drawn at random, the same for the same sample and seed."""

    seed: int = 0
    identity: str = "random"

    async def answer(self, sample: Sample, folder: Path, *, root: Path) -> Said:
        letters = sorted(sample.case.options)
        if not letters:
            return Said(silence="abstained", why="no options to choose from")
        drawn = Random(digest([self.seed, sample.id, folder.name])).choice(letters)  # noqa: S311 - no secret
        return Said(option=drawn, answer=sample.case.options[drawn], confidence=1.0 / len(letters))


@dataclass(frozen=True, kw_only=True)
class Making:
    """What an arm is made from: the settings, the benchmark's name and every sample of it, what may be looked up, where
    traces go, how many samples are asked at once, the rows that earlier arms of the run gave for the same samples, and
    the seed of what is drawn."""

    settings: Settings
    samples: Sequence[Sample]
    runs: Path
    knowledge: Knowledge
    concurrency: int = 8
    before: Sequence[Row] = ()
    benchmark: str = ""
    seed: int = 0


Check: TypeAlias = Callable[[str, Sequence[Sample], Settings, Collection[str]], None]


@dataclass(frozen=True, kw_only=True)
class ArmType:
    """An arm by name: what it is, whether it needs a served model, and how it is made for the samples of a set.

    `check` raises InputError for a benchmark, its samples, settings and arms beside it that it cannot be made for.
    """

    summary: str
    served: bool
    make: Callable[[Making], Arm] = field(repr=False)
    check: Check = field(default=lambda benchmark, samples, settings, beside: None, repr=False)


def _clinic(making: Making, *, looks_up: bool = True, tools: Sequence[Tool] | None = None, **changes: Any) -> Team:
    """A team with some settings changed; its bounds let `making.concurrency` cases through at once."""
    serving = making.settings.serving
    wide = {
        "cases_at_once": max(serving.cases_at_once, making.concurrency),
        "max_in_flight": max(serving.max_in_flight, making.concurrency * LARGEST_TEAM),
    }
    own = {"runs": making.runs, "serving": serving.model_copy(update=wide), **changes}
    settings = making.settings.model_copy(update=own)
    knowledge = making.knowledge if looks_up else NoKnowledge()
    return Team(clinic=Clinic(settings=settings, tools=tools, knowledge=knowledge))


def _check_clinic(benchmark: str, samples: Sequence[Sample], settings: Settings, beside: Collection[str]) -> None:
    table = None if settings.reliability is None else read_reliability(settings.reliability)
    if table is not None and benchmark in table.benchmarks:
        raise InputError(
            expected=f"a table of reliability that was measured on other benchmarks than {benchmark}",
            got=f"one measured on {', '.join(table.benchmarks)}",
            fix="leave the setting `reliability` out, or make the table from runs of other benchmarks",
        )  # fmt: skip


def _only_for(what: str, answers: Callable[[Sequence[Sample]], bool]) -> Check:
    """A check that an arm is not silent on every sample of a set: `answers` says so, `what` names such a set."""

    def check(benchmark: str, samples: Sequence[Sample], settings: Settings, beside: Collection[str]) -> None:
        if samples and not answers(samples):
            raise InputError(
                expected=what, got=f"{benchmark}, which is none",
                fix="leave the arm out, or run that benchmark by itself",
            )  # fmt: skip

    return check


def _options(samples: Sequence[Sample]) -> bool:
    return any(sample.case.options for sample in samples)


def _countable(samples: Sequence[Sample]) -> bool:
    return not all(isinstance(sample.target, Answer | Answers) for sample in samples)


_EMBEDDED: dict[str, Any] = {"engine": "embedded", "model": None, "agents": {}}

AS_DIFFERENT = 0.7
"""The temperature of self-consistency where the settings say 0: Wang et al. 2023 use 0.5 to 0.7."""

MOST_SAMPLES = 64
SELF_CONSISTENCY = "self-consistency"


def _check_self_consistent(
    benchmark: str, samples: Sequence[Sample], settings: Settings, beside: Collection[str]
) -> None:
    missing = [name for name in ("team", "single") if name not in beside]
    if missing:
        raise InputError(
            expected="the arms team and single before self-consistency: their tokens say how many samples it takes",
            got=f"no arm {' and none '.join(missing)}",
            fix="type --arm team --arm single --arm self-consistency",
        )
    _check_clinic(benchmark, samples, settings, beside)


def _self_consistent(making: Making) -> Arm:
    """The single agent, asked for so many samples at once that it needs the tokens of the team on the same cases."""
    spent = {name: [row.said for row in making.before if row.arm == name] for name in ("team", "single")}
    sampling = making.settings.sampling
    samples = samples_for(**spent)
    own = sampling.model_copy(update={"samples": samples, "temperature": sampling.temperature or AS_DIFFERENT})
    return _clinic(making, arrangement="single", sampling=own if samples > 1 else sampling)


def samples_for(*, team: Sequence[Said], single: Sequence[Said]) -> int:
    """How many samples of the single agent cost as many tokens as the team: the prompt is read once for all of them.

    Raises InputError where no tokens were counted.
    """
    tokens = sum(said.prompt_tokens + said.completion_tokens for said in team) / len(team)
    prompt = sum(said.prompt_tokens for said in single) / len(single)
    written = sum(said.completion_tokens for said in single) / len(single)
    if not tokens or not written:
        raise InputError(
            expected="tokens that the arms team and single spent",
            got="none of " + " or ".join(name for name, n in (("team", tokens), ("single", written)) if not n),
            fix="serve a model that answers and states its usage, or leave the arm self-consistency out",
        )  # fmt: skip
    return max(1, min(MOST_SAMPLES, round((tokens - prompt) / max(1.0, written))))


def _check_tool(
    name: str, benchmark: str, samples: Sequence[Sample], settings: Settings, beside: Collection[str]
) -> None:
    tool_arm(name, settings)
    check_pictures(name, samples, benchmark)


def _tool(name: str, making: Making) -> Arm:
    return tool_arm(name, making.settings)


def _majority(making: Making) -> Arm:
    targets = (sample.target for sample in making.samples)
    return Majority(letters=Counter(target.letter for target in targets if isinstance(target, Letter)))


ARMS: dict[str, ArmType] = {
    "embedded": ArmType(
        summary="the embedded engine, no model", served=False, make=lambda making: _clinic(making, **_EMBEDDED),
        check=_check_clinic,
    ),
    "embedded-no-retrieval": ArmType(
        summary="the embedded engine with nothing to look up", served=False,
        make=lambda making: _clinic(making, looks_up=False, **_EMBEDDED), check=_check_clinic,
    ),
    "majority": ArmType(
        summary="always the option most often right in the set", served=False, make=_majority,
        check=_only_for("a benchmark with options for the arm majority", _options),
    ),
    "constant": ArmType(
        summary="the median count, an empty region, the option most often right: the best without looking",
        served=False, make=lambda making: constant(making.samples, making.settings),
        check=_only_for("a benchmark of options, regions or counts for the arm constant", _countable),
    ),
    "brightness": ArmType(
        summary="a regression on nine numbers of a picture's brightness, learnt from other patients", served=False,
        make=lambda making: Brightness(making.samples),
        check=_only_for("pictures with the same options each, for the arm brightness", one_choice),
    ),
    "random": ArmType(
        summary="an option drawn at random", served=False, make=lambda making: Chance(seed=making.seed),
        check=_only_for("a benchmark with options for the arm random", _options),
    ),
    "team": ArmType(
        summary="triage, specialists and attending of a served model", served=True, make=_clinic, check=_check_clinic
    ),
    "team-no-retrieval": ArmType(
        summary="the team with nothing to look up", served=True, make=lambda making: _clinic(making, looks_up=False),
        check=_check_clinic,
    ),
    "team-no-tools": ArmType(
        summary="the team without expert tools (a patient or chart can still be asked)", served=True,
        make=lambda making: _clinic(making, tools=()), check=_check_clinic,
    ),
    "vote": ArmType(
        summary="the team, its most frequent opinion instead of an attending", served=True,
        make=lambda making: _clinic(making, arrangement="vote"), check=_check_clinic,
    ),
    "single": ArmType(
        summary="one agent alone, with every tool and all that can be looked up", served=True,
        make=lambda making: _clinic(making, arrangement="single"), check=_check_clinic,
    ),
    SELF_CONSISTENCY: ArmType(
        summary="the single agent's most frequent answer at the team's tokens (name team and single before it)",
        served=True, make=_self_consistent, check=_check_self_consistent,
    ),
}  # fmt: skip


def arm(name: str) -> ArmType:
    """The arm called `name`; `tool:NAME` is an expert tool by itself. Raises InputError when there is none."""
    if name.startswith(PREFIX):
        tool = name.removeprefix(PREFIX)
        make, check = partial(_tool, tool), partial(_check_tool, tool)
        return ArmType(summary=f"the tool {tool}", served=False, make=make, check=check)
    if name not in ARMS:
        raise InputError(
            expected="one of the arms " + ", ".join([*ARMS, f"{PREFIX}NAME"]),
            got=repr(name),
            fix="name an arm there is",
        )
    return ARMS[name]
