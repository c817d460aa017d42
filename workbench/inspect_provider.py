"""A :class:`LanguageModel` as a model of Inspect: ``--model workbench/smollm2-135m``, or :func:`local_model`.

With ``-M vectors=FILE -M dose=0.3`` it is a steered one, so any task of Inspect evaluates steering.  Needs the extra
``inspect``; Inspect itself finds the provider by the entry point of the package.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import anyio
import numpy as np
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    Logprob,
    Logprobs,
    Model,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
    TopLogprob,
    get_model,
    modelapi,
)
from inspect_ai.solver._task_state import sample_state
from inspect_ai.tool import ToolChoice, ToolInfo

from steering import Add, at_layer, calibrate, import_vectors
from workbench.arguments import number
from workbench.errors import ModelError, SpecError
from workbench.models.interventions import Intervention, Scope
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model
from workbench.models.sampling import how_to_sample
from workbench.models.token_probabilities import token_probabilities
from workbench.seeding import derive_seed

T = TypeVar("T")
_MAX_TOKENS = 100
_HONOURED = {
    "max_tokens", "temperature", "top_p", "top_k", "seed", "stop_seqs", "num_choices", "logprobs", "top_logprobs",
}  # fmt: skip
# What Inspect does by itself, whatever the model.
_OF_INSPECT = {
    "max_retries", "timeout", "attempt_timeout", "stream_idle_timeout", "max_connections", "adaptive_connections",
    "system_message", "parallel_tool_calls", "internal_tools", "max_tool_output", "cache_prompt", "cache", "batch",
    "reasoning_history", "fail_on_refusal",
}  # fmt: skip
_STOPS: dict[str, StopReason] = {"length": "max_tokens"}


@modelapi(name="workbench")
class WorkbenchAPI(ModelAPI):
    """The provider.  The model's name is a shipped model, a folder or a hub id; ``-M backend=``, ``-M device=``,
    ``-M dtype=`` and ``-M device_map=`` are those of :func:`workbench.models.load_model`; ``-M vectors=``, ``-M dose=``
    or ``-M multiplier=`` or ``-M target_kl=``, ``-M layer=`` and ``-M scope=`` those of :func:`steered_by`."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  # the signature that Inspect asks for
        language_model: LanguageModel | None = None,
        vectors: str | Sequence[str] | None = None,
        dose: float | Sequence[float] | None = None,
        multiplier: float | Sequence[float] | None = None,
        target_kl: float | None = None,
        layer: int | str | None = None,
        scope: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        self.language_model = language_model or LanguageModel.of(load_model(model_name, **options))
        self.interventions = steered_by(self.language_model, vectors, dose, multiplier, layer, scope, target_kl)
        self._said = {"steering": list(map(_line, self.interventions))} if self.interventions else {}
        self._asked: Counter[tuple[Any, ...]] = Counter()

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Completions of a chat, at most 100 tokens and sampled as the model's own ``generation_config`` has it unless
        the configuration says otherwise; the output's metadata says how.

        Raises :class:`ModelError` for tools and for options that models of the workbench do not have.
        """
        if tools:
            raise ModelError(f"{self.model_name}: models of the workbench take no tools")
        if unknown := sorted(set(config.model_dump(exclude_defaults=True)) - _HONOURED - _OF_INSPECT):
            raise ModelError(f"{self.model_name}: models of the workbench do not know {', '.join(unknown)}")
        if config.top_logprobs and not config.logprobs:
            raise ModelError(f"{self.model_name}: top_logprobs needs logprobs")
        return await anyio.to_thread.run_sync(self._answer, chat_of(input), config, self._seed(input, config.seed))

    def _seed(self, input: list[ChatMessage], seed: int | None) -> int:
        """Another one for each epoch of a sample, and each time that it asks the same, and the same in the next run."""
        state = sample_state()
        asked = (state.uuid if state else "", *((message.role, message.text) for message in input))
        self._asked[asked] += 1
        place = (str(state.sample_id), state.epoch) if state else ()
        return derive_seed(seed or 0, "inspect", *place, self._asked[asked])

    def _answer(self, chat: list[dict[str, str]], config: GenerateConfig, seed: int) -> ModelOutput:
        model, stops = self.language_model, tuple(config.stop_seqs or ())
        tokens = model.encode(chat)
        said = {"temperature": config.temperature, "top_p": config.top_p, "top_k": config.top_k}
        how = how_to_sample(model.sampling, said)
        (completions,) = model.generate(
            [tokens], _or(config.num_choices, 1), max_new_tokens=_or(config.max_tokens, _MAX_TOKENS),
            stop=stops, seeds=seed, interventions=self.interventions, **how,
        )  # fmt: skip
        choices = [
            ChatCompletionChoice(
                message=ChatMessageAssistant(
                    content=_before(each.text, stops), model=self.model_name, source="generate"
                ),
                stop_reason=_STOPS.get(each.finish, "stop"),
                logprobs=self._logprobs(tokens, each.tokens, config.top_logprobs or 0) if config.logprobs else None,
            )
            for each in completions
        ]
        read, written = len(tokens), sum(len(each.tokens) for each in completions)
        usage = ModelUsage(input_tokens=read, output_tokens=written, total_tokens=read + written)
        return ModelOutput(model=self.model_name, choices=choices, usage=usage, metadata={"sampling": how} | self._said)

    def _logprobs(self, prompt: list[int], tokens: list[int], top: int) -> Logprobs:
        """The steered model's log-probabilities of the tokens, and of the ``top`` likeliest at each place."""
        table = token_probabilities(self.language_model, prompt, tokens, self.interventions, top=max(top, 1))
        rows = table[table["part"] == "completion"].to_dict("records")
        return Logprobs(content=[
            Logprob(
                token=row["text"], logprob=row["logprob"],
                top_logprobs=[
                    TopLogprob(token=text, logprob=float(np.log(p)))
                    for text, p in zip(row["top_texts"], row["top_probabilities"], strict=True)
                ] if top else None,
            )
            for row in rows
        ])  # fmt: skip

    async def count_text_tokens(self, text: str) -> int:
        """By the model's own tokenizer."""
        return len(self.language_model.encode_continuation(text))

    def max_connections(self) -> int:
        """Passes of one model run one after another."""
        return 1


