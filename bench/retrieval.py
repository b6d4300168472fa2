"""Measures retrieval on human judgements, and what an index of MedQuAD costs. It changes nothing.

    python bench/retrieval.py --data PATH [--encoder SPEC …] [--liveqa PATH] [--limit N] [--cache FOLDER]

PATH holds `bioasq_golden` and `medquad`. Every BioASQ question (7b to 9b) is searched in the snippets of all questions;
its own gold snippets are the relevant ones. Rankings: by words (BM25), by the meaning each `--encoder` gives, and both
fused. Then what floor and cut leave of them, how often everyday questions that no snippet answers find support after
all, and the time per search, the question's encoding included. Of MedQuAD: the time to build, open and search an index
folder. Means have 95 % percentile bootstrap intervals over questions; recall@10 divides by min(10, relevant).

`--liveqa` adds consumers' questions (TREC 2017 LiveQA) and what people judged of answers from MedQuAD: a folder with
TREC-2017-LiveQA-Medical-Test-Questions-w-summaries.xml of github.com/abachaa/LiveQA_MedicalTask_TREC2017 and the two
files in QA-TestSet-LiveQA-Med-Qrels-2479-Answers.zip of github.com/abachaa/MedQuAD. There titles are left out, too.

Vectors of passages are kept in `--cache`, a folder outside the repository; OMP_NUM_THREADS, set before, chooses the
threads.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polyclinic.core.canonical import digest
from polyclinic.knowledge.encoders.load import load_encoder
from polyclinic.knowledge.encoders.protocol import Encoder, Vectors
from polyclinic.knowledge.index.build import Plan, build_index
from polyclinic.knowledge.index.cut import passages as cut
from polyclinic.knowledge.index.floors import between_texts
from polyclinic.knowledge.index.folder import open_index
from polyclinic.knowledge.index.search import Index, Limits
from polyclinic.knowledge.sources.bioasq import LICENCE, BioAsq
from polyclinic.knowledge.sources.open import open_source
from polyclinic.knowledge.sources.protocol import Document
from polyclinic.knowledge.sources.reading import records
from polyclinic.knowledge.store import Hit, Passage, Picture, Query

TOP = 10
BULK = 32  # from so many texts on they are passages, whose vectors the cache keeps
SEARCHED = 400  # questions of MedQuAD that its index is asked
EVERYDAY = (
    "How do I change a flat tyre on a bicycle?", "Which football club won the championship in 1998?",
    "What is the best way to learn the guitar?", "How long does a letter to Australia take?",
    "When does the last train to Lisbon leave?", "How do I reset the password of my router?",
    "What is the capital of Mongolia?", "Who painted the ceiling of the Sistine Chapel?",
    "How do I write a covering letter for a job?", "Which paint is suitable for a wooden fence?",
    "How many players are in a volleyball team?", "What does the word serendipity mean?",
    "Why is my washing machine leaking?", "How do I train a dog to walk on a lead?",
    "Which visa do I need to work in Canada?", "What is the exchange rate of the Swiss franc?",
    "How high is the Eiffel Tower?", "What time does the supermarket close on Sundays?",
    "How do I sharpen a kitchen knife?", "Who wrote the novel about the white whale?",
)  # fmt: skip

Floats = npt.NDArray[np.float64]
Rank = Callable[[str], list[str]]
Gains = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question with what each relevant document gains, by the document's id."""

    body: str
    gains: Gains


