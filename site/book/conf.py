"""Sphinx's settings for the book of the lessons. Nothing is executed, and nothing is fetched when it is read."""

from pathlib import Path

from docutils.nodes import literal_block
from sphinx.search import IndexBuilder

from tools import lessons

REPO, REF = lessons.address()
SITE = lessons.ROOT / "site"
project = html_title = "AudioLDM notebooks"
copyright = "the authors; text CC BY 4.0, code MIT"
extensions = ["myst_nb"]
templates_path = ["_templates"]
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure"]

nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
mathjax_path = "tex-svg.js"

html_theme = "sphinx_book_theme"
html_context = {"default_mode": "auto"}
html_static_path = ["_static", str(SITE / "site.css"), str(SITE / "node_modules" / "mathjax" / "es5" / "tex-svg.js")]
html_css_files = ["site.css", "book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_search_scorer = str(Path(__file__).with_name("scorer.js"))
html_favicon = "_static/icon.svg"
html_sourcelink_suffix = ""
html_sidebars = {"**": ["navbar-logo.html", "try.html", "search-button-field.html", "sbt-sidebar-nav.html"]}
html_theme_options = {
    "navbar_persistent": [],
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "footer_content_items": ["copyright.html"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
if REPO:
    html_theme_options |= {
        "repository_url": f"https://github.com/{REPO}",
        "repository_branch": REF,
        "path_to_docs": "notebooks",
        "use_repository_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }


def without_code(index: IndexBuilder, docname: str, filename: str, title: str, doctree) -> None:
    """Feed a page to the search index without its code cells and what they put out."""
    text = doctree.deepcopy()
    for block in list(text.findall(literal_block)):
        block.parent.remove(block)
    feed(index, docname, filename, title, text)


feed, IndexBuilder.feed = IndexBuilder.feed, without_code
