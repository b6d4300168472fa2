"""A real vLLM server shows what the other tests of this folder rely on; skipped where none runs."""

from __future__ import annotations

import json
import math
import os
import urllib.request
from typing import Any

import pytest

URL = os.environ.get("VLLM_TEST_URL", "")

pytestmark = [
    pytest.mark.skipif(not URL, reason="no vLLM server: type `make test-vllm`, or set VLLM_TEST_URL"),
    pytest.mark.usefixtures("loopback"),
]

A_LETTER = {
    "type": "object",
    "properties": {"letter": {"enum": ["A", "B", "C"]}},
    "required": ["letter"],
    "additionalProperties": False,
}
# a black and white pixel
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
)


def test_it_serves_the_model_and_the_adapters_on_top_of_it() -> None:
    served = {model["id"]: model["parent"] for model in _ask("/v1/models")["data"]}
    assert served == {"tiny": None, "second-opinion": "tiny", "third-opinion": "tiny"}


def test_it_looks_at_a_picture_and_keeps_to_a_schema() -> None:
    choice = _chat(response_format=_schema(A_LETTER))["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert json.loads(choice["message"]["content"])["letter"] in {"A", "B", "C"}


def test_probabilities_are_those_of_what_the_schema_allows() -> None:
    choice = _chat(response_format=_schema(A_LETTER), logprobs=True, top_logprobs=5)["choices"][0]
    (letter,) = [entry for entry in choice["logprobs"]["content"] if entry["token"] in {"A", "B", "C"}]
    shares = {other["token"]: math.exp(other["logprob"]) for other in letter["top_logprobs"]}
    assert sum(shares[name] for name in "ABC") == pytest.approx(1)


def test_an_adapter_changes_what_is_said() -> None:
    said = {name: _chat(model=name)["choices"][0]["message"]["content"] for name in ("tiny", "second-opinion")}
    assert said["tiny"] != said["second-opinion"]
    assert said["tiny"] == _chat()["choices"][0]["message"]["content"]


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "Answer", "strict": True, "schema": schema}}


def _chat(**changes: Any) -> Any:
    parts = [{"type": "image_url", "image_url": {"url": PICTURE}}, {"type": "text", "text": "Which letter?"}]
    messages = [{"role": "user", "content": parts}]
    return _ask(
        "/v1/chat/completions",
        {"model": "tiny", "messages": messages, "temperature": 0, "max_completion_tokens": 24, **changes},
    )


def _ask(path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(  # noqa: S310  # the address is this machine's own
        URL + path, json.dumps(body).encode() if body else None, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as reply:  # noqa: S310
        return json.load(reply)
