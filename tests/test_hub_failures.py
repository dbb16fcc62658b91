"""What goes wrong between a learner and the Hub: each is provoked over real HTTP, and ends in one clear sentence."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.hub import ROOT, Client, Hub, change_json, make_repository
from utils.checkpoints import CHECKPOINTS

LOAD = "load_pipeline('audioldm-s-full-v2', device='cpu')"
OFFLINE = "or take mini-s-v2, which needs no network."


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    todays, old = make_repository(folder / "small"), make_repository(folder / "old", in_2023=True)
    (folder / "half" / "unet").mkdir(parents=True)
    (folder / "half" / "model_index.json").write_text("{}")
    shutil.copytree(todays, folder / "two")
    change_json(folder / "two" / "model_index.json", _class_name="AudioLDM2Pipeline")
    served = {"cvssp/audioldm-s-full-v2": todays, "cvssp/audioldm": old, "someone/half": folder / "half"}
    served["cvssp/audioldm2"] = folder / "two"
    hub = Hub(served)
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def one_client(hub, tmp_path_factory):
    client = Client(hub.url, tmp_path_factory.mktemp("home"))
    client.run(
        "import utils.hub as hub, huggingface_hub.constants\nfrom utils.loading import load_pipeline\n"
        "hub.ANSWER_SECONDS = 2\n"
        "huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 100_000  # of 10 MB: our files are small, too"
    )
    assert client.run(LOAD)["error"] == ""  # the libraries are imported: what follows is timed
    yield client
    client.close()


@pytest.fixture
def client(hub, one_client):
    """The client with an empty cache; afterwards the Hub behaves again."""
    one_client.forget()
    hub.requests.clear()
    yield one_client
    hub.fault = ""


def sentence(answer: dict) -> str:
    """The last line of what a learner would read, if it is one sentence of a LoadingError."""
    kind, _, text = answer["error"].partition(": ")
    assert kind == "utils.hub.LoadingError", answer
    assert "\n" not in text and "Traceback" not in text
    assert text.endswith((".", "?"))
    return text


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("404", "The Hugging Face Hub has no cvssp/audioldm-s-full-v2, or it is private: then log in"),
        ("403", "The Hugging Face Hub refuses cvssp/audioldm-s-full-v2 (HTTP 403): log in with `hf auth login`"),
        ("gated", "cvssp/audioldm-s-full-v2 is gated: accept its terms on https://huggingface.co/cvssp/audioldm-s-"),
        ("503", f"The Hugging Face Hub is out of order (HTTP 503): try again in some minutes, {OFFLINE}"),
        ("silent", f"The Hugging Face Hub did not answer in time for cvssp/audioldm-s-full-v2: try again, {OFFLINE}"),
        ("portal", f"Another server answers in place of the Hub: log in to this network, {OFFLINE}"),
        ("revision", "cvssp/audioldm-s-full-v2 no longer has the files that this project pins: update the project."),
    ],
)
def test_refusals(fault, words, hub, client):
    hub.fault = fault
    answer = client.run(LOAD)
    assert sentence(answer).startswith(words)
    assert answer["seconds"] < 60  # it does not hang
    assert answer["out"] == ""  # no word of a download that did not begin


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("cdn 403", "The Hugging Face Hub refuses cvssp/audioldm-s-full-v2 (HTTP 403)"),
        ("cdn 503", "The Hugging Face Hub is out of order (HTTP 503)"),
        ("reset", "The download of cvssp/audioldm-s-full-v2 broke off: load it again"),
    ],
)
def test_what_fails_in_the_middle_of_a_download(fault, words, hub, client):
    hub.fault = fault
    answer = client.run(LOAD)
    assert sentence(answer).startswith(words)
    assert "audioldm-s-full-v2: downloading 10 MB" in answer["out"] and "Fetching" in answer["out"]  # the bar
    hub.fault = ""
    assert client.run(LOAD)["error"] == ""


def test_a_blocked_xet_holds_nobody_up(hub, client):
    """The Hub offers a second way to its weights, with servers of its own, which many a school's network blocks."""
    hub.fault = "xet"
    answer = client.run(LOAD)
    assert answer["error"] == ""
    assert len(hub.downloaded()) == 4
    assert not any("xet-read-token" in request for request in hub.requests)


