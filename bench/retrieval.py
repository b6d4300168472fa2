"""Measures the retrieval ranking on BioASQ questions: BM25 alone, dense alone, fused. It changes nothing.

    python bench/retrieval.py --data PATH [--limit N]

PATH is the folder with Task7BGoldenEnriched, Task8BGoldenEnriched and Task9BGoldenEnriched. Every question is
searched in the snippets of all questions; its own gold snippets are the relevant ones (gain 1). Printed: mean
nDCG@10 and recall@10 with 95 % percentile bootstrap intervals over questions (recall@10 divides by
min(10, relevant)), then the paired difference to BM25, then what floor and cut leave of the first ten.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polyclinic.knowledge.index.search import Index
from polyclinic.knowledge.store import Passage, Query

ARMS = {"BM25 alone": 0.0, "fused 0.9/0.1": 0.1, "fused 0.7/0.3": 0.3, "fused 0.5/0.5": 0.5, "dense alone": 1.0}
TOP = 10
Floats = npt.NDArray[np.float64]


def load(data: Path) -> tuple[list[Passage], list[tuple[str, set[str]]]]:
    """The snippets as passages, and each question with the ids of its own snippets."""
    passages: dict[str, Passage] = {}
    questions: list[tuple[str, set[str]]] = []
    for file in sorted(data.glob("Task[789]BGoldenEnriched/*.json")):
        for item in json.loads(file.read_text(encoding="utf-8"))["questions"]:
            own = {snippet["text"].strip() for snippet in item["snippets"]} - {""}
            ids = {hashlib.sha256(text.encode()).hexdigest(): text for text in own}
            for key, text in ids.items():
                passages[key] = Passage(id=key, title="", text=text, citation="BioASQ", licence="CC-BY-2.5")
            if ids:
                questions.append((item["body"], set(ids)))
    return list(passages.values()), questions


def ndcg(found: list[str], relevant: set[str]) -> float:
    gain = sum(1 / math.log2(place + 2) for place, key in enumerate(found[:TOP]) if key in relevant)
    return gain / sum(1 / math.log2(place + 2) for place in range(min(TOP, len(relevant))))


def recall(found: list[str], relevant: set[str]) -> float:
    return len(relevant.intersection(found[:TOP])) / min(TOP, len(relevant))


def interval(values: Floats, rng: np.random.Generator, draws: int = 1000) -> str:
    """Mean and 95 % percentile bootstrap interval over questions."""
    means = [float(values[rng.integers(0, len(values), len(values))].mean()) for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="only the first N questions (all snippets stay)")
    arguments = parser.parse_args()
    passages, questions = load(arguments.data)
    questions = questions[: arguments.limit]
    if not questions:
        parser.error(f"no Task7B/8B/9B golden questions under {arguments.data}")
    print(f"{len(questions)} questions, {len(passages)} snippets")
    rng = np.random.default_rng(0)
    baseline: Floats | None = None
    for name, weight in ARMS.items():
        index = Index(passages, dense_weight=weight)
        started = time.perf_counter()
        found = [[passage.id for passage in index.rank(Query(text=body))] for body, _ in questions]
        seconds = time.perf_counter() - started
        gains = np.array([ndcg(ids, own) for ids, (_, own) in zip(found, questions, strict=True)])
        recalls = np.array([recall(ids, own) for ids, (_, own) in zip(found, questions, strict=True)])
        baseline = gains if baseline is None else baseline
        print(f"{name:14} nDCG@10 {interval(gains, rng)}  recall@10 {interval(recalls, rng)}  {seconds:.1f} s")
        print(f"{'':14} nDCG@10 minus BM25, paired {interval(gains - baseline, rng)}")
    index = Index(passages)
    kept = [[hit.passage.id for hit in index.search(Query(text=body, limit=TOP))] for body, _ in questions]
    pairs = [(ids, own) for ids, (_, own) in zip(kept, questions, strict=True)]
    precise = np.array([len(own.intersection(ids)) / max(1, len(ids)) for ids, own in pairs])
    left = np.array([recall(ids, own) for ids, own in pairs])
    print(f"search (floor {index.floor}, cut {index.cut}): {np.mean([len(ids) for ids in kept]):.1f} hits a question,")
    print(f"  precision {interval(precise, rng)}  recall@10 {interval(left, rng)}")
    print(f"  no hit for {sum(not ids for ids in kept)} questions")


if __name__ == "__main__":
    main()
