"""The recipe of bandit-smollm2 on a tiny chat model, and the adapter that ships."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.models import load_model
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.names import shipped_adapters
from workbench.models.tokenizers import word_tokenizer
from workbench.training.lora import load_adapter
from workbench.worlds.bandits import BernoulliArms, BernoulliBandit, play
from workbench.worlds.bandits.agents.language_agent import LanguageAgent
from workbench.worlds.bandits.agents.rollout import rollout
from workbench.worlds.bandits.conversation import Turn
from workbench.worlds.bandits.summary import LABELS, SummaryText
from workbench.worlds.bandits.training.smollm2 import NAME, PRESETS, train

pytestmark = pytest.mark.slow


@pytest.fixture
def chat_model() -> LanguageModel:
    """A tiny Llama that has the labels and digits as tokens, and room for instructions spelt letter by letter."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = word_tokenizer([f" {label}" for labels in LABELS.values() for label in labels], max_integer=-1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=1024, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return LanguageModel(HuggingFaceBackend(LlamaForCausalLM(config).eval()), tokenizer, "tiny")


def test_a_smoke_training_lowers_the_loss_and_leaves_an_adapter_in_bfloat16(chat_model, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    losses: list[float] = []
    facts = train(tmp_path, "smoke", base=chat_model, report=lambda state: losses.append(state["loss"]))
    assert losses[-1] < losses[0]
    assert len(losses) == PRESETS["smoke"].n and facts["tokens"] > 0
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"torch.bfloat16"}
    assert facts["adapter parameters"] == sum(tensor.numel() for tensor in tensors.values())
    assert json.loads((tmp_path / "finetuning.json").read_text())["base_name"] == "tiny"
    assert load_adapter(chat_model, tmp_path).fingerprint != chat_model.fingerprint


def test_asked_again_it_says_the_same_and_trains_nothing(chat_model, tmp_path: Path) -> None:
    first = train(tmp_path, "smoke", base=chat_model, tokens=1)
    again = train(tmp_path, "smoke", base=chat_model, tokens=1, report=lambda _: pytest.fail("trained again"))
    assert again == first


def test_quality_sets_the_agent_beside_oracles_and_its_base_on_the_same_bandits(chat_model, monkeypatch) -> None:
    from workbench.worlds.bandits.training import summary_quality

    text = SummaryText(("A", "B", "C"), horizon=6, pays="all or nothing", shown=(0.0, 1.0))
    monkeypatch.setattr(summary_quality, "settings", lambda: [text])
    monkeypatch.setattr(summary_quality, "HORIZON", 6)
    table = summary_quality.measure_quality(chat_model, episodes=30, base=chat_model)
    rows = table.set_index(["player", "measure"])["estimate"]
    assert rows["SmolLM2 as it comes, at once", "regret"] == rows["agent, at once", "regret"]
    assert rows["ucb", "regret"] < rows["random", "regret"] < 50
    assert rows["agent, samples", "read"] == 0  # nothing was taught
    assert set(table["setting"]) == {"3 arms, all or nothing, horizon 6"}


def test_a_folder_that_a_training_wrote_is_loaded_by_its_path(chat_model, tmp_path: Path) -> None:
    chat_model.backend.hf_model.save_pretrained(tmp_path / "base")
    chat_model.tokenizer.save_pretrained(tmp_path / "base")
    train(tmp_path / "out", "smoke", base=load_model(tmp_path / "base"), tokens=1)
    loaded = load_model(tmp_path / "out")
    assert loaded.fingerprint == load_adapter(load_model(tmp_path / "base"), tmp_path / "out").fingerprint


@pytest.mark.real
@pytest.mark.skipif(NAME not in shipped_adapters(), reason="the adapter does not ship yet")
def test_the_shipped_agent_is_read_and_beats_chance_on_a_few_bandits(smollm2: LanguageModel) -> None:
    """On a bandit whose arms pay always or hardly ever, which a few rounds tell apart."""
    agent = load_adapter(smollm2, shipped_adapters()[NAME], NAME)
    text = SummaryText(LABELS["letters"][:2], horizon=8, pays="all or nothing", shown=(0.0, 1.0))
    means, seeds = (0.05, 0.95), list(range(8))
    at_once = LanguageAgent(agent, replace(text, thinks="none"), exact=True)
    steps = rollout(at_once, BernoulliArms(means), seeds).steps
    chance = play("random", BernoulliBandit(means, horizon=8), seeds)
    assert steps["regret"].sum() < 0.75 * chance["regret"].sum()
    for thinks in ("samples", "upper bounds"):
        player = LanguageAgent(agent, replace(text, thinks=thinks), completions=1, max_new_tokens=48)
        decisions = player.decide([player.prompt([Turn("", 1, 1.0), Turn("", 0, 0.0)])] * 2, [0, 1])
        assert all(decision.valid == 1 for decision in decisions)
