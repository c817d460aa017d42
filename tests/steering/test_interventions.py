from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steering import Ablate, Add, Replace, SetProjection, SteeringVector
from workbench.errors import ArtifactError, DataError, SpecError
from workbench.models.interventions import Intervention, Scope, Window
from workbench.sites import Site

EVERYWHERE = Scope.everywhere()
D = 8


def every_kind(direction, multiplier, scope=EVERYWHERE):
    """One of each intervention with that vector and that multiplier."""
    return [
        Add(direction, multiplier, site=1, scope=scope),
        Ablate(direction, multiplier, site=1, scope=scope),
        SetProjection(direction, 3.0, multiplier, site=1, scope=scope),
        Replace(direction, multiplier, site=1, scope=scope),
    ]


def bits(tensor):
    return tensor.contiguous().view({4: torch.int32, 2: torch.int16, 8: torch.int64}[tensor.element_size()])


def test_all_implement_the_protocol(vector):
    for intervention in every_kind(vector, 1.0):
        assert isinstance(intervention, Intervention)
        assert (intervention.fingerprint, intervention.basis) == ("model-a", "raw")
    for intervention in every_kind(torch.ones(D), 1.0):
        assert (intervention.fingerprint, intervention.basis) == (None, None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("multiplier", [0.0, torch.zeros(3)], ids=["scalar", "per row"])
def test_multiplier_zero_equals_the_input_bit_for_bit(make_where, dtype, multiplier):
    z = torch.randn(3, 5, D).to(dtype)
    z[0, 0] = -0.0  # adding +0.0 would flip the sign bit
    z[1, 1, 0] = float("inf")
    where = make_where([5, 5, 5], [2, 2, 2])
    for intervention in every_kind(torch.randn(D), multiplier):
        assert torch.equal(bits(intervention(z, where)), bits(z)), intervention


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dtype_is_kept_and_the_input_left_alone(make_where, dtype):
    z = torch.randn(2, 3, D).to(dtype)
    before = z.clone()
    for intervention in every_kind(torch.randn(D), 0.7):
        out = intervention(z, make_where([3, 3], [1, 1]))
        assert out.dtype == dtype
        assert out.shape == z.shape
        assert not torch.equal(out, z)
        assert torch.equal(z, before)


SCOPES = st.builds(
    Scope,
    st.none() | st.builds(Window, st.none() | st.integers(-4, 4), st.none() | st.integers(-4, 4)),
    st.none() | st.builds(Window, st.none() | st.integers(0, 4), st.none() | st.integers(0, 4)),
)


@settings(max_examples=80, deadline=None)
@given(st.data(), SCOPES)
def test_only_positions_in_scope_change(make_where, data, scope):
    lengths = data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    prompts = [data.draw(st.integers(1, n)) for n in lengths]
    where = make_where(lengths, prompts)
    z = torch.randn(len(lengths), max(lengths), D)
    mask = scope.mask(where)
    for intervention in every_kind(torch.randn(D), 0.9, scope):
        changed = (bits(intervention(z, where)) != bits(z)).any(-1)
        assert torch.equal(changed, mask), intervention


def test_default_scope_is_the_last_prompt_token_and_every_generated_one(make_where):
    where = make_where([6, 4], [3, 4])
    out = Add(torch.ones(D), site=0)(torch.zeros(2, 6, D), where)
    assert out[..., 0].tolist() == [[0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 0, 0]]


def test_one_decode_step_under_a_cache_equals_the_full_pass(make_where):
    z, vector = torch.randn(2, 6, D), torch.randn(2, D)
    full = make_where([6, 6], [3, 2])
    for intervention in every_kind(vector, torch.tensor([1.5, -0.5]), Scope.parse("prompt[-1:]+generation[0:2]")):
        steps = [
            intervention(z[:, i : i + 1], replace(full, **{k: v[:, i : i + 1] for k, v in vars(full).items()}))
            for i in range(6)
        ]
        assert torch.equal(torch.cat(steps, 1), intervention(z, full))


def test_add_is_an_explicit_matmul_of_multipliers_and_vectors(make_where):
    z = torch.randn(3, 4, D)
    vectors, multipliers = torch.randn(3, D), torch.tensor([2.0, -1.0, 0.5])
    out = Add(vectors, multipliers, site=0, scope=EVERYWHERE)(z, make_where([4, 4, 4], [4, 4, 4]))
    expected = z + (torch.diag(multipliers) @ vectors)[:, None, :]
    torch.testing.assert_close(out, expected)


def test_per_row_values_follow_where_rows_and_not_the_batch_index(make_where):
    z, multipliers = torch.zeros(4, 2, D), torch.tensor([1.0, 10.0])
    where = make_where([2] * 4, [1] * 4, rows=[1, 0, 0, 1])
    out = Add(torch.ones(D), multipliers, site=0, scope=EVERYWHERE)(z, where)
    assert out[:, 0, 0].tolist() == [10, 1, 1, 10]
    vectors = torch.stack([torch.full((D,), 3.0), torch.full((D,), 5.0)])
    assert Add(vectors, site=0, scope=EVERYWHERE)(z, where)[:, 0, 0].tolist() == [5, 3, 3, 5]
    where.rows[0] = torch.tensor([0, 1])  # completions of two prompts side by side along pos
    assert Add(torch.ones(D), multipliers, site=0, scope=EVERYWHERE)(z, where)[0, :, 0].tolist() == [1, 10]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_batch_of_rows_equals_one_by_one_bit_for_bit(make_where, dtype):
    z, vectors, multipliers = torch.randn(4, 3, D).to(dtype), torch.randn(4, D), [0.0, 0.1, -2.0, 7.0]
    where = make_where([3] * 4, [2] * 4)
    alone = make_where([3], [2])
    for kind, batched in enumerate(every_kind(vectors, torch.tensor(multipliers))):
        for row in range(4):
            single = every_kind(vectors[row], multipliers[row])[kind]
            assert torch.equal(batched(z, where)[row], single(z[row : row + 1], alone)[0]), batched


def test_bfloat16_is_rounded_once(make_where):
    z, v = torch.randn(1, 3, D).bfloat16(), torch.randn(D) / 50
    out = Add(v, 3.0, site=0, scope=EVERYWHERE)(z, make_where([3], [3]))
    assert torch.equal(out, (z.float() + 3 * v).bfloat16())


def test_ablation_leaves_no_component_and_nothing_else_changes(make_where, vector):
    z, where = torch.randn(2, 4, D), make_where([4, 4], [4, 4])
    out = Ablate(vector, scope=EVERYWHERE)(z, where)
    assert vector.project(out).abs().max() < 1e-5
    unit = vector.normalized().vector
    torch.testing.assert_close(out, z @ (torch.eye(D) - torch.outer(unit, unit)))
    half = Ablate(vector, multiplier=0.5, scope=EVERYWHERE)(z, where)
    torch.testing.assert_close(vector.project(half), vector.project(z) / 2)


def test_ablating_a_list_removes_the_whole_span(make_where):
    z, where = torch.randn(2, 4, D), make_where([4, 4], [4, 4])
    a, b = torch.randn(D), torch.randn(D)
    out = Ablate([a, b, a + b], site=0, scope=EVERYWHERE)(z, where)  # oblique and linearly dependent
    basis = torch.linalg.qr(torch.stack([a, b], 1)).Q
    torch.testing.assert_close(out, z - z @ basis @ basis.mT)
    zero = Ablate([a, b], multiplier=0.0, site=0, scope=EVERYWHERE)
    assert torch.equal(bits(zero(z, where)), bits(z))


def test_set_projection_sets_it_and_keeps_the_rest(make_where, vector):
    z, where = torch.randn(2, 4, D), make_where([4, 4], [4, 4])
    out = SetProjection(vector, torch.tensor([3.0, -1.0]), scope=EVERYWHERE)(z, where)
    torch.testing.assert_close(vector.project(out), torch.tensor([[3.0], [-1.0]]).expand(2, 4))
    ablate = Ablate(vector, scope=EVERYWHERE)
    torch.testing.assert_close(ablate(out, where), ablate(z, where))


def test_replace_puts_exactly_the_value_there(make_where):
    z, values = torch.randn(2, 3, D), torch.randn(2, D)
    out = Replace(values, site=0, scope="prompt[0:1]")(z, make_where([3, 3], [3, 3]))
    assert torch.equal(out[:, 0], values)
    assert torch.equal(out[:, 1:], z[:, 1:])


def test_interventions_compose_in_order(make_where, vector):
    z, where = torch.randn(1, 2, D), make_where([2], [2])
    add, ablate = Add(vector, 2.0, scope=EVERYWHERE), Ablate(vector, scope=EVERYWHERE)
    assert vector.project(ablate(add(z, where), where)).abs().max() < 1e-5
    torch.testing.assert_close(vector.project(add(ablate(z, where), where)), torch.full((1, 2), 2 * vector.norm))


def test_text_forms_of_site_and_scope_are_read(vector):
    add = Add(vector, 2, site="2.attn_out", scope="generation[0:5]")
    assert (add.site, add.scope, add.multiplier) == (Site(2, "attn_out"), Scope(None, Window(0, 5)), 2.0)
    with pytest.raises(SpecError, match="cannot read scope"):
        Add(vector, scope="everything")


def test_gradients_reach_a_learned_vector(make_where):
    v = torch.zeros(D, requires_grad=True)
    Add(v, site=0)(torch.zeros(1, 2, D), make_where([2], [1])).sum().backward()
    assert torch.equal(v.grad, torch.full((D,), 2.0))


def test_wrong_width_raises_one_clear_line(make_where):
    for intervention in [*every_kind(torch.ones(5), 1.0), Ablate([torch.ones(5)], site=1)]:
        with pytest.raises(DataError, match=r"at blocks.1.hook_resid_post: the \w+ has width 5, the activation 8"):
            intervention(torch.ones(1, 2, D), make_where([2], [1]))


def test_too_few_rows_raise_one_clear_line(make_where):
    where = make_where([2] * 3, [1] * 3)
    for intervention in every_kind(torch.ones(2, D), 1.0) + every_kind(torch.ones(D), torch.ones(2)):
        with pytest.raises(DataError, match="values for 2 rows, the batch has a row 2"):
            intervention(torch.ones(3, 2, D), where)


@pytest.mark.parametrize(
    "bad", [torch.ones(1, 2, 3), torch.tensor([float("nan")] * D), torch.ones(D, dtype=torch.int64)]
)
def test_unusable_vectors_raise_when_built(bad):
    for kind in (Add, Ablate, SetProjection, Replace):
        with pytest.raises(DataError):
            kind(bad, site=0)


def test_unusable_multipliers_and_directions_raise_when_built(vector):
    with pytest.raises(DataError, match="multiplier must be"):
        Add(vector, float("inf"))
    with pytest.raises(DataError, match="multiplier must be"):
        Add(vector, torch.ones(2, 2))
    with pytest.raises(DataError, match="different numbers of rows"):
        Add(torch.ones(3, D), torch.ones(2), site=0)
    with pytest.raises(DataError, match="norm 0"):
        Ablate(torch.zeros(D), site=0)
    with pytest.raises(DataError, match="norm 0"):
        SetProjection(torch.stack([torch.ones(D), torch.zeros(D)]), site=0)
    with pytest.raises(DataError, match="one width"):
        Ablate([], site=0)


def test_directions_of_two_models_do_not_mix(vector):
    other = SteeringVector(Site(3), torch.ones(D), fingerprint="model-b")
    with pytest.raises(ArtifactError, match="different fingerprint"):
        Ablate([vector, other])
