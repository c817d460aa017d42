"""What cannot be run is said of any family's spec before its model is loaded, and by ``--dry-run``."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import ValidationError

from workbench.errors import ModelError, SpecError, WorkbenchError
from workbench.families import Family, ModelSpec, Step, get_family, plan
from workbench.families.specs import Layer
from workbench.models import loading
from workbench.models.tiny import tiny_model


class ToySpec(ModelSpec):
    world: ClassVar[str] = "bandits"
    repeatable: ClassVar[tuple[str, ...]] = ("widths",)

    model: str = "bandit-agent"
    layers: tuple[Layer, ...] | None = None
    doses: tuple[float, ...] = (1.0, 2.0)
    widths: tuple[int, ...] = (8, 8)
    pair: tuple[float, float] = (1.0, 1.0)
    share: float = 0.5
    max_new_tokens: int = 8


def _steps(spec):
    return [Step(f"layer-{layer}", "", lambda context: None) for layer in spec.known_layers(spec.layers)]


TOY = Family("toy", "A toy", ToySpec, {"smoke": ToySpec()}, _steps)


@pytest.fixture(autouse=True)
def no_weights(monkeypatch):
    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", None)


def test_a_spec_that_can_be_run_has_a_plan():
    assert len(plan(TOY, ToySpec())) == 6
    assert len(plan(TOY, ToySpec(layers=(-1, 0), device="cuda:1", dtype="bfloat16", device_map="auto"))) == 2


def test_layers_as_shares_of_depth_are_the_blocks_that_hold_them_and_name_a_block_once():
    def resolved(*layers):
        return ToySpec().known_layers(layers)  # of bandit-agent's six

    assert resolved(0.01, 0.5, 0.99) == (0, 3, 5)
    assert resolved(0.5, 0.6, -1, 0.9) == (3, 5)
    assert resolved(0.5, 1) == (3, 1) and ToySpec(layers=(1.0,)).layers == (1,)
    assert ToySpec.model_validate_json(ToySpec(layers=(0.3, 2)).model_dump_json()).layers == (0.3, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backend": "nnsigth"}, "unknown back end 'nnsigth'; did you mean 'nnsight'"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"device_map": "atuo"}, "unknown device 'atuo'"),
        ({"dtype": "flaot32"}, "unknown dtype 'flaot32'"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"model": "bandit-agnet"}, "did you mean 'bandit-agent'"),
        ({"model": "grid-agent"}, "grid-agent was trained for grids, not bandits: take bandit-agent"),
        ({"model": "pinpad-base"}, "pinpad-base was trained for pinpad, not bandits"),
        ({"model": str(loading.shipped_models()["pinpad-base"])}, "reads observations, not text"),
        ({"max_new_tokens": 4096}, "bandit-agent has 4096 positions"),
        ({"layers": (6,)}, "layer 6 does not exist: bandit-agent has layers 0 to 5"),
        ({"layers": (5, -1)}, "two of them are the same layer"),
    ],
)
def test_what_a_model_cannot_do_is_said_before_it_is_loaded(changes, said):
    with pytest.raises(WorkbenchError, match=said) as caught:
        plan(TOY, ToySpec(**changes))
    assert "\n" not in str(caught.value)


def test_options_of_the_chat_template_reach_the_model_of_a_spec_and_no_other(monkeypatch):
    model = tiny_model("llama")
    model.tokenizer.chat_template = "{{ 'a ' if thinking else 'b ' }}{{ messages[0]['content'] }}"
    monkeypatch.setattr(loading, "load_model", lambda *args, **options: model)
    spec = ToySpec(template={"thinking": True})
    chat = [{"role": "user", "content": "c"}]
    assert [spec.load().written(chat), spec.load("another").written(chat)] == ["a c", "b c"]
    with pytest.raises(SpecError, match="knows no option 'thinkin'; did you mean 'thinking'"):
        ToySpec(template={"thinkin": True}).load()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"doses": (1.0, 2.0, 1.0)}, "1.0 is named twice"),
        ({"layers": (1, 1)}, "1 is named twice"),
        ({"layers": (0.5, 0.5)}, "0.5 is named twice"),
        ({"layers": (1.5,)}, "a share of the model's depth between 0 and 1"),
        ({"doses": (1.0, float("nan"))}, "finite number"),
        ({"share": float("inf")}, "finite number"),
        ({"shares": 0.5}, "Extra inputs"),
    ],
)
def test_no_field_of_any_spec_holds_a_value_twice_or_one_that_is_no_number(changes, said):
    with pytest.raises(ValidationError, match=said):
        ToySpec(**changes)


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        ("east", {"wording": 99}, "wording 99 does not exist"),
        ("east", {"prefill": ""}, "at least 1 character"),
        ("east", {"request": "{plurals}"}, "write {plural} for the arms"),
        ("east", {"temperatures": (0.0,)}, "greater than or equal"),
        ("east", {"top_ps": (1.5,)}, "less than or equal"),
        ("internal-rl", {"base": "pinpad-bsae"}, "did you mean 'pinpad-base'"),
        ("internal-rl", {"base": "bandit-agent"}, "reads text, not observations"),
        ("internal-rl", {"base": "train", "recipe": "cup"}, "did you mean 'cpu'"),
        ("internal-rl", {"device": "tpu"}, "unknown device"),
        ("self-prediction", {"candidates": ("pinpad-base", "copy")}, "pinpad-base was trained for pinpad"),
        ("concept-injection", {"model": "bandit-agent"}, "bandit-agent was trained for bandits, not questions"),
        ("concept-injection", {"judge": "babbler"}, "did you mean 'babbler-"),
    ],
)
def test_families_refuse_what_they_cannot_run(family, changes, said):
    found = get_family(family)
    with pytest.raises((SpecError, ModelError, ValidationError), match=said):
        plan(found, found.spec(**changes))
