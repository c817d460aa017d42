"""Text forms of a site read back, and errors name the way out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import SiteError
from workbench.sites import COMPONENTS, Site, SiteMap, parse_sites

SITES = st.builds(Site, st.integers(0, 200), st.sampled_from(sorted(COMPONENTS)))


@given(SITES)
def test_hook_name_and_short_form_read_back(site):
    assert Site.parse(str(site)) == site
    assert Site.parse(f"{site.layer}.{site.component}") == site
    assert Site.parse(site) is site


@pytest.mark.parametrize("text", [3, "3", " 3 ", "3.resid_post", "blocks.3.hook_resid_post", "blocks.3.resid_post"])
def test_every_form_of_a_layer_is_its_resid_post(text):
    assert Site.parse(text) == Site(3)


def test_older_transformer_lens_name_of_the_mlp_output_is_read():
    assert Site.parse("blocks.1.mlp.hook_out") == Site(1, "mlp_out")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3.resid_pots", "did you mean 'resid_post'"),
        (None, "cannot read layer None"),
        (1.0, "cannot read layer 1.0"),
        (True, "cannot read layer True"),
        ("resid_post", "write blocks.3.hook_resid_post"),
        ("", "cannot read site"),
    ],
)
def test_unreadable_site_says_what_would_be_right(text, said):
    with pytest.raises(SiteError, match=said):
        Site.parse(text)


def test_list_range_and_generator_of_layers_give_the_same_sites():
    expected = (Site(0), Site(1), Site(2))
    assert parse_sites([0, 1, 2]) == parse_sites(range(3)) == parse_sites(layer for layer in range(3)) == expected


def test_single_site_duplicates_and_order():
    assert parse_sites("2.attn_out") == (Site(2, "attn_out"),)
    assert parse_sites([4, 1, "4.resid_post", Site(1)]) == (Site(4), Site(1))
    assert parse_sites([]) == ()


def test_layer_that_the_model_does_not_have_is_refused():
    assert parse_sites([5], n_layers=6) == (Site(5),)
    with pytest.raises(SiteError, match="the model has layers 0 to 5"):
        parse_sites([0, 6], n_layers=6)


@pytest.mark.parametrize("site", [-1, "-1", "-1.resid_post", "blocks.-1.hook_resid_post", Site(-1), np.int64(-1)])
def test_negative_layers_are_resolved_once_the_number_of_layers_is_known(site):
    assert parse_sites(site, n_layers=6) == parse_sites([site, 5], n_layers=6) == (Site(5),)
    assert SiteMap({5: "last"}, n_layers=6)[site] == "last"
    with pytest.raises(SiteError, match="counts from the end, which needs a model"):
        SiteMap({5: "last"})[site]


def test_layer_before_the_first_is_refused_with_the_range():
    with pytest.raises(SiteError, match=r"layers 0 to 5 \(or -6 to -1, from the end\)"):
        parse_sites([0, -7], n_layers=6)
    assert [site.layer for site in parse_sites(range(-2, 0), n_layers=6)] == [4, 5]


def test_layers_of_other_libraries_are_plain_integers():
    for layer in (np.int32(3), np.array(3)):
        assert type(Site.parse(layer).layer) is type(Site(layer).layer) is int


def test_site_map_is_asked_by_any_form_and_names_the_nearest():
    held = SiteMap({"1.resid_post": 0, 2: None}, n_layers=4)
    assert held[1] == held["blocks.1.hook_resid_post"] == held.get(-3) == 0
    assert 1 in held and 2 in held and -2 in held and 3 not in held and "nonsense" not in held
    assert held.map(str) == {Site(1): "0", Site(2): "None"} and held.get(3, "none") == "none"
    with pytest.raises(SiteError, match=r"blocks.3.hook_resid_post was not captured; did you mean"):
        held["3.resid_post"]


def test_sites_sort_by_layer_and_serve_as_keys():
    assert sorted([Site(2), Site(1, "resid_pre"), Site(1, "attn_out")])[0] == Site(1, "attn_out")
    assert {Site(1): "a"}[Site.parse("1")] == "a"
