"""Arguments of which a user fixed some, such as the folder of a model: an agent can neither see nor state these."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ModelWrapValidatorHandler, create_model, model_validator

from ..card import Arguments

A = TypeVar("A", bound=Arguments)


def bound(stated: type[A], whole: type[A], **fixed: Any) -> type[A]:
    """A class with the fields of `stated` that validates to an instance of `whole`, completed by what is `fixed`.

    A tool's worker process imports `whole` by name, so that each user's folder needs no class of its own there.
    """

    def complete(cls: type[A], data: Any, handler: ModelWrapValidatorHandler[A]) -> A:
        given = handler(data)
        return whole(**{name: getattr(given, name) for name in given.model_fields_set}, **fixed)

    method: Any = classmethod(complete)
    validators: dict[str, Any] = {"complete": model_validator(mode="wrap")(method)}
    return create_model(stated.__name__, __base__=stated, __module__=__name__, __validators__=validators)
