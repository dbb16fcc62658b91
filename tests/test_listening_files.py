"""Answers of listening tests in their files: names, spreadsheets, several writers, the files of a class."""

from __future__ import annotations

import shutil
import subprocess
import sys
import unicodedata

import pandas as pd
import pytest

from playground import Rating, pool, summary
from playground.answers import COLUMNS
from tests.test_listening import FEW, abx
from tools.lessons import ROOT

# ---- names


@pytest.mark.parametrize("name", ["", " ", "You ", "ＹＯＵ", "y\u200bou", "«you»", "\u00a0", "Your name", "\u2800", 7])
def test_a_name_that_tells_nobody_apart_is_refused(path, name):
    test = abx(path, listener=None)
    with pytest.raises(ValueError, match="name or pseudonym of your own") as caught:
        test.begin(name)
    assert "\n" not in str(caught.value) and test.listener is None
    with pytest.raises(ValueError, match="begin"):
        test.answer("A")
    assert not path.exists()


@pytest.mark.parametrize("name", ["007", "1e5", "12,5", "=1+1", "@ada", "-ada", "+ada", "12-3"])
def test_a_name_that_a_spreadsheet_changes_is_refused(path, name):
    with pytest.raises(ValueError, match="spreadsheet"):
        abx(path, listener=name)


@pytest.mark.parametrize("name", ["José", "Йоанна", "李", "🎧", "O'Brien", "you and me", 'a,"b"'])
def test_a_name_of_any_script_comes_back_as_it_was(path, name):
    abx(path, listener=name).answer("A")
    decomposed = abx(path, listener=unicodedata.normalize("NFD", f"  {name} "))
    assert decomposed.listener == name and decomposed.remaining == 3
    assert set(pool(path.parent).listener) == {name}


def test_thirty_learners_of_one_name_stay_thirty(tmp_path):
    right = 0
    for number in range(30):
        test = abx(tmp_path / f"{number}" / "listening.csv")
        while test.remaining:
            test.answer("AB"[(number + test.remaining) % 2])
        right += (test.results.answer == test.results.truth).sum()
    with pytest.warns(UserWarning, match=r"same listener's name.*'ada' \(30\)"):
        table = summary(pool(tmp_path))
    assert (table.answers.item(), table.listeners.item()) == (120, 30)
    assert table["mean"].item() == pytest.approx(right / 120)


def test_a_file_without_ids_goes_on(path):
    abx(path).answer("A")
    pd.read_csv(path, dtype=str)[COLUMNS].to_csv(path, index=False)
    shutil.copy(path, path.with_name("a copy.csv"))
    assert len(pool(path.parent)) == 1
    path.with_name("a copy.csv").unlink()
    again = abx(path)
    with pytest.warns(UserWarning):
        again.answer("B")
    assert abx(path).remaining == 2 and list(pool(path.parent).answer) == ["A", "B"]


# ---- after a spreadsheet


def by_excel(data: bytes, encoding: str, separator: str = ";") -> bytes:
    """Return a CSV file as a spreadsheet stores it: another separator, code page and ends of lines."""
    text = data.decode().replace(",", separator).replace("\n", "\r\n")
    return b"\xff\xfe" * (encoding == "utf-16-le") + text.encode(encoding, errors="replace")


@pytest.mark.parametrize(
    ("name", "encoding", "separator"),
    [
        ("André", "cp1252", ";"),
        ("André", "mac_roman", ","),
        ("Łukasz", "cp1250", ";"),
        ("Łukasz", "cp1252", "\t"),  # which stores ?ukasz
        ("Йоанна", "cp1251", ";"),
        ("Ελένη", "cp1253", ","),
        ("李 Ada", "gb18030", ";"),
        ("André", "utf-8-sig", ","),
        ("Łukasz", "utf-16-le", "\t"),
    ],
)
def test_answers_survive_a_spreadsheet(path, name, encoding, separator):
    test = abx(path, listener=name)
    test.answer("A")
    test.answer("B")
    path.write_bytes(by_excel(path.read_bytes(), encoding, separator))
    stored = path.read_bytes()
    with pytest.warns(UserWarning):  # of the file that is kept
        test.answer("A")
    assert path.with_name("ada.csv.old").read_bytes() == stored
    again = abx(path, listener=name)
    assert again.remaining == 1
    again.answer("B")
    answers = pool(path.parent, test.id)
    assert (list(answers.answer), set(answers.listener)) == (["A", "B", "A", "B"], {name})
    assert answers.id.nunique() == 1 and b"\r" not in path.read_bytes() and path.read_bytes().decode()


