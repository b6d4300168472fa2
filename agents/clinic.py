"""The clinic: takes a case in, runs it through the graph on a journal, and hands back the report. The public face."""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

from ..core.blobs import Blobs
from ..core.canonical import Json, digest
from ..core.case import Case, Image, check_one_patient, pseudonym
from ..core.errors import DivergenceError, InputError, SetupError
from ..core.events import Event, Reported
from ..core.journal import Journal
from ..core.report import Report, TraceRef
from ..core.runs import TRACE, Opening, Run, blobs_above, blobs_of, fork, open_run, read_run, report_of
from ..core.settings import Arrangement, Budget, Settings, load_settings
from ..knowledge.criteria import criteria_version
from ..knowledge.index.folder import open_index
from ..knowledge.index.joined import Joined, shipped_index
from ..knowledge.ontology import ontology_version
from ..knowledge.red_flags import shipped_patterns
from ..knowledge.store import Knowledge, RecordedKnowledge
from ..tools.card import Tool
from ..tools.gate.quality import GATE
from ..tools.imaging.deidentify import states_dates
from ..tools.imaging.store import ImageStore
from ..tools.registry import Toolbox
from .consultation import Consultation
from .engines.embedded.engine import EmbeddedEngine
from .engines.protocol import Engine
from .engines.replay import ReplayEngine
from .graph import run_graph
from .header import Configuration, header_of
from .prompts import handbook, prompts_hash
from .reliability import read_reliability
from .requests import Deps
from .roles import load_roles, roles_of
from .state import State

Listener = Callable[[Event], None]

OTHER_STORE = "what is looked up after the fork is searched in another store than the run's (see --knowledge)"

_ranks = itertools.count()
"""Cases in the order this process began to work on them: servers finish the earlier ones first."""


