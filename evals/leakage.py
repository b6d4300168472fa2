"""What a benchmark shares with what agents can look up or are told: held back from every arm, and reported.

A passage is held back when it says nearly the same as the question of a sample, as a text that comes with it, as all
that its patient could tell or as a text that the set gives as its explanation (`knowledge/index/near_duplicates`), when
it was cut from a document that a sample is made of, or when its picture is one of a sample's. The evidence that a
question asks for is not held back: to find it is the task. All samples of the set count, whatever part of it is run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
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
from .plan import begun, read_plan
from .sample import Sample

FILE = "leakage.json"
_UNKNOWN = f"{{}}: what was held back is not in {FILE}; type the same polyclinic eval run again to have it written."


class HeldBack(Frozen):
    """A passage that no arm may find, and the samples it says nearly the same as or, with `picture`, shows one of."""

    passage: str
    title: str
    samples: tuple[str, ...]
    picture: bool = False


class Leakage(Frozen):
    """What was compared for one benchmark and what came of it.

    `searched` counts the store's passages, `pictures` the samples' pictures that were compared with the store's: 0
    where it holds none. `prompts` are samples that the agents' prompts hold.
    """

    benchmark: str
    samples: int
    store: str
    searched: int
    pictures: int = 0
    held_back: tuple[HeldBack, ...] = ()
    prompts: tuple[str, ...] = ()
    repeated: tuple[tuple[str, ...], ...] = Field(default=())

    @property
    def sentence(self) -> str:
        """All of it in words."""
        shown = [passage for passage in self.held_back if passage.picture]
        said = [passage for passage in self.held_back if passage.samples and not passage.picture]
        own = len(self.held_back) - len(shown) - len(said)
        groups = [
            f"{_counted(group, one, many)} {len({name for each in group for name in each.samples}):,} of the samples"
            for group, one, many in (
                (said, "passage that says nearly the same as", "passages that say nearly the same as"),
                (shown, "picture of", "pictures of"),
            )
            if group
        ]
        groups += [f"{own:,} passage{'s' if own > 1 else ''} of documents that samples are made of"] if own else []
        found = (
            f"{' and '.join(groups)} {'was' if len(self.held_back) == 1 else 'were'} held back from every arm"
            if groups
            else "no passage says nearly the same as one of them"
        )
        told = f"{len(self.prompts)} of them stand in the agents' prompts" if self.prompts else ""
        again = sum(map(len, self.repeated)) - len(self.repeated)
        return (
            f"{self.benchmark}: all {self.samples:,} samples of the set were compared with {self.searched:,} passages"
            + (f", {self.pictures:,} of their pictures with those of the store" if self.pictures else "")
            + ": "
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
    shown, compared = _copies(store, samples) if store.pictured else ({}, 0)
    documents = [name for sample in samples for name in sample.made_of]
    without = store.without([text for own in texts.values() for text in own], [*documents, *sorted(shown)])
    before = next((each.store for each in leakages(out) if each.benchmark == benchmark), without.version)
    if before != without.version:
        raise InputError(
            expected=f"the knowledge of the run in {out}", got="another index, or another version of one",
            fix="name another folder with --out, or give the same --knowledge",
        )  # fmt: skip
    pictured = {sample.id for sample in samples if sample.case.images}
    found = found_in(store, without, benchmark, texts, shown=shown, pictured=pictured)
    _write(out, found.model_copy(update={"pictures": compared}))
    return without


def texts_of(sample: Sample) -> tuple[str, ...]:
    """What must not be found word for word: the question, the texts that came with it, all that is known of the patient
    as one text, and what gives the answer away."""
    return (sample.case.question, *sample.case.context, " ".join(sample.known.values()), *sample.gives_away)


def _copies(store: Joined, samples: Sequence[Sample]) -> tuple[Mapping[str, Set[str]], int]:
    """The passages whose picture is one of the samples', each with their ids, and how many pictures were compared: all
    that are files which can be read, each once."""
    from ..tools.imaging.store import read_picture

    owners: dict[str, set[str]] = {}
    for sample in samples:
        for image in sample.case.all_images():
            if image.path is not None:
                owners.setdefault(image.path, set()).add(sample.id)
    found: dict[str, set[str]] = {}
    compared = 0
    for path, own in owners.items():
        with suppress(InputError):  # the run says of each sample what is wrong with its picture
            for passage in store.copies_of(read_picture(Path(path))):
                found.setdefault(passage.id, set()).update(own)
            compared += 1
    return found, compared


def _counted(things: Sequence[object], one: str, many: str) -> str:
    return f"1 {one}" if len(things) == 1 else f"{len(things):,} {many}"


def found_in(
    store: Joined,
    without: Joined,
    benchmark: str,
    texts: Mapping[str, Sequence[str]],
    *,
    shown: Mapping[str, Set[str]],
    pictured: Set[str],
) -> Leakage:
    """What `without` holds back of `store`, and which of the samples' `texts` it overlaps with; `shown` are the samples
    whose picture a passage shows. Samples with pictures repeat nothing: many ask one question of each picture."""
    names = [name for name, own in texts.items() for _ in own]
    said = ByShingle(text for own in texts.values() for text in own)

    def alike(text: str, *, title: bool = False) -> set[str]:
        return {names[number] for number in said.overlapping(text, title=title)}

    gone = tuple(
        HeldBack(
            passage=passage.id, title=passage.title[:120],
            samples=tuple(sorted(shown.get(passage.id, alike(passage.text) | alike(passage.title, title=True)))),
            picture=passage.id in shown,
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


def sentences_of(folders: Sequence[Path]) -> tuple[str, ...]:
    """What was held back in finished runs, in words: a sentence for each benchmark, for each folder where two differ,
    and one for what a run began and does not say. Raises InputError for a damaged file."""
    said: dict[str, dict[Leakage | None, Path]] = {}
    for folder in folders:
        own = {each.benchmark: each for each in leakages(folder)}
        for name in own.keys() | begun(read_plan(folder)):
            said.setdefault(name, {}).setdefault(own.get(name), folder)
    return tuple(
        (f"{folder}: " if len(found) > 1 or each is None else "") + (each.sentence if each else _UNKNOWN.format(name))
        for name, found in sorted(said.items())
        for each, folder in found.items()
    )


def leakages(folder: Path) -> tuple[Leakage, ...]:
    """What was held back in a run, by benchmark in the order of names. Raises InputError for a damaged file."""
    path = folder / FILE
    if not path.exists():
        return ()
    try:
        return tuple(Leakage.model_validate(each) for each in json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(
            expected=f"what a run wrote in {path}",
            got=str(error)[:80],
            fix="delete it, and type polyclinic eval run again as before, for every benchmark of the run",
        ) from error


def _write(out: Path, own: Leakage) -> None:
    others = {each.benchmark: each for each in leakages(out)}
    told = [each.model_dump(mode="json") for _, each in sorted((others | {own.benchmark: own}).items())]
    write_whole(out / FILE, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())
