"""Who answers the samples of a run: teams of agents, and what they are held against. It scores nothing.

Every arm is given the same samples and nothing of what is right, except `majority`, which is told how often each
option is right in the whole set: it is the best that can be had without looking at a question.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from ..agents.clinic import Clinic
from ..core.canonical import digest
from ..core.errors import InputError
from ..core.runs import REPORT, TRACE, read_run, report_of
from ..core.settings import Settings
from .outcomes import Said, said_of
from .sample import Letter, Sample


class Arm(ABC):
    """One way to answer. `identity` names all that could change what it says."""

    identity: str

    @abstractmethod
    async def answer(self, sample: Sample, folder: Path, *, root: Path) -> Said:
        """What it says; whatever it writes lies in `folder`, a sample's and epoch's own, below `root`."""


@dataclass(frozen=True, kw_only=True)
class Team(Arm):
    """A clinic. A finished run in the folder is read, an unfinished one goes on: no call is made twice."""

    clinic: Clinic

    @property
    def identity(self) -> str:  # type: ignore[override]
        return self.clinic.engine.identity

    async def answer(self, sample: Sample, folder: Path, *, root: Path) -> Said:
        try:
            if not _finished(folder):
                case, notes = await self.clinic.take_in(sample.case)
                await self.clinic.consult_taken(case, notes, runs=folder)
        except InputError as error:
            return Said(silence="failed", why=str(error))
        run = _finished(folder)[0]
        _, records = read_run(run / TRACE)
        return said_of(report_of(records), records, folder=run, root=root)


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
class ArmType:
    """An arm by name: what it is, whether it needs a served model, and how it is made for the samples of a set."""

    summary: str
    served: bool
    make: Callable[[Settings, Sequence[Sample], Path], Arm] = field(repr=False)


def _embedded(settings: Settings, samples: Sequence[Sample], runs: Path) -> Arm:
    plain = settings.model_copy(update={"engine": "embedded", "model": None, "agents": {}, "runs": runs})
    return Team(clinic=Clinic(settings=plain))


def _team(settings: Settings, samples: Sequence[Sample], runs: Path) -> Arm:
    served = settings.model_copy(update={"runs": runs})
    return Team(clinic=Clinic(settings=served))


def _without_tools(settings: Settings, samples: Sequence[Sample], runs: Path) -> Arm:
    served = settings.model_copy(update={"runs": runs})
    return Team(clinic=Clinic(settings=served, tools=()))


def _majority(settings: Settings, samples: Sequence[Sample], runs: Path) -> Arm:
    targets = (sample.target for sample in samples)
    return Majority(letters=Counter(target.letter for target in targets if isinstance(target, Letter)))


ARMS: dict[str, ArmType] = {
    "embedded": ArmType(summary="the embedded engine, no model", served=False, make=_embedded),
    "team": ArmType(summary="triage, specialists and attending of a served model", served=True, make=_team),
    "team-no-tools": ArmType(summary="the team without expert tools", served=True, make=_without_tools),
    "majority": ArmType(summary="always the option most often right in the set", served=False, make=_majority),
    "random": ArmType(summary="an option drawn at random", served=False, make=lambda *_: Chance()),
}


def arm(name: str) -> ArmType:
    """The arm called `name`. Raises InputError when there is none."""
    if name not in ARMS:
        raise InputError(expected="one of the arms " + ", ".join(ARMS), got=repr(name), fix="name an arm there is")
    return ARMS[name]
