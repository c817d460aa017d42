"""Looks of methods: told apart without colour alone, and known ones named as the paper does."""

from workbench.families.east.figures.looks import METHODS, look


def test_no_two_methods_of_one_figure_share_colour_and_marker():
    looks = [(style.colour, style.symbol) for style in METHODS.values()]
    assert len(set(looks)) == len(looks)


def test_unknown_method_is_drawn_grey_under_its_own_name():
    assert look("my_method").name == "my method"
