"""What the thoughts say: words that steering brings, and how much of the action they decide."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from workbench.families.east.collect import EvalPrompt, agent_for
from workbench.families.east.spec import EastSpec
from workbench.models.language_model import LanguageModel

_KEEP = frozenset({"few", "more", "most"})  # stop words elsewhere, but quantities matter in a bandit


def _words(texts: Iterable[str]) -> Counter[str]:
    stop = ENGLISH_STOP_WORDS - _KEEP
    found = (word for text in texts for word in re.findall(r"[a-z]+", text.lower()))
    return Counter(word for word in found if word not in stop)


def over_represented(steered: Iterable[str], unsteered: Iterable[str], smoothing: float = 1.0) -> pd.DataFrame:
    """Words by the ratio of their relative frequencies in two sets of thoughts (paper, table of words).

    Columns ``word, steered, unsteered`` (counts), ``ratio`` (> 1: steering brings it), stop words removed; counts are
    smoothed by ``smoothing``, so a word that one side lacks has a finite ratio.
    """
    a, b = _words(steered), _words(unsteered)
    words = sorted(set(a) | set(b))
    table = pd.DataFrame({"word": words, "steered": [a[w] for w in words], "unsteered": [b[w] for w in words]})
    share = [(table[c] + smoothing) / (table[c].sum() + smoothing * len(words)) for c in ("steered", "unsteered")]
    return table.assign(ratio=share[0] / share[1]).sort_values("ratio", ascending=False, ignore_index=True)


def trace_thoughts(
    model: LanguageModel,
    spec: EastSpec,
    rendering: str,
    prompts: Sequence[EvalPrompt],
    texts: Sequence[str],
    points: int = 9,
) -> pd.DataFrame:
    """P(first arm) if the thought stopped after a share of its tokens and the action had to follow (finding 2).

    ``texts`` holds a JSON list of completions for each prompt, of which the first counts.  Exact: the action lines are
    scored.  Columns ``prompt, episode, step, share`` (0 to 1), ``p_first``, ``certainty`` (that of the likelier arm).
    """
    agent = agent_for(model, spec, rendering)
    rows: list[dict[str, object]] = []
    said: list[list[list[int]]] = []
    for i, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        thought = model.encode_continuation(agent.text.thought(json.loads(text)[0]), after=prompt.tokens)
        shares = np.linspace(0, 1, points)
        said.append([thought[: round(share * len(thought))] for share in shares])
        where = {"rendering": rendering, "prompt": i, "episode": prompt.episode, "step": prompt.step}
        rows += [where | {"share": share} for share in shares]
    masses = np.concatenate(agent.arm_masses([prompt.tokens for prompt in prompts], said))  # [prompt * point, arm]
    p = masses / masses.sum(axis=1, keepdims=True)
    return pd.DataFrame(rows).assign(p_first=p[:, 0], certainty=p.max(axis=1))