class Kept:
    """An encoder whose vectors of passages are kept in a folder; questions are encoded every time."""

    def __init__(self, encoder: Encoder, folder: Path | None) -> None:
        self.spec, self.identity, self.dimension, self.reads = (
            encoder.spec, encoder.identity, encoder.dimension, encoder.reads
        )  # fmt: skip
        self._encoder, self._folder = encoder, folder

    def encode_texts(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        bare = [text.removeprefix(". ") for text in texts]  # a passage without a title
        if self._folder is None or len(bare) < BULK:
            return self._encoder.encode_texts(bare, query=query)
        path = self._folder / f"{digest([self.identity, query, bare])}.npy"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            started = time.perf_counter()
            np.save(path, self._encoder.encode_texts(bare, query=query), allow_pickle=False)
            print(f"({self.spec}: {len(bare)} texts encoded in {time.perf_counter() - started:.0f} s)", flush=True)
        vectors: Vectors = np.load(path, allow_pickle=False)
        return vectors

    def encode_pictures(self, pictures: Sequence[Picture]) -> Vectors:
        return self._encoder.encode_pictures(pictures)


def ndcg(found: Sequence[str], gains: Gains) -> float:
    """nDCG@10 with linear gains (Järvelin and Kekäläinen 2002)."""
    best = sorted(gains.values(), reverse=True)[:TOP]
    reached = sum(gains.get(key, 0.0) / math.log2(place + 2) for place, key in enumerate(found[:TOP]))
    return reached / sum(gain / math.log2(place + 2) for place, gain in enumerate(best))


def recall(found: Sequence[str], gains: Gains) -> float:
    return len(gains.keys() & set(found[:TOP])) / min(TOP, len(gains))


def interval(values: Floats, draws: int = 1000) -> str:
    """Mean and 95 % percentile bootstrap interval over questions."""
    rng = np.random.default_rng(0)
    means = [float(values[rng.integers(0, len(values), len(values))].mean()) for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def documents(passages: Sequence[Passage]) -> list[str]:
    """The documents the passages were cut from, the first place of each."""
    return list(dict.fromkeys(passage.document for passage in passages))


def indexes(passages: Sequence[Passage], encoders: Sequence[Encoder]) -> dict[str, Index]:
    """An index by words alone, and one for each encoder with the floor that a built index would have."""
    found = {"words": Index(passages)}
    for encoder in encoders:
        index = Index(passages, text_encoder=encoder)
        assert index.common.meaning is not None
        stored = index.common.meaning.stored
        limits = Limits(meaning=between_texts(encoder, stored.__getitem__, len(stored)))
        found[encoder.spec] = Index.over(
            index.common, lambda _: None, index.version, text_encoder=encoder, limits=limits
        )
    return found


def arms(opened: Mapping[str, Index]) -> dict[str, Rank]:
    """Every ranking there is, best documents first."""
    found: dict[str, Rank] = {}
    for name, index in opened.items():
        if index.text_encoder is not None:
            found[f"{name} alone"] = by_meaning(index)
        found["words" if index.text_encoder is None else f"words + {name}"] = fused(index)
    return found


def fused(index: Index) -> Rank:
    return lambda body: documents(index.rank(Query(text=body)))


def by_meaning(index: Index) -> Rank:
    def rank(body: str) -> list[str]:
        assert index.text_encoder is not None
        vector = index.text_encoder.encode_texts([body], query=True)[0]
        return documents([index.common.passages[row] for row, _ in index.common.by_meaning(vector, None)])

    return rank


def compare(ranks: Mapping[str, Rank], asked: Sequence[Asked]) -> dict[str, tuple[Floats, Floats]]:
    """Print and return nDCG@10 and recall@10 of every ranking for every question, and each one less the first."""
    found: dict[str, tuple[Floats, Floats]] = {}
    for name, rank in ranks.items():
        answers = [rank(one.body) for one in asked]
        pairs = list(zip(answers, asked, strict=True))
        gained = np.array([ndcg(ids, one.gains) for ids, one in pairs])
        found[name] = gained, np.array([recall(ids, one.gains) for ids, one in pairs])
        print(f"{name:24} nDCG@10 {interval(gained)}  recall@10 {interval(found[name][1])}", flush=True)
    return found


def paired(found: Mapping[str, tuple[Floats, Floats]]) -> None:
    """Print how much every fused ranking gains over each of its parts."""
    for name, (gained, reached) in found.items():
        for part in ("words", f"{name.removeprefix('words + ')} alone") if name.startswith("words + ") else ():
            differences = interval(gained - found[part][0]), interval(reached - found[part][1])
            print(f"{name} less {part}: nDCG@10 {differences[0]}  recall@10 {differences[1]}")


def timed(index: Index, bodies: Sequence[str], limit: int) -> tuple[list[tuple[Hit, ...]], str]:
    """The hits of every question, and the ms they took."""
    index.search(Query(text="warm"))
    found, spent = [], []
    for body in bodies:
        started = time.perf_counter()
        found.append(index.search(Query(text=body, limit=limit)))
        spent.append(1000 * (time.perf_counter() - started))
    return found, f"p50 {np.quantile(spent, 0.5):.1f} ms, p95 {np.quantile(spent, 0.95):.1f} ms a search"


def support(name: str, index: Index, asked: Sequence[Asked]) -> None:
    """Print what `search` gives: how much of it is right, how often it is nothing, what everyday questions find."""
    answers, speed = timed(index, [one.body for one in asked], TOP)
    kept = [documents([hit.passage for hit in hits]) for hits in answers]
    right = np.array(
        [len(one.gains.keys() & set(ids)) / max(1, len(ids)) for ids, one in zip(kept, asked, strict=True)]
    )
    left = np.array([recall(ids, one.gains) for ids, one in zip(kept, asked, strict=True)])
    hits, nothing = np.mean([len(ids) for ids in kept]), sum(not ids for ids in kept)
    print(
        f"search, {name} (floors {index.limits.floor} and {index.limits.meaning}): {hits:.1f} hits a question, {speed}"
    )
    print(f"  precision {interval(right)}  recall@10 {interval(left)}  nothing for {nothing} of {len(kept)} questions")
    everyday(index)


def everyday(index: Index) -> None:
    found = {body: hits for body in EVERYDAY if (hits := index.search(Query(text=body)))}
    print(f"  nothing for {len(EVERYDAY) - len(found)} of {len(EVERYDAY)} everyday questions", flush=True)
    for body, (hit, *_) in found.items():
        start, end = hit.span
        print(f"    {body} → {hit.found} {hit.score:.2f}: {hit.passage.text[start:end][:80]}")


def bioasq(data: Path, encoders: Sequence[Encoder], limit: int | None) -> None:
    source = BioAsq(path=data / "bioasq_golden", name="bioasq", licence=LICENCE)
    passages = [
        Passage(
            id=f"{source.name}/{given.id}", document=given.id, title=given.title, text=given.text,
            citation=given.citation, licence=given.licence, source=source.name,
        ) for given in source.documents()
    ]  # fmt: skip
    asked = [Asked(body=one.body, gains=dict.fromkeys(one.gold, 1.0)) for one in source.questions()][:limit]
    print(f"BioASQ: {len(asked)} questions, {len(passages)} snippets")
    opened = indexes(passages, encoders)
    paired(compare(arms(opened), asked))
    for name, index in opened.items():
        support(name if index.text_encoder is None else f"words + {name}", index, asked)


def medquad(data: Path, limit: int | None) -> None:
    """Print what the index folder of MedQuAD costs to build, open and search by words."""
    (path,) = (data / "medquad").glob("medquad.jsonl*")
    bodies = [record.needed("question") for record in records(path)]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        manifest = build_index(Plan(sources=[open_source(f"medquad:{path}")]), Path(folder))
        built = time.perf_counter() - started
        started = time.perf_counter()
        index = open_index(Path(folder))
        opened = time.perf_counter() - started
        _, speed = timed(index, bodies[:: max(1, len(bodies) // SEARCHED)][:limit], 5)
        size = sum(each.stat().st_size for each in Path(folder).rglob("*") if each.is_file())
        print(f"MedQuAD: {len(bodies)} answers, {manifest.passages} passages, {size / 2**20:.0f} MiB")
        print(f"  built in {built:.1f} s, opened in {1000 * opened:.0f} ms, {speed}")
        everyday(index)


def liveqa(folder: Path, encoders: Sequence[Encoder], limit: int | None) -> None:
    """Print how well consumers' questions find the answers people judged, with titles and without."""
    judged = answers(folder)
    summaries, messages = questions(folder)
    gains = judgements(folder)
    numbers = [number for number in gains if number in messages][:limit]
    for title, bodies in (("as consumers wrote them", messages), ("in an expert's words", summaries)):
        asked = [Asked(body=bodies[number], gains=gains[number]) for number in numbers]
        print(f"LiveQA: {len(asked)} questions {title}, {len(judged)} answers")
        both = {}
        for titled in (True, False):
            passages = [piece for given in judged for piece in cut(given if titled else untitled(given), "", folder)]
            print(f"{'title and passage' if titled else 'passage alone'}: {len(passages)} passages")
            both[titled] = compare(arms(indexes(passages, encoders)), asked)
            paired(both[titled])
        for name in both[True]:
            differences = [
                interval(one - other) for one, other in zip(both[True][name], both[False][name], strict=True)
            ]
            print(f"{name}, with titles less without: nDCG@10 {differences[0]}  recall@10 {differences[1]}")


def untitled(given: Document) -> Document:
    return Document(id=given.id, title="", text=given.text, citation=given.citation, licence=given.licence)


def answers(folder: Path) -> list[Document]:
    """The judged answers; the question each of them answers in MedQuAD is its title."""
    (path,) = folder.rglob("All-2479-Answers-retrieved-from-MedQuAD.csv")
    found = {}
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            parts = re.fullmatch(r"Question:(.*?)(?:URL:.*?)?Answer:(.*)", row["Answer"].strip(), re.DOTALL)
            if parts and parts[2].strip():
                title, written = (" ".join(part.split()) for part in parts.groups())
                found[row["AnswerID"]] = Document(
                    id=row["AnswerID"], title=title, text=written, citation="MedQuAD", licence="CC BY 4.0"
                )
    return list(found.values())


def judgements(folder: Path) -> dict[str, dict[str, float]]:
    """For each question the answers that are at least related: 1 related, 2 incomplete, 3 excellent."""
    (path,) = folder.rglob("All-qrels_LiveQAMed2017-TestQuestions_2479_Judged-Answers.txt")
    found: dict[str, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        number, grade, key = line.split()
        if (gain := int(grade[0]) - 1) > 0:
            found.setdefault(number, {})[key] = float(gain)
    return found


def questions(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """By number: the experts' summaries, and subject and message as they were sent."""
    # Read as text: the standard library's XML parsers expand entities, and this is all that is wanted.
    written = (folder / "TREC-2017-LiveQA-Medical-Test-Questions-w-summaries.xml").read_text(encoding="utf-8")
    summaries, messages = {}, {}
    for number, body in re.findall(r'<NLM-QUESTION qid="TQ(\d+)">(.*?)</NLM-QUESTION>', written, re.DOTALL):
        fields = {
            name: " ".join("".join(re.findall(rf"<{name}>(.*?)</{name}>", body, re.DOTALL)[:1]).split())
            for name in ("SUBJECT", "MESSAGE", "NLM-Summary")
        }
        summaries[number] = fields["NLM-Summary"]
        messages[number] = f"{fields['SUBJECT']} {fields['MESSAGE']}".strip()
    return summaries, messages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", action="append", default=[], metavar="SPEC")
    parser.add_argument("--liveqa", type=Path)
    parser.add_argument("--limit", type=int, help="only the first N questions (all passages stay)")
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    encoders = [Kept(load_encoder(spec), arguments.cache) for spec in arguments.encoder]
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    print(f"OMP_NUM_THREADS {threads}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    bioasq(arguments.data, encoders, arguments.limit)
    medquad(arguments.data, arguments.limit)
    if arguments.liveqa is not None:
        liveqa(arguments.liveqa, encoders, arguments.limit)


if __name__ == "__main__":
    main()
