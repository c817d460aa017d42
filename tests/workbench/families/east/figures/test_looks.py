from workbench.families.east.figures.looks import METHODS


def test_no_two_methods_of_one_figure_share_colour_and_marker():
    looks = [(style.colour, style.symbol) for style in METHODS.values()]
    assert len(set(looks)) == len(looks)
