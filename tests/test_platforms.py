"""A clone is the same bytes on every system, and continuous integration runs `make test`."""

from __future__ import annotations

import re
import shutil
import subprocess

import yaml

from tools.lessons import ROOT


def test_a_clone_by_git_for_windows_has_the_bytes_of_every_other(tmp_path):
    for name in (".gitattributes", "Makefile", "tools/browser.sh", ".ci/run"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "binary.safetensors").write_bytes(b"a\r\nb\n\0")
    git = ["git", "-c", "user.name=test", "-c", "user.email=t@example.com", "-c", "core.autocrlf=true"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"], ["clone", "-q", ".", "windows"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True, capture_output=True)
    for path in tmp_path.glob("windows/[!.]*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
    assert b"\r" not in (tmp_path / "windows" / "tools" / "browser.sh").read_bytes()


def test_continuous_integration_calls_make_test_and_nothing_more():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make test"]
    assert all(re.match(r"actions/", step["uses"]) for step in job["steps"] if "uses" in step)
