"""A clone is the same bytes on every system; the workflow runs the commands of a reader."""

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


def test_continuous_integration_runs_a_readers_commands_on_every_python():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(step["uses"].startswith("actions/") for step in steps if "uses" in step)
    called = {name for step in steps for name in re.findall(r"make ([a-z-]+)|'(test[a-z-]*)'", step.get("run", ""))}
    assert {"".join(name) for name in called} == {"test", "test-all", "nbval"}
    for row in workflow["jobs"]["lessons"]["strategy"]["matrix"]["include"]:
        assert row["constraints"] == "/dev/null" or (ROOT / row["constraints"]).is_file()
