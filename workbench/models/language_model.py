"""``LanguageModel``: a tokenizer and a back end behind the calls that everything else uses."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial
from typing import Any

from torch import Tensor

from workbench.arguments import integer, one_of
from workbench.arguments import text as plain_text
from workbench.models import inputs
from workbench.models.backend import Backend
from workbench.models.cache import PromptCache, pad_right
from workbench.models.chats import check_template_options, write_chat
from workbench.models.contract import check_vocabulary
from workbench.models.decoding import Completion, Decoder, Sampling, Score
from workbench.models.hooked_model import HookedModel
from workbench.models.interventions import Intervention
from workbench.models.sampling import HowToSample, filter_logits, how_to_sample, own_sampling
from workbench.models.seam import Seam, added_tokens, encode_texts
from workbench.models.steered import steered
from workbench.models.trees import Leaf, seeded_leaves
from workbench.progress import progress_bar

Prompt = str | list[dict[str, str]] | list[int]


class LanguageModel(HookedModel):
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

    reads = "text"

    def __init__(self, backend: Backend, tokenizer: Any, name: str) -> None:
        check_vocabulary(backend.hf_model, tokenizer, name)
        super().__init__(backend, name)
        self.tokenizer = tokenizer
        self.template: Mapping[str, Any] = {}

    # ---- text and tokens

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt.

        Chat messages end with the template's generation prompt; a last message of the assistant is left open, to be
        gone on with.  A text that begins with a BOS gets no second one.
        """
        if isinstance(prompt, str):
            prompt = encode_texts(self.tokenizer, [plain_text(prompt, "a prompt")], self._added)[0]
        elif isinstance(prompt, list | tuple) and prompt and isinstance(prompt[0], dict):
            prompt = self.tokenizer(self.written(prompt), add_special_tokens=False)["input_ids"]
        return inputs.token_ids(prompt, self._vocab_size)

    def written(self, messages: Sequence[dict[str, Any]]) -> str:
        """Chat messages as the tokenizer's template writes them, as :meth:`encode` reads them."""
        return write_chat(self.tokenizer, inputs.chat(messages), self.name, self.template)

    def with_template(self, **options: Any) -> LanguageModel:
        """The same model, whose chats are written with these options of its chat template.

        Reasoning models know such as ``enable_thinking=False``.  Weights and back end are shared; the options are its
        attribute ``template``.  Raises :class:`SpecError` for an option that the template never reads.
        """
        check_template_options(self.tokenizer, options, self.name)
        found = copy.copy(self)
        found.template = {**self.template, **options}
        return found

    @property
    def _vocab_size(self) -> int:
        """Tokens that have an embedding, which may be more than the tokenizer has."""
        return int(self.backend.hf_model.get_input_embeddings().weight.shape[0])

    @cached_property
    def _added(self) -> list[int]:
        return added_tokens(self.tokenizer)

    def encode_all(self, prompts: Sequence[Prompt], what: str = "prompt", first: int = 0) -> list[list[int]]:
        """Token ids of many prompts, each as :meth:`encode` gives them (texts go through the tokenizer together).

        A prompt that cannot be read raises :class:`DataError`, which calls it ``what`` and counts from ``first``.
        """
        rows = inputs.items(prompts, what)
        if not all(isinstance(row, str) for row in rows):
            return inputs.each(self.encode, rows, what, first)
        rows = inputs.each(partial(plain_text, what="it"), rows, what, first)
        encoded = encode_texts(self.tokenizer, rows, self._added)
        return inputs.each(partial(inputs.token_ids, vocab_size=self._vocab_size), encoded, what, first)

    def encode_continuation(self, text: str, after: Prompt = "\n") -> list[int]:
        """Token ids of text that goes on from a prompt: those of both together, behind the prompt's own.

        Where a merge reaches over the seam, prompt and continuation still decode to their texts.

        >>> from workbench.models.tiny import tiny_model
        >>> model = tiny_model()
        >>> model.decode(model.encode("a b") + model.encode_continuation(" c", after="a b"))
        'a b c'
        """
        return self._seam(self.encode(after), after).encode(plain_text(text, "a continuation"))

    def decode(self, tokens: Sequence[int], after: Sequence[int] = ()) -> str:
        """Text of tokens, special ones left out, as they stand behind the tokens ``after``."""
        own, before = (inputs.token_ids(ids, self._vocab_size, "completion", least=0) for ids in (tokens, after))
        return self._seam(before).decode(own)

    def _seam(self, before: Sequence[int], prompt: Any = None) -> Seam:
        return Seam(self.tokenizer, before, self._added, prompt)

    def _pad(self, rows: Sequence[Any]) -> Tensor:
        return pad_right(list(rows), 0, self.device)

    # ---- many tokens

    def end_tokens(self) -> frozenset[int]:
        """The tokens that end a completion: those of the model's generation config and of its tokenizer."""
        eos = getattr(self.backend.hf_model.generation_config, "eos_token_id", None)
        ends = eos if isinstance(eos, list) else [eos]
        return frozenset(e for e in [*ends, self.tokenizer.eos_token_id] if e is not None)

    @cached_property
    def sampling(self) -> HowToSample:
        """How ``generate`` samples unless told otherwise: by the model's own ``generation_config`` where that says
        anything, else from its distribution as it is.

        >>> from workbench.models.tiny import tiny_model
        >>> tiny_model().sampling
        {'temperature': 1.0, 'top_p': 1.0, 'top_k': 0, 'repetition_penalty': 1.0}
        """
        return own_sampling(getattr(self.backend.hf_model, "generation_config", None), self.name)

    def prompt_cache(self) -> PromptCache:
        """An empty cache for ``generate`` and ``score``: later calls compute only what is new in each prompt.

        It stays empty for models that decode row by row (see :func:`workbench.models.decoding_path`).
        """
        return PromptCache.of(self.backend)

    def generate(
        self,
        prompts: Sequence[Prompt],
        n: int | Sequence[int] = 1,
        *,
        max_new_tokens: int = 64,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        repetition_penalty: float | None = None,
        stop: str | Sequence[str] = (),
        seeds: int | Sequence[int] = 0,
        interventions: Sequence[Intervention] = (),
        cache: PromptCache | None = None,
        progress: bool = False,
    ) -> list[list[Completion]]:
        """Sampled completions of each prompt.

        A completion depends on its prompt, seed and index and not on the batch.  Rows with equal prompts share their
        computation, so a sweep is the same prompts repeated with per-row interventions.

        Where nothing is said of how to sample, it is as the model's authors have it (:attr:`sampling`).  What is said
        stands for itself: with ``temperature=1.0`` alone, nothing is cut off.

        Args:
            prompts: texts, chats or token ids; a row of a per-row intervention is an index into them.
            n: completions a prompt, or ``n[i]`` of prompt i.
            max_new_tokens: tokens of a completion at most, the end token included.
            temperature: 0 is greedy.
            top_p: only the likeliest tokens that together have this probability are drawn, 0 < top_p <= 1.
            top_k: only so many of the likeliest tokens are drawn; 0 is all.
            repetition_penalty: above 1, tokens of the prompt and of what is written already are less likely.
            stop: a text, or several, that ends a completion (and stays in it); what the prompt holds does not count.
            seeds: an integer, or one a prompt.
            interventions: what steers it, at their sites and positions, in the order given.
            cache: made by :meth:`prompt_cache`, for prompts that grow from call to call.
            progress: show a bar.

        Returns:
            ``result[prompt][completion]``; a completion's text goes on from its prompt's, a space between included.

        Raises:
            DataError: for prompts, seeds or interventions that cannot be used (:class:`SpecError`: other options).
            ModelError: for more tokens than the model has positions, or logits that are not finite.
        """
        rows = self.encode_all(prompts)
        cache = None if cache is None else one_of(cache, PromptCache, "cache")
        interventions = self.placed(interventions)
        said = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "repetition_penalty": repetition_penalty}
        numbers = inputs.sampling(**how_to_sample(self.sampling, said))
        stops, seams = inputs.stops(stop), [self._seam(row) for row in rows]

        def text_of(leaf: Leaf) -> str:
            return seams[leaf.row].decode(leaf.tokens)

        stopped = (lambda leaf: any(one in text_of(leaf) for one in stops)) if stops else None
        sampling = Sampling(integer(max_new_tokens, "max_new_tokens", least=1), *numbers, self.end_tokens(), stopped)
        self._check_room(rows, sampling.max_new_tokens)
        counts = inputs.counts(n, len(rows))
        leaves = seeded_leaves(counts, inputs.seeds(seeds, len(rows)))
        with progress_bar(sum(counts), progress, "generating") as advance:
            Decoder(self.backend, interventions, sampling, advance).fill(rows, leaves, cache)
        return [[Completion(text_of(x), x.tokens, sum(x.token_logprobs), x.finish) for x in own] for own in leaves]

    def score(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[Sequence[str | list[int]]],
        interventions: Sequence[Intervention] = (),
        cache: PromptCache | None = None,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
    ) -> list[list[Score]]:
        """Log-probabilities of given continuations, in one pass for all of them.

        Args:
            prompts: texts, chats or token ids.
            continuations: a list (possibly empty) a prompt, of texts (read as :meth:`encode_continuation` reads them
                behind this prompt) or token ids.
            interventions: as for :meth:`generate`; the tokens of a continuation count as generated.
            cache: made by :meth:`prompt_cache`.
            temperature, top_p: of the distribution that is asked about, that of :meth:`generate` with these values;
                what is cut off has -inf.

        Returns:
            ``result[prompt][continuation]``, in nats.

        Raises:
            DataError: for prompts or continuations that cannot be used.
            ModelError: for more tokens than the model has positions, or logits that are not finite.
        """
        prompts = inputs.items(prompts, "prompt")
        rows = self.encode_all(prompts)
        cache = None if cache is None else one_of(cache, PromptCache, "cache")
        interventions = self.placed(interventions)
        seams = list(map(self._seam, rows, prompts))
        tokens = inputs.continuations(
            continuations, len(rows), lambda row, text: seams[row].encode(text), self._vocab_size
        )
        self._check_room(rows, max((len(part) for parts in tokens for part in parts), default=0))
        leaves = [[Leaf(row, tokens=part) for part in parts] for row, parts in enumerate(tokens)]
        warmth, share, _, _ = inputs.sampling(temperature, top_p, 0, 1.0)
        shape = None if warmth == share == 1 else partial(filter_logits, temperature=warmth, top_p=share)
        Decoder(self.backend, interventions, shape=shape).fill(rows, leaves, cache)
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
        return steered(self.backend.hf_model, self.placed(interventions))
