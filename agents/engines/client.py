"""The HTTP side of a served model: one client per event loop. The one door to the openai SDK.

What a server may get over is raised as a Fault, to be tried again; what it will not, as a ModelError.
"""

from __future__ import annotations

import asyncio
import functools
import math
import re
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import from_json

from ...core.canonical import Json
from ...core.errors import ModelError, SetupError
from .patience import Fault, printable

LARGE = 2**20
"""Bytes from which a body is sent in slices, so that one case's images do not hold up the others."""

PROBE_S = 5.0
"""How long a server may take to say what it serves, or that it is back."""

_UNSENT = tuple(
    f"X-Stainless-{name}" for name in ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
)
"""What the SDK would tell every server about this machine."""

_BEARER = re.compile(r"Bearer\s+\S+", re.I)
_SECRETS = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*://)?[^/?#]*@")
_KEY = "set POLYCLINIC_SERVING_API_KEY"
KEPT_S = 1.0
"""How long an idle connection is kept. vLLM (uvicorn) closes it after 5 s: a request must not leave in that moment,
even where a machine without a free core holds server or client up for seconds. A new connection costs less."""

_BUSY, _UNAVAILABLE = 429, 503
_PASSING = frozenset({408, 409, 425})
_JSON: Any = {"headers": {"Content-Type": "application/json"}}


_clients: dict[tuple[asyncio.AbstractEventLoop, str | None], Client] = {}


def client_of_this_loop(api_key: str | None) -> Client:
    """The one client that everybody who runs in this event loop with this key shares."""
    mine = (asyncio.get_running_loop(), api_key)
    if mine not in _clients:
        for ended in [key for key in list(_clients) if key[0].is_closed()]:
            _clients.pop(ended, None)
        _clients[mine] = Client(api_key)
    return _clients[mine]


