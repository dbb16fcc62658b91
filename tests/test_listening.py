"""Blind listening: hidden, fair, saved at every answer, counted right, and kept through tabs and spreadsheets."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, ttest_1samp

from playground import ABX, Preference, Rating, plot, pool, summary
from playground.answers import COLUMNS
from playground.booth import listening_page
from tools.lessons import ROOT
from utils import Clip


def clip(number: int, steps: int, prompt: str = "a secret prompt") -> Clip:
    wave = np.sin(np.arange(800) * 0.01 * (number + 1)) * 0.5
    return Clip(wave, settings={"prompt": prompt, "seed": number, "num_inference_steps": steps, "checkpoint": "mini-l"})


FEW, MANY = ([clip(n, steps) for n in range(4)] for steps in (5, 25))
OTHERS = [clip(n, 25, "another") for n in range(4)]


def abx(path, listener="ada", **options) -> ABX:
    return ABX(FEW, [clip(n + 10, 25) for n in range(4)], "5 or 25 steps", listener=listener, path=path, **options)


def preference(path, b=MANY, **options) -> Preference:
    return Preference(FEW, b, "few or many", listener="ada", path=path, **options)


def rating(path, clips=FEW, labels=("x",) * 4, listener="ada") -> Rating:
    return Rating(clips, labels, listener=listener, path=path)


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
    rated = summary(given("rating", {"ada": "1111", "bob": "5353", "eve": "2233"})).loc["x"]
    assert (rated.answers, rated.listeners) == (12, 3) and np.isnan(rated.p_value)
    assert 1 <= rated.low < rated["mean"] < rated.high <= 5 and rated["mean"] == pytest.approx((1 + 4 + 2.5) / 3)


def test_the_spread_says_what_the_interval_does_not():
    divided = given("rating", {str(n): "1" if n % 2 else "5" for n in range(400)})
    row = summary(divided).loc["x"]
    assert row["mean"] == 3 and row.high - row.low < 0.5 and row.spread == pytest.approx(2, abs=0.01)
    drawn = plot(divided).figure.axes[0].collections[-1]
    assert sorted(drawn.get_offsets()[:, 0]) == [1, 5]  # all answers, not only their mean


# ---- from trials to results


def test_perfect_ears_are_always_right(path):
    test = abx(path, repeats=3)
    while test.remaining:
        sounds = test.sounds
        test.answer(next(name for name in "AB" if np.array_equal(sounds[name].waveform, sounds["X"].waveform)))
    (row,) = summary(test.results).itertuples()
    assert (row.answers, row.mean, row.high) == (12, 1.0, 1.0)
    assert row.p_value == pytest.approx(0.5**12) and 0.7 < row.low < 0.8
    with pytest.raises(ValueError, match="All 12 trials are answered"):
        test.answer("A")
    assert plot(test.results).png[:4] == b"\x89PNG"


def test_a_preference_counts_the_second_wherever_it_lies(path):
    test, sides = preference(path, repeats=3), set()
    while test.remaining:
        assert set(test.now.sounds) == {"A", "B"} == set(test.choices)
        second = next(n for n, sound in test.now.sounds.items() if sound.settings["num_inference_steps"] == 25)
        sides.add(second)
        test.answer(second)
    row = summary(test.results).loc["few or many"]
    assert sides == {"A", "B"} and (row["mean"], row.answers) == (1.0, 12) and row.p_assumes


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
    abx(path, "bob").answer("B")
    rating(path).answer(3)
    again = abx(path)
    assert (again.remaining, list(again.results.answer), again.now.truth) == (3, ["A"], first.now.truth)
    assert len(pool(path.parent)) == 3 and len(pool(path.parent, again.id)) == 2
    with pytest.raises(ValueError, match="one kind"):
        plot(pool(path.parent))
    short, long = ([Clip(np.ones(samples) * 0.1)] for samples in (2000, 3000))
    rating(path, short, ["x"]).answer(3)
    assert (rating(path, short, ["x"]).remaining, rating(path, long, ["x"]).remaining) == (0, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: preference(path, MANY[:3]), "not 4 and 3"),
        (lambda path: rating(path, labels=[1]), "1 labels for 4 clips"),
        (lambda path: preference(path, OTHERS), "Pair 1 has no prompt in common"),
        (lambda path: abx(path).answer("X"), "one of A, B, not 'X'"),
        (lambda path: abx(path, None).answer("A"), "begin"),
        (lambda path: pool(path.parent), "There is no CSV file"),
        *((lambda path, name=name: abx(path, name), "of your own") for name in ("", "You ", "ＹＯＵ", "y\u200bou", 7)),
        *((lambda path, name=name: abx(path, name), "spreadsheet") for name in ("007", "1e5", "=1+1", "12-3")),
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


def test_nothing_shown_gives_the_answer_away_and_a_prompt_is_text(path):
    tests = [abx(path), rating(path, FEW + MANY, [5] * 4 + [25] * 4)]
    tests += [preference(path), preference(path, OTHERS, question="Which is cleaner?")]
    for test in tests:
        shown = re.sub(r"base64,[^\"]+", "", listening_page(test)) + repr(test) + repr(test.sounds)
        for secret in ("5 or 25", "few", "many", "25", "steps", "mini-l", "img"):
            assert secret not in shown
        assert ("secret" in shown) == (test is tests[2]) and test.now.question in listening_page(test)
    nasty = Rating([clip(0, 5, "<script>")], ["x"], listener="ada", path=path, question="Does it fit “{prompt}”?")
    assert "<script>" not in listening_page(nasty) and "&lt;script&gt;" in listening_page(nasty)


def test_the_panel_asks_for_a_name_then_for_answers(path):
    test = abx(path, None)
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
    test, warned = rating(path, [*FEW, loud], ["x"] * 5), []
    while test.remaining:
        warned.append(("loud" in listening_page(test), test.sounds[""].peak > 1))
        test.answer(3)
    assert sorted(warned) == [(False, False)] * 4 + [(True, True)]


# ---- files


@pytest.mark.parametrize("name", ["José", "李", "O'Brien", 'a,"b"'])
def test_a_name_of_any_script_comes_back_as_it_was(path, name):
    abx(path, name).answer("A")
    decomposed = abx(path, unicodedata.normalize("NFD", f"  {name} "))
    assert decomposed.listener == name and decomposed.remaining == 3
    assert set(pool(path.parent).listener) == {name}


def test_learners_of_one_name_stay_so_many(tmp_path):
    for number in range(3):
        abx(tmp_path / f"{number}" / "listening.csv").answer("A")
    with pytest.warns(UserWarning, match=r"same listener's name.*'ada' \(3\)"):
        table = summary(pool(tmp_path))
    assert (table.answers.item(), table.listeners.item()) == (3, 3)


def by_excel(data: bytes, encoding: str, separator: str = ";") -> bytes:
    """Return a CSV file as a spreadsheet stores it: another separator, code page and ends of lines."""
    text = data.decode().replace(",", separator).replace("\n", "\r\n")
    return b"\xff\xfe" * (encoding == "utf-16-le") + text.encode(encoding, errors="replace")


STORED = [("André", "cp1252", ";"), ("André", "mac_roman", ","), ("André", "utf-8-sig", ","), ("Йоанна", "cp1251", ";")]
STORED += [("李 Ada", "gb18030", ";"), ("Łukasz", "utf-16-le", "\t"), ("Łukasz", "cp1252", "\t")]  # the last as ?ukasz


@pytest.mark.parametrize(("name", "encoding", "separator"), STORED)
def test_answers_survive_a_spreadsheet(path, name, encoding, separator):
    test = abx(path, name)
    test.answer("A")
    test.answer("B")
    path.write_bytes(by_excel(path.read_bytes(), encoding, separator))
    stored = path.read_bytes()
    with pytest.warns(UserWarning):  # of the file that is kept
        test.answer("A")
    assert path.with_name("ada.csv.old").read_bytes() == stored
    again = abx(path, name)
    assert again.remaining == 1
    again.answer("B")
    answers = pool(path.parent, test.id)
    assert (list(answers.answer), set(answers.listener)) == (["A", "B", "A", "B"], {name})
    assert answers.id.nunique() == 1 and b"\r" not in path.read_bytes() and path.read_bytes().decode()


def test_a_spreadsheet_makes_no_date_of_a_label(path):
    rating(path, labels=["3-4"] * 4).answer(5)
    path.write_bytes(path.read_bytes().replace(b"3-4", b"03. Apr"))
    again = rating(path, labels=["3-4"] * 4)
    assert list(again.results.label) == ["3-4"] and again.remaining == 3


def test_a_foreign_file_is_left_alone_and_a_damaged_line_costs_only_itself(path):
    path.parent.mkdir()
    path.write_text("a,b\n1,2\n")
    for read in (abx, lambda path: pool(path.parent)):
        with pytest.raises(ValueError, match="does not hold answers"):
            read(path)
    assert path.read_text() == "a,b\n1,2\n"
    path.unlink()
    test = abx(path)
    test.answer("A")
    path.write_text(path.read_text() + test.id + ",abx,ada")
    with pytest.warns(UserWarning, match="1 damaged line"):
        abx(path).answer("B")
        assert list(pool(path.parent).answer) == ["A", "B"]


LISTENER = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from playground import ABX
from utils import Clip

clips = [Clip(np.full(2000, n / 100)) for n in range(30)]

def listen(name):
    test = ABX(clips, clips, "x", listener=name, path=sys.argv[1])
    while test.remaining:
        test.answer("A")

time.sleep(2 - time.time() % 2)  # all at once
with ThreadPoolExecutor(2) as threads:
    list(threads.map(listen, sys.argv[2:]))
assert not {"torch", "diffusers"} & set(sys.modules)
"""


