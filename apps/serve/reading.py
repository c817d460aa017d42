"""What is read of whole texts in one pass: the log-probabilities of a prompt's tokens, and what probes see at each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apps.serve.jobs import Job, Reading, Said
from apps.serve.shelf import Shelf
from steering import side_by_side
from workbench.errors import ModelError
from workbench.models.continuations import as_generated
from workbench.models.hooked_model import Forward
from workbench.models.interventions import Intervention
from workbench.models.token_probabilities import token_texts
from workbench.sites import Site

_NUMBERS = 2**25  # logits, or entries of activations, that are held at once


@dataclass(frozen=True)
class _Text:
    """Tokens, how many of them are the prompt, and what steers the pass over them."""

    tokens: list[int]
    prompt: int
    interventions: Sequence[Intervention]


class Reader:
    """Reads texts of many jobs in shared passes."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf, self.model = shelf, shelf.model

    def read_prompts(self, jobs: Sequence[Job]) -> None:
        """Note in each job what the model thinks of its prompts, token by token."""
        texts = [_Text(prompt, len(prompt), job.interventions) for job in jobs for prompt in job.prompts]
        tops = [job.top or 0 for job in jobs for _ in job.prompts]
        said = []
        for first, batch, forward in self._passes(texts, self.model.config.vocab_size, logits=True):
            assert forward.logits is not None
            for row, text in enumerate(batch):
                logprobs = forward.logits[row, : len(text.tokens)].float().log_softmax(-1)
                said.append(self._said(text.tokens, logprobs, tops[first + row]))
        each = iter(said)
        for job in jobs:
            job.prompts_said = [next(each) for _ in job.prompts]

    def _said(self, tokens: list[int], logprobs: Tensor, top: int) -> list[Said]:
        """The tokens by the log-probabilities [pos, vocab] of what follows each."""
        texts = token_texts(self.model, tokens)
        following = torch.tensor(tokens[1:], device=logprobs.device, dtype=torch.long)[:, None]
        own = logprobs[:-1].gather(1, following)[:, 0]
        if not bool(own.isfinite().all()):
            raise ModelError("the logits of a prompt are not finite: a vector or a dose is too large for this model")
        values, ids = logprobs[:-1].topk(min(top, logprobs.shape[-1]))
        likely = [
            list(zip(token_texts(self.model, row), numbers, strict=True))
            for row, numbers in zip(ids.tolist(), values.tolist(), strict=True)
        ]
        return [Said(texts[0], None, []), *map(Said, texts[1:], own.tolist(), likely)]

    def read(self, jobs: Sequence[Job]) -> list[tuple[list[Reading], list[Reading]]]:
        """For each job what its probes see: in its prompts, and in its completions."""
        texts, owners = [], []
        for job in jobs:
            for prompt, own in zip(job.prompts, job.leaves, strict=True):
                for k, tokens in enumerate([leaf.tokens for leaf in own] or [[]]):
                    texts.append(_Text(prompt + tokens, len(prompt), job.interventions))
                    owners.append((job, k == 0, bool(own)))
        names = {name for job in jobs for name in job.readouts}
        found: dict[Job, tuple[list[Reading], list[Reading]]] = {job: ([], []) for job in jobs}
        sites = {self.shelf.probes[name].site_ for name in names}
        for first, batch, forward in self._passes(texts, self.model.d_model * len(sites), sites=sorted(sites)):
            for row, text in enumerate(batch):
                job, is_first, is_written = owners[first + row]
                whole = self._reading(job, text, forward, row)
                if is_first:
                    found[job][0].append(_part(whole, 0, text.prompt))
                if is_written:
                    found[job][1].append(_part(whole, text.prompt, len(text.tokens)))
        return list(found.values())

    def _reading(self, job: Job, text: _Text, forward: Forward, row: int) -> Reading:
        scores = {}
        for name in job.readouts:
            seen = forward.activations[self.shelf.probes[name].site_][row, : len(text.tokens)]
            if not bool(seen.isfinite().all()):
                raise ModelError("the activations are not finite: a vector or a dose is too large for this model")
            scores[name] = self.shelf.scores(name, seen.float().cpu().numpy())
        return Reading(token_texts(self.model, text.tokens), scores)

    def _passes(
        self, texts: Sequence[_Text], width: int, sites: Sequence[Site] = (), logits: bool = False
    ) -> Iterator[tuple[int, Sequence[_Text], Forward]]:
        """Passes over texts as many at once as ``width`` numbers a token allow, each with the number of its first."""
        first = 0
        while first < len(texts):
            last, longest = first, 0
            while last < len(texts):
                longest = max(longest, len(texts[last].tokens))
                if last > first and longest * (last + 1 - first) * width > _NUMBERS:
                    break
                last += 1
            batch = texts[first:last]
            together = side_by_side([text.interventions for text in batch], self.model)
            steered = as_generated(together, [text.prompt for text in batch]) if together else []
            yield first, batch, self.model.forward([t.tokens for t in batch], sites, steered, logits)
            first = last


def _part(reading: Reading, start: int, stop: int) -> Reading:
    scores = {name: values[start:stop] for name, values in reading.scores.items()}
    return Reading(reading.tokens[start:stop], scores)
