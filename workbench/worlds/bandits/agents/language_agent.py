"""A language model as a bandit player: prompt -> completions -> parsed actions -> action distribution.

At each step the conversation so far is the prompt; several completions are drawn and parsed; entropy is taken over the
valid ones, and one valid completion, picked at random, is executed (arXiv 2406.00244, section 3).  In *exact* mode the
probabilities of the actions are read off the model instead of sampled: at once, or behind each thought that was drawn,
where an action is then made to follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from workbench.errors import SpecError
from workbench.models.cache import PromptCache
from workbench.models.interventions import Intervention
from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed, uniforms
from workbench.statistics import corrected_entropy, plugin_entropy
from workbench.worlds.bandits.conversation import AgentText, Messages, Turn


@dataclass(frozen=True)
class Decision:
    """What the agent said at one step.

    ``texts``/``arms``: every completion up to its action, and what it parses to.  ``counts`` [arm]: how many chose
    each arm; in exact mode its probability among the arms.  ``chosen``: index of the executed completion, None when
    none was valid.  Entropies in nats, ``corrected`` with the Miller-Madow bias correction (exact ones need none).
    ``valid``: share of the completions that parse; in exact mode the probability that an answer is one of the arms, and
    ``outside_mass`` the rest (NaN where completions are counted).
    """

    texts: list[str]
    arms: list[int | None]
    counts: np.ndarray
    chosen: int | None
    entropy: float
    corrected: float
    attempts: int
    valid: float
    outside_mass: float = float("nan")

    @property
    def arm(self) -> int | None:
        """The executed arm (0-based)."""
        return None if self.chosen is None else self.arms[self.chosen]


@dataclass(frozen=True)
class LanguageAgent:
    """A model that plays bandits written by ``text``.

    ``completions`` are drawn at each step (25 in the paper) at ``temperature`` and ``top_p``.  ``prefill`` begins
    every answer (None: as the text says), so the last prompt token is its last token.  When none of the completions can
    be parsed, all are redrawn up to ``retries`` times.  ``request`` is a sentence added to the instructions.
    ``exact=True`` scores the actions instead; if the text has thoughts, ``completions`` of them are drawn and the
    actions scored behind each.  Chat models are prompted through their chat template; others with one message a line.
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
        if self._scored and self.prefill not in (None, self.text.prefill):
            raise SpecError(
                f"exact mode without thoughts begins every answer with {self.text.lead!r}: leave prefill out"
            )

    @property
    def _scored(self) -> bool:
        """Whether nothing is drawn."""
        return self.exact and not self.text.thoughts

    @property
    def begins(self) -> str:
        """How every answer begins."""
        return self.text.prefill if self.prefill is None else self.prefill

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
            return self._decide_exactly(prompts, seeds, interventions, cache, wanted, progress)
        decisions: list[Decision | None] = [None] * len(prompts)
        for attempt in range(self.retries + 1):
            if not any(wanted):
                break
            drawn = self._draw(prompts, seeds, interventions, cache, wanted, progress, attempt)
            for i, texts in enumerate(drawn):
                if texts:
                    decisions[i] = self._decision(texts, seeds[i], attempt + 1)
            wanted = [d is not None and d.chosen is None for d in decisions]
        return decisions

    def _draw(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], interventions: Sequence[Intervention],
        cache: PromptCache | None, wanted: Sequence[bool], progress: bool, attempt: int = 0,
    ) -> list[list[str]]:  # fmt: skip
        """Completions of the wanted prompts, up to the end of their actions."""
        drawn = self.model.generate(
            prompts, [self.completions if w else 0 for w in wanted], max_new_tokens=self.max_new_tokens,
            temperature=self.temperature, top_p=self.top_p, stop=self._stops,
            seeds=[derive_seed(seed, "attempt", attempt) for seed in seeds],
            interventions=interventions, cache=cache, progress=progress,
        )  # fmt: skip
        skip = len(self.begins)
        return [[self.text.spoken(self.begins + each.text)[skip:] for each in own] for own in drawn]

    @property
    def _stops(self) -> list[str]:
        """Where nothing that follows is read: behind an action, in exact mode where one begins."""
        if self.exact:
            return [self.text.lead]
        actions = [self.text.action(arm) for arm in range(self.text.n_arms)]
        return actions if self.text.thoughts else [action.removeprefix(self.text.lead) for action in actions]

    def _decision(self, texts: list[str], seed: int, attempts: int) -> Decision:
        arms = [self.text.parse(self.begins + text) for text in texts]
        counts = np.bincount([arm for arm in arms if arm is not None], minlength=self.text.n_arms)
        valid = [i for i, arm in enumerate(arms) if arm is not None]
        pick = uniforms(np.array([derive_seed(seed, "pick")]), attempts)[0]
        chosen = valid[int(pick * len(valid))] if valid else None
        entropy, corrected = (float(f(counts)) if valid else float("nan") for f in (plugin_entropy, corrected_entropy))
        return Decision(texts, arms, counts, chosen, entropy, corrected, attempts, len(valid) / len(arms))

    # ---- exact mode

    def arm_masses(
        self,
        prompts: Sequence[list[int]],
        said: Sequence[Sequence[list[int]]],
        interventions: Sequence[Intervention] = (),
        cache: PromptCache | None = None,
    ) -> list[Float[np.ndarray, "said arms"]]:
        """Probability of each arm if an action had to follow behind a prompt and each of the tokens ``said`` after it.

        At the agent's temperature and top-p.  Rows sum to less than 1: the rest is what names no arm.
        """
        encode, lead = self.model.encode_continuation, "\n" + self.text.lead
        head = encode(lead, after="a thought") if self.text.thoughts else []  # otherwise the prompts end in it
        endings = [encode(end, after=head or prompts[0]) for end in self.text.endings()]
        asked = [[[*tokens, *head, *end] for tokens in own for end in endings] for own in said]
        scores = self.model.score(
            prompts, asked, interventions, cache, temperature=self.temperature, top_p=self.top_p
        )  # one prompt, all that was said as leaves
        lengths = [len(end) for end in endings]
        logprobs = [[sum(s.token_logprobs[-lengths[k % len(lengths)] :]) for k, s in enumerate(row)] for row in scores]
        return [np.exp(np.array(row, dtype=np.float64)).reshape(-1, len(endings)) for row in logprobs]

    def _decide_exactly(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], interventions: Sequence[Intervention],
        cache: PromptCache | None, wanted: Sequence[bool], progress: bool,
    ) -> list[Decision | None]:  # fmt: skip
        thoughts = [[""] if w else [] for w in wanted]
        if self.text.thoughts:
            drawn = self._draw(prompts, seeds, interventions, cache, wanted, progress)
            thoughts = [[self.text.thought(text) for text in own] for own in drawn]
        said = [
            [self.model.encode_continuation(thought, after=prompt) if thought else [] for thought in own]
            for prompt, own in zip(prompts, thoughts, strict=True)
        ]
        masses = self.arm_masses(prompts, said, interventions, cache)
        return [
            self._exact_decision(own, mass, seed) if own else None
            for own, mass, seed in zip(thoughts, masses, seeds, strict=True)
        ]

    def _exact_decision(self, thoughts: list[str], masses: np.ndarray, seed: int) -> Decision:
        """``masses`` [thought, arm]; every thought counts alike, as it would if each had to be followed by an arm."""
        inside = masses.sum(axis=1)
        outside, n_arms = float(np.clip(1 - inside.mean(), 0, 1)), masses.shape[1]
        kept = np.flatnonzero(inside > 0)
        pick = uniforms(np.array([derive_seed(seed, "pick")]), 0)[0]
        if not len(kept):
            nan = float("nan")
            return Decision(thoughts, [None] * len(thoughts), np.zeros(n_arms), None, nan, nan, 1, 0.0, outside)
        p = masses[kept] / inside[kept, None]  # [thought, arm]
        if self.text.thoughts:
            draws = uniforms(np.array([derive_seed(seed, "arm", int(k)) for k in kept]), 0)
            arms = np.minimum((p.cumsum(axis=1) <= draws[:, None]).sum(axis=1), n_arms - 1)
            texts = [f"{thoughts[k]}\n{self.text.action(int(arm))}" for k, arm in zip(kept, arms, strict=True)]
            chosen = int(pick * len(kept))
        else:
            arms = np.arange(n_arms)
            texts = [self.text.action(arm).removeprefix(self.text.lead) for arm in range(n_arms)]
            chosen = min(int((p[0].cumsum() <= pick).sum()), n_arms - 1)
        counts = p.mean(axis=0)
        entropy = float(plugin_entropy(counts))
        return Decision(texts, arms.tolist(), counts, chosen, entropy, entropy, 1, 1 - outside, outside)
