"""Small real pictures for cases, and a model server that says what a test tells it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image as Picture


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A grey picture with something to see in it."""
    path = tmp_path / "noise.png"
    Picture.effect_noise((160, 160), 90).save(path)
    return path


class Stub:
    """A model server in the test's own event loop that answers as `answer` says: (number of the request, its body) to
    the reply's text, a whole completion, or an HTTP response. `bodies` are the requests as they came, `content` as sent
    bytes; `most` is how many were being answered at once.
    """

    def __init__(self) -> None:
        self.url = ""
        self.models: list[dict[str, Any]] = [{"id": "qwen2.5-vl-stub"}]
        self.answer: Callable[[int, dict[str, Any]], Any] = lambda _, body: sensible(body)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.latency_s = 0.0
        self.running = self.most = 0

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        number = len(self.bodies)
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.latency_s)
            said = self.answer(number, body)
        finally:
            self.running -= 1
        if isinstance(said, web.Response):
            return said
        return web.json_response(said if isinstance(said, dict) else completion(said))

    async def listed(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": self.models})


def completion(*texts: str | None, finish: str = "stop", **more: Any) -> dict[str, Any]:
    """A chat completion with one choice per text."""
    choices = [
        {"index": number, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        for number, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return {"id": "c", "model": "stub", "choices": choices, "usage": usage, **more}


def sensible(body: dict[str, Any], option: str | None = "A") -> str:
    """A reply of the form asked for: two specialists, no tools, the first option."""
    if "response_format" not in body:
        return "pong"
    form = body["response_format"]["json_schema"]
    conclusion = {"reasoning": "r", "abstains": False, "answer": "Yes", "option": option, "claims": []}
    picks = [{"reason": "r", "specialty": name} for name in ("radiology", "pulmonology")]
    said: dict[str, Any] = {
        "TriagePlan": {"reasoning": "r", "urgency": "routine", "difficulty": "hard", "specialists": picks},
        "SpecialistTurn": {"reasoning": "r", "opinion": conclusion},
    }.get(form["name"], conclusion)
    return json.dumps(said)


@pytest.fixture
async def stub(loopback: None) -> AsyncIterator[Stub]:
    """A model server that says what the test tells it to."""
    served = Stub()
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", served.chat)
    app.router.add_get("/v1/models", served.listed)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield served
    await runner.cleanup()