def test_processes_and_threads_that_write_one_file_lose_nothing_and_need_no_torch(path):
    command = [sys.executable, "-W", "ignore", "-c", LISTENER, str(path)]
    running = [subprocess.Popen([*command, *names], cwd=ROOT) for names in (["ada", "bob"], ["ada", "eve"])]
    assert [process.wait() for process in running] == [0, 0]
    answers = pool(path.parent)
    assert answers.groupby("listener").size().to_dict() == {"ada": 30, "bob": 30, "eve": 30}
    assert len(path.read_text().splitlines()) == 91 and answers.id.nunique() == 1
    assert sorted(file.name for file in path.parent.iterdir()) == [".ada.csv.lock", "ada.csv"]


def test_a_folder_as_a_learning_platform_gives_it(tmp_path):
    folder, files = tmp_path / "class", {}
    for name in ("ada", "bob"):
        abx(tmp_path / "made" / f"{name}.csv", name).answer("A")
        files[name] = (tmp_path / "made" / f"{name}.csv").read_bytes()
    junk = {".ipynb_checkpoints/a.csv": b"x", "__MACOSX/ada.csv": b"x", "~$ada.csv": b"x"}
    good = {"bob_12_assignsubmission_file_/listening.CSV": files["bob"], "bob (1).csv": files["bob"]}
    good |= {"ada.csv": b"\xef\xbb\xbf" + by_excel(files["ada"], "utf-8")}
    others = {"grades.csv": b"a,b\n1,2\n", "notes.txt": b"hello", "class.zip": b"PK"}
    for name, content in {**junk, **good, **others}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with pytest.warns(UserWarning) as caught:
        answers = pool(folder)
    assert sorted(answers.listener) == ["ada", "bob"]
    text = str(caught[0].message)
    assert all(name in text for name in others) and not any(name in text for name in junk) and "\n" not in text
