"""The table of `make bench`, on a checkpoint of random weights and a short clip."""

from __future__ import annotations

import re

from tools import bench


def test_the_table_compares_every_way_with_the_first(pipe, monkeypatch, capsys):
    monkeypatch.setattr(bench, "CARD", {"num_inference_steps": 3, "audio_length_in_s": 1.28})
    bench.table(bench.variants(pipe), rounds=2)
    rows = re.findall(r"^\| (\S.*?) \| ([\d.]+) \| ([\d.]+) \(.*?\) \| (-?\d*) \|$", capsys.readouterr().out, re.M)
    found = {name: (float(seconds), float(ratio), snr) for name, seconds, ratio, snr in rows}
    assert list(found) == list(bench.variants(pipe)) and all(seconds > 0 for seconds, _, _ in found.values())
    assert found["the card's snippet"][1:] == (1.0, "")
    assert re.match(r"20\d\d-\d\d-\d\d: .+, Python 3\.\d+\.\d+, torch \d.*, transformers \d", bench.where())
    assert int(found["generate"][2]) > 60 > int(found["DPM-Solver++, 5 steps"][2])
