"""``replay``: the activations at every decision of recorded episodes, without running every prompt.

A causal model computes the same activations for a token whatever comes after it.  So where the prompts of an episode
are prefixes of one another, one pass over the longest holds the last token of them all: an episode of n steps costs one
pass of its final length instead of n passes.  Whether a prompt is such a prefix is checked on its tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from workbench.activations.activation_set import ActivationSet, label_table
from workbench.activations.batches import Budget, Pass, as_dtype, check_length, readable_sites, run_passes
from workbench.errors import DataError
from workbench.models.hooked_model import HookedModel
from workbench.models.inputs import each, items
from workbench.models.language_model import Prompt
from workbench.models.memory import memory_errors
from workbench.progress import progress_bar
from workbench.sites import Site


def replay(
    model: HookedModel,
    episodes: Sequence[Sequence[Prompt]],
    sites: Site | str | int | Sequence[Site | str | int],
    *,
    labels: pd.DataFrame | Mapping[str, Any] | None = None,
    batch_tokens: int | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> ActivationSet:
    """Activations at the last token of each prompt of each episode: ``episodes[episode][step]`` is a prompt.

    Equal to :func:`capture` of the prompts up to rounding.

    Args:
        model: the model to read.
        episodes: the prompts of each episode.
        sites: one or several.
        labels: one line for each prompt, episode by episode.
        batch_tokens, dtype, device, progress: those of :func:`capture`.

    Returns:
        A set whose rows come episode by episode, step by step; its labels begin with ``episode``, ``step`` and
        ``position`` (of the last prompt token), and the group of a row is its episode.

    >>> from workbench.models.tiny import tiny_model
    >>> found = replay(tiny_model(), [["a b", "a b c d"], ["e"]], sites=[2])
    >>> found.labels.to_dict("list"), found.groups.tolist()
    ({'episode': [0, 0, 1], 'step': [0, 1, 0], 'position': [2, 4, 1]}, [0, 0, 1])
    """
    sites = readable_sites(model, sites)
    tokens = _encode(model, episodes)
    table = _labels(tokens, labels)
    starts = np.cumsum([0, *map(len, tokens)])
    passes = [one for prompts, start in zip(tokens, starts.tolist(), strict=False) for one in _passes(prompts, start)]
    too_much = f"{len(table):,} rows at {len(sites)} sites do not fit on {device}: replay fewer episodes at once"
    with progress_bar(len(passes), progress, "replaying") as advance, memory_errors(too_much):
        found = run_passes(
            model, passes, sites, Budget.of(model, batch_tokens), dtype=as_dtype(dtype), device=device, advance=advance
        )
        return ActivationSet(found, table, "episode", model.fingerprint, model.basis, model.name, model.precision)


def _encode(model: HookedModel, episodes: Sequence[Sequence[Prompt]]) -> list[list[list[int]]]:
    """Token ids of every prompt of every episode."""
    tokens = each(model.encode_all, items(episodes, "episode"), "episode")
    for number, prompts in enumerate(tokens):
        for step, prompt in enumerate(prompts):
            check_length(model, prompt, f"step {step} of episode {number}")
    return tokens


def _labels(tokens: Sequence[Sequence[Sequence[int]]], labels: Any) -> pd.DataFrame:
    steps = [(i, k, len(prompt) - 1) for i, prompts in enumerate(tokens) for k, prompt in enumerate(prompts)]
    own = pd.DataFrame(steps, columns=["episode", "step", "position"])
    given = label_table({} if labels is None else labels, len(own))
    for name in own:
        if name in given and not (name != "position" and given[name].equals(own[name])):
            raise DataError(f"labels have a column {name!r}, which replay writes itself: rename it")
    return own.join(given.drop(columns=list(own), errors="ignore"))


def _passes(prompts: Sequence[list[int]], first_row: int) -> list[Pass]:
    """The fewest passes that hold the last token of every prompt, found from the longest prompt down."""
    held: list[tuple[list[int], list[int]]] = []  # (tokens of a pass, prompts that begin it)
    for number in sorted(range(len(prompts)), key=lambda i: -len(prompts[i])):
        prompt = prompts[number]
        home = next((numbers for tokens, numbers in held if tokens[: len(prompt)] == prompt), None)
        if home is None:
            held.append((prompt, [number]))
        else:
            home.append(number)
    return [
        Pass(tokens, [len(prompts[i]) - 1 for i in numbers], [first_row + i for i in numbers])
        for tokens, numbers in held
    ]
