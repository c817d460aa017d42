"""What the workbench does with the decoders of transformers, one by one: the table in ``docs/models.md``.

Each is made tiny, with random weights, and compared with plain Hugging Face: one row, no padding, no cache.
``python -m tests.workbench.models.architectures`` writes the table; ``test_architectures`` holds it to what comes out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steering import Add
from tests.workbench.models.tiny_architectures import KINDS, LEFT_OUT, tiny_architecture
from workbench.errors import WorkbenchError, WorkbenchWarning
from workbench.models.hf import HuggingFaceBackend
from workbench.models.interventions import Scope
from workbench.models.language_model import LanguageModel
from workbench.models.sharing import decoding_path
from workbench.models.tiny import tiny_tokenizer
from workbench.sites import Site

PAGE = Path(__file__).parents[3] / "docs" / "models.md"
_TOLERANCE = 1e-4

# ---- the truth


@contextmanager
def _added(block: Any, vector: Tensor, start: int) -> Iterator[None]:
    """``vector`` added behind a block from position ``start`` on."""

    def hook(_module: Any, _args: Any, output: Any) -> Any:
        several = isinstance(output, tuple | list)
        steered = (output[0] if several else output).clone()
        steered[:, start:] += vector
        return type(output)((steered, *output[1:])) if several else steered

    handle = block.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _run(hf_model: Any, tokens: list[int], **options: Any) -> Any:
    with torch.no_grad():
        return hf_model(torch.tensor([tokens]), use_cache=False, **options)


def _logprobs(hf_model: Any, prompt: list[int], continuation: list[int]) -> Tensor:
    """Log-probability of each token of a continuation."""
    logits = _run(hf_model, prompt + continuation[:-1]).logits[0, len(prompt) - 1 :]
    return logits.log_softmax(-1)[range(len(continuation)), continuation]


# ---- what the workbench makes of it

PROMPTS = [[5 + 7 * i % 120 for i in range(21)], [9 + 11 * i % 120 for i in range(5)]]  # the first is past all windows
CONTINUATIONS = [[[17, 30, 44, 101, 6], [50, 8]], [[23, 91, 14, 60], [71, 33]]]
_N, _NEW = 2, 6
_SLOTS = len(PROMPTS[0]) + _N * _NEW


class Case:
    """An architecture on the ``hf`` back end; each method gives the worst difference from the truth."""

    def __init__(self, kind: str) -> None:
        self.hf_model = tiny_architecture(kind)
        self.model = LanguageModel(HuggingFaceBackend(self.hf_model), tiny_tokenizer(), kind)
        self.middle = self.model.n_layers // 2
        self.block = self.model.backend.blocks[self.middle].module
        self.vector = torch.linspace(-2, 2, self.model.d_model)

    def captures(self) -> float:
        """The stream is Hugging Face's, and what attention and MLP put out is what enters it."""
        layers, parts = range(self.model.n_layers), self.model.backend.components
        found = self.model.forward(PROMPTS, [Site(layer, part) for layer in layers for part in parts]).activations
        off = []
        for row, prompt in enumerate(PROMPTS):
            told = _run(self.hf_model, prompt, output_hidden_states=True).hidden_states
            for layer in layers:
                at = {part: found[Site(layer, part)][row, : len(prompt)] for part in parts}
                off.append(_difference(at["resid_pre"], told[layer][0]))
                if layer + 1 < len(layers):  # the last that Hugging Face tells comes after the last norm
                    off.append(_difference(at["resid_post"], told[layer + 1][0]))
                for end, *added in (("resid_mid", "attn_out"), ("resid_post", "attn_out", "mlp_out")):
                    if {end, *added} <= parts:
                        off.append(_difference(at["resid_pre"] + sum(at[part] for part in added), at[end]))
        return max(off)

    def steers(self) -> float:
        """Steered logits are those of a plain hook on the block."""
        steer = Add(self.vector, site=Site(self.middle), scope=Scope.everywhere())
        found = self.model.forward(PROMPTS, interventions=[steer], logits=True).logits
        off = []
        for row, prompt in enumerate(PROMPTS):
            with _added(self.block, self.vector, 0):
                expected = _run(self.hf_model, prompt).logits[0]
            off.append(_difference(found[row, : len(prompt)], expected))
        assert _difference(expected, _run(self.hf_model, prompt).logits[0]) > 100 * _TOLERANCE, "steering has no effect"
        return max(off)

    def generates(self) -> float:
        """The log-probability of each of several steered completions is the truth's."""
        steer = Add(self.vector, site=Site(self.middle))
        found = self.model.generate(PROMPTS, _N, max_new_tokens=_NEW, seeds=1, interventions=[steer])
        off = []
        for prompt, completions in zip(PROMPTS, found, strict=True):
            for each in completions:
                tokens = each.tokens + [2] * (each.finish == "eos")
                with _added(self.block, self.vector, len(prompt) - 1):
                    expected = float(_logprobs(self.hf_model, prompt, tokens).sum())
                off.append(abs(each.logprob - expected) / max(1.0, abs(expected)))
        return max(off)

    def scores(self) -> float:
        """So is that of every token of given continuations."""
        other = [*PROMPTS[0][:-2], 3, PROMPTS[0][-1]]
        truths = (_logprobs(self.hf_model, prompt, CONTINUATIONS[0][0]) for prompt in (PROMPTS[0], other))
        assert float((next(truths) - next(truths)).abs().max()) > 10 * _TOLERANCE, "prompts have no effect"
        off = []
        for prompt, parts, scores in zip(PROMPTS, CONTINUATIONS, self.model.score(PROMPTS, CONTINUATIONS), strict=True):
            for part, score in zip(parts, scores, strict=True):
                found = torch.tensor(score.token_logprobs)
                off.append(float((found - _logprobs(self.hf_model, prompt, part)).abs().max()))
        return max(off)