class Clinic:
    """Asks a team of specialists about cases, and replays what they said.

    `engine` is "embedded", the URL of a server (`model` is then what it calls its model), or an engine object; which
    agent uses which model is said in `settings` or polyclinic.toml. `runs` is the folder for traces; `knowledge` a
    searchable store, or one or more folders of indexes that are searched beside the shipped passages; `tools` the
    expert tools (when None the shipped ones and those other packages add; the image gate is always there); `root` the
    only folder that images may be read from (any when None). What is not given comes from the settings.
    """

    def __init__(
        self,
        engine: str | Engine | None = None,
        *,
        model: str | None = None,
        runs: str | Path | None = None,
        knowledge: Knowledge | str | Path | Sequence[str | Path] | None = None,
        tools: Iterable[Tool] | None = None,
        root: str | Path | None = None,
        budget: Budget | None = None,
        settings: Settings | None = None,
    ) -> None:
        named = engine if isinstance(engine, str) else None
        given = {"engine": named, "model": model, "runs": runs, "root": root, "budget": budget}
        stated = {name: value for name, value in given.items() if value is not None}
        settings = load_settings(stated) if settings is None else merged_settings(settings, stated)
        self.engine = make_engine(settings) if engine is None or isinstance(engine, str) else engine
        self.runs, self.root, self.budget = settings.runs, settings.root, settings.budget
        self.arrangement: Arrangement = settings.arrangement
        self.reliability = None if settings.reliability is None else read_reliability(settings.reliability)
        self.knowledge = _store(settings.knowledge if knowledge is None else knowledge)
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        self.toolbox = Toolbox.installed(settings.models) if tools is None else Toolbox(_with_gate(tools))

    async def consult(self, case: Case, *, listener: Listener | None = None) -> Report:
        """The report on `case`; an unfinished run of the same case and configuration is resumed.

        Raises InputError for a case that cannot be used, SetupError (RunLockedError, StorageError among them) when
        the run cannot be written. What a model or a tool did wrong is in the report, not an exception.
        """
        taken, notes = await self.take_in(case)
        return await self.consult_taken(taken, notes, listener=listener)

    def consult_sync(self, case: Case) -> Report:
        """`consult` for programs that are not asynchronous."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.consult(case))
        raise SetupError(
            expected="consult_sync outside of an event loop",
            got="a running one",
            fix="type: await clinic.consult(case)",
        )

    async def stream(self, case: Case) -> AsyncGenerator[Event, None]:
        """Events as they happen; the last one is `Reported`. Leaving early cancels the run, which can be resumed."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        work = asyncio.ensure_future(self.consult(case, listener=queue.put_nowait))
        work.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            yield Reported(report=await work)
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait([work])

    def consultation(self, case: Case) -> Consultation:
        """Several questions in one thread: `async with clinic.consultation(case) as c: await c.ask("…")`."""
        return Consultation(case, clinic=self)

    def resume_consultation(self, path: str | Path) -> Consultation:
        """The consultation whose transcript is at `path`, to go on with."""
        return Consultation.resume(Path(path), clinic=self)

    async def replay(self, run: str | Path, *, listener: Listener | None = None) -> Report:
        """`replay_run`: nothing of this clinic is used."""
        return await replay_run(run, listener=listener)

    async def fork(self, run: str | Path, at_step: int, *, listener: Listener | None = None) -> Report:
        """A new run beside `run` that takes over its decisions up to `at_step` and asks this clinic's engine, tools
        and knowledge from there.

        Raises InputError for a step the trace does not have, DivergenceError when this clinic would have asked
        something else in the part that is taken over.
        """
        await self.engine.prepare()
        trace, records = read_run(Path(run))
        header = header_of(records)
        self._check_pixels(header.case, blobs_above(trace))
        notes = header.config.notes
        if _recorded_store(header.config).version != self.knowledge.version and OTHER_STORE not in notes:
            notes = (*notes, OTHER_STORE)
        config = self._config(notes)
        forked = open_run(trace.parent.parent, fork(records, at_step, config), listener=listener)
        return await self._write(forked, blobs_above(trace))

    async def take_in(self, case: Case) -> tuple[Case, tuple[str, ...]]:
        """The case as it is recorded (pixels stored, identifiers gone) and the limitations that come of it.

        Raises InputError when a file is no usable picture, or when the patient ids in the DICOM headers and the ones
        the case states are not all the same.
        """
        store = ImageStore(blobs_of(self.runs))
        if case.all_images():
            self.toolbox.warm()
        take_in = functools.partial(
            store.take_in, base=Path.cwd(), root=self.root, header_dates=not states_dates(case),
            patient_id=case.patient_id,
        )  # fmt: skip
        taken = {image: await asyncio.to_thread(take_in, image) for image in dict.fromkeys(case.all_images())}
        keys = {read.patient_key for read in taken.values() if read.patient_key}
        check_one_patient({key for key in (*keys, *case.patient_ids()) if key})

        def recorded(image: Image) -> Image:
            return taken[image].image.model_copy(update={"patient_id": _named(image.patient_id)})

        visits = tuple(
            visit.model_copy(
                update={"images": tuple(map(recorded, visit.images)), "patient_id": _named(visit.patient_id)}
            )
            for visit in case.visits
        )
        own = {"images": tuple(map(recorded, case.images)), "visits": visits, "patient_id": _named(case.patient_id)}
        notes = (
            f"image-{number}: {note}"
            for number, image in enumerate(case.all_images(), start=1)
            for note in taken[image].limitations
        )
        recorded_case = case.model_copy(update=own)
        if case.id == case.derived_id():  # from the pixels then, not from how their path was spelt
            recorded_case = recorded_case.model_copy(update={"id": recorded_case.derived_id()})
        return recorded_case, tuple(notes)

    async def consult_taken(
        self, case: Case, notes: tuple[str, ...], *, runs: Path | None = None, listener: Listener | None = None
    ) -> Report:
        """`consult` for a case that was taken in before; its trace goes to `runs`, pixels stay in the clinic's."""
        await self.engine.prepare()
        recorded = case.model_dump(mode="json")
        opening = Opening(case=recorded, config=self._config(notes))
        async with self._turn():
            run = open_run(runs or self.runs, opening, listener=listener)
            return await self._write(run, blobs_above(run.folder / TRACE) if runs else blobs_of(self.runs))

    def _turn(self) -> AbstractAsyncContextManager[object]:
        """One of the engine's `cases_at_once`; given out in the order of asking."""
        if self.engine.cases_at_once is None:
            return nullcontext()
        loop = asyncio.get_running_loop()
        if loop not in self._turns:
            self._turns[loop] = asyncio.Semaphore(self.engine.cases_at_once)
        return self._turns[loop]

    @staticmethod
    def _check_pixels(case: Case, blobs: Blobs) -> None:
        missing = [image.blob for image in case.all_images() if image.blob and not blobs.path(image.blob).is_file()]
        if missing:
            raise InputError(
                expected=f"the pixels of this run in {blobs.folder}",
                got=f"{len(missing)} of its images missing",
                fix="copy the blobs folder beside the run, or ask the case again from its images",
            )

    async def _write(self, run: Run, blobs: Blobs) -> Report:
        deps = Deps(
            journal=run.journal, engine=self.engine, toolbox=self.toolbox, images=ImageStore(blobs),
            knowledge=self.knowledge, roles=roles_of(self.arrangement), budget=self.budget,
            arrangement=self.arrangement, reliability=self.reliability, rank=next(_ranks),
            paused_before_s=self.engine.paused_s,
        )  # fmt: skip
        try:
            report = await _through_the_graph(deps)
            run.finish(report)
            return report
        finally:
            run.close()

    @property
    def configuration(self) -> str:
        """A hash of all that can change an answer besides the case."""
        return digest(self._config(()))

    def _config(self, notes: Iterable[str]) -> dict[str, Json]:
        """All that can change an answer besides the case, and the notes that came of taking it in."""
        return {
            "polyclinic": _version(),
            "arrangement": self.arrangement,
            "reliability": None if self.reliability is None else self.reliability.model_dump(mode="json"),
            "engine": self.engine.identity,
            "engine_settings": self.engine.settings,
            "caveat": self.engine.caveat,
            "knowledge": {
                "version": self.knowledge.version,
                "excluded": self.knowledge.excluded,
                "pictured": self.knowledge.pictured,
            },
            "rules": rules_hash(),
            "tools": self.toolbox.recorded(),
            "handbook": handbook(),
            "prompts": prompts_hash(),
            "budget": self.budget.model_dump(mode="json"),
            "notes": list(notes),
        }


