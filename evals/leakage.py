"""What a benchmark shares with what agents can look up or are told: held back from every arm, and reported.

A passage is held back when it says nearly the same as the question of a sample, as a text that comes with it or as one
that the set gives as its explanation (`knowledge/index/near_duplicates`), or when it was cut from a document that a
sample is made of. The evidence that a question asks for is not held back: to find it is the task. All samples of the
set count, whatever part of it is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

from pydantic import Field

from ..agents.prompts import handbook
from ..agents.roles import load_roles
from ..core.errors import InputError
from ..core.frozen import Frozen
from ..core.whole import write_whole
from ..knowledge.index.joined import Joined
from ..knowledge.index.near_duplicates import ByShingle
from ..knowledge.text import sentences
from .sample import Sample

FILE = "leakage.json"


class HeldBack(Frozen):
    """A passage that no arm may find, and the samples it says nearly the same as."""

    passage: str
    title: str
    samples: tuple[str, ...]


class Leakage(Frozen):
    """What was compared for one benchmark and what came of it. `prompts` are samples that the agents' prompts hold."""

    benchmark: str
    samples: int
    store: str
    searched: int
    held_back: tuple[HeldBack, ...] = ()
    prompts: tuple[str, ...] = ()
    repeated: tuple[tuple[str, ...], ...] = Field(default=())

    @property
    def sentence(self) -> str:
        """All of it in words."""
        touched = {name for passage in self.held_back for name in passage.samples}
        one = len(self.held_back) == 1
        found = (
            f"{'1 passage that says' if one else f'{len(self.held_back):,} passages that say'} nearly the same as "
            f"{len(touched):,} of the samples {'was' if one else 'were'} held back from every arm"
            if self.held_back
            else "no passage says nearly the same as one of them"
        )
        told = f"{len(self.prompts)} of them stand in the agents' prompts" if self.prompts else ""
        again = sum(map(len, self.repeated)) - len(self.repeated)
        return (
            f"{self.benchmark}: all {self.samples:,} samples of the set were compared with {self.searched:,} passages: "
            f"{found}"
            + (f"; {told}" if told else "")
            + (f"; {again:,} repeat another one's text" if again else "")
            + "."
        )


def held_back(store: Joined, benchmark: str, samples: Sequence[Sample], out: Path) -> Joined:
    """The store without what the samples hold; what that is is written to `out`/leakage.json.

    Raises InputError where the run in `out` looked things up in another store, SetupError where it cannot be written.
    """
    texts = {sample.id: texts_of(sample) for sample in samples}
    documents = [name for sample in samples for name in sample.made_of]
    without = store.without([text for own in texts.values() for text in own], documents)
    before = next((each.store for each in _read(out / FILE) if each.benchmark == benchmark), without.version)
    if before != without.version:
        raise InputError(
            expected=f"the knowledge of the run in {out}", got="another index, or another version of one",
            fix="name another folder with --out, or give the same --knowledge",
        )  # fmt: skip
    pictured = {sample.id for sample in samples if sample.case.images}
    _write(out, found_in(store, without, benchmark, texts, pictured=pictured))
    return without


def texts_of(sample: Sample) -> tuple[str, ...]:
    """What must not be found word for word: the question, the texts that came with it, and those that give the answer
    away."""
    return (sample.case.question, *sample.case.context, *sample.gives_away)


def found_in(
    store: Joined, without: Joined, benchmark: str, texts: Mapping[str, Sequence[str]], *, pictured: Set[str]
) -> Leakage:
    """What `without` holds back of `store`, and which of the samples' `texts` it overlaps with. Samples with pictures
    repeat nothing: many ask one question of each picture."""
    names = [name for name, own in texts.items() for _ in own]
    said = ByShingle(text for own in texts.values() for text in own)

    def alike(text: str) -> set[str]:
        return {names[number] for number in said.overlapping(text)}

    gone = tuple(
        HeldBack(
            passage=passage.id, title=passage.title[:120],
            samples=tuple(sorted(alike(passage.text) | alike(passage.title))),
        )
        for passage in without.held_back()
    )  # fmt: skip
    prompts = [handbook(), *(role.prompt for role in load_roles())]
    pieces = [text[start:end] for text in prompts for start, end in sentences(text)]
    told = set[str]().union(*map(alike, pieces))
    same: dict[tuple[str, ...], list[str]] = {}
    for name, own in texts.items():
        if name not in pictured:
            same.setdefault(tuple(" ".join(text.lower().split()) for text in own), []).append(name)
    return Leakage(
        benchmark=benchmark, samples=len(texts), store=without.version, searched=store.size, held_back=gone,
        prompts=tuple(sorted(told)), repeated=tuple(tuple(group) for group in same.values() if len(group) > 1),
    )  # fmt: skip


def leakages(folders: Iterable[Path]) -> tuple[Leakage, ...]:
    """What was held back in finished runs, each benchmark once. Raises InputError for a damaged file."""
    found: dict[str, Leakage] = {}
    for folder in folders:
        for each in _read(folder / FILE):
            found.setdefault(each.benchmark, each)
    return tuple(found[name] for name in sorted(found))


def _read(path: Path) -> tuple[Leakage, ...]:
    if not path.exists():
        return ()
    try:
        return tuple(Leakage.model_validate(each) for each in json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(
            expected=f"what a run wrote in {path}", got=str(error)[:80], fix="type the same polyclinic eval run again"
        ) from error


def _write(out: Path, own: Leakage) -> None:
    others = {each.benchmark: each for each in _read(out / FILE)}
    told = [each.model_dump(mode="json") for _, each in sorted((others | {own.benchmark: own}).items())]
    write_whole(out / FILE, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())
