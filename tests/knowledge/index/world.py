"""A small world to index: an encoder of hashed words that reads pictures too, and folders of texts, pictures, records.

    python tests/knowledge/index/world.py WHERE OUT HOW

HOW is JSON: {"parts": […], "kills": [[kind, number], …]}. For each kill the index in OUT is copied, a process that
builds the parts onto it is killed, and one that does the same again is left alone; what is there then is printed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from polyclinic.knowledge import text
from polyclinic.knowledge.corpus import shipped_passages
from polyclinic.knowledge.encoders.protocol import Encoder, Reads, Vectors
from polyclinic.knowledge.index import build, finish, postings, vectors
from polyclinic.knowledge.index.build import Plan, build_index
from polyclinic.knowledge.index.folder import open_index
from polyclinic.knowledge.index.manifest import Manifest
from polyclinic.knowledge.sources.open import open_source
from polyclinic.knowledge.sources.protocol import Source
from polyclinic.knowledge.store import Picture

WORDS = "drusen macula fundus haemorrhage retina glaucoma disc vein optic nerve cataract iris lens cornea".split()
PARTS = ("texts", "pictures", "records")
DIMENSION = 32


@dataclass(frozen=True)
class HashedWords:
    """Words as fixed directions; a picture is the word of `WORDS` that its first pixel numbers, and a bit of itself."""

    spec: str = "hashed"
    identity: str = "hashed-1"
    dimension: int = DIMENSION
    reads: frozenset[Reads] = field(default_factory=lambda: frozenset({"text", "image"}))

    def encode_texts(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        return _unit([sum((_direction(term) for term in text.terms(one)), _direction("")) for one in texts])

    def encode_pictures(self, pictures: Sequence[Picture]) -> Vectors:
        return _unit([
            4 * _direction(WORDS[int(one.flat[0]) % len(WORDS)]) + _direction(hashlib.sha256(one.tobytes()).hexdigest())
            for one in pictures
        ])  # fmt: skip


@cache
def _direction(word: str) -> Vectors:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)


def _unit(rows: Sequence[Vectors]) -> Vectors:
    stacked = np.stack(rows).astype(np.float32)
    unit: Vectors = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
    return unit


def picture(number: int, *, variant: int = 0) -> Picture:
    return np.full((4, 4), [[number, variant, number, variant]], dtype=np.uint8)


def read_picture(path: Path) -> Picture:
    found: Picture = np.load(path, allow_pickle=False)
    return found


def write_world(where: Path, *, texts: int = 24, pictures: int = 20, patients: int = 6) -> None:
    """The folders `texts`, `pictures` (with captions, some of a patient) and `records` (FHIR) in `where`."""
    chance = np.random.default_rng(1)
    (where / "texts").mkdir(parents=True)
    for number in range(texts):
        words = " ".join(WORDS[i] for i in chance.integers(0, len(WORDS), 12))
        said = f"---\ndate: 20{number % 30:02}-01-01\n---\n# Text {number}\n\n" + f"The {words} is seen. " * (
            1 + 9 * (number % 3)
        )
        (where / "texts" / f"t{number:03}.md").write_text(said, encoding="utf-8")
    (where / "pictures").mkdir()
    lines = []
    for number in range(pictures):
        np.save(where / "pictures" / f"p{number:03}.npy", picture(number % len(WORDS), variant=number))
        entry: dict[str, Any] = {
            "image": f"p{number:03}.npy",
            "caption": f"{WORDS[number % len(WORDS)]} number {number}.",
        }
        lines.append(json.dumps(entry | ({"patient_id": f"Jane Doe {number % 4}"} if number % 3 == 2 else {})))
    (where / "pictures" / "captions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (where / "records").mkdir()
    for number in range(patients):
        visits = [
            {"resourceType": "Encounter", "id": f"e{day}", "status": "finished", "class": {"code": "AMB"},
             "type": [{"text": f"Check-up of {WORDS[(number + day) % len(WORDS)]}"}],
             "subject": {"reference": f"Patient/{number}"}, "period": {"start": f"2020-01-{day:02}T09:00:00Z"}}
            for day in range(1, 4)
        ]  # fmt: skip
        who = {"resourceType": "Patient", "id": f"{number}", "identifier": [{"value": f"MRN-44711{number}"}]}
        entries = [{"resource": one} for one in (who, *visits)]
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        (where / "records" / f"{number}.json").write_text(json.dumps(bundle), encoding="utf-8")


def sources(where: Path, parts: Sequence[str] = PARTS) -> list[Source]:
    kinds = {"texts": "text", "pictures": "captions", "records": "fhir"}
    return [open_source(f"{kinds.get(part, 'text')}:{where / part}", licence="CC0-1.0") for part in parts]


def plan(where: Path, parts: Sequence[str] = PARTS, **fields: Any) -> Plan:
    encoder: Encoder = HashedWords()
    given = {"text_encoder": encoder, "image_encoder": encoder, "read_picture": read_picture, **fields}
    return Plan(sources=sources(where, parts), **given)


def hashes(out: Path) -> dict[str, str]:
    """Every file and folder of an index with its hash, but for the lock."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(out.rglob("*"))
        if path.name != "lock"
    }


def make_small() -> None:
    """Batches, slices and chunks of a few, so that a small world has many of them."""
    build.BATCH, finish.CHUNK, postings.SLICE, vectors.CHUNK = 4, 8, 8, 8


def _killed(kind: str, number: float, job: Callable[[Callable[..., None]], Manifest]) -> int:
    """The exit status of a forked `job` killed when it is watched for the n-th time (`watch`), before its n-th change
    to a folder (`before`), or after so many seconds (`seconds`)."""
    child = os.fork()
    if child == 0:
        counted = _calls(number)
        if kind == "before":
            _count_changes(counted)
        try:
            job(lambda *_: next(counted) if kind == "watch" else None)
        except BaseException as error:  # noqa: BLE001
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if kind == "seconds":
        time.sleep(number)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _calls(last: float) -> Iterator[None]:
    for number in range(1 << 30):
        if number == last:
            os._exit(9)
        yield


def _count_changes(counted: Iterator[None]) -> None:
    for name in ("mkdir", "rename", "replace", "unlink", "rmdir", "fsync"):
        real = getattr(os, name)

        def change(*args: Any, real: Callable[..., None] = real, **options: Any) -> None:
            next(counted)
            real(*args, **options)

        setattr(os, name, change)


def main() -> None:
    where, out, how = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    make_small()
    HashedWords().encode_texts([f"{one.title}. {one.text}" for one in shipped_passages()])  # forks then need not
    for number, (kind, count) in enumerate(how["kills"]):
        copy = out.with_name(f"killed-{number}")
        if out.exists():
            shutil.copytree(out, copy)

        def job(watch: Callable[..., None], copy: Path = copy) -> Manifest:
            return build_index(plan(where, how["parts"]), copy, watch=watch)

        status = _killed(kind, count, job)
        opens = None
        if out.exists():
            with open_index(copy) as index:
                opens = index.version
        again = _killed("never", 0, job)
        found = {"kill": [kind, count], "status": status, "opens": opens, "again": again, "hashes": hashes(copy)}
        print(json.dumps(found), flush=True)
        shutil.rmtree(copy)


if __name__ == "__main__":
    main()