def test_lines_of_two_encodings_in_one_file(path):
    """As a version that appended UTF-8 to a file in a code page has left them."""
    test = abx(path, listener="André")
    for choice in "ABA":
        test.answer(choice)
    header, first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + first.decode().encode("cp1252") + b"".join(rest))
    assert abx(path, listener="André").remaining == 1
    assert pool(path.parent).listener.tolist() == ["André"] * 3


def test_a_spreadsheet_makes_no_number_of_a_test_and_no_date_of_a_label(path):
    tests = [Rating(FEW, ["3-4"] * 4, listener="ada", path=path, seed=seed) for seed in range(50)]
    assert all(test.id[0].isalpha() for test in tests)
    tests[0].answer(5)
    path.write_bytes(path.read_bytes().replace(b"3-4", b"03. Apr"))
    again = Rating(FEW, ["3-4"] * 4, listener="ada", path=path)
    assert list(again.results.label) == ["3-4"] and again.remaining == 3


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "\x00\x01"])
def test_a_foreign_file_is_refused_and_left_alone(path, content):
    path.parent.mkdir()
    path.write_text(content)
    for read in (abx, lambda path: pool(path.parent)):
        with pytest.raises(ValueError, match="does not hold answers"):
            read(path)
    assert path.read_text() == content


def test_a_damaged_line_costs_only_itself(path):
    test = abx(path)
    test.answer("A")
    test.answer("B")
    path.write_text(path.read_text() + test.id + ",abx,ada")
    with pytest.warns(UserWarning, match="1 damaged line"):
        abx(path).answer("B")
        assert list(pool(path.parent).answer) == ["A", "B", "B"]


# ---- at once


def test_two_tabs_answer_a_trial_once(path):
    one, two = abx(path), abx(path)
    one.answer("A")
    one.answer("A")
    with pytest.warns(UserWarning, match="also open elsewhere: it goes on with trial 3"):
        two.answer("B")  # to trial 1, as it was shown there
    assert list(two.results.answer) == ["A", "A"]
    two.answer("B")
    two.answer("B")
    with pytest.warns(UserWarning, match="also open elsewhere"):
        one.answer("A")
    assert one.remaining == two.remaining == 0 and repr(one) == "ABX: 4 of 4 trials answered by ada."
    assert list(pool(path.parent).answer) == ["A", "A", "B", "B"]


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
"""


def test_processes_and_threads_that_write_one_file_lose_nothing(path):
    command = [sys.executable, "-W", "ignore", "-c", LISTENER, str(path)]
    running = [subprocess.Popen([*command, *names], cwd=ROOT) for names in (["ada", "bob"], ["ada", "eve"])]
    assert [process.wait() for process in running] == [0, 0]
    answers = pool(path.parent)
    assert answers.groupby("listener").size().to_dict() == {"ada": 30, "bob": 30, "eve": 30}
    assert len(path.read_text().splitlines()) == 91 and answers.id.nunique() == 1
    assert sorted(file.name for file in path.parent.iterdir()) == [".ada.csv.lock", "ada.csv"]


# ---- a class


def test_a_folder_as_a_learning_platform_gives_it(tmp_path):
    folder, files = tmp_path / "class", {}
    for name in ("ada", "bob"):
        abx(tmp_path / "made" / f"{name}.csv", listener=name).answer("A")
        files[name] = (tmp_path / "made" / f"{name}.csv").read_bytes()
    junk = {".ipynb_checkpoints/a.csv": b"x", "__MACOSX/ada.csv": b"x", "._ada.csv": b"\0\5\26\7", "~$ada.csv": b"x"}
    good = {"bob_12_assignsubmission_file_/listening.CSV": files["bob"], "bob (1).csv": files["bob"]}
    good |= {"ada.csv": b"\xef\xbb\xbf" + by_excel(files["ada"], "utf-8")}
    others = {"grades.csv": b"a,b\n1,2\n", "notes.txt": b"hello", "class.zip": b"PK"}
    for name, content in {**junk, **good, **others}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with pytest.warns(UserWarning) as caught:
        answers = pool(folder)
    assert sorted(answers.listener) == ["ada", "bob"] and list(pool(folder / "ada.csv").listener) == ["ada"]
    text = str(caught[0].message)
    assert all(name in text for name in others) and not any(name in text for name in junk) and "\n" not in text
