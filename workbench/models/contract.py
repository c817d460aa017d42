"""What the workbench asks of a model, found out by running it and not by its name.

A check runs the model on a few random tokens and keeps what it learned as long as the model lives.  It leaves the
weights, the mode, the hooks and the random state of the process as they were.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from workbench.errors import ModelError, WorkbenchError, warn
from workbench.models.backend import one_pass
from workbench.models.offload import absent

Result = TypeVar("Result")


def once(check: Callable[[Any], Result]) -> Callable[[Any], Result]:
    """A function of a Hugging Face model that is called once for each model; what it raises is not kept."""
    kept: WeakKeyDictionary[Any, Result] = WeakKeyDictionary()

    @functools.wraps(check)
    def run(hf_model: Any) -> Result:
        if hf_model not in kept:
            kept[hf_model] = check(hf_model)
        return kept[hf_model]

    return run


def random_inputs(hf_model: Any, rows: int, length: int, seed: int = 0) -> Tensor:
    """Random tokens [rows, length], on the model's device: none that its configuration gives a meaning (an image, an
    end); random observations for a model that reads those.

    >>> from workbench.models.tiny import tiny_hf_model
    >>> tokens = random_inputs(tiny_hf_model("llama"), 2, 9)
    >>> tuple(tokens.shape), {1, 2} & set(tokens.flatten().tolist())  # its bos and eos
    ((2, 9), set())
    """
    generator = torch.Generator().manual_seed(seed)
    if hasattr(hf_model, "random_observations"):
        return hf_model.random_observations(rows, length, generator)
    embeddings = hf_model.get_input_embeddings().weight
    known = range(min(5000, embeddings.shape[0]))
    special = _special_ids(hf_model.config) | _special_ids(hf_model.config.get_text_config())
    usable = torch.tensor([token for token in known if token not in special] or list(known))
    return usable[torch.randint(len(usable), (rows, length), generator=generator)].to(embeddings.device)


def trial_inputs(hf_model: Any) -> tuple[Tensor, int]:
    """Two short rows of inputs, and how many of their first are equal: what differs later must not show there."""
    length = min(9, positions_of(hf_model.config) or 9)
    rows, shared = random_inputs(hf_model, 2, length), (length + 1) // 2
    rows[1, :shared] = rows[0, :shared]
    return rows, shared


def positions_of(config: Any) -> int | None:
    """How many positions a configuration says that its model has; None where it sets no limit."""
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    return limit if limit and limit > 0 else None  # XLNet says -1


def _special_ids(config: Any) -> set[int]:
    named = (v for k, v in config.to_dict().items() if k.endswith(("_token_id", "_token_index")))
    return {token for value in named for token in (value if isinstance(value, list) else [value])}


@contextmanager
def on_trial(hf_model: Any, what: str | None = None) -> Iterator[None]:
    """A model about to be run by a check: in eval mode, no gradients, no pass beside it.

    Raises :class:`ModelError`, in one line that calls it ``what`` (its class), for weights that are not in memory and
    for whatever the model raises.
    """
    kind = what or type(hf_model).__name__
    if lost := absent(hf_model):
        raise ModelError(
            f"{kind}: {len(lost)} tensors are not in memory (on the meta device, such as {lost[0]}):"
            " load the model with its weights"
        )
    training = [module for module in hf_model.modules() if module.training]
    try:
        with one_pass(hf_model), torch.no_grad():
            for module in training:
                module.training = False
            yield
    except WorkbenchError:
        raise
    except Exception as error:  # models raise what they like
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        raise ModelError(f"{kind} cannot be run on tokens: {type(error).__name__}: {reason[:200]}") from error
    finally:
        for module in training:
            module.training = True


def check_vocabulary(hf_model: Any, tokenizer: Any, name: str) -> None:
    """Raise :class:`ModelError` for a tokenizer with tokens that the model called ``name`` has no embedding for.

    Special tokens without one (Gemma 3 without its eyes keeps a token for images) are named in a warning.
    """
    rows = hf_model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) <= rows:
        return
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    beyond = {token: number for token, number in tokenizer.get_vocab().items() if number >= rows}
    ordinary = sorted(token for token, number in beyond.items() if number not in special)
    if ordinary:
        raise ModelError(
            f"the tokenizer of {name} has {len(tokenizer)} tokens and the model {rows} embeddings (none for"
            f" {ordinary[0]!r}): take the model's own tokenizer, or train it after"
            " hf_model.resize_token_embeddings(len(tokenizer))"
        )
    if beyond:
        warn(f"{name} has no embeddings for {', '.join(sorted(beyond))}: prompts with them are refused")