def chat_of(messages: list[ChatMessage]) -> list[dict[str, str]]:
    """Messages of Inspect as a chat; :class:`ModelError` for pictures and the like."""
    for message in messages:
        for part in [] if isinstance(message.content, str) else message.content:
            if part.type not in ("text", "reasoning"):
                raise ModelError(f"models of the workbench read text, and a message holds {part.type}")
    return [{"role": message.role, "content": message.text} for message in messages]


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def _before(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop string, which Inspect does not want in it."""
    return text[: min((text.index(stop) for stop in stops if stop in text), default=len(text))]


def steered_by(
    model: LanguageModel,
    vectors: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    dose: float | Sequence[float] | None = None,
    multiplier: float | Sequence[float] | None = None,
    layer: int | str | None = None,
    scope: str | None = None,
    target_kl: float | None = None,
) -> list[Intervention]:
    """The interventions that a command line can say: files of vectors, each added as strongly as is said.

    Args:
        model: whose vectors they must be.
        vectors: a file of any layout that :func:`steering.import_vectors` reads, or several; all of its vectors are
            added, those of the one ``layer`` where that is said.
        dose: share of the residual stream's norm, one for all files or one each.
        multiplier: instead of it.
        layer: another layer than a vector's own, for a file with one.
        scope: the positions, by default the last prompt token and all that follows.
        target_kl: for one vector, instead of dose or multiplier: by how much predictions on neutral text should move
            (:func:`steering.calibrate`), nats a token; the dose is found when the model is loaded.

    Raises:
        SpecError: for a strength without vectors, vectors without one, and numbers of them that differ.
        ArtifactError: for what is no vector, or one of another model.
    """
    given = {"dose": dose, "multiplier": multiplier, "target_kl": target_kl, "layer": layer, "scope": scope}
    said = [name for name, value in given.items() if value is not None]
    if vectors is None:
        if said:
            raise SpecError(f"{said[0]} is said, and no vectors: add vectors=FILE")
        return []
    files = [vectors] if isinstance(vectors, str | os.PathLike) else list(vectors)
    if sum(each is not None for each in (dose, multiplier, target_kl)) != 1:
        raise SpecError("vectors need dose=NUMBER, multiplier=NUMBER or target_kl=NUMBER, one of the three")
    where = Scope() if scope is None else Scope.parse(scope)
    if target_kl is not None:
        found = [each for file in files for each in at_layer(import_vectors(file, model=model), layer, model.n_layers)]
        if len(found) != 1:
            raise SpecError(f"target_kl is of one vector, and the files hold {len(found)}: name a layer, or give doses")
        [(vector, site)] = found
        own = vector if site == vector.site else replace(vector, site=site, residual_norm=None)
        dose = calibrate(own, model, number(target_kl, "target_kl"), scope=where).dose
    kind, strength = ("dose", dose) if multiplier is None else ("multiplier", multiplier)
    each = list(strength) if isinstance(strength, list | tuple) else [strength] * len(files)
    if len(each) != len(files):
        raise SpecError(f"{len(files)} files of vectors and {len(each)} values of {kind}: give one, or one a file")
    return model.placed([
        Add(vector, site=site, scope=where, **{kind: number(value, kind)})
        for file, value in zip(files, each, strict=True)
        for vector, site in at_layer(import_vectors(file, model=model), layer, model.n_layers)
    ])  # fmt: skip


def _line(intervention: Intervention) -> str:
    add: Any = getattr(intervention, "inner", intervention)
    return f"{add.vector.name or 'vector'} x {add.multiplier:.6g} at {intervention.site}, {intervention.scope}"


def local_model(model: LanguageModel | str, **options: Any) -> Model:
    """A model of the workbench as one of Inspect's.

    ``options`` are those of :func:`steered_by` and, for a model by name, of :func:`workbench.models.load_model`.

    >>> from workbench.models.tiny import tiny_model
    >>> str(local_model(tiny_model()))
    'workbench/tiny-llama'
    """
    if isinstance(model, LanguageModel):
        return get_model(f"workbench/{model.name}", language_model=model, memoize=False, **options)
    return get_model(f"workbench/{model}", **options)


def language_model_of(model: Model) -> LanguageModel:
    """The :class:`LanguageModel` behind a model of Inspect; :class:`ModelError` when it is none of the workbench's."""
    found = getattr(model.api, "language_model", None)
    if not isinstance(found, LanguageModel):
        raise ModelError(
            f"{model} is reached through an API, and this task needs activations: use --model workbench/NAME"
        )
    return found
