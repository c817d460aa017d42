"""``LanguageModel``: a tokenizer and a back end behind the calls that everything else uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from workbench.errors import ArtifactError, DataError, ModelError, SiteError
from workbench.models import inputs
from workbench.models.backend import Backend, Hook
from workbench.models.cache import PromptCache, pad_right
from workbench.models.decoding import Completion, Decoder, Leaf, Sampling, Score, seeded_leaves
from workbench.models.fingerprint import fingerprint
from workbench.models.interventions import Intervention, Placed, Where, hooks_for
from workbench.models.steered import steered
from workbench.progress import progress_bar
from workbench.sites import Site, SiteMap, parse_sites

__all__ = ["Forward", "LanguageModel", "Prompt"]

Prompt = str | list[dict[str, str]] | list[int]


@dataclass(frozen=True)
class Forward:
    """One pass over a right-padded batch: ``activations[site]`` [batch, pos, d]; ``logits`` [batch, pos, vocab] or
    None; ``lengths`` tokens a row.  Entries past a row's length are meaningless.  ``activations`` may be asked by site,
    hook name or layer (``["1.resid_post"]``, ``[-1]``)."""

    activations: SiteMap[Tensor]
    logits: Tensor | None
    lengths: list[int]


class LanguageModel:
    """A causal language model that can be read and steered.  Made by :func:`workbench.models.load_model`.

    A prompt is a string, a list of chat messages (``{"role": ..., "content": ...}``, written with the tokenizer's chat
    template), or a list of token ids.

    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model("llama")
    >>> model.n_layers, model.d_model
    (4, 32)
    >>> forward = model.forward(["a b c"], sites=["1.resid_post"])
    >>> [(str(site), tuple(x.shape)) for site, x in forward.activations.items()]
    [('blocks.1.hook_resid_post', (1, 4, 32))]
    >>> model.generate(["a b"], max_new_tokens=3, temperature=0)[0][0].finish
    'length'
    """

    def __init__(self, backend: Backend, tokenizer: Any, name: str) -> None:
        self.backend, self.tokenizer, self.name = backend, tokenizer, name
        self.fingerprint  # noqa: B018 - before anything changes the weights' names or values

    @property
    def backend_name(self) -> str:
        """``hf``, ``transformer_lens`` or ``nnsight``."""
        return self.backend.name

    @property
    def basis(self) -> str:
        """``raw`` unless the back end folds or centres weights, which changes the residual stream's basis."""
        return self.backend.basis

    @property
    def config(self) -> Any:
        """The Hugging Face configuration (of the text model, for a multimodal one)."""
        return self.backend.hf_model.config.get_text_config()

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return int(self.config.num_hidden_layers)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where tokens go in."""
        return self.backend.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.backend.hf_model.dtype

    @cached_property
    def fingerprint(self) -> str:
        """Identifies configuration and weights; stamped on every artifact."""
        return fingerprint(self.backend.hf_model)

    def __repr__(self) -> str:
        shape = f"{self.n_layers} layers x {self.d_model}"
        return f"LanguageModel({self.name!r}, {self.backend_name}, {shape}, {self.dtype}, {self.device})"

    # ---- text and tokens

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt; chat messages end with the template's generation prompt."""
        if isinstance(prompt, str):
            prompt = self.tokenizer(prompt)["input_ids"]
        elif isinstance(prompt, list | tuple) and prompt and isinstance(prompt[0], dict):
            prompt = self._written(inputs.chat(prompt))
        return inputs.token_ids(prompt, self._vocab_size)

    def _written(self, messages: list[dict[str, Any]]) -> list[int]:
        """Chat messages through the tokenizer's template."""
        if not getattr(self.tokenizer, "chat_template", None):
            raise ModelError(f"{self.name} has no chat template: pass the prompt as text")
        try:
            return self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)[
                "input_ids"
            ]
        except Exception as error:  # templates raise what they like, for instance where the roles do not alternate
            raise DataError(f"{self.name}'s chat template takes no such messages: {str(error)[:200]}") from error

    @property
    def _vocab_size(self) -> int:
        """Tokens that have an embedding, which may be more than the tokenizer has."""
        return int(self.backend.hf_model.get_input_embeddings().weight.shape[0])

    def encode_all(self, prompts: Sequence[Prompt], what: str = "prompt", first: int = 0) -> list[list[int]]:
        """Token ids of many prompts, each as :meth:`encode` gives them (texts go through the tokenizer together).

        A prompt that cannot be read raises :class:`DataError`, which calls it ``what`` and counts from ``first``.
        """
        rows = inputs.items(prompts, what)
        if not all(isinstance(row, str) for row in rows):
            return inputs.each(self.encode, rows, what, first)
        return inputs.each(
            partial(inputs.token_ids, vocab_size=self._vocab_size), self.tokenizer(rows)["input_ids"], what, first
        )

    def encode_continuation(self, text: str) -> list[int]:
        """Token ids of text that goes on from a prompt: no special tokens are added."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens, special ones left out."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True)

    # ---- one pass

    def forward(
        self,
        prompts: Sequence[Prompt],
        sites: Site | str | int | Iterable[Site | str | int] = (),
        interventions: Sequence[Intervention] = (),
        logits: bool = False,
        *,
        select: Callable[[Tensor], Tensor] | None = None,
        row_numbers: Sequence[int] | None = None,
    ) -> Forward:
        """Activations at ``sites`` (and logits) of whole prompts, in one right-padded pass without autograd.

        The pass ends at the deepest site unless logits are asked for.  Interventions act before activations are read.
        ``select`` is applied to each activation as it is read and its result kept, so that the rest of the activation
        is freed at once.  ``row_numbers``: which row of a per-row intervention each prompt is (default: 0, 1, ...).
        """
        sites = self._check_sites(sites, self.backend.components)
        rows = self.encode_all(prompts)
        interventions = self._placed(interventions)
        self._check_room(rows, 0)
        tokens = self._pad(rows)
        found: dict[Site, Tensor] = {}
        numbers = inputs.row_numbers(row_numbers, len(rows))
        hooks = hooks_for(interventions, self._where(rows, numbers)) if interventions else {}
        for site in sites:
            hooks[site] = _reading(site, hooks.get(site), found, select)
        stop_after = None if logits else max((s.layer for s in sites), default=0)
        with torch.no_grad():
            out = self.backend.forward(tokens, hooks=hooks, stop_after=stop_after, logits=logits)
        activations = SiteMap({site: found[site] for site in sites}, self.n_layers)
        return Forward(activations, out, [len(row) for row in rows])

    def _pad(self, rows: Sequence[Any]) -> Tensor:
        return pad_right(list(rows), 0, self.device)

    def _where(self, rows: Sequence[list[int]], numbers: Sequence[int]) -> Where:
        lengths = torch.tensor([len(row) for row in rows], device=self.device)[:, None]
        at = torch.arange(int(lengths.max()), device=self.device)[None].expand(len(rows), -1)
        index = torch.tensor(numbers, device=self.device)[:, None].expand_as(at)
        return Where(torch.where(at < lengths, at, -1), index, lengths.expand_as(at))

    # ---- many tokens

    def prompt_cache(self) -> PromptCache:
        """An empty cache for ``generate`` and ``score``: later calls compute only what is new in each prompt.

        Raises :class:`ModelError` for models whose attention takes no mask for each token (ALiBi).
        """
        return PromptCache.of(self.backend)

    def generate(
        self,
        prompts: Sequence[Prompt],
        n: int | Sequence[int] = 1,
        *,
        max_new_tokens: int = 64,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        stop: str | Sequence[str] = (),
        seeds: int | Sequence[int] = 0,
        interventions: Sequence[Intervention] = (),
        cache: PromptCache | None = None,
        progress: bool = False,
    ) -> list[list[Completion]]:
        """Sampled completions of each prompt.

        A completion depends on its prompt, seed and index and not on the batch.  Rows with equal prompts share their
        computation, so a sweep is the same prompts repeated with per-row interventions.

        Args:
            prompts: texts, chats or token ids; a row of a per-row intervention is an index into them.
            n: completions a prompt, or ``n[i]`` of prompt i.
            max_new_tokens: tokens of a completion at most, the end token included.
            temperature: 0 is greedy.
            top_p: only the likeliest tokens that together have this probability are drawn, 0 < top_p <= 1.
            top_k: only so many of the likeliest tokens are drawn; 0 is all.
            stop: a text, or several, that ends a completion (and stays in it).
            seeds: an integer, or one a prompt.
            interventions: what steers it, at their sites and positions, in the order given.
            cache: made by :meth:`prompt_cache`, for prompts that grow from call to call.
            progress: show a bar.

        Returns:
            ``result[prompt][completion]``.

        Raises:
            DataError: for prompts, seeds or interventions that cannot be used (:class:`SpecError`: other options).
            ModelError: for more tokens than the model has positions, or logits that are not finite.
        """
        rows = self.encode_all(prompts)
        interventions = self._placed(interventions)
        numbers = inputs.sampling(max_new_tokens, temperature, top_p, top_k)
        sampling = Sampling(self.decode, *numbers, inputs.stops(stop), self._end_tokens())
        self._check_room(rows, sampling.max_new_tokens)
        counts = inputs.counts(n, len(rows))
        leaves = seeded_leaves(counts, inputs.seeds(seeds, len(rows)))
        with progress_bar(sum(counts), progress, "generating") as advance:
            Decoder(self.backend, interventions, sampling, advance).fill(rows, leaves, cache)
        return [
            [Completion(self.decode(x.tokens), x.tokens, sum(x.token_logprobs), x.finish) for x in own]
            for own in leaves
        ]

    def score(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[Sequence[str | list[int]]],
        interventions: Sequence[Intervention] = (),
        cache: PromptCache | None = None,
    ) -> list[list[Score]]:
        """Log-probabilities of given continuations, in one pass for all of them.

        Args:
            prompts: texts, chats or token ids.
            continuations: a list (possibly empty) a prompt, of texts or token ids; a text gets no special tokens.
            interventions: as for :meth:`generate`; the tokens of a continuation count as generated.
            cache: made by :meth:`prompt_cache`.

        Returns:
            ``result[prompt][continuation]``, in nats.

        Raises:
            DataError: for prompts or continuations that cannot be used.
            ModelError: for more tokens than the model has positions, or logits that are not finite.
        """
        rows = self.encode_all(prompts)
        interventions = self._placed(interventions)
        tokens = inputs.continuations(continuations, len(rows), self.encode_continuation, self._vocab_size)
        self._check_room(rows, max((len(part) for parts in tokens for part in parts), default=0))
        leaves = [[Leaf(row, tokens=part) for part in parts] for row, parts in enumerate(tokens)]
        Decoder(self.backend, interventions).fill(rows, leaves, cache)
        return [[Score(sum(x.token_logprobs), x.tokens, x.token_logprobs) for x in own] for own in leaves]

    def steered(self, interventions: Sequence[Intervention]) -> AbstractContextManager[Any]:
        """A ``with`` block in which the Hugging Face model itself is steered, whoever calls it.

        For ``generate`` of Hugging Face, lm-eval, TRL and other code that knows nothing of the workbench.  Positions
        are absolute under padding on either side and under the caller's own cache.  A prompt is what ``generate`` was
        given; in other calls, all tokens of a pass that begins a cache or adds several tokens to it.  What a cache
        holds already stays as it was computed.  Meanwhile the workbench's own calls on this model are refused, in
        other threads they wait.

        Args:
            interventions: as for :meth:`generate`.  A row of a per-row intervention is a prompt given to ``generate``
                (all of its ``num_return_sequences``), else a row of the batch.

        Returns:
            A context manager that yields the Hugging Face model; its hooks are gone afterwards, whatever is raised.

        Raises:
            SiteError: for a component that the Hugging Face model does not have (``attn.z``, ``mlp.pre``, ...).
            ArtifactError: for a vector of another model.
            ModelError: in a pass over packed sequences, or one that goes on from a cache filled outside of the block.

        >>> from workbench.models.tiny import tiny_model
        >>> model = tiny_model("llama")
        >>> with model.steered([]) as hf_model:
        ...     hf_model.generate(**model.tokenizer("a b", return_tensors="pt"), max_new_tokens=3).shape[1] <= 6
        True
        """
        return steered(self.backend.hf_model, self._placed(interventions))

    # ---- checks

    def _end_tokens(self) -> frozenset[int]:
        eos = getattr(self.backend.hf_model.generation_config, "eos_token_id", None)
        ends = eos if isinstance(eos, list) else [eos]
        return frozenset(e for e in [*ends, self.tokenizer.eos_token_id] if e is not None)

    def _check_sites(self, sites: Any, components: frozenset[str]) -> tuple[Site, ...]:
        parsed = parse_sites(sites, self.n_layers)
        for site in parsed:
            if site.component not in components:
                raise SiteError(
                    f"the {self.backend_name} back end has no {site.component}"
                    f" (it has {', '.join(sorted(components))}); backend='transformer_lens' reads heads and patterns"
                )
        return parsed

    def _placed(self, interventions: Sequence[Intervention]) -> list[Intervention]:
        """The interventions, found fit for this model, at their true layers."""
        interventions = inputs.plain_interventions(interventions)
        for i in interventions:
            for what in ("fingerprint", "basis"):
                stamp, own = getattr(i, what, None), getattr(self, what)
                if stamp not in (None, own):
                    raise ArtifactError(
                        f"{type(i).__name__} at {i.site} is of a model with {what} {stamp}, and {self.name} has {own}:"
                        " use vector.for_model(model, force=True) to steer it all the same"
                    )
        sites = [self._check_sites(i.site, self.backend.steerable)[0] for i in interventions]
        return [i if i.site == site else Placed(i, site) for i, site in zip(interventions, sites, strict=True)]

    def _check_room(self, rows: Sequence[list[int]], new_tokens: int) -> None:
        limit = getattr(self.config, "max_position_embeddings", None)
        longest = max(map(len, rows))
        if limit and longest + new_tokens > limit:
            raise ModelError(
                f"{longest} prompt tokens and {new_tokens} new ones exceed the {limit} positions of {self.name}"
            )


def _reading(
    site: Site, hook: Hook | None, found: dict[Site, Tensor], select: Callable[[Tensor], Tensor] | None
) -> Hook:
    def read(activation: Tensor) -> Tensor:
        steered = activation if hook is None else hook(activation)
        found[site] = steered if select is None else select(steered)
        return steered

    return read
