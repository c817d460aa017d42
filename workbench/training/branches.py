"""Several prompt -> completion pairs in one sequence, as a tree of tokens.

What pairs share at their beginning (a system prompt, an instruction, the same question with two answers) lies in the
sequence once; a mask lets every token see its own branch only, and positions count along the branch.  So each pair gets
what it would get alone, for a fraction of the tokens.  A target may be a distribution instead of the written token:
where a teacher draws at random, its exact probabilities teach more than a draw does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.errors import DataError
from workbench.models.backend import additive
from workbench.models.cache import attention_windows
from workbench.models.language_model import LanguageModel, Prompt
from workbench.training.recipes import soft_cross_entropy


@dataclass(frozen=True)
class Pair:
    """What the model is shown, and what it is to write next (the end token is added).

    ``soft``: places of the completion (offsets of characters) where other texts could stand as well, each text with its
    probability; they must be single tokens there, and the written one is among them.
    """

    prompt: Prompt
    completion: str
    soft: tuple[tuple[int, Mapping[str, float]], ...] = ()


Target = tuple[int, tuple[int, ...], tuple[float, ...]]
"""The place that predicts, the tokens that may come next, their probabilities."""


@dataclass
class Tree:
    """``tokens``, each with the place of the one before it in its branch (``parents``, -1 at the root)."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def grow(self, tokens: Sequence[int], grown: dict[tuple[int, int], int], at: int = -1) -> list[int]:
        """The places of ``tokens`` behind the place ``at``: those that are there already, and new ones."""
        places = []
        for token in tokens:
            known = grown.get((at, token))
            if known is None:
                known = grown[at, token] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(at)
            at = known
            places.append(at)
        return places

    def seen(self) -> np.ndarray:
        """[pos, pos] bool: what each token sees, which is its branch up to itself.

        >>> tree, grown = Tree(), {}
        >>> _ = tree.grow([7, 8], grown), tree.grow([7, 9], grown)
        >>> tree.tokens, tree.seen().astype(int).tolist(), tree.positions().tolist()
        ([7, 8, 9], [[1, 0, 0], [1, 1, 0], [1, 0, 1]], [0, 1, 1])
        """
        seen = np.eye(len(self.tokens), dtype=bool)
        for place, parent in enumerate(self.parents):
            if parent >= 0:
                seen[place] |= seen[parent]
        return seen

    def positions(self) -> np.ndarray:
        """[pos]: the number of tokens before each in its branch."""
        return self.seen().sum(1) - 1


def plant(model: LanguageModel, groups: Sequence[Sequence[Pair]]) -> list[Tree]:
    """One tree a group of pairs; raises :class:`DataError` for an empty group or completion and for soft targets that
    are no single tokens."""
    end = [] if model.tokenizer.eos_token_id is None else [model.tokenizer.eos_token_id]

    @cache
    def single(text: str) -> int:
        ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) != 1:
            raise DataError(f"soft targets must be single tokens, and {text!r} is {len(ids)} in {model.name}")
        return int(ids[0])

    trees = []
    for group in groups:
        if not group:
            raise DataError("a group of pairs is empty")
        tree = Tree()
        grown: dict[tuple[int, int], int] = {}
        for pair in group:
            _graft(tree, grown, model, pair, end, single)
        trees.append(tree)
    return trees


def _graft(
    tree: Tree, grown: dict[tuple[int, int], int], model: LanguageModel, pair: Pair, end: list[int],
    single: Callable[[str], int],
) -> None:  # fmt: skip
    prompt = model.encode(pair.prompt)
    completion = model.encode_continuation(pair.completion, after=prompt)
    if not completion:
        raise DataError(f"a pair has an empty completion: {str(pair.prompt)[:60]!r}")
    soft = _by_place(model, pair, completion, single)
    last = tree.grow(prompt, grown)[-1]
    places = tree.grow([*completion, *end], grown, last)
    for k, (before, place) in enumerate(zip([last, *places], places, strict=False)):
        ids, probabilities = soft.get(k, ((tree.tokens[place],), (1.0,)))
        tree.targets.append((before, ids, probabilities))


