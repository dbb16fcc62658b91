"""Failures between a learner and the Hub: each is provoked over real HTTP, and ends in one clear sentence."""

from __future__ import annotations

import shutil
import threading
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest

from tests.checkpoints import change_json, make_repository
from tests.conftest import slow_after
from tests.hub import Client, Hub

LOAD = "load_pipeline('audioldm-s-full-v2', device='cpu')"
IMPORT = "from utils.loading import load_pipeline\n"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    small, two, none = make_repository(folder / "small"), folder / "two", folder / "none"
    shutil.copytree(small, two)
    change_json(two / "model_index.json", _class_name="AudioLDM2Pipeline")
    none.mkdir()
    hub = Hub({"cvssp/audioldm-s-full-v2": small, "cvssp/audioldm2": two, "someone/none": none})
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def one_client(hub, tmp_path_factory):
    client = Client(hub.url, tmp_path_factory.mktemp("home"))
    client.run("import utils.hub\nutils.hub.ANSWER_SECONDS = 2\n" + IMPORT)
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
    """Return the one sentence of a LoadingError; any other answer fails."""
    kind, _, text = answer["error"].partition(": ")
    assert kind == "utils.hub.LoadingError", answer
    assert "\n" not in text and text.endswith(".")
    return text


def fresh(url: str, home, **settings: str) -> str:
    """Return the sentence that a new process with this environment ends with."""
    client = Client(url, home, **settings)
    answer = client.run(IMPORT + LOAD)
    client.close()
    return sentence(answer)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("gated", "hf auth login"),
        ("401", "hf auth login"),
        ("503", "503"),
        ("silent", "mini-s-v2"),
        ("portal", "log in to this network"),
        ("revision", "update the project"),
    ],
)
def test_refusals(fault, words, hub, client):
    hub.fault = fault
    answer = client.run(LOAD)
    assert words in sentence(answer)
    assert answer["seconds"] < 60  # it does not hang
    assert answer["out"] == "" and not hub.downloaded()  # no word of a download that did not begin


@pytest.mark.parametrize("fault", ["cdn 403", "cut"])
def test_a_download_that_breaks_off_is_finished_by_the_next_call(fault, hub, client):
    hub.fault = fault
    answer = client.run(LOAD)
    assert "audioldm-s-full-v2" in sentence(answer) and "downloading" in answer["out"]
    hub.fault = ""
    hub.requests.clear()
    assert client.run(LOAD)["error"] == ""
    assert sum(request.endswith(".json") for request in hub.requests if request.startswith("GET")) < 5  # kept


def test_a_blocked_xet_holds_nobody_up(hub, client):
    """The Hub offers a second way to its weights, with servers of its own, which many a school's network blocks."""
    hub.fault = "xet"
    assert client.run(LOAD)["error"] == ""
    assert len(hub.downloaded()) == 4


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cvssp/audioldm2", "AudioLDM2Pipeline"),
        ("someone/none", "someone/none"),
        ("cvssp/audioldm-s", "check the name"),
    ],
)
def test_a_repository_without_an_audioldm_is_refused_before_its_weights_come(name, words, hub, client):
    assert words in sentence(client.run(f"load_pipeline({name!r}, device='cpu')"))
    assert not hub.downloaded()


PROXY = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
# nobody answers, a name without an address, a proxy that is gone
NOWHERE = [("http://127.0.0.1:9", {}), ("http://no-such-host.invalid", {}), ("", PROXY)]


@pytest.mark.parametrize(("url", "settings"), slow_after(1, NOWHERE))
def test_no_network(hub, tmp_path, url, settings):
    assert "cannot be reached" in fresh(url or hub.url, tmp_path / "home", **settings)


def test_offline_by_the_environment(hub, client):
    offline = Client(hub.url, client.home, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE" in sentence(offline.run(IMPORT + LOAD))
    assert client.run(LOAD)["error"] == ""
    assert offline.run(LOAD)["error"] == ""  # it is on this machine
    offline.close()


@pytest.mark.slow
def test_a_network_that_breaks_tls(tmp_path):
    """As a school's filter does; its server answers here without any TLS."""

    class Filter(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(9999)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with ThreadingTCPServer(("127.0.0.1", 0), Filter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert "SSL_CERT_FILE" in fresh(f"https://127.0.0.1:{server.server_address[1]}", tmp_path / "home")
        server.shutdown()


def test_a_full_disk(client):
    """A file may not grow beyond 1 MB: the same errno path as a quota, for real."""
    limit = "import resource\nkept = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, kept[1]))\n"
    text = sentence(client.run(limit + LOAD))
    client.run("resource.setrlimit(resource.RLIMIT_FSIZE, kept)")
    assert "full" in text and "HF_HOME" in text
    assert client.run(LOAD)["error"] == ""