def test_401_names_the_login(hub, client):
    """The Hub answers 401 for what is private and, to those not logged in, for what does not exist."""
    hub.fault = "401"
    assert "hf auth login" in sentence(client.run(LOAD))


def test_an_id_that_is_nearly_right_gets_the_right_one(client):
    text = sentence(client.run("load_pipeline('cvssp/audioldm-s', device='cpu')"))
    assert text.startswith("The Hugging Face Hub has no cvssp/audioldm-s,") and "did you mean cvssp/audioldm" in text


def test_a_repository_that_is_no_audioldm_is_refused_before_it_is_downloaded(hub, client):
    text = sentence(client.run("load_pipeline('someone/half', device='cpu')"))
    assert text.startswith("someone/half is no complete AudioLDM: it lacks scheduler/scheduler_config.json,")
    assert not any("/resolve/" in request for request in hub.requests)


def test_another_pipeline_is_refused_before_its_weights_are_downloaded(hub, client):
    text = sentence(client.run("load_pipeline('cvssp/audioldm2', device='cpu')"))
    assert text == "cvssp/audioldm2 is not an AudioLDM: its model_index.json asks for AudioLDM2Pipeline."
    assert not hub.downloaded()


def test_pickles_are_refused_before_they_are_downloaded(hub, client):
    patch = "import torch\nkept, torch.__version__ = torch.__version__, '2.5.1'\n"
    text = sentence(client.run(f"{patch}load_pipeline('audioldm-s-full', device='cpu')"))
    client.run("torch.__version__ = kept")
    assert text.startswith("cvssp/audioldm holds pickled weights (.bin), which only torch 2.6 or later reads safely")
    assert not any("/resolve/" in request for request in hub.requests)


def test_no_network(hub, client, tmp_path):
    """Nothing listens there: refused at once; an address without a name: not found; a proxy that is gone."""
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    for url, environment in (("http://127.0.0.1:9", {}), ("http://no-such-host.invalid", {}), (hub.url, proxy)):
        other = Client(url, tmp_path / "home", **environment)
        answer = other.run("from utils.loading import load_pipeline\n" + LOAD)
        other.close()
        assert sentence(answer) == f"The Hugging Face Hub cannot be reached: check the network, {OFFLINE}"


