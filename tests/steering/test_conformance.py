"""What holds for every intervention of the package, on numbers and inside a model."""

from __future__ import annotations

import pytest
import torch

from steering import (
    Ablate,
    Add,
    Affine,
    Clamp,
    LowRankControl,
    LowRankControllers,
    RankOne,
    Replace,
    Rotate,
    SetProjection,
    SteeringVector,
)
from workbench.errors import DataError, SiteError, SpecError, WorkbenchError
from workbench.models.continuations import as_generated
from workbench.models.interventions import Intervention, Scope, Where
from workbench.models.tiny import tiny_model
from workbench.sites import Site

D, ROWS = 32, 3
GENERATOR = torch.Generator().manual_seed(0)
VECTORS = torch.randn(ROWS, D, generator=GENERATOR)
MULTIPLIERS = torch.tensor([0.0, 1.5, -0.5])
TOWARDS = torch.randn(D, generator=GENERATOR)
MATRIX = torch.randn(D, D, generator=GENERATOR) / D**0.5
EDITS = {
    "Add": Add,
    "Ablate": Ablate,
    "Ablate a span": lambda vector, *rest, **where: Ablate([VECTORS[0], VECTORS[1]], *rest, **where),
    "SetProjection": lambda vector, *rest, **where: SetProjection(vector, 3.0, *rest, **where),
    "Clamp": lambda vector, *rest, **where: Clamp(vector, 1.5, 2.5, *rest, **where),
    "Rotate": lambda vector, *rest, **where: Rotate([vector, TOWARDS], 70.0, *rest, **where),
    "Rotate to": lambda vector, *rest, **where: Rotate([vector, TOWARDS], 70.0, *rest, **where, to=True),
    "RankOne": lambda vector, *rest, **where: RankOne(vector, TOWARDS, 0.5, *rest, **where),
    "Replace": Replace,
    "Affine": lambda vector, *rest, **where: Affine(MATRIX, vector, *rest, **where),
}
every_edit = pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def bank():
    controllers = LowRankControllers(2, D, rank=2)
    torch.nn.init.normal_(controllers.up, generator=torch.Generator().manual_seed(1))
    return controllers.requires_grad_(False)


def where_of(rows: list[int], pos: int) -> Where:
    row = torch.tensor(rows)[:, None].expand(-1, pos)
    return Where(torch.arange(pos).expand(len(rows), -1), row, torch.full_like(row, 2))


@every_edit
def test_it_implements_the_protocol_and_reads_text_and_integer_sites(edit):
    for site in (2, "2.resid_post", "blocks.2.hook_resid_post", Site(2)):
        built = edit(VECTORS[0], site=site, scope="generation[0:5]")
        assert isinstance(built, Intervention)
        assert (built.site, built.scope) == (Site(2), Scope.parse("generation[0:5]"))
    assert LowRankControl(bank(), torch.zeros(1, dtype=torch.long), site="2.resid_post").site == Site(2)


@every_edit
def test_multiplier_zero_is_the_unsteered_model_bit_for_bit(edit, model):
    prompts = [[5, 6, 7, 8], [9, 10]]
    plain = model.forward(prompts, logits=True).logits
    for zero in (0, 0.0, torch.zeros(2)):
        steer = edit(VECTORS[0], zero, site=1, scope=Scope.everywhere())
        assert torch.equal(model.forward(prompts, interventions=[steer], logits=True).logits, plain)
    steer = edit(VECTORS[0], 2.0, site=1, scope=Scope.everywhere())
    assert not torch.equal(model.forward(prompts, interventions=[steer], logits=True).logits, plain)


@every_edit
@pytest.mark.parametrize("scope", ["prompt+generation", "prompt[-1:]+generation"], ids=["all", "some"])
def test_rows_together_equal_rows_one_by_one(edit, scope):
    z, alone = torch.randn(ROWS, 4, D), where_of([0], 4)
    together = edit(VECTORS, MULTIPLIERS, site=0, scope=scope)(z, where_of([0, 1, 2], 4))
    for row in range(ROWS):
        single = edit(VECTORS[row], float(MULTIPLIERS[row]), site=0, scope=scope)(z[row : row + 1], alone)
        torch.testing.assert_close(together[row : row + 1], single)


