"""A language model as a bandit player: prompt -> completions -> parsed actions -> action distribution.

At each step the whole conversation so far is the prompt; several completions are drawn and parsed; entropy is taken
over the valid ones, and one valid completion, picked at random, is executed (arXiv 2406.00244, section 3).  In
*exact* mode there are no thoughts: the probabilities of the action lines are read off the model instead of sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import SpecError
from workbench.models.cache import PromptCache
from workbench.models.interventions import Intervention
from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed, uniforms
from workbench.statistics import corrected_entropy, plugin_entropy
from workbench.worlds.bandits.conversation import AgentText, Messages, Turn


@dataclass(frozen=True)
class Decision:
    """What the agent said at one step.  ``counts`` [arm]: parsed completions (in exact mode, probabilities);
    ``texts``/``arms``: every completion and what it parses to; ``chosen``: index of the executed one, None when no
    completion was valid; entropies in nats, ``corrected`` with the Miller-Madow bias correction."""

    texts: list[str]
    arms: list[int | None]
    counts: np.ndarray
    chosen: int | None
    entropy: float
    corrected: float
    attempts: int

    @property
    def arm(self) -> int | None:
        """The executed arm (0-based)."""
        return None if self.chosen is None else self.arms[self.chosen]

    @property
    def valid(self) -> float:
        """Fraction of completions that parse."""
        return sum(arm is not None for arm in self.arms) / len(self.arms)


@dataclass(frozen=True)
class LanguageAgent:
    """A model that plays bandits written by ``text``.

    ``completions`` are drawn at each step (25 in the paper) at ``temperature`` and ``top_p``.  ``prefill`` begins
    every answer (None: as the text says), so the last prompt token is its last token.  When none of the completions can
    be parsed, all are redrawn up to ``retries`` times.  ``request`` is a sentence added to the instructions.
    ``exact=True`` scores the actions instead (needs ``BanditText(thoughts=False)``).  Chat models are prompted through
    their chat template; others with one message a line.
    """

    model: LanguageModel
    text: AgentText
    completions: int = 25
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 48
    prefill: str | None = None
    retries: int = 1
    exact: bool = False
    request: str = ""

    def __post_init__(self) -> None:
        if self.exact and self.text.thoughts:
            raise SpecError("exact action probabilities need a text without thoughts: BanditText(..., thoughts=False)")

    @property
    def begins(self) -> str:
        """How every answer begins: the prefill, in exact mode what all actions begin with."""
        return self.text.prefill if self.exact or self.prefill is None else self.prefill

    def conversation(self, turns: Sequence[Turn] = ()) -> Messages:
        """The messages that ask for the choice after ``turns``."""
        return self.text.conversation(turns, self.request)

    def turn(self, completion: str, arm: int, reward: float) -> Turn:
        """An executed completion as a turn of the conversation: what follows its action is left out."""
        return Turn(self.text.spoken(self.begins + completion).rstrip(), arm, reward)

    def prompt(self, turns: Sequence[Turn] = ()) -> list[int]:
        """Tokens of the conversation after ``turns`` and of the prefill."""
        messages = self.conversation(turns)
        if getattr(self.model.tokenizer, "chat_template", None):
            tokens = self.model.encode(messages)
        else:
            tokens = self.model.encode("".join(message["content"] + "\n" for message in messages))
        return tokens + (self.model.encode_continuation(self.begins, after=tokens) if self.begins else [])

    def decide(
        self,
        prompts: Sequence[list[int]],
        seeds: Sequence[int],
        interventions: Sequence[Intervention] = (),
        cache: PromptCache | None = None,
        wanted: Sequence[bool] | None = None,
        progress: bool = False,
    ) -> list[Decision | None]:
        """A decision for each prompt (None where not ``wanted``); depends on the prompt and its seed only."""
        wanted = [True] * len(prompts) if wanted is None else list(wanted)
        if self.exact:
            return self._score(prompts, seeds, interventions, cache, wanted)
        decisions: list[Decision | None] = [None] * len(prompts)
        for attempt in range(self.retries + 1):
            counts = [self.completions if w else 0 for w in wanted]
            if not any(counts):
                break
            drawn = self.model.generate(
                prompts, counts, max_new_tokens=self.max_new_tokens, temperature=self.temperature, top_p=self.top_p,
                seeds=[derive_seed(seed, "attempt", attempt) for seed in seeds],
                interventions=interventions, cache=cache, progress=progress,
            )  # fmt: skip
            for i, completions in enumerate(drawn):
                if completions:
                    decisions[i] = self._decision([c.text for c in completions], seeds[i], attempt + 1)
            wanted = [d is not None and d.chosen is None for d in decisions]
        return decisions

    def _decision(self, texts: list[str], seed: int, attempts: int) -> Decision:
        arms = [self.text.parse(self.begins + text) for text in texts]
        counts = np.bincount([arm for arm in arms if arm is not None], minlength=self.text.n_arms)
        valid = [i for i, arm in enumerate(arms) if arm is not None]
        pick = uniforms(np.array([derive_seed(seed, "pick")]), attempts)[0]
        chosen = valid[int(pick * len(valid))] if valid else None
        entropy, corrected = (float(f(counts)) if valid else float("nan") for f in (plugin_entropy, corrected_entropy))
        return Decision(texts, list(arms), counts, chosen, entropy, corrected, attempts)

    def _score(
        self,
        prompts: Sequence[list[int]],
        seeds: Sequence[int],
        interventions: Sequence[Intervention],
        cache: PromptCache | None,
        wanted: Sequence[bool],
    ) -> list[Decision | None]:
        endings = [" " + self.text.action(arm).rpartition(" ")[2] for arm in range(self.text.n_arms)]
        scores = self.model.score(prompts, [endings if w else [] for w in wanted], interventions, cache)
        decisions: list[Decision | None] = []
        for seed, row in zip(seeds, scores, strict=True):
            if not row:
                decisions.append(None)
                continue
            logprobs = np.array([score.logprob for score in row])
            p = np.exp(logprobs - np.logaddexp.reduce(logprobs))
            draw = uniforms(np.array([derive_seed(seed, "pick")]), 0)[0]
            chosen = min(int((p.cumsum() <= draw).sum()), len(p) - 1)
            entropy = float(plugin_entropy(p))
            decisions.append(Decision(endings, list(range(len(p))), p, chosen, entropy, entropy, 1))
        return decisions
