"""What is kept of a batch as its pass goes on: sinks of earlier layers are known at later ones."""

from __future__ import annotations

import torch

from workbench.activations.batches import Pass
from workbench.activations.selection import Selection
from workbench.sites import Site


def test_a_mean_leaves_out_what_was_a_sink_in_layers_before_although_nobody_asked_for_those() -> None:
    selection = Selection([Pass([7] * 6, range(6), [0])], True, None, torch.ones(5))
    chosen = selection.by_site([Site(4), Site(0)])
    assert list(chosen) == [Site(layer) for layer in range(5)]
    stream = torch.ones(5, 1, 6, 2)
    stream[1:3, 0, 2] = 100.0
    stream[4, 0, 2] = 3.0  # three times as long as the others: by itself no sink
    kept = {site: select(stream[site.layer]) for site, select in chosen.items()}
    torch.testing.assert_close(kept[Site(4)], torch.ones(1, 2))
    assert kept[Site(2)].numel() == 0 and selection.sinks.tolist() == [1]


def test_the_layers_of_a_pass_are_read_in_its_order_and_a_block_s_parts_before_its_end() -> None:
    selection = Selection([Pass([7], [0], [0])], False, None, torch.ones(3))
    sites = [Site(2, "attn_out"), Site(1), Site(1, "mlp_out")]
    assert list(selection.by_site(sites)) == [Site(0), Site(1, "mlp_out"), Site(1), Site(2, "attn_out"), Site(2)]


def test_without_looking_for_sinks_only_what_is_asked_for_is_read() -> None:
    selection = Selection([Pass([7, 7], [1], [0])], False, None, None)
    chosen = selection.by_site([Site(2), Site(1)])
    assert list(chosen) == [Site(2), Site(1)]
    assert chosen[Site(2)](torch.arange(4.0).reshape(1, 2, 2)).tolist() == [[2.0, 3.0]]
