"""A :class:`LanguageModel` as a model of Inspect: ``--model workbench/bandit-agent``, or :func:`local_model`."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
    get_model,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from workbench.errors import ModelError
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model

_MAX_TOKENS = 100
_STOPS: dict[str, StopReason] = {"length": "max_tokens"}


@modelapi(name="workbench")
class WorkbenchAPI(ModelAPI):
    """The provider.  The model's name is a shipped model, a folder or a hub id; ``-M backend=``, ``-M device=``,
    ``-M dtype=`` and ``-M device_map=`` are those of :func:`workbench.models.load_model`."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  # the signature that Inspect asks for
        language_model: LanguageModel | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        self.language_model = language_model or LanguageModel.of(load_model(model_name, **options))

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """One completion of a chat; temperature 1 and 100 tokens unless the configuration says otherwise."""
        if tools:
            raise ModelError(f"{self.model_name}: models of the workbench take no tools")
        run = partial(
            self.language_model.generate, [chat_of(input)], max_new_tokens=config.max_tokens or _MAX_TOKENS,
            temperature=1.0 if config.temperature is None else config.temperature, top_p=config.top_p or 1.0,
            top_k=config.top_k or 0, stop=tuple(config.stop_seqs or ()), seeds=config.seed or 0,
        )  # fmt: skip
        ((completion,),) = await anyio.to_thread.run_sync(run)
        reason: StopReason = _STOPS.get(completion.finish, "stop")
        output = ModelOutput.from_content(self.model_name, completion.text, stop_reason=reason)
        read = len(self.language_model.encode(chat_of(input)))
        written = len(completion.tokens)
        output.usage = ModelUsage(input_tokens=read, output_tokens=written, total_tokens=read + written)
        return output

    async def count_text_tokens(self, text: str) -> int:
        """By the model's own tokenizer."""
        return len(self.language_model.encode_continuation(text))

    def max_connections(self) -> int:
        """Passes of one model run one after another."""
        return 1


def chat_of(messages: list[ChatMessage]) -> list[dict[str, str]]:
    """Messages of Inspect as a chat."""
    return [{"role": message.role, "content": message.text} for message in messages]


def local_model(model: LanguageModel | str, **options: Any) -> Model:
    """A model of the workbench as one of Inspect's; ``options`` are those of :func:`workbench.models.load_model`.

    >>> from workbench.models.tiny import tiny_model
    >>> str(local_model(tiny_model()))
    'workbench/tiny-llama'
    """
    if isinstance(model, LanguageModel):
        return get_model(f"workbench/{model.name}", language_model=model, memoize=False)
    return get_model(f"workbench/{model}", **options)


def language_model_of(model: Model) -> LanguageModel:
    """The :class:`LanguageModel` behind a model of Inspect; :class:`ModelError` when it is none of the workbench's."""
    found = getattr(model.api, "language_model", None)
    if not isinstance(found, LanguageModel):
        raise ModelError(
            f"{model} is reached through an API, and concept injection needs activations: use --model workbench/NAME"
        )
    return found