@every_edit
def test_one_multiplier_a_row_goes_by_the_callers_row_and_not_by_the_batch_index(edit):
    z = torch.randn(1, 4, D).expand(3, -1, -1)
    out = edit(VECTORS[0], MULTIPLIERS, site=0)(z, where_of([2, 0, 2], 4))
    torch.testing.assert_close(out[0], out[2])
    assert not torch.equal(out[0], z[0])
    assert torch.equal(out[1], z[1])
    with pytest.raises(DataError, match="values for 3 rows, the batch has a row 3"):
        edit(VECTORS[0], MULTIPLIERS, site=0)(z, where_of([3, 0, 2], 4))


@every_edit
def test_generation_under_a_cache_equals_one_pass_over_prompt_and_completion(edit, model):
    prompts = [[5, 6, 7, 8, 9], [10, 11], [12, 13, 14]]
    steer = [edit(VECTORS, MULTIPLIERS, site=1)]
    found = model.generate(prompts, max_new_tokens=5, temperature=0, interventions=steer)
    rows = [prompt + completion[0].tokens for prompt, completion in zip(prompts, found, strict=True)]
    lengths = [len(prompt) for prompt in prompts]
    logits = model.forward(rows, interventions=as_generated(steer, lengths), logits=True).logits
    for row, tokens, length in zip(logits, rows, lengths, strict=True):
        assert row[length - 1 : len(tokens) - 1].argmax(-1).tolist() == tokens[length:]


@every_edit
@pytest.mark.parametrize("given", [2, torch.tensor(2.0), torch.tensor(2), MULTIPLIERS.double().numpy()[1] + 0.5])
def test_a_multiplier_may_be_any_kind_of_number(edit, given):
    z, where = torch.randn(1, 3, D), where_of([0], 3)
    assert edit(VECTORS[0], given, site=0).multiplier == 2.0
    assert torch.equal(edit(VECTORS[0], given, site=0)(z, where), edit(VECTORS[0], 2.0, site=0)(z, where))


@every_edit
@pytest.mark.parametrize("bad", ["2", None, True, float("nan"), 1j, [1.0, None], torch.ones(2, 2), object()])
def test_other_multipliers_are_refused_in_one_line(edit, bad):
    if edit is Add and bad is None:
        return  # not said: 1, or a dose
    with pytest.raises(DataError, match=r"^\w+ at blocks.0.hook_resid_post: multiplier must be [^\n]*$"):
        edit(VECTORS[0], bad, site=0)


@every_edit
@pytest.mark.parametrize("scope", [None, 3, "everywhere"])
def test_what_is_no_scope_is_refused_in_one_line(edit, scope):
    with pytest.raises(SpecError, match=r"^[^\n]*scope[^\n]*$"):
        edit(VECTORS[0], site=0, scope=scope)


@pytest.mark.parametrize("bad", ["abc", None, [1.0, "a"], torch.ones(D, dtype=torch.complex64), torch.ones(D).long()])
@pytest.mark.parametrize("kind", [Add, Ablate, SetProjection, Replace])
def test_what_is_no_vector_is_refused_in_one_line(kind, bad):
    with pytest.raises(WorkbenchError, match=r"^[^\n]+$"):
        kind(bad, site=0)


@every_edit
def test_a_tensor_needs_a_site(edit):
    with pytest.raises(SiteError, match=r"^\w+: only a steering vector knows its site: pass site=, such as"):
        edit(VECTORS[0])


@pytest.mark.parametrize("kind", [Add, Ablate, SetProjection, Replace])
def test_a_steering_vector_acts_where_it_was_made_unless_another_site_is_said(kind):
    vector = SteeringVector(Site(3, "mlp_out"), VECTORS[0])
    assert kind(vector).site == Site(3, "mlp_out")
    assert kind(vector, site="1.resid_post").site == Site(1)


def test_a_list_of_directions_acts_where_all_of_them_were_made():
    here, there = SteeringVector(3, VECTORS[0]), SteeringVector(1, VECTORS[1])
    assert Ablate([here, here]).site == Site(3)
    assert Ablate([here, there], site=2).site == Site(2)
    with pytest.raises(SiteError, match=r"different sites \(blocks.1.hook_resid_post, blocks.3.hook_resid_post\)"):
        Ablate([here, there])


@pytest.mark.parametrize("kind", [Add, Ablate, SetProjection, Replace, Affine, LowRankControl])
@pytest.mark.parametrize("site", [Site(1), 1, "1.resid_post"])
def test_the_site_in_first_place_is_refused_with_the_right_form(kind, site):
    with pytest.raises(SiteError, match=rf"^{kind.__name__} takes the \w+ first .* {kind.__name__}\(\w+, .*site="):
        kind(site, VECTORS[0], 1.0, Scope())
