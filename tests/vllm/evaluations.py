"""A hundred samples of VQA-RAD through every arm of a real vLLM server with a random model: what becomes of them.

    .venv/bin/python tests/vllm/run.py --evaluations DATA      starts a server and prints the tables
    .venv/bin/python tests/vllm/evaluations.py URL DATA        prints them for one that runs

DATA is a folder of data sets with `vqa_rad` in it. Some pictures are made unusable, as in any real set: black ones,
which a person must look at, and cut files, which fail. Deadlines are tight, so that the busy server misses some.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image as Picture

from polyclinic.core.settings import Budget, Sampling, Serving, Settings
from polyclinic.evals.arms import ARMS
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.outcomes import OUTCOMES, Row
from polyclinic.evals.results import by_arm
from polyclinic.evals.run import Plan, run
from polyclinic.evals.tables import page

SET = benchmark("vqa_rad-yesno")
SAMPLES, BLACK, CUT = 100, 4, 4
WILD = Sampling(temperature=2.0, max_items=1, max_chars=12, max_tokens=300)
HURRIED = Budget(calls=8, call_timeout_s=6.0)
ALL_ARMS = tuple(name for name in ARMS if name not in ("constant", "brightness"))


def spoilt(data: Path, out: Path, samples: int = SAMPLES, *, black: int = BLACK, cut: int = CUT) -> Path:
    """A folder like `data` with the set's first yes-or-no records, of which some have unusable pictures."""
    path = SET.at(data)
    asked = {sample.id.removeprefix("vqarad-") for sample in list(SET.samples(path))[:samples]}
    records = [record for record in json.loads(path.read_text()) if str(record["qid"]) in asked]
    place = out / SET.place
    (place.parent / "images").mkdir(parents=True)
    for number, record in enumerate(records):
        source = path.parent / "images" / record["image_name"]
        name = f"{number:03}-{record['image_name']}"
        target = place.parent / "images" / name
        if number < black:
            Picture.new("RGB", (256, 256)).save(target)
        elif number < black + cut:
            target.write_bytes(source.read_bytes()[:300])
        else:
            shutil.copyfile(source, target)
        record["image_name"] = name
    place.write_text(json.dumps(records))
    return out


def settings(url: str, sampling: Sampling = WILD, budget: Budget = HURRIED) -> Settings:
    """How the tiny model is asked: it sees, and ends a text only where it must."""
    return Settings(
        engine=f"{url}/v1", model="tiny", sampling=sampling, serving=Serving(profile="llava"), budget=budget
    )


def main(url: str, data: Path) -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        there = spoilt(data, Path(folder) / "data")
        rows: list[Row] = run(
            [SET], ALL_ARMS, there, Path(folder) / "out", settings(url), Plan(concurrency=16), watch=_watch
        )
    print(page(rows))
    seen = {row.outcome for row in rows}
    print(f"{len(by_arm(rows))} arms, {len(rows)} answers in {time.monotonic() - began:.0f} s; "
          f"outcomes never seen: {', '.join(name for name in OUTCOMES if name not in seen) or 'none'}")  # fmt: skip


def _watch(what: str, done: int, total: int) -> None:
    if done % 25 == 0 or done == total:
        print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