async def replay_run(run: str | Path, *, listener: Listener | None = None) -> Report:
    """The report of a recorded run, made again from its decisions alone: no engine, image, index or setting is used,
    and no tool but as the trace names it (see `Toolbox.as_recorded`).

    Raises DivergenceError naming the first step that no longer asks what was recorded, TraceError for a trace
    that is damaged or unfinished.
    """
    trace, records = read_run(Path(run))
    report_of(records)
    config = header_of(records).config
    deps = Deps(
        journal=Journal(records, listener=listener), engine=ReplayEngine(records),
        toolbox=Toolbox.as_recorded(config.tools), images=ImageStore(blobs_above(trace)),
        knowledge=_recorded_store(config), roles=roles_of(config.arrangement), budget=config.budget,
        arrangement=config.arrangement, reliability=config.reliability,
    )  # fmt: skip
    report = await _through_the_graph(deps)
    deps.journal.close_with(report)
    return report


async def _through_the_graph(deps: Deps) -> Report:
    """One case through the graph; then what only the journal knows: usage, and the trace it was made with."""
    header = deps.journal.header.request
    state = State(case=Case.model_validate(header["case"]), limitations={"case": tuple(header["config"]["notes"])})
    try:
        report = await run_graph(state, deps)
    finally:
        for running in deps.running.values():
            running.cancel()
    seal = TraceRef(path=header["path"], hash=deps.journal.head)
    return report.model_copy(update={"usage": deps.journal.usage(), "trace": seal})


@functools.cache
def rules_hash() -> str:
    """One hash over the rules that code applies: criteria, red flags, the ontology and the table of roles."""
    flags = [pattern.model_dump(mode="json") for pattern in shipped_patterns()]
    return digest(
        [criteria_version(), ontology_version(), flags, [role.model_dump(mode="json") for role in load_roles()]]
    )


def merged_settings(settings: Settings, stated: dict[str, Any]) -> Settings:
    """`settings` with what was stated beside them; what was stated is stronger."""
    return Settings.model_validate({**settings.model_dump(), **stated})


def _with_gate(tools: Iterable[Tool]) -> list[Tool]:
    """The tools with the image gate among them: intake cannot do without it."""
    chosen = list(tools)
    return chosen if any(tool.card.name == GATE.card.name for tool in chosen) else [*chosen, GATE]


def make_engine(settings: Settings) -> Engine:
    """The engine a setting names. Raises SetupError for one there is not."""
    if settings.engine.startswith(("http://", "https://")):
        from .engines.vllm import VllmEngine

        return VllmEngine(
            settings.engine,
            settings.model,
            sampling=settings.sampling,
            serving=settings.serving,
            agents=settings.agents,
        )
    if settings.engine == "embedded" and settings.agents:
        raise SetupError(
            expected="engine = URL beside the table [agents]", got="the embedded engine, which has no models",
            fix="name the common server with --engine, or remove the table",
        )  # fmt: skip
    if settings.engine == "embedded" and settings.model is None:
        return EmbeddedEngine()
    raise SetupError(
        expected="the engine 'embedded', without a model, or the URL of an OpenAI-compatible server",
        got=f"{settings.engine!r}" + (f" with model {settings.model!r}" if settings.model else ""),
        fix="leave --engine and --model out, or type --engine http://localhost:8000/v1",
    )


@functools.cache
def _version() -> str:
    return importlib.metadata.version("polyclinic")


def _store(given: Knowledge | str | Path | Sequence[str | Path]) -> Knowledge:
    """The store that was given, or the shipped passages and the indexes in these folders as one. Raises InputError for
    anything else and what `open_index` raises."""
    if isinstance(given, str | Path):
        given = (given,)
    if isinstance(given, list | tuple):
        return Joined(*map(open_index, given), shipped_index()) if given else shipped_index()
    if not callable(getattr(given, "search", None)):
        raise InputError(
            expected="knowledge as a store or as folders of indexes", got=repr(given)[:80], fix="name an index folder"
        )
    return cast(Knowledge, given)


def _recorded_store(config: Configuration) -> RecordedKnowledge:
    """What a trace says of its store. Raises DivergenceError for one of a version that said it in another way."""
    said = config.knowledge
    if not isinstance(said, dict) or said.keys() != {"version", "excluded", "pictured"}:
        raise DivergenceError(
            expected="a trace of this version", got=f"the store as {said!r}"[:80],
            fix="replay it with the version that recorded it",
        )  # fmt: skip
    return RecordedKnowledge(said["version"], excluded=said["excluded"], pictured=said["pictured"])


def _named(patient_id: str | None) -> str | None:
    return pseudonym(patient_id) if patient_id else None
