"""A grid agent of SmolLM2-135M-Instruct: its exact answers are Hugging Face's numbers behind the chat template."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.worlds.grids.agents.agent import GridAgent
from workbench.worlds.grids.layouts import State
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.text import GridText, wording_for

pytestmark = pytest.mark.real


@pytest.mark.parametrize("reasoning", [False, True])
def test_a_chat_model_answers_with_a_letter_at_once_and_behind_its_reasoning(smollm2, reasoning: bool) -> None:
    text = GridText(reasoning, wording_for("smollm2-135m"), "letter")
    agent = GridAgent(smollm2, text, temperature=1.0, top_p=1.0, max_new_tokens=8, exact=True)
    layout = make_layout(5, 1.0, seed=2)
    [decision] = agent.decide([(layout, State(layout.start))], [0])
    template = smollm2.tokenizer.apply_chat_template
    chat = [{"role": "user", "content": text.prompt(layout, layout.initial)}]
    asked = template(chat, add_generation_prompt=True, tokenize=False)
    thought = decision.completion.removesuffix(text.answer(decision.move)) if reasoning else ""
    tokens = smollm2.tokenizer(asked + thought + "Move:", add_special_tokens=False)["input_ids"]
    letters = [smollm2.tokenizer(f" {letter}", add_special_tokens=False)["input_ids"][0] for letter in "LRUD"]
    with torch.no_grad():
        p = smollm2.backend.hf_model(torch.tensor([tokens])).logits[0, -1].float().softmax(-1)[letters].numpy()
    np.testing.assert_allclose(decision.outside_mass, 1 - p.sum(), atol=2e-3)
    np.testing.assert_allclose(decision.probabilities, p / p.sum(), atol=2e-3)
    assert 0.1 < p.sum() < 0.9  # much of its mass is on what is no move
