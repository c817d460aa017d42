"""LoRA finetuning: what is learned, what stays as it was, resuming, and the adapter folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import ArtifactError, DataError, ModelError, RunError
from workbench.models import check_backend
from workbench.models.tiny import SHAPES, tiny_model
from workbench.training import lora
from workbench.training.lora import LoRA, Pair, finetune, load_adapter

pytestmark = pytest.mark.slow

PAIRS = [Pair("a b", " c"), Pair("d e", " f")] * 8
RECIPE = LoRA(rank=4, alpha=8, lr=0.02, batch=4, epochs=6)


def logits(model) -> torch.Tensor:
    return model.forward(["a b", "d e"], logits=True).logits


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_learns_the_completions_and_the_model_itself_stays_as_it_was(shape: str, tmp_path: Path) -> None:
    model = tiny_model(shape)
    before, weights = logits(model), {k: v.clone() for k, v in model.backend.hf_model.state_dict().items()}
    tuned = finetune(model, PAIRS, tmp_path, RECIPE)
    said = [one.text for (one,) in tuned.generate(["a b", "d e"], max_new_tokens=3, temperature=0)]
    assert said == [" c", " f"]
    assert torch.equal(logits(model), before)
    after = model.backend.hf_model.state_dict()
    assert after.keys() == weights.keys() and all(torch.equal(after[k], v) for k, v in weights.items())


def test_the_finetuned_model_is_an_ordinary_model_with_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    model = tiny_model()
    tuned = finetune(model, PAIRS, tmp_path, RECIPE, name="mine")
    assert tuned.name == "mine" and tuned.fingerprint != model.fingerprint
    assert not any("lora" in name for name, _ in tuned.backend.hf_model.named_modules())
    assert check_backend(tuned).ok


def test_merged_weights_are_those_of_the_formula(tmp_path: Path) -> None:
    """W + alpha / rank * B A (arXiv 2106.09685, equation 3), read from the adapter's own file."""
    from safetensors.torch import load_file

    model = tiny_model()
    tuned = finetune(model, PAIRS, tmp_path, RECIPE)
    adapter = load_file(tmp_path / "adapter_model.safetensors")
    key = "model.layers.1.self_attn.q_proj"
    a, b = (adapter[f"base_model.model.{key}.lora_{side}.weight"] for side in "AB")
    expected = model.backend.hf_model.get_parameter(f"{key}.weight") + RECIPE.alpha / RECIPE.rank * b @ a
    torch.testing.assert_close(tuned.backend.hf_model.get_parameter(f"{key}.weight"), expected)


def test_a_first_step_has_the_loss_of_the_model_itself(tmp_path: Path) -> None:
    """Adapters start at zero, so the first loss is minus the mean log-probability that ``score`` gives."""
    model, seen = tiny_model(), []
    finetune(model, PAIRS[:1], tmp_path, LoRA(rank=2, batch=1), report=lambda state: seen.append(state["loss"]))
    tokens = [*model.encode_continuation(" c"), model.tokenizer.eos_token_id]
    ((score,),) = model.score(["a b"], [[tokens]])
    assert seen == pytest.approx([-score.logprob / len(tokens)], abs=1e-5)


def test_killed_it_goes_on_to_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    often = {"checkpoint_seconds": 0.0}
    whole = finetune(tiny_model(), PAIRS, tmp_path / "whole", RECIPE, **often)

    def die(state: dict[str, float]) -> None:
        if state["step"] == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(tiny_model(), PAIRS, tmp_path / "halved", RECIPE, report=die, **often)
    with pytest.raises(ArtifactError, match="no finished adapter"):
        load_adapter(tiny_model(), tmp_path / "halved")
    steps: list[float] = []
    go_on = {"report": lambda state: steps.append(state["step"])}
    again = finetune(tiny_model(), PAIRS, tmp_path / "halved", RECIPE, **go_on, **often)
    assert steps[0] > 1 and again.fingerprint == whole.fingerprint
    assert sorted(file.name for file in (tmp_path / "halved").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "finetuning.json",
    ]  # fmt: skip


def test_a_finished_adapter_is_loaded_instead_of_trained_again(tmp_path: Path) -> None:
    first = finetune(tiny_model(), PAIRS, tmp_path, RECIPE)
    again = finetune(tiny_model(), PAIRS, tmp_path, RECIPE, report=lambda _: pytest.fail("trained again"))
    assert again.fingerprint == first.fingerprint == load_adapter(tiny_model(), tmp_path).fingerprint


def test_the_seed_and_nothing_else_decides_the_weights(tmp_path: Path) -> None:
    short = LoRA(rank=2, lr=0.01, batch=4)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    a = finetune(tiny_model(), PAIRS, tmp_path / "a", short, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    b = finetune(tiny_model(), PAIRS, tmp_path / "b", short, seed=5)
    c = finetune(tiny_model(), PAIRS, tmp_path / "c", short, seed=6)
    assert a.fingerprint == b.fingerprint != c.fingerprint


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    finetune(tiny_model(), PAIRS[:2], tmp_path, LoRA(rank=2, batch=2))
    with pytest.raises(ArtifactError, match="belongs to another model"):
        load_adapter(tiny_model(seed=1), tmp_path)
    with pytest.raises(RunError, match="another model, recipe, seed or data"):
        finetune(tiny_model(), PAIRS[:4], tmp_path, LoRA(rank=2, batch=2))


def test_an_adapter_written_by_peft_itself_is_taken(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    from workbench.models.tiny import tiny_hf_model

    model = tiny_model()
    adapted = get_peft_model(tiny_hf_model("llama"), LoraConfig(r=2, init_lora_weights=False, task_type="CAUSAL_LM"))
    adapted.save_pretrained(tmp_path)
    ours = logits(load_adapter(model, tmp_path))
    tokens = torch.tensor([model.encode("a b"), model.encode("d e")])
    torch.testing.assert_close(ours, adapted.eval()(tokens).logits, atol=1e-4, rtol=1e-4)


def test_mistakes_are_one_clear_line(tmp_path: Path) -> None:
    model = tiny_model()
    with pytest.raises(DataError, match="no pairs"):
        finetune(model, [], tmp_path)
    with pytest.raises(DataError, match="empty completion"):
        finetune(model, [Pair("a", "")], tmp_path)
    with pytest.raises(ModelError, match="more than the 256 positions"):
        finetune(model, [Pair("a " * 300, "b")], tmp_path)
    with pytest.raises(DataError, match="LoRA on tiny-llama"):
        finetune(model, PAIRS, tmp_path, LoRA(targets=("nothing",)))
    with pytest.raises(DataError, match="rank is 0"):
        LoRA(rank=0)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 7), st.integers(1, 3), st.integers(0, 9))
def test_an_epoch_has_every_row_once(lengths: list[int], batch: int, epochs: int, seed: int) -> None:
    steps = lora._batches(np.array(lengths), batch, epochs, seed)
    assert sorted(np.concatenate(steps).tolist()) == sorted(list(range(len(lengths))) * epochs)
    assert max(map(len, steps)) <= batch
    first = np.concatenate(steps[: len(steps) // epochs])
    assert sorted(first.tolist()) == list(range(len(lengths)))


def test_the_mark_says_what_the_adapter_is(tmp_path: Path) -> None:
    model = tiny_model()
    finetune(model, PAIRS[:2], tmp_path, LoRA(rank=2, batch=2), seed=3)
    mark = json.loads((tmp_path / "finetuning.json").read_text())
    assert mark["identity"]["base"] == model.fingerprint and mark["identity"]["seed"] == 3
    assert mark["base_name"] == model.name
