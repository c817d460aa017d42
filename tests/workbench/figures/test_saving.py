import sys
import types

import numpy as np
import plotly.graph_objects as go
import pytest

from workbench.errors import RunError, SpecError
from workbench.figures import save_figures
from workbench.figures.saving import PLOTLY_JS
from workbench.figures.style import finish, own_tags_only


@pytest.fixture
def figures():
    return {"one": go.Figure(go.Scatter(y=[1, 2])), "two-b": go.Figure(go.Bar(y=[3]))}


@pytest.fixture
def browser(monkeypatch):
    """Put a browser of ours in kaleido's place: ``browser(draw)`` answers ``calc_fig`` with ``draw(figure)``."""

    def install(draw):
        class Kaleido:
            def __init__(self, **_options):
                pass

            async def __aenter__(self):
                return self

            async def __aexit__(self, *_error):
                return None

            async def calc_fig(self, figure, opts):
                return draw(figure)

        monkeypatch.setitem(sys.modules, "kaleido", types.SimpleNamespace(Kaleido=Kaleido))

    return install


def raising(error):
    def draw(_figure):
        raise error

    return draw


def test_html_loads_plotly_from_the_folder_and_nothing_from_the_network(figures, tmp_path):
    written = save_figures(figures, tmp_path, png=False)
    assert [path.name for path in written] == ["one.html", "two-b.html"]
    page = written[0].read_text()
    assert f'src="{PLOTLY_JS}"' in page and 'src="http' not in page and 'href="http' not in page
    assert (tmp_path / PLOTLY_JS).stat().st_size > 1e6 and len(page) < 50_000


def test_the_same_figure_gives_the_same_bytes(figures, tmp_path):
    first = [path.read_bytes() for path in save_figures(figures, tmp_path / "a", png=False)]
    assert first == [path.read_bytes() for path in save_figures(figures, tmp_path / "b", png=False)]


def test_png_stands_beside_each_html(figures, tmp_path, browser):
    browser(lambda figure: b"PNG of " + figure.data[0].type.encode())
    written = save_figures(figures, tmp_path)
    assert [path.name for path in written] == ["one.html", "one.png", "two-b.html", "two-b.png"]
    assert written[3].read_bytes() == b"PNG of bar"


def test_without_a_browser_the_html_is_there_and_one_line_says_why(figures, tmp_path, browser):
    said = []
    browser(raising(type("ChromeNotFoundError", (RuntimeError,), {})("long\nstory")))
    written = save_figures(figures, tmp_path, say=said.append)
    assert [path.suffix for path in written] == [".html", ".html"]
    assert len(said) == 1 and "\n" not in said[0] and "2 of 2" in said[0] and "BROWSER_PATH" in said[0]


def test_a_browser_that_dies_half_way_leaves_what_it_drew(figures, tmp_path, browser):
    said, answers = [], iter([b"PNG"])
    browser(lambda _figure: next(answers, None) or raising(OSError("the browser closed"))(None))
    written = save_figures(figures, tmp_path, say=said.append)
    assert [path.name for path in written] == ["one.html", "one.png", "two-b.html"]
    assert "1 of 2" in said[0] and "the browser closed" in said[0]


def test_failure_is_logged_when_nobody_listens(figures, tmp_path, browser, caplog):
    browser(raising(OSError("no")))
    save_figures(figures, tmp_path)
    assert len(caplog.records) == 1 and caplog.records[0].levelname == "WARNING"


def test_no_temporary_file_is_left(figures, tmp_path):
    save_figures(figures, tmp_path, png=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.html", PLOTLY_JS, "two-b.html"]


def test_no_figures_write_nothing(tmp_path):
    assert save_figures({}, tmp_path / "new") == [] and not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["../out", "", ".hidden", "a/b"])
def test_a_name_that_leaves_the_folder_is_refused(figures, tmp_path, name):
    with pytest.raises(SpecError, match="not a figure's name"):
        save_figures({name: figures["one"]}, tmp_path)


def test_a_folder_that_is_a_file_is_said_in_one_line(figures, tmp_path):
    (tmp_path / "figures").write_text("")
    with pytest.raises(RunError, match="a file stands in its place"):
        save_figures(figures, tmp_path / "figures", png=False)


def test_names_and_texts_of_others_make_no_links_and_no_markup(tmp_path):
    hostile = "<a href='http://a.b'>x</a><img src=y>"
    texts = np.array([hostile], object)
    figure = go.Figure(go.Scatter(x=[hostile], y=[1], name=hostile, text=texts, customdata=[[hostile]]))
    figure = finish(figure, f"own {hostile}", "note")
    [file] = save_figures({'x"><svg onload=y>': figure}, tmp_path, png=False)
    page = file.read_text()
    assert "<svg" not in page and "onload=y>" not in page
    shown = own_tags_only(figure)
    assert str(shown.to_dict()).count("&lt;img") == str(shown.to_dict()).count("img") == 5
    assert shown.layout.title.text.startswith("<b>own &lt;a href")
