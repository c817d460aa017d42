"""What a request may say: the fields of OpenAI's API that a model here can honour, and ours for steering.

A field that is not known, or has a value that would change the answer in a way that is not done here, is refused, not
ignored.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictBool, StrictInt, StrictStr, model_validator

# What is about the caller, or about how a service runs it, and changes no token.
_NOT_OURS = {
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
}
# What is done here in one way only, which may be said.
_ONE_WAY: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (None, 0), "presence_penalty": (None, 0), "logit_bias": (None, {}), "suffix": (None, ""),
    "response_format": (None, {"type": "text"}), "tools": (None, []), "functions": (None, []),
    "tool_choice": (None, "none", "auto"), "function_call": (None, "none", "auto"), "modalities": (None, ["text"]),
    "parallel_tool_calls": (None, True, False), "audio": (None,), "prediction": (None,), "best_of": (None,),
}  # fmt: skip

Logprobs = Annotated[StrictInt, Field(ge=0, le=20)]
Tokens = Annotated[StrictInt, Field(ge=0)]


class Fields(BaseModel):
    """A part of a request."""

    model_config = ConfigDict(extra="forbid")


class Gate(Fields):
    """Where a vector acts: at tokens at which the cosine with a ``vector``, or the score of a linear ``probe`` (for its
    class ``target``), lies ``above`` and ``below`` these values; read at ``layer``, by default the vector's or probe's
    own."""

    vector: StrictStr | None = None
    probe: StrictStr | None = None
    above: FiniteFloat | None = None
    below: FiniteFloat | None = None
    layer: StrictInt | StrictStr | None = None
    target: StrictInt | StrictStr | None = None

    @model_validator(mode="after")
    def _one_reading(self) -> Gate:
        if (self.vector is None) == (self.probe is None):
            raise ValueError("say a vector or a probe, one of the two")
        if self.above is None and self.below is None:
            raise ValueError("say above, below or both")
        if self.probe is None and self.target is not None:
            raise ValueError("target is a class of a probe")
        if self.probe is not None and self.layer is not None:
            raise ValueError("a probe is read at its own layer")
        return self


class Steering(Fields):
    """One vector: how strongly it is added (``dose`` or ``multiplier``), or the value that the activation's component
    along it is given (``target``).

    ``layer`` is otherwise the vector's own; ``scope`` the last prompt token and all that follows; where there is a
    ``gate``, it acts at those of them where that holds.
    """

    vector: StrictStr
    dose: FiniteFloat | None = None
    multiplier: FiniteFloat | None = None
    target: FiniteFloat | None = None
    layer: StrictInt | StrictStr | None = None
    scope: StrictStr | None = None
    gate: Gate | None = None

    @model_validator(mode="after")
    def _one_strength(self) -> Steering:
        if sum(value is not None for value in (self.dose, self.multiplier, self.target)) != 1:
            raise ValueError("say one of dose, multiplier and target")
        return self


class StreamOptions(Fields):
    """What else is streamed."""

    include_usage: StrictBool = False
    include_obfuscation: StrictBool = False  # padding against listeners: there are none on this machine


class Request(Fields):
    """What both kinds of requests have."""

    model: StrictStr
    n: Annotated[StrictInt, Field(ge=1, le=128)] | None = None
    max_tokens: Tokens | None = None
    temperature: FiniteFloat | None = None
    top_p: FiniteFloat | None = None
    top_k: StrictInt | None = None
    repetition_penalty: FiniteFloat | None = None
    seed: StrictInt | None = None
    stop: StrictStr | list[StrictStr] | None = None
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    steering: list[Steering] = []
    readouts: list[StrictStr] = []

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        """Without what changes nothing."""
        if not isinstance(given, dict):
            return given
        for name, values in _ONE_WAY.items():
            if name in given and name not in cls.model_fields and given[name] not in values:
                raise ValueError(f"{name} is not done here")
        return {k: v for k, v in given.items() if k in cls.model_fields or k not in {*_NOT_OURS, *_ONE_WAY}}


class ChatRequest(Request):
    """``POST /v1/chat/completions``."""

    messages: list[dict[str, Any]]
    max_completion_tokens: Tokens | None = None
    logprobs: StrictBool | None = None
    top_logprobs: Logprobs | None = None
    chat_template_kwargs: dict[str, Any] = {}


class CompletionRequest(Request):
    """``POST /v1/completions``."""

    prompt: StrictStr | list[StrictStr] | list[StrictInt] | list[list[StrictInt]]
    echo: StrictBool | None = None
    logprobs: Logprobs | None = None
    best_of: StrictInt | None = None

    @model_validator(mode="after")
    def _no_choice(self) -> CompletionRequest:
        if self.best_of not in (None, self.n or 1):
            raise ValueError("best_of is not done here: all completions are returned")
        return self