class Client:
    """Talks to any number of OpenAI-compatible servers from one event loop, over one pool of connections.

    The pool is closed when its event loop ends, by itself.
    """

    def __init__(self, api_key: str | None) -> None:
        self._api_key, self._has_key = api_key or "none", bool(api_key)  # the SDK insists on one
        self._servers: dict[str, Any] = {}
        self._pools: dict[bool, tuple[Any, AsyncGenerator[Any, None]]] = {}

    async def complete(self, url: str, content: bytes, *, seconds: float) -> Json:
        """The completion that the server answers with. Raises Fault for what may pass, ModelError for what will not."""
        import openai

        try:
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                server = await self._server(url)
                body = content if len(content) < LARGE else _slices(content)
                response = await server.post("/chat/completions", cast_to=_response_type(), content=body, options=_JSON)
        except TimeoutError:
            raise Fault(f"no reply within {seconds:g} s", "hung") from None
        except openai.APIStatusError as error:
            raise self._refusal(error, url) from None
        except openai.APIConnectionError as error:
            raise Fault(f"no connection to {shown(url)} ({self._cause(error)})", "down") from None
        try:
            return from_json(response.content, allow_inf_nan=False)
        except ValueError:
            raise Fault("a body that is no JSON", "garbled") from None

    async def answers(self, url: str, content: bytes) -> bool:
        """Whether the server is there: it completes this chat, is busy, or says what is wrong with it."""
        try:
            await self.complete(url, content, seconds=PROBE_S)
        except ModelError:
            return True
        except Fault as fault:
            return fault.kind in ("busy", "garbled")
        return True

    async def models(self, url: str) -> tuple[dict[str, Json], ...]:
        """What the server serves, as it lists it, base models before adapters; none when it does not say.

        Raises SetupError when it cannot be reached.
        """
        listed = (await self.get(url, "/models")).get("data")
        cards = [card for card in listed if isinstance(card, dict)] if isinstance(listed, list) else []
        cards = [card for card in cards if isinstance(card.get("id"), str) and card["id"] == printable(card["id"])]
        return tuple(sorted(cards, key=lambda card: card.get("parent") is not None))  # an adapter names its parent

    async def get(self, url: str, path: str) -> dict[str, Json]:
        """The JSON object at a path of the server. Raises SetupError when there is none."""
        import openai

        try:
            async with asyncio.timeout(PROBE_S):
                response = await (await self._server(url)).get(path, cast_to=_response_type())
            value = from_json(response.content)
        except openai.APIStatusError as error:
            fixes = {404: "correct the URL: vLLM's ends in /v1", 401: _KEY, 403: _KEY}
            raise SetupError(
                expected=f"an OpenAI-compatible server at {shown(url)}",
                got=f"HTTP {error.status_code} at {path}: {self._message(error)}",
                fix=fixes.get(error.status_code, "look at the server's log"),
            ) from error
        except (TimeoutError, ValueError, openai.OpenAIError) as error:
            said = {TimeoutError: f"no answer within {PROBE_S:g} s", ValueError: f"no JSON at {path}"}
            raise SetupError(
                expected=f"an OpenAI-compatible server at {shown(url)}",
                got=said.get(type(error)) or self._cause(error),
                fix="start one (polyclinic models show NAME prints the command), or correct the URL",
            ) from error
        return value if isinstance(value, dict) else {}

    async def text(self, url: str, path: str) -> str:
        """The page at a path beside the server's /v1, empty where there is none or it cannot be had."""
        import openai

        page = url.rstrip("/").removesuffix("/v1") + path
        try:
            async with asyncio.timeout(PROBE_S):
                response = await (await self._server(url)).get(page, cast_to=_response_type())
        except (TimeoutError, openai.OpenAIError):
            return ""
        return str(response.text)

    async def _server(self, url: str) -> Any:
        """The SDK's object for a server."""
        if url not in self._servers:
            import openai

            secure = urlsplit(url).scheme == "https"
            if secure not in self._pools:
                # A loop that ends closes the generators that are open, and this one the pool it holds.
                lifetime = _pool(verify=secure)
                self._pools[secure] = (await anext(lifetime), lifetime)
            unsent: Any = dict.fromkeys((*_UNSENT, "OpenAI-Organization", "OpenAI-Project"), openai.Omit())
            self._servers[url] = openai.AsyncOpenAI(
                base_url=url,
                api_key=self._api_key,
                http_client=self._pools[secure][0],
                max_retries=0,
                timeout=None,
                default_headers=unsent,
            )
        return self._servers[url]

    def _refusal(self, error: Any, url: str) -> Fault | ModelError:
        """A status that is no success: a Fault when it may pass, a ModelError when asking again cannot help."""
        status, said = error.status_code, self._message(error)
        what = f"HTTP {status}" + (f": {said}" if said else "")
        after = _retry_after(error)
        if status == _BUSY or (status == _UNAVAILABLE and after is not None):
            return Fault(what, "busy", retry_after_s=after)
        if status >= 500 or status in _PASSING:
            return Fault(what, "down", retry_after_s=after)
        fix = f"type polyclinic models check {shown(url)}"
        if status in (401, 403):
            fix = _KEY
        elif "priority" in said.lower():
            fix = "set POLYCLINIC_SERVING_PRIORITY=false"
        elif "image" in said.lower() or "multimodal" in said.lower():
            fix = "serve a model that sees, or set POLYCLINIC_SERVING_PROFILE=generic: images are then not sent"
        return ModelError(expected=f"the server at {shown(url)} to take the request", got=what, fix=fix)

    def _message(self, error: Any) -> str:
        """The server's own words, in one line."""
        body = error.body
        inner = body.get("error", body) if isinstance(body, dict) else body
        said = inner.get("message") if isinstance(inner, dict) else inner
        return self._clean(str(said or ""))[:300]

    def _cause(self, error: BaseException) -> str:
        """What lies at the bottom of a failed connection, in one line."""
        while error.__cause__ is not None:
            error = error.__cause__
        return self._clean(str(error))[:200] or type(error).__name__

    def _clean(self, said: str) -> str:
        """What a server or a library said, in one line that steers no terminal and repeats no key."""
        line = _BEARER.sub("Bearer …", printable(" ".join(said.split())))
        return line.replace(self._api_key, "…") if self._has_key else line


def check_url(url: str) -> None:
    """Raise SetupError unless `url` can be the base URL of a server."""
    try:
        parts = urlsplit(url)
        good, secrets = bool(parts.hostname) and parts.port != 0, bool(parts.username or parts.password)
    except ValueError:  # brackets that do not match, a port that is no number
        good = secrets = False
    if not good or not url.startswith(("http://", "https://")):
        raise SetupError(
            expected="the URL of an OpenAI-compatible server, such as http://localhost:8000/v1",
            got=repr(shown(url)),
            fix="correct --engine",
        )
    if secrets:
        raise SetupError(
            expected="a URL without a name and a password", got=shown(url), fix=f"{_KEY}, and leave them out of the URL"
        )


def shown(url: str) -> str:
    """A URL without the name and password it may hold."""
    return _SECRETS.sub(r"\1", url)


async def _slices(content: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(content), LARGE // 4):
        yield content[start : start + LARGE // 4]


async def _pool(*, verify: bool) -> AsyncGenerator[Any, None]:
    """Connections; reading the certificates takes 30 ms, which a server on this machine can do without."""
    import httpx
    from openai import DefaultAioHttpClient

    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=KEPT_S)
    async with DefaultAioHttpClient(timeout=None, verify=verify, follow_redirects=False, limits=limits) as client:
        yield client


@functools.cache
def _response_type() -> Any:
    """The SDK hands back the bare response when asked for this type: its own models cost more than the call."""
    import httpx

    return httpx.Response


def _retry_after(error: Any) -> float | None:
    try:
        seconds = float(error.response.headers.get("retry-after"))
    except (TypeError, ValueError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def load_sdk() -> None:
    """Import the SDK, which takes most of a second: in a thread, so that nobody else has to wait."""
    import openai  # noqa: F401
