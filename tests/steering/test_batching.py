"""Rows of one batch, each steered by its own set of interventions, are what they are alone."""

import pytest
import torch

from steering import Ablate, Add, OnRows, SetProjection, SteeringVector, side_by_side
from workbench.errors import ArtifactError, DataError
from workbench.models.tiny import tiny_model

MODEL = tiny_model()
D = MODEL.d_model
PROMPTS = ["a b c", "a b c", "d e", "k"]
DRAW = torch.Generator().manual_seed(0)
ONE, TWO = torch.randn(D, generator=DRAW), torch.randn(D, generator=DRAW)
SETS = [
    [],
    [Add(ONE, dose=0.5, site=1)],
    [Add(TWO, dose=-0.4, site=1), Add(ONE, dose=0.3, site=1), Add(ONE, 2.0, site=-1)],
    [Ablate(ONE, site=1), Add(TWO, dose=1.0, site=1), SetProjection(TWO, 3.0, site=2, scope="prompt+generation")],
]


@pytest.mark.parametrize("counts", [1, 2, [1, 3, 0, 2]])
def test_scores_of_each_block_are_those_of_its_set_alone(counts):
    lengths = [counts] * len(SETS) if isinstance(counts, int) else counts
    rows = [PROMPTS[(block + k) % 4] for block, n in enumerate(lengths) for k in range(n)]
    together = MODEL.score(rows, [[" e f", " z"]] * len(rows), side_by_side(SETS, MODEL, counts))
    alone = []
    for own, n in zip(SETS, lengths, strict=True):
        mine = rows[len(alone) : len(alone) + n]
        alone += MODEL.score(mine, [[" e f", " z"]] * n, own) if n else []
    for one, other in zip(together, alone, strict=True):
        assert [s.logprob for s in one] == pytest.approx([s.logprob for s in other], abs=2e-5)


def test_completions_of_each_block_are_those_of_its_set_alone():
    together = MODEL.generate(
        PROMPTS, 2, max_new_tokens=6, seeds=list(range(4)), interventions=side_by_side(SETS, MODEL)
    )
    for row, own in enumerate(SETS):
        alone = MODEL.generate([PROMPTS[row]], 2, max_new_tokens=6, seeds=[row], interventions=own)
        assert [x.text for x in alone[0]] == [x.text for x in together[row]]


def test_additions_at_a_site_become_one_and_unsteered_rows_stay():
    sets = [[], *([Add(ONE, dose=dose, site=layer)] for layer in (1, 2) for dose in (0.1, 0.2, 0.4))]
    merged = side_by_side(sets, MODEL)
    assert [type(each) for each in merged] == [Add, Add]
    plain = MODEL.forward(["a b"] * len(sets), logits=True).logits
    steered = MODEL.forward(["a b"] * len(sets), interventions=merged, logits=True).logits
    torch.testing.assert_close(steered[0], plain[0], atol=1e-5, rtol=1e-5)
    assert (steered[1:] - plain[1:]).abs().flatten(1).amax(1).min() > 1e-2


def test_a_block_has_its_own_row_numbers():
    vectors = torch.stack([ONE, TWO])
    by_row = side_by_side([[], [Add(vectors, torch.tensor([1.0, 2.0]), site=1)], [Ablate(vectors, site=1)]], MODEL, 2)
    rows = ["a b"] * 6
    found = MODEL.forward(rows, sites=[1], interventions=by_row).activations[1]
    for row, own in enumerate([[], [], [Add(ONE, 1.0, site=1)], [Add(TWO, 2.0, site=1)],
                               [Ablate(ONE, site=1)], [Ablate(TWO, site=1)]]):  # fmt: skip
        alone = MODEL.forward(["a b"], sites=[1], interventions=own).activations[1]
        assert torch.allclose(found[row], alone[0], atol=1e-5)


def test_a_vector_of_another_model_and_wrong_counts_are_refused():
    other = SteeringVector(1, ONE, fingerprint="somebody else's")
    with pytest.raises(ArtifactError):
        side_by_side([[], [Add(other, dose=0.1)]], MODEL)
    with pytest.raises(DataError, match="2 sets of interventions and 1 counts"):
        side_by_side([[], []], MODEL, [1])
    with pytest.raises(DataError, match="its block, which has 3"):
        side_by_side([[Add(torch.stack([ONE, TWO]), site=1)]], MODEL, 3)


def test_padding_and_other_rows_are_never_handed_to_what_is_wrapped():
    seen = []

    class Watch(Add):
        def __call__(self, activation, where):
            seen.append(where)
            return super().__call__(activation, where)

    MODEL.forward(["a b c d", "e", "f g"], interventions=[OnRows(Watch(ONE, 1.0, site=1), 1, 2)], logits=True)
    assert all(set(where.rows[where.positions >= 0].tolist()) == {0} for where in seen)
