"""What conditions do and what they cost, as rows: effect, damage, and the replies with how coherent they are.

*Effect*: what the instrument reads.  *Damage* on neutral text, a mean over its tokens: ``nll``, by how much its
negative log-likelihood rises; ``kl``, the divergence from the unsteered model's predictions.  Of replies:
``coherence``, the unsteered model's mean log-probability of a token, and ``repetition``, the share of their trigrams
that stood before.
All conditions of a call are rows of the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from steering import Condition, damage, generate_under
from workbench.families.steer.instruments import Instrument

if TYPE_CHECKING:
    from workbench.models.language_model import LanguageModel, Prompt

CHOOSE, TEST = "choose", "test"
EFFECT, NLL, KL, COHERENCE, REPETITION = "effect", "nll", "kl", "coherence", "repetition"
COLUMNS = ("method", "layer", "dose", "side", "draw", "measure", "set", "item", "value", "mass", "text")


def condition(
    method: str, *added: Any, front: str = "", layer: int = -1, dose: float = 0.0, side: str = "", draw: int = 0
) -> Condition:
    """A condition with the columns of a steering run's rows."""
    return Condition(method, added, front, {"layer": layer, "dose": dose, "side": side, "draw": draw})


def effects(
    model: LanguageModel, instrument: Instrument, conditions: Sequence[Condition], measure: str = EFFECT
) -> pd.DataFrame:
    """A row for each condition and item of an instrument."""
    values, mass = instrument.read(model, conditions)
    frames = [
        pd.DataFrame({**each.row, "measure": measure, "set": list(instrument.sets), "item": range(values.shape[1]),
                      "value": values[k], "mass": mass[k]})
        for k, each in enumerate(conditions)
    ]  # fmt: skip
    return _rows(pd.concat(frames, ignore_index=True))


def _rows(frame: pd.DataFrame) -> pd.DataFrame:
    """With all columns, each of one type whatever is measured."""
    return frame.reindex(columns=list(COLUMNS)).astype({"value": float, "mass": float, "text": "str"})


def damages(model: LanguageModel, texts: Sequence[str], conditions: Sequence[Condition]) -> pd.DataFrame:
    """Rows ``nll`` and ``kl`` of each condition and text; every other text is for choosing."""
    found = damage(model, conditions, texts)
    found["set"] = np.where(found["item"] % 2, TEST, CHOOSE)
    keys = [*conditions[0].row, "set", "item"]
    return _rows(found.melt(keys, [NLL, KL], "measure", "value"))


def replies(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    sets: Sequence[str],
    conditions: Sequence[Condition],
    max_new_tokens: int,
    seed: int,
) -> pd.DataFrame:
    """Rows ``coherence`` (with the text) and ``repetition`` of a reply to each prompt under each condition."""
    seeds = [seed + k for k in range(len(prompts))]
    drawn = generate_under(model, prompts, conditions, max_new_tokens=max_new_tokens, seeds=seeds)
    texts = [[row[0] for row in own] for own in drawn]
    scores = model.score(prompts, [[own[k].tokens for own in texts if own[k].tokens] for k in range(len(prompts))])
    rows = []
    for k in range(len(prompts)):
        likely = iter(scores[k])
        for each, own in zip(conditions, texts, strict=True):
            said = own[k]
            score = next(likely).logprob / len(said.tokens) if said.tokens else float("nan")
            base = {**each.row, "set": sets[k], "item": k}
            rows.append(base | {"measure": COHERENCE, "value": score, "text": said.text})
            rows.append(base | {"measure": REPETITION, "value": repetition(said.text)})
    return _rows(pd.DataFrame(rows))


def repetition(text: str) -> float:
    """The share of a text's trigrams of words that stood in it before.

    >>> repetition("so it is so it is so it is"), repetition("so it is")
    (0.5714285714285714, 0.0)
    """
    words = text.lower().split()
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0