def _difference(found: Tensor, expected: Tensor) -> float:
    """The worst over positions of [pos, d], each relative to its own norm."""
    return float(((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max())


# ---- the table

_TITLE = "| architecture | loads | reads beside the stream | captures | steers | completions | scores |"
_PROSE = """# Architectures

What the workbench does with the causal language models of transformers: those that can be made tiny are made in a test
(four layers, random weights, windows of eight tokens) and compared with plain Hugging Face: one prompt at a time, no
padding, no cache.  "right" is equal within 1e-4, at every position.  `workbench models check MODEL` does the same on a
model of yours, on any back end.  How models are got and loaded, GGUF files among them:
[getting_models.md](getting_models.md).

- *reads beside the stream*: of `attn_out`, `resid_mid` and `mlp_out`, those that a module of the model puts out or
  reads; `resid_pre` and `resid_post` are there wherever a model loads.  What is not there is refused with its reason.
- *completions* and *scores*: `shared` when many rows share a batch and a prompt's cache; `row by row` (through the
  model's own cache) or `row by row, without a cache` where a check saw that this model gives something else then:
  slower, and right.
- A model that the workbench cannot read is refused at load in one line, which stands in its row.

Not tried, since they are another name for one of these, a part of another model, or do not go tiny: {left_out}.

Written by `python -m tests.workbench.models.architectures`.
"""


def verdict(kind: str) -> str:
    """An architecture's row of the table; "WRONG" stands in it when something is neither right nor refused."""
    try:
        case = Case(kind)
    except WorkbenchError as error:
        return f"| {kind} | refused: {error} | | | | | |"
    sites = ", ".join(sorted(case.model.backend.components - {"resid_pre", "resid_post"})) or "none"
    path = decoding_path(case.model, _SLOTS).name
    cells = [_cell(case.captures), _cell(case.steers)]
    cells += [_cell(call).replace("right", path) for call in (case.generates, case.scores)]
    return f"| {kind} | yes | {sites} | {' | '.join(cells)} |"


def _cell(call: Callable[[], float]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WorkbenchWarning)
        try:
            worst = call()
        except WorkbenchError as error:
            return f"refused: {error}"
        except Exception as error:
            return f"WRONG: {type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    return "right" if worst <= _TOLERANCE else f"WRONG by {worst:.1g}"


def page(rows: Iterable[str]) -> str:
    """``docs/models.md`` of the rows of a table."""
    prose = _PROSE.format(left_out=", ".join(sorted(LEFT_OUT)))
    return "\n".join([prose, _TITLE, "|---|---|---|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(page(map(verdict, KINDS)), encoding="utf-8")
