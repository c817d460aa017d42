"""Text forms of a site read back, and errors name the way out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import SiteError
from workbench.sites import COMPONENTS, Site, parse_sites

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
        ("-1", "layers count from 0"),
        ("-1.resid_post", "layers count from 0"),
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


def test_sites_sort_by_layer_and_serve_as_keys():
    assert sorted([Site(2), Site(1, "resid_pre"), Site(1, "attn_out")])[0] == Site(1, "attn_out")
    assert {Site(1): "a"}[Site.parse("1")] == "a"
