"""Blind listening: hidden, fair, saved at every answer, and counted right."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, ttest_1samp

from playground import ABX, Preference, Rating, plot, pool, summary
from playground.answers import COLUMNS
from playground.booth import listening_page
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
    truths = [trial.truth for trial in test.trials]
    swapped = [trial.sounds["A"].settings["num_inference_steps"] == 25 for trial in test.trials]
    assert 160 < truths.count("A") < 240 and 160 < sum(swapped) < 240
    assert all(trial.sounds["X"] is trial.sounds[trial.truth] for trial in test.trials)
    assert abs(np.corrcoef(swapped, [truth == "A" for truth in truths])[0, 1]) < 0.15


def test_the_order_is_seeded_and_differs_between_listeners(path):
    def order(**options):
        return [
            trial.truth + str(trial.sounds["A"].settings["seed"]) for trial in abx(path, repeats=8, **options).trials
        ]

    assert order() == order()
    assert order() != order(listener="bob")
    assert order() != order(seed=1)


def test_nothing_shown_gives_the_answer_away(path):
    tests = [abx(path), Rating(FEW + MANY, [5] * 4 + [25] * 4, listener="ada", path=path)]
    for test in tests:
        shown = re.sub(r"base64,[^\"]+", "", listening_page(test)) + repr(test) + repr(test.sounds)
        for secret in ("5 or 25", "25", "steps", "secret", "mini-l", "img"):
            assert secret not in shown


def test_a_rating_may_show_its_prompt_as_text(path):
    nasty = "<script>alert('x')</script> {prompt} שלום 😀"
    question = "Does it fit “{prompt}”?"
    test = Rating([clip(0, 5, nasty)], ["x"], listener="ada", path=path, question=question)
    assert "<script>" not in listening_page(test)
    assert "&lt;script&gt;" in listening_page(test)
    assert test.now.question == f"Does it fit “{nasty}”?"


def test_ratings_give_a_mean_opinion_score(path):
    test = Rating(FEW + MANY, ["few"] * 4 + ["many"] * 4, listener="ada", path=path)
    while test.remaining:
        test.answer({"few": 2, "many": 5}[test.now.label])
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
    assert again.now is not None and again.now.truth == first.now.truth
    assert len(pool(path.parent)) == 3 and len(pool(path.parent, again.id)) == 2
    assert sorted(file.name for file in path.parent.iterdir()) == [".ada.csv.lock", "ada.csv"]


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
    page, buttons, _ = test.view.children
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


# ---- preferences


def preference(path, **options) -> Preference:
    return Preference(FEW, MANY, "few or many", **{"listener": "ada", "path": path, **options})


def test_a_preference_counts_the_second_wherever_it_lies(path):
    test = preference(path, repeats=3)
    sides = []
    while test.remaining:
        sounds = test.now.sounds
        assert set(sounds) == {"A", "B"} == set(test.choices)
        sides.append(next(name for name in "AB" if sounds[name].settings["num_inference_steps"] == 25))
        test.answer(sides[-1])
    assert {"A", "B"} == set(sides)
    row = summary(test.results).loc["few or many"]
    assert (row["mean"], row.answers) == (1.0, 12)
    assert row.p_value == pytest.approx(2 * 0.5**12) and row.p_assumes
    assert "guessing" in str(plot(test.results).figure.axes[0].get_legend().texts)


def test_a_preference_is_two_sided():
    rows = [["t", "preference", "ada", str(n), "x", "A", "A" if n < 2 else "B"] for n in range(12)]
    result = summary(pd.DataFrame(rows, columns=COLUMNS)).loc["x"]
    assert result.p_value == pytest.approx(2 * binom.cdf(2, 12, 0.5)) and result["mean"] == pytest.approx(1 / 6)


def test_a_preference_shows_the_words_and_nothing_else(path):
    test = preference(path)
    text = re.sub(r"base64,[^\"]+", "", listening_page(test))
    assert "Which fits “a secret prompt” better?" in text
    for secret in ("few", "many", "steps", "mini-l", "25"):
        assert secret not in text
    other = [clip(n, 25, "another") for n in range(4)]
    with pytest.raises(ValueError, match="Pair 1 has no prompt in common"):
        Preference(FEW, other, "x", listener="ada", path=path)
    free = Preference(FEW, other, "x", listener="ada", path=path, question="Which is cleaner?")
    assert free.now.question == "Which is cleaner?"


# ---- what the numbers say


def test_intervals_are_over_listeners_and_shares_never_surer_than_wilson():
    rows = [
        ["t", "abx", name, str(n), "x", "A", "A" if n < hits else "B"]
        for name, hits in {"ada": 8, "bob": 4, "eve": 6}.items()
        for n in range(8)
    ]
    row = summary(pd.DataFrame(rows, columns=COLUMNS)).loc["x"]
    low, high = ttest_1samp([1.0, 0.5, 0.75], 0).confidence_interval()
    assert (row["mean"], row.low, row.high) == pytest.approx((0.75, max(low, 0), min(high, 1)))
    assert row.spread == pytest.approx(0.25)
    alike = [[*row[:5], "A", "A"] for row in rows]
    assert 0.8 < summary(pd.DataFrame(alike, columns=COLUMNS)).low.item() < 0.9


def test_the_spread_says_what_the_interval_does_not():
    divided = [["t", "rating", f"{n}", "1", "x", "", "1" if n % 2 else "5"] for n in range(400)]
    row = summary(pd.DataFrame(divided, columns=COLUMNS)).loc["x"]
    assert row["mean"] == 3 and row.high - row.low < 0.5 and row.spread == pytest.approx(2, abs=0.01)
    drawn = plot(pd.DataFrame(divided, columns=COLUMNS)).figure.axes[0].collections[-1]
    assert sorted(drawn.get_offsets()[:, 0]) == [1, 5]  # all answers, not only their mean


def test_a_loud_clip_says_so_before_it_plays(path):
    loud = Clip(np.sin(np.arange(800) * 0.3) * 3)
    test = Rating([*FEW, loud], ["x"] * 5, listener="ada", path=path)
    warned = []
    while test.remaining:
        warned.append(("loud" in listening_page(test), test.sounds[""].peak > 1))
        test.answer(3)
    assert sorted(warned) == [(False, False)] * 4 + [(True, True)]


def test_the_panel_asks_who_listens(path):
    test = abx(path, listener=None)
    page, buttons, asking = test.view.children
    who, begin = asking.children
    assert "Who listens?" in page.value and buttons.layout.display == "none"
    who.value = "you"
    begin.click()
    assert "not &#x27;you&#x27;" in page.value and test.listener is None
    who.value = "ada"
    begin.click()
    assert "1 of 4" in page.value and asking.layout.display == "none" and buttons.layout.display == ""
    assert [t.truth for t in test.trials] == [t.truth for t in abx(path).trials]


def test_a_test_that_is_open_elsewhere_says_so_in_the_panel(path):
    test = abx(path)
    abx(path).answer("A")
    page, buttons, _ = test.view.children
    buttons.children[1].click()
    assert "also open elsewhere" in page.value and "2 of 4" in page.value
    assert len(pool(path.parent)) == 1


def test_tests_of_different_recordings_do_not_share_answers(path):
    one, two = (Rating([Clip(np.ones(n) * 0.1)], ["x"], listener="ada", path=path) for n in (2000, 3000))
    one.answer(3)
    assert Rating([Clip(np.ones(2000) * 0.1)], ["x"], listener="ada", path=path).remaining == 0
    assert two.remaining == 1