def test_a_network_with_a_certificate_of_its_own(tmp_path):
    """As behind a school's filter: TLS that ends at somebody else's certificate."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    other = Client(f"https://localhost:{server.server_port}", tmp_path / "home")
    answer = other.run("from utils.loading import load_pipeline\n" + LOAD)
    other.close()
    server.shutdown()
    text = sentence(answer)
    assert text.startswith("This network answers for the Hugging Face Hub with a certificate of its own: let SSL_CERT")
    assert text.endswith(OFFLINE)


def test_a_recordings_score_without_a_network_is_refused_as_soon_as_a_checkpoint_is(tmp_path):
    other = Client("http://127.0.0.1:9", tmp_path / "home")
    other.run("import numpy, torch, transformers; from utils import Clip, clap_similarity")
    answer = other.run("clap_similarity(Clip(numpy.zeros(16_000)), 'a dog')")
    other.close()
    assert sentence(answer) == f"The Hugging Face Hub cannot be reached: check the network, {OFFLINE}"


def test_offline_by_the_environment(hub, tmp_path):
    other = Client(hub.url, tmp_path / "home", HF_HUB_OFFLINE="1")
    answer = other.run("from utils.loading import load_pipeline\n" + LOAD)
    other.close()
    assert sentence(answer).startswith("cvssp/audioldm-s-full-v2 is not on this machine, and HF_HUB_OFFLINE is set")


def test_a_download_that_is_dropped_goes_on_where_it_stopped(hub, client):
    hub.fault = "dropped once"
    answer = client.run(LOAD)
    if answer["error"]:  # huggingface_hub before 1.0 goes on only when asked again
        assert sentence(answer).startswith("The download of cvssp/audioldm-s-full-v2 broke off: load it again")
        answer = client.run(LOAD)
    assert answer["error"] == ""
    assert any("bytes=" in request for request in hub.requests if request.startswith("GET /cdn"))


@pytest.mark.parametrize("fault", ["truncated", "stalled"])
def test_a_download_that_never_ends_is_given_up_and_finished_later(fault, hub, client):
    hub.fault = fault
    text = sentence(client.run(LOAD))
    broke_off = (
        "The download of cvssp/audioldm-s-full-v2 broke off: load it again, the files that have arrived are kept."
    )
    too_slow = f"The Hugging Face Hub did not answer in time for cvssp/audioldm-s-full-v2: try again, {OFFLINE}"
    assert text in ((broke_off,) if fault == "truncated" else (broke_off, too_slow))
    hub.fault = ""
    hub.requests.clear()
    assert client.run(LOAD)["error"] == ""
    texts = [request for request in hub.requests if request.startswith("GET") and request.endswith(".json")]
    assert len(texts) < 5  # what had arrived was kept


def test_a_damaged_download_is_noticed_removed_and_repaired(hub, client):
    hub.fault = "wrong checksum"
    text = sentence(client.run(LOAD))
    assert text.endswith("of audioldm-s-full-v2 came damaged (wrong checksum), and is removed: load it again.")
    assert text.count(".safetensors") == 4
    hub.fault = ""
    hub.requests.clear()
    assert client.run(LOAD)["error"] == ""
    assert len(hub.downloaded()) == 4


def test_a_full_disk(client):
    """A file may not grow beyond 1 MB: the same errno path as a quota, for real."""
    limit = "import resource\nkept = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, kept[1]))\n"
    text = sentence(client.run(limit + LOAD))
    client.run("resource.setrlimit(resource.RLIMIT_FSIZE, kept)")
    assert text == "The disk is full: make room for cvssp/audioldm-s-full-v2, or let HF_HOME name another disk."
    assert client.run(LOAD)["error"] == ""


def test_a_disk_that_is_really_full(hub, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount a small disk here")
    try:
        other = Client(hub.url, disk / "home")
        answer = other.run("from utils.loading import load_pipeline\n" + LOAD)
        other.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert sentence(answer).startswith("The disk is full: make room for cvssp/audioldm-s-full-v2")


def test_a_cache_that_cannot_be_written(hub, tmp_path):
    (tmp_path / "file").touch()
    other = Client(hub.url, tmp_path / "file" / "home")
    answer = other.run("from utils.loading import load_pipeline\n" + LOAD)
    other.close()
    assert sentence(answer).startswith("cvssp/audioldm-s-full-v2 cannot be kept on this disk: let HF_HOME name")


def test_an_interrupted_learner_can_go_on(hub, client):
    """Two learners' processes on one cache, one killed in mid-download: the other gets a whole checkpoint."""
    hub.fault = "stalled"
    victim = subprocess.Popen(
        [sys.executable, "-c", f"from utils.loading import load_pipeline; {LOAD}"],
        env={**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(client.home)},
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    waiting = threading.Event()
    while victim.poll() is None and not hub.downloaded():
        waiting.wait(0.1)
    waiting.wait(0.5)
    victim.kill()
    victim.wait()
    assert hub.downloaded()
    hub.fault = ""
    assert client.run(LOAD)["error"] == ""


def test_every_pinned_revision_is_a_full_commit():
    pinned = [checkpoint.revision for checkpoint in CHECKPOINTS.values() if checkpoint.revision]
    assert len(pinned) == 3 and all(len(revision) == 40 for revision in pinned)
