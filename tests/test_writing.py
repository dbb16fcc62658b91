"""The prose of lessons and documents: its spelling; and the forms that Colab shows beside code."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
from spellchecker import SpellChecker

from tests.test_house import markdown
from tools import lessons

PROSE = markdown()
NOT_PROSE = r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|<code>.*?</code>|<[^>]+>|\]\([^)]*\)|https?://\S+"
WORD = r"(?<![\w/.@-])[A-Za-z][a-z]+(?:['’][a-z]+)?(?![\w/]|\.\w)"
OURS = """
    adas alt audioldm autoencoder bonferroni brien brightspace centre checksum chong colab colour colours
    contrastively dask denoised denoising diff docstring docstrings dtype equaliser equalisers favourite favours
    frechet freesound grey griffin heun inpainting intraclass ipywidgets jupyter jupyterhub jupyterlab kaggle
    labelled labelling latents liang librosa liu loopback mels moodle multistep nbgrader neighbour neighbouring
    neighbours normalise normalised normalises numpy pytest recognise recognised runtime slerp subfolder
    synthesise synthesised synthesiser synthesises timestep timesteps tokenizer unet utils vae vocoder vocoders
    vorbis workflow workflows
"""  # names and terms of the field, and British spellings, that the dictionary lacks


@cache
def known() -> SpellChecker:
    checker = SpellChecker()
    checker.word_frequency.load_text(OURS)
    return checker


def without_credits(text: str) -> str:
    """Return a document without the rows of its tables that name an author's page: names are not spelled by rule."""
    return "\n".join(line for line in text.splitlines() if not (line.startswith("|") and "/people/" in line))


def unknown(text: str) -> list[str]:
    words = {word.lower().replace("’", "'") for word in re.findall(WORD, re.sub(NOT_PROSE, " ", text, flags=re.S))}
    return sorted(word for word in words if word not in known() and word.removesuffix("'s") not in known())


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.name)
def test_every_word_is_known_to_the_dictionary_or_to_us(path):
    assert unknown(without_credits(PROSE[path])) == [], "correct the spelling, or add the word to OURS"


def test_a_misspelt_word_is_found_and_code_and_links_are_let_be():
    assert unknown("The vocoder recieves a spectrogramm.") == ["recieves", "spectrogramm"]
    assert (
        unknown("`recieves` [this](https://example.org/recieves) $recieves$ <code>recieves</code> utils.recieves") == []
    )


FORM = re.compile(r"^(\w+) = (.+?)  # @param (.+)$")
TYPES = {'{type:"string"}': str, '{type:"number"}': float, '{type:"integer"}': int, '{type:"boolean"}': bool}


@pytest.mark.parametrize("path", lessons.lessons(), ids=lambda path: path.stem)
def test_colabs_forms_fit_the_values_that_they_set(path):
    """A field for text, a number or a tick, or a list of choices that has the value."""
    cells = lessons.code_cells(lessons.read(path))
    lines = [line for cell in cells for line in cell.source.splitlines() if "@param" in line]
    for line in lines:
        form = FORM.fullmatch(line)
        assert form, line
        value, field = ast.literal_eval(form[2]), form[3]
        assert type(value) is TYPES[field] if field in TYPES else value in ast.literal_eval(field), line
