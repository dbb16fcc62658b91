"""Blind listening: hidden, fair, saved at every answer, and counted right."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, ttest_1samp

from playground import ABX, Preference, Rating, plot, pool, summary
from playground.answers import COLUMNS
from playground.booth import listening_page
from tools.lessons import ROOT
from utils import Clip, sweep


def clip(number: int, steps: int, prompt: str = "a secret prompt") -> Clip:
    wave = np.sin(np.arange(800) * 0.01 * (number + 1)) * 0.5
    return Clip(wave, settings={"prompt": prompt, "seed": number, "num_inference_steps": steps, "checkpoint": "mini-l"})


FEW, MANY = ([clip(n, steps) for n in range(4)] for steps in (5, 25))
OTHERS = [clip(n, 25, "another") for n in range(4)]


def abx(path, listener="ada", **options) -> ABX:
    return ABX(FEW, [clip(n + 10, 25) for n in range(4)], "5 or 25 steps", listener=listener, path=path, **options)


def preference(path, b=MANY, **options) -> Preference:
    return Preference(FEW, b, "few or many", listener="ada", path=path, **options)


def listen(sounds: dict[str, Clip]) -> str:
    """An ear that cannot go wrong."""
    return next(name for name in "AB" if np.array_equal(sounds[name].waveform, sounds["X"].waveform))


def given(kind: str, by_listener: dict[str, str]) -> pd.DataFrame:
    """Return the table of these answers, a letter each; "A" is always the truth."""
    rows = [["t", kind, name, str(n), "x", "A", a] for name, said in by_listener.items() for n, a in enumerate(said)]
    return pd.DataFrame(rows, columns=COLUMNS)


# ---- numbers


def test_p_values_are_tails_of_the_binomial():
    heard = summary(given("abx", {"ada": "A" * 9 + "B" * 3})).loc["x"]
    assert (heard["mean"], heard.p_value) == pytest.approx((0.75, binom.sf(8, 12, 0.5)))
    preferred = summary(given("preference", {"ada": "A" * 2 + "B" * 10})).loc["x"]
    assert (preferred["mean"], preferred.p_value) == pytest.approx((1 / 6, 2 * binom.cdf(2, 12, 0.5)))  # two-sided


def test_intervals_are_over_listeners_and_shares_never_surer_than_wilson():
    row = summary(given("abx", {"ada": "A" * 8, "bob": "ABABABAB", "eve": "A" * 6 + "BB"})).loc["x"]
    low, high = ttest_1samp([1.0, 0.5, 0.75], 0).confidence_interval()
    assert (row["mean"], row.low, row.high, row.spread) == pytest.approx((0.75, max(low, 0), min(high, 1), 0.25))
    assert 0.8 < summary(given("abx", dict.fromkeys(("ada", "bob", "eve"), "A" * 8))).low.item() < 0.9


def test_the_spread_says_what_the_interval_does_not():
    divided = given("rating", {str(n): "1" if n % 2 else "5" for n in range(400)})
    row = summary(divided).loc["x"]
    assert row["mean"] == 3 and row.high - row.low < 0.5 and row.spread == pytest.approx(2, abs=0.01)
    drawn = plot(divided).figure.axes[0].collections[-1]
    assert sorted(drawn.get_offsets()[:, 0]) == [1, 5]  # all answers, not only their mean


def test_pooled_ratings_are_averaged_over_listeners(tmp_path):
    for listener, marks in {"ada": [1, 1, 1, 1], "bob": [5, 3, 5, 3], "eve": [2, 2, 3, 3]}.items():
        test = Rating(FEW, ["x"] * 4, listener=listener, path=tmp_path / f"{listener}.csv")
        for mark in marks:
            test.answer(mark)
    shutil.copy(tmp_path / "ada.csv", tmp_path / "ada (copy).csv")
    result = summary(pool(tmp_path)).loc["x"]
    assert (result.answers, result.listeners) == (12, 3) and np.isnan(result.p_value)
    assert result["mean"] == pytest.approx((1 + 4 + 2.5) / 3)
    assert 1 <= result.low < result["mean"] < result.high <= 5


# ---- from trials to results


def test_perfect_ears_are_always_right(path):
    test = abx(path, repeats=3)
    while test.remaining:
        test.answer(listen(test.sounds))
    (row,) = summary(test.results).itertuples()
    assert (row.answers, row.mean, row.high) == (12, 1.0, 1.0)
    assert row.p_value == pytest.approx(0.5**12) and 0.7 < row.low < 0.8
    with pytest.raises(ValueError, match="All 12 trials are answered"):
        test.answer("A")
    picture = plot(test.results)
    assert picture.png[:4] == b"\x89PNG" and "5 or 25 steps 1.00" in picture.alt


def test_a_preference_counts_the_second_wherever_it_lies(path):
    test, sides = preference(path, repeats=3), []
    while test.remaining:
        sounds = test.now.sounds
        assert set(sounds) == {"A", "B"} == set(test.choices)
        sides.append(next(name for name in "AB" if sounds[name].settings["num_inference_steps"] == 25))
        test.answer(sides[-1])
    assert {"A", "B"} == set(sides)
    row = summary(test.results).loc["few or many"]
    assert (row["mean"], row.answers) == (1.0, 12) and row.p_assumes
    assert "guessing" in str(plot(test.results).figure.axes[0].get_legend().texts)


def test_places_are_drawn_fairly_from_the_seed_and_the_listener(path):
    def trials(listener="ada", seed=0) -> list:
        return ABX(FEW * 100, MANY * 100, "steps", listener=listener, path=path, seed=seed).trials

    def truths(trials: list) -> list[str]:
        return [trial.truth for trial in trials]

    drawn = trials()
    swapped = [trial.sounds["A"].settings["num_inference_steps"] == 25 for trial in drawn]
    assert 160 < truths(drawn).count("A") < 240 and 160 < sum(swapped) < 240
    assert all(trial.sounds["X"] is trial.sounds[trial.truth] for trial in drawn)
    assert abs(np.corrcoef(swapped, [truth == "A" for truth in truths(drawn)])[0, 1]) < 0.15
    assert truths(drawn) == truths(trials()) != truths(trials("bob"))
    assert truths(drawn) != truths(trials(seed=1))


def test_answers_survive_a_restart_and_others_in_the_file(path):
    first = abx(path)
    first.answer("A")
    abx(path, listener="bob").answer("B")
    Rating(FEW, [5] * 4, listener="ada", path=path).answer(3)
    again = abx(path)
    assert (again.remaining, list(again.results.answer), again.now.truth) == (3, ["A"], first.now.truth)
    assert len(pool(path.parent)) == 3 and len(pool(path.parent, again.id)) == 2
    assert sorted(file.name for file in path.parent.iterdir()) == [".ada.csv.lock", "ada.csv"]
    with pytest.raises(ValueError, match="one kind"):
        plot(pool(path.parent))


def test_tests_of_different_recordings_do_not_share_answers(path):
    def rating(samples: int) -> Rating:
        return Rating([Clip(np.ones(samples) * 0.1)], ["x"], listener="ada", path=path)

    rating(2000).answer(3)
    assert (rating(2000).remaining, rating(3000).remaining) == (0, 1)


def test_a_table_of_a_sweep_will_do(pipe, path):
    steps, kept = [1, 2], {"folder": path.parent / "sweep", "progress": False}
    table = sweep(pipe, ["rain", "wind"], num_inference_steps=steps, audio_length_in_s=0.64, seeds=[0], **kept)
    one, two = (table[table.num_inference_steps == n] for n in steps)
    assert ABX(one, two, "1 or 2 steps", listener="ada", path=path).remaining == 2
    assert Rating(table, table.num_inference_steps, listener="ada", path=path).remaining == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: ABX(FEW, MANY[:3], "x", listener="ada", path=path), "not 4 and 3"),
        (lambda path: ABX([], [], "x", listener="ada", path=path), "not 0 and 0"),
        (lambda path: Rating(FEW, [1], listener="ada", path=path), "1 labels for 4 clips"),
        (lambda path: preference(path, OTHERS), "Pair 1 has no prompt in common"),
        (lambda path: abx(path).answer("X"), "one of A, B, not 'X'"),
        (lambda path: Rating(FEW, [1] * 4, listener="ada", path=path).answer(6), "one of 1, 2, 3, 4, 5, not '6'"),
        (lambda path: pool(path.parent), "There is no CSV file"),
    ],
)
def test_bad_input_is_one_sentence(path, make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make(path)
    assert "\n" not in str(caught.value) and not path.exists()


def test_an_answer_that_cannot_be_saved_is_not_taken(path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    test = abx(path)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError) as caught:
        test.answer("A")
    assert test.remaining == 4 and caught.value.errno == errno.ENOSPC
    assert caught.value.strerror.count("Cannot") == 1  # it is said once


# ---- the panel


def test_nothing_shown_gives_the_answer_away(path):
    tests = [abx(path), Rating(FEW + MANY, [5] * 4 + [25] * 4, listener="ada", path=path)]
    tests += [preference(path), preference(path, OTHERS, question="Which is cleaner?")]
    for test in tests:
        shown = re.sub(r"base64,[^\"]+", "", listening_page(test)) + repr(test) + repr(test.sounds)
        for secret in ("5 or 25", "few", "many", "25", "steps", "mini-l", "img"):
            assert secret not in shown
        assert ("secret" in shown) == (test is tests[2]) and test.now.question in listening_page(test)


def test_a_prompt_in_a_question_is_text(path):
    nasty = "<script>alert('x')</script> {prompt} שלום 😀"
    question = "Does it fit “{prompt}”?"
    test = Rating([clip(0, 5, nasty)], ["x"], listener="ada", path=path, question=question)
    assert "<script>" not in listening_page(test) and "&lt;script&gt;" in listening_page(test)
    assert test.now.question == f"Does it fit “{nasty}”?"


def test_the_panel_asks_for_a_name_then_for_answers(path):
    test = abx(path, listener=None)
    page, buttons, asking = test.view.children
    name, begin = asking.children
    assert "name?" in page.value and buttons.layout.display == "none"
    name.value = "you"
    begin.click()
    assert "not &#x27;you&#x27;" in page.value and test.listener is None
    name.value = "ada"
    begin.click()
    assert asking.layout.display == "none" and buttons.layout.display == ""
    assert page.value.count("<audio") == 3 and [button.description for button in buttons.children] == ["A", "B"]
    abx(path).answer("B")  # in another tab
    buttons.children[0].click()
    buttons.children[1].click()  # within a blink: a double click, not a second answer
    assert list(test.results.answer) == ["B"] and "2 of 4" in page.value and "also open elsewhere" in page.value
    while test.remaining:
        test.answer("B")
    assert "Thank you" in abx(path).view.children[0].value


def test_a_loud_clip_says_so_before_it_plays(path):
    loud = Clip(np.sin(np.arange(800) * 0.3) * 3)
    test = Rating([*FEW, loud], ["x"] * 5, listener="ada", path=path)
    warned = []
    while test.remaining:
        warned.append(("loud" in listening_page(test), test.sounds[""].peak > 1))
        test.answer(3)
    assert sorted(warned) == [(False, False)] * 4 + [(True, True)]


def test_a_listening_test_needs_no_torch():
    code = "import sys, playground; playground.ABX, playground.pool; print({'torch', 'diffusers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "set()\n", done.stderr
