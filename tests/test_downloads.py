"""Fetching files, from a server on this computer that can be good and bad."""

import hashlib
import io
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from waiting import HANG

from course_utils import _downloads, photos
from course_utils.errors import DataError
from course_utils.pictures import open_picture


def a_jpeg():
    buffer = io.BytesIO()
    Image.fromarray(np.full((224, 224, 3), 90, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Answers every request with `content`, in the way that `mood` says."""

    daemon_threads = True
    content, mood, requests = b"", "good", 0

    def __init__(self, address):
        super().__init__(address, Handler)
        self.patience_ended = threading.Event()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}/test_images"

    def handle_error(self, *_arguments):
        """A client that hangs up on a slow server is what the test wants."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests += 1
        if server.mood == "slow":
            server.patience_ended.wait(HANG)
        if server.mood == "404":
            self.send_error(404)
            return
        content = b"x" + server.content[1:] if server.mood == "corrupt" else server.content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if server.mood == "truncated" else content)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    with Server(("127.0.0.1", 0)) as running:
        running.content = a_jpeg()
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(_downloads, "cache_folder", lambda: tmp_path / "cache")
        monkeypatch.setattr(photos, "ADDRESS", running.address)
        monkeypatch.setitem(photos.SHA256, "zebra", hashlib.sha256(running.content).hexdigest())
        yield running
        running.patience_ended.set()
        running.shutdown()


def kept(tmp_path):
    return [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_photograph_is_fetched_once_and_credited(server, tmp_path, capsys):
    assert open_picture("article:zebra").shape == (3, 224, 224)
    assert "zebra.jpg: a photograph from https://github.com/gsurma" in capsys.readouterr().out
    assert open_picture("article:zebra", size=64).shape == (3, 64, 64)
    assert capsys.readouterr().out == ""
    assert server.requests == 1
    assert kept(tmp_path) == ["zebra.jpg"]


def test_what_is_kept_needs_no_network(server):
    open_picture("article:zebra")
    server.mood = "404"
    assert open_picture("article:zebra").shape == (3, 224, 224)


def test_a_kept_file_that_was_damaged_is_fetched_again(server, tmp_path):
    open_picture("article:zebra")
    (tmp_path / "cache" / "article" / "zebra.jpg").write_bytes(b"half")
    assert open_picture("article:zebra").shape == (3, 224, 224)
    assert server.requests == 2


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("corrupt", "came damaged, or as another file"),
        ("truncated", "the connection broke off"),
        ("404", "the server answers 404 Not Found"),
        ("slow", "the server is silent"),
    ],
)
def test_a_bad_server_is_named_and_nothing_is_kept(server, tmp_path, monkeypatch, mood, reason):
    monkeypatch.setattr(_downloads, "TIMEOUT", 0.5 if mood == "slow" else HANG)
    server.mood = mood
    with pytest.raises(DataError, match=reason) as error:
        open_picture("article:zebra")
    message, folder = str(error.value), tmp_path / "cache" / "article"
    assert f"download {server.address}/zebra.jpg and put it into {folder}." in message
    assert "chelsea, coffee and rocket" in message
    assert "\n" not in message
    assert kept(tmp_path) == []


def test_without_a_network(server, tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(photos, "ADDRESS", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(DataError, match=r"zebra\.jpg can't be downloaded here \(no connection"):
            open_picture("article:zebra")
    assert kept(tmp_path) == []


def test_a_file_that_was_put_there_is_used(server, tmp_path):
    folder = tmp_path / "cache" / "article"
    folder.mkdir(parents=True)
    (folder / "zebra.jpg").write_bytes(server.content)
    assert open_picture("article:zebra").shape == (3, 224, 224)
    assert server.requests == 0


def test_other_names_list_the_four():
    with pytest.raises(ValueError, match="basketball, pineapple, submarine, zebra"):
        open_picture("article:tank")


def test_addresses_and_sums_are_those_of_one_commit():
    assert photos.ADDRESS.startswith("https://raw.githubusercontent.com/gsurma/cnn_explainer/")
    assert photos.COMMIT in photos.ADDRESS and len(photos.COMMIT) == 40
    assert all(len(bytes.fromhex(value)) == 32 for value in photos.SHA256.values())


def test_the_cache_is_the_systems(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _downloads.cache_folder().name == "what-does-the-network-see"