def _by_place(
    model: LanguageModel, pair: Pair, completion: Sequence[int], single: Callable[[str], int]
) -> dict[int, tuple[tuple[int, ...], tuple[float, ...]]]:
    """The soft targets by number of the token in the completion."""
    if not pair.soft:
        return {}
    pieces = [model.tokenizer.decode([token]) for token in completion]
    if "".join(pieces) != pair.completion:
        raise DataError(f"the tokens of {pair.completion!r} do not add up to it, so soft targets have no place there")
    starts = np.cumsum([0, *map(len, pieces)]).tolist()
    found = {}
    for offset, choices in pair.soft:
        ids = tuple(single(text) for text in choices)
        k = starts.index(offset) if offset in starts[:-1] else -1
        if k < 0 or completion[k] not in ids:
            raise DataError(f"no token of {pair.completion!r} at {offset} is among the soft targets {list(choices)}")
        found[k] = ids, tuple(choices.values())
    return found


@dataclass(frozen=True)
class Laid:
    """Trees as a batch: ``tokens`` and ``positions`` [batch, pos], ``mask`` [batch, 1, pos, pos]; of n targets the flat
    places ``where`` [n] that predict them, candidate ``ids`` and ``probabilities`` [n, k] (which sum to 1)."""

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    where: Tensor
    ids: Tensor
    probabilities: Tensor


def lay(trees: Sequence[Tree], device: torch.device | str = "cpu") -> Laid:
    """The trees side by side, padded on the right; padding sees itself only, and nothing sees it."""
    width = max(len(tree.tokens) for tree in trees)
    tokens, positions = np.zeros((2, len(trees), width), np.int64)
    mask = np.tile(np.eye(width, dtype=bool), (len(trees), 1, 1, 1))
    for i, tree in enumerate(trees):
        n = len(tree.tokens)
        tokens[i, :n], positions[i, :n], mask[i, 0, :n, :n] = tree.tokens, tree.positions(), tree.seen()
    targets = [(i * width + at, ids, p) for i, tree in enumerate(trees) for at, ids, p in tree.targets]
    widest = max(len(ids) for _, ids, _ in targets)
    ids, probabilities = np.zeros((len(targets), widest), np.int64), np.zeros((len(targets), widest), np.float32)
    for n, (_, choices, p) in enumerate(targets):
        ids[n, : len(choices)], probabilities[n, : len(choices)] = choices, p
    where = np.array([at for at, *_ in targets])
    arrays = (tokens, positions, mask, where, ids, probabilities)
    return Laid(*(torch.from_numpy(array).to(device) for array in arrays))


def tree_loss(adapted: Any, trees: Sequence[Tree], device: torch.device) -> Tensor:
    """Mean cross entropy of the targets of trees (of several candidates: less the entropy of their probabilities)."""
    laid = lay(trees, device)
    back = laid.positions[:, None, :, None] - laid.positions[:, None, None, :]  # [batch, 1, pos, pos]
    windows = attention_windows(adapted.config.get_text_config())
    masks = {kind: laid.mask if window is None else laid.mask & (back < window) for kind, window in windows.items()}
    mask = additive(masks if len(masks) > 1 else next(iter(masks.values())), adapted.dtype)
    columns = torch.unique(laid.where % laid.tokens.shape[1])  # logits are computed where something is predicted
    inputs = {"input_ids": laid.tokens, "attention_mask": mask, "position_ids": laid.positions}
    logits = adapted(**inputs, use_cache=False, logits_to_keep=columns).logits  # [batch, columns or pos, vocab]
    rows, places = laid.where // laid.tokens.shape[1], laid.where % laid.tokens.shape[1]
    if logits.shape[1] == len(columns):  # some models give all of them
        places = torch.searchsorted(columns, places)
    chosen = logits[rows, places]  # [n vocab]
    return soft_cross_entropy(chosen, laid.ids, laid.probabilities, torch.ones_like(laid.probabilities[:, 0]))
