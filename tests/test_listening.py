"""Blind listening: hidden, fair, saved at every answer, and counted right."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from playground.listening import ABX, COLUMNS, Rating, plot, pool, summary
from utils.clip import Clip


def clip(number: int, steps: int, prompt: str = "a secret prompt") -> Clip:
    wave = np.sin(np.arange(800) * 0.01 * (number + 1)) * 0.5
    return Clip(wave, settings={"prompt": prompt, "seed": number, "num_inference_steps": steps, "checkpoint": "mini-l"})


FEW, MANY = ([clip(n, steps) for n in range(4)] for steps in (5, 25))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "class" / "ada.csv"


def abx(path, listener="ada", **options) -> ABX:
    return ABX(FEW, [clip(n + 10, 25) for n in range(4)], "5 or 25 steps", listener=listener, path=path, **options)


def listen(sounds: dict[str, Clip]) -> str:
    """An ear that cannot go wrong."""
    return next(name for name in "AB" if np.array_equal(sounds[name].waveform, sounds["X"].waveform))


def test_perfect_ears_are_always_right(path):
    test = abx(path, repeats=3)
    while test.remaining:
        test.answer(listen(test.sounds))
    (row,) = summary(test.results).itertuples()
    assert (row.answers, row.mean, row.high) == (12, 1.0, 1.0)
    assert row.p_value == pytest.approx(0.5**12)
    assert 0.7 < row.low < 0.8
    with pytest.raises(ValueError, match="All 12 trials are answered"):
        test.answer("A")


def test_p_value_is_the_tail_of_the_binomial():
    rows = [["t", "abx", "ada", str(n), "x", "A", "A" if n < 9 else "B"] for n in range(12)]
    result = summary(pd.DataFrame(rows, columns=COLUMNS)).loc["x"]
    assert result["mean"] == 0.75
    assert result.p_value == pytest.approx(binom.sf(8, 12, 0.5))


def test_x_and_the_places_are_drawn_fairly(path):
    test = ABX(FEW * 100, MANY * 100, "steps", listener="ada", path=path)
    truths = [trial.truth for trial in test._trials]
    swapped = [trial.sounds["A"].settings["num_inference_steps"] == 25 for trial in test._trials]
    assert 160 < truths.count("A") < 240 and 160 < sum(swapped) < 240
    assert all(trial.sounds["X"] is trial.sounds[trial.truth] for trial in test._trials)
    assert abs(np.corrcoef(swapped, [truth == "A" for truth in truths])[0, 1]) < 0.15


def test_the_order_is_seeded_and_differs_between_listeners(path):
    def order(**options):
        return [
            trial.truth + str(trial.sounds["A"].settings["seed"]) for trial in abx(path, repeats=8, **options)._trials
        ]

    assert order() == order()
    assert order() != order(listener="bob")
    assert order() != order(seed=1)


def test_nothing_shown_gives_the_answer_away(path):
    tests = [abx(path), Rating(FEW + MANY, [5] * 4 + [25] * 4, listener="ada", path=path)]
    for test in tests:
        shown = re.sub(r"base64,[^\"]+", "", test._html()) + repr(test) + repr(test.sounds)
        for secret in ("5 or 25", "25", "steps", "secret", "mini-l", "img"):
            assert secret not in shown


def test_a_rating_may_show_its_prompt_as_text(path):
    nasty = "<script>alert('x')</script> {prompt} שלום 😀"
    question = "Does it fit “{prompt}”?"
    test = Rating([clip(0, 5, nasty)], ["x"], listener="ada", path=path, question=question)
    assert "<script>" not in test._html()
    assert "&lt;script&gt;" in test._html()
    assert test._now.question == f"Does it fit “{nasty}”?"


def test_ratings_give_a_mean_opinion_score(path):
    test = Rating(FEW + MANY, ["few"] * 4 + ["many"] * 4, listener="ada", path=path)
    while test.remaining:
        test.answer({"few": 2, "many": 5}[test._now.label])
    table = summary(test.results)
    assert table.loc["few", "mean"] == 2 and table.loc["many", "mean"] == 5
    assert (table.answers == 4).all() and table.p_value.isna().all()


def test_pooled_ratings_are_averaged_over_listeners(tmp_path):
    for listener, marks in {"ada": [1, 1, 1, 1], "bob": [5, 3, 5, 3], "eve": [2, 2, 3, 3]}.items():
        test = Rating(FEW, ["x"] * 4, listener=listener, path=tmp_path / f"{listener}.csv")
        for mark in marks:
            test.answer(mark)
    shutil.copy(tmp_path / "ada.csv", tmp_path / "ada (copy).csv")
    result = summary(pool(tmp_path)).loc["x"]
    assert (result.answers, result.listeners) == (12, 3)
    assert result["mean"] == pytest.approx((1 + 4 + 2.5) / 3)
    assert 1 <= result.low < result["mean"] < result.high <= 5


def test_answers_survive_a_restart_and_others_in_the_file(path):
    first = abx(path)
    first.answer("A")
    abx(path, listener="bob").answer("B")
    Rating(FEW, [5] * 4, listener="ada", path=path).answer(3)
    again = abx(path)
    assert (again.remaining, list(again.results.answer)) == (3, ["A"])
    assert again._now is not None and again._now.truth == first._now.truth
    assert len(pool(path.parent)) == 3 and len(pool(path.parent, again)) == 2
    assert [file.name for file in path.parent.iterdir()] == ["ada.csv"]  # nothing unfinished lies about


def test_an_answer_that_cannot_be_saved_is_not_taken(tmp_path):
    (tmp_path / "file").write_text("")
    test = abx(tmp_path / "file" / "ada.csv")
    with pytest.raises(OSError):
        test.answer("A")
    assert test.remaining == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: ABX(FEW, MANY[:3], "x", listener="ada", path=path), "not 4 and 3"),
        (lambda path: ABX([], [], "x", listener="ada", path=path), "not 0 and 0"),
        (lambda path: ABX(FEW, MANY, "x", listener=" ", path=path), "listener must be a name"),
        (lambda path: Rating(FEW, [1], listener="ada", path=path), "1 labels for 4 clips"),
        (lambda path: abx(path).answer("X"), "one of A, B, not 'X'"),
        (lambda path: Rating(FEW, [1] * 4, listener="ada", path=path).answer(6), "one of 1, 2, 3, 4, 5, not '6'"),
        (lambda path: pool(path.parent), "There is no CSV file"),
    ],
)
def test_bad_input_is_one_sentence(path, make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make(path)
    assert "\n" not in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "\x00\x01"])
def test_a_foreign_file_is_refused_and_left_alone(path, content):
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ValueError, match="does not hold answers"):
        abx(path)
    with pytest.raises(ValueError, match="does not hold answers"):
        pool(path.parent)
    assert path.read_text() == content


def test_the_buttons_answer(path):
    test = abx(path)
    page, buttons = test.view.children
    assert page.value.count("<audio") == 3 and [button.description for button in buttons.children] == ["A", "B"]
    buttons.children[0].click()
    buttons.children[1].click()  # within a blink: a double click, not a second answer
    assert list(test.results.answer) == ["A"] and "2 of 4" in page.value
    while test.remaining:
        test.answer("B")
    assert "Thank you" in abx(path).view.children[0].value


def test_plot_says_what_it_shows(path):
    test = abx(path)
    while test.remaining:
        test.answer(listen(test.sounds))
    picture = plot(test.results)
    assert picture.png[:4] == b"\x89PNG" and "5 or 25 steps 1.00" in picture.alt
    rating = Rating(FEW, [5] * 4, listener="ada", path=path)
    rating.answer(4)
    with pytest.raises(ValueError, match="one kind"):
        plot(pool(path.parent))


def test_a_table_of_a_sweep_will_do(pipe, path):
    from utils import sweep

    table = sweep(
        pipe,
        ["rain", "wind"],
        num_inference_steps=[1, 2],
        audio_length_in_s=0.64,
        seeds=[0],
        folder=path.parent / "sweep",
        progress=False,
    )
    one, two = (table[table.num_inference_steps == steps] for steps in (1, 2))
    test = ABX(one, two, "1 or 2 steps", listener="ada", path=path)
    assert test.remaining == 2
    test.answer("A")
    assert Rating(table, table.num_inference_steps, listener="ada", path=path).remaining == 4
