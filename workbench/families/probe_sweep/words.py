"""The control ``bag_of_words``: the same probe on the words of each text alone, in no order and without a model.

What it reaches can be read off the wording; only what a probe of activations has beyond it is the model's doing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from workbench.runs import RunFolder, load_run

BAG_OF_WORDS = "bag_of_words"


def word_counts(texts: Sequence[str], known: Sequence[str] | None = None) -> Float[np.ndarray, "texts words"]:
    """How often each word stands in each text; capital letters are small ones, signs are none.

    The words are those of the texts ``known``, by default of the texts themselves.

    >>> word_counts(["The sea, the sky.", "the Sea"]).tolist()
    [[1.0, 1.0, 2.0], [1.0, 0.0, 1.0]]
    """
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(token_pattern=r"(?u)\b\w+\b").fit(texts if known is None else known)
    found: np.ndarray = counter.transform(texts).toarray()
    return found.astype(np.float32)


def save_words(folder: RunFolder, texts: Sequence[str], tests: Mapping[str, Sequence[str]]) -> None:
    """Keep the counts of a sweep's texts, and of those it is tested on, in its run folder."""
    counts = {"counts": word_counts(texts)}
    counts |= {f"counts-{name}": word_counts(of_test, texts) for name, of_test in tests.items()}
    folder.save_tensors(BAG_OF_WORDS, {name: torch.from_numpy(each) for name, each in counts.items()}, {})


def load_words(run: Path, inputs: np.ndarray, test: str = "") -> Float[np.ndarray, "rows words"]:
    """The counts of the text that each row was read from; ``inputs``: numbers of the texts (of a test), [rows]."""
    name = f"counts-{test}" if test else "counts"
    counts: np.ndarray = load_run(run).load_tensors(BAG_OF_WORDS)[0][name].numpy()
    return counts[inputs]
