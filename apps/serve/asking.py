"""From a request's fields to a job: every mistake in them is found here, before anything is run."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apps.serve.answers import Answer
from apps.serve.fields import ChatRequest, CompletionRequest, Request
from apps.serve.jobs import Event, Job
from apps.serve.refusals import Refusal, check_named
from apps.serve.shelf import Shelf
from workbench.models import inputs
from workbench.models.contract import positions_of
from workbench.models.language_model import LanguageModel
from workbench.models.sampling import how_to_sample
from workbench.models.trees import Leaf

# New tokens where a request says none: of a chat (or as many as the model has room for), and of a completion.
CHAT_TOKENS, COMPLETION_TOKENS = 256, 16
MOST_PROMPTS = 2048


@dataclass(frozen=True)
class Asked:
    """What the two kinds of requests have made of their own fields."""

    prompts: list[list[int]]
    echoes: list[str]
    new_tokens: int | None
    top: int | None
    chat: bool


def chat_asked(request: ChatRequest, model: LanguageModel) -> Asked:
    """The one prompt of a chat."""
    if request.top_logprobs and not request.logprobs:
        raise Refusal("top_logprobs needs logprobs: true", param="top_logprobs")
    if request.max_tokens == 0 or request.max_completion_tokens == 0:
        raise Refusal("max_completion_tokens must be at least 1", param="max_completion_tokens")
    speaking = model.with_template(**request.chat_template_kwargs) if request.chat_template_kwargs else model
    messages = [
        message | {"role": "system"} if message.get("role") == "developer" else message for message in request.messages
    ]
    if not messages:
        raise Refusal("messages must hold at least one message", param="messages")
    given = request.max_tokens if request.max_completion_tokens is None else request.max_completion_tokens
    top = (request.top_logprobs or 0) if request.logprobs else None
    return Asked([speaking.encode(messages)], [], given, top, True)


def completion_asked(request: CompletionRequest, model: LanguageModel) -> Asked:
    """The prompts of a completion request: one or many, texts or token ids."""
    if request.max_tokens == 0 and not request.echo:
        raise Refusal("max_tokens 0 needs echo: true, which reads the prompt", param="max_tokens")
    several = isinstance(request.prompt, list) and not (request.prompt and isinstance(request.prompt[0], int))
    rows: list[Any] = list(request.prompt) if several else [request.prompt]
    if not 1 <= len(rows) <= MOST_PROMPTS:
        raise Refusal(f"prompt must be one prompt or a list of 1 to {MOST_PROMPTS}", param="prompt")
    prompts = model.encode_all(rows)
    echoes = [row if isinstance(row, str) else model.tokenizer.decode(row) for row in rows] if request.echo else []
    new = COMPLETION_TOKENS if request.max_tokens is None else request.max_tokens
    return Asked(prompts, echoes, new, request.logprobs, False)


def asked_of(request: Request, model: LanguageModel) -> Asked:
    """What a request of either kind asks for; mistakes raise :class:`workbench.errors.WorkbenchError`."""
    if isinstance(request, ChatRequest):
        return chat_asked(request, model)
    assert isinstance(request, CompletionRequest)
    return completion_asked(request, model)


def answer_to(request: Request, shelf: Shelf, send: Callable[[Event], None]) -> Answer:
    """The job that a request is, and how it will be answered.

    Raises :class:`Refusal` for names that are not here, :class:`workbench.errors.WorkbenchError` for other mistakes.
    """
    model = shelf.model
    check_named(request.model, [model.name], "model", "model")
    for name in request.readouts:
        check_named(name, shelf.probes, "probe", "readouts")
    interventions = shelf.interventions(request.steering)
    asked = asked_of(request, model)
    said = {name: getattr(request, name) for name in ("temperature", "top_p", "top_k", "repetition_penalty")}
    how = how_to_sample(model.sampling, said)
    how = dict(zip(("temperature", "top_p", "top_k", "repetition_penalty"), inputs.sampling(**how), strict=True))
    seed = secrets.randbits(31) if request.seed is None else request.seed
    stops = inputs.stops(() if request.stop is None else request.stop)
    job = Job(
        prompts=asked.prompts, n=request.n or 1, new_tokens=_new_tokens(asked, model), how=how, stops=stops, seed=seed,
        ends=model.end_tokens(), interventions=interventions, readouts=list(dict.fromkeys(request.readouts)),
        top=asked.top, echo=bool(asked.echoes), says_end=not asked.chat, stream=bool(request.stream),
        decode=_decoder(model), send=send,
    )  # fmt: skip
    steering = [each.model_dump(exclude_none=True) for each in request.steering]
    about = {"seed": seed, "sampling": how, "steering": steering}
    return Answer(job, shelf, asked.chat, about, asked.echoes)


def _new_tokens(asked: Asked, model: LanguageModel) -> int:
    """How many tokens a completion may have, in the positions that the model has."""
    longest, limit = max(map(len, asked.prompts)), positions_of(model.config)
    room = (limit or 10**9) - longest
    wanted = min(CHAT_TOKENS, room) if asked.new_tokens is None else asked.new_tokens
    if wanted > room or room < 0 or (asked.new_tokens is None and not room):
        new = "" if asked.new_tokens is None else f" and {wanted} new ones"
        line = f"{longest} prompt tokens{new} exceed the {limit} positions of {model.name}"
        raise Refusal(line, code="context_length_exceeded", param="messages" if asked.chat else "prompt")
    return wanted


def _decoder(model: LanguageModel) -> Callable[[Leaf, list[int]], str]:
    return lambda leaf, prompt: model.decode(leaf.tokens, after=prompt)
