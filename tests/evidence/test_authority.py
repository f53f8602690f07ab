import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
from time_authority import Respond, answering, serving

from bench.errors import CannotMeasure, UsageError
from bench.evidence.authority import MAX_BYTES, post


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def refused(url: str, timeout_s: float = 10.0) -> str:
    """Why no answer was had, in one line with what to type."""
    with pytest.raises(CannotMeasure, match=r"^no time stamp from http.* --request FILE") as caught:
        post(url, b"question", timeout_s=timeout_s)
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_a_question_is_posted_and_the_answer_is_what_came() -> None:
    with serving(answering(lambda body: b"answer to " + body)) as url:
        assert post(url, b"question") == b"answer to question"


def test_an_error_of_the_server_is_told() -> None:
    with serving(answering(lambda _: b"sorry", status=500)) as url:
        assert "it answered HTTP 500 (Internal Server Error)" in refused(url)


def test_a_redirect_is_told_and_not_followed() -> None:
    asked = []

    def elsewhere(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.append(handler.path)
        handler.send_response(302)
        handler.send_header("Location", "/elsewhere\x1b[2J")
        handler.end_headers()

    with serving(elsewhere) as url:
        assert "HTTP 302 (Found) and points to /elsewhere, which is not followed" in refused(url)
    assert asked == ["/tsa"]


def test_a_huge_answer_is_not_read_to_its_end() -> None:
    def endless(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(2**16))

    with serving(endless) as url:
        assert f"the answer has more than {MAX_BYTES} bytes" in refused(url)


def silent(_: BaseHTTPRequestHandler, __: bytes) -> None:
    time.sleep(5)


def trickling(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _byte in range(50):
        handler.wfile.write(b"x")
        time.sleep(0.1)


def trickling_headers(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _line in range(50):
        handler.wfile.write(b"A: b\r\n")
        time.sleep(0.1)


@pytest.mark.parametrize("respond", [silent, trickling, trickling_headers])
def test_a_server_that_hangs_is_not_waited_for(respond: Respond) -> None:
    with serving(respond) as url:
        assert "no answer within 1 s" in refused(url, timeout_s=0.6)


@contextmanager
def speaking(words: bytes) -> Iterator[str]:
    """A server that says the same to everybody and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(2**16)
                connection.sendall(words)

        thread = threading.Thread(target=speak)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 " + b"9" * 70000,
    ],
)
def test_a_server_that_speaks_no_http_is_told(words: bytes) -> None:
    with speaking(words) as url:
        assert refused(url)


def test_that_nobody_answers_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "connection refused" in refused(f"http://127.0.0.1:{port}/")


def test_an_authority_over_https_has_to_show_a_certificate() -> None:
    with serving(answering(lambda _: b"")) as url:
        assert "ssl" in refused(url.replace("http:", "https:"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "timestamp.example.org",
        "http://",
        "http:///path",
        "file:///etc/passwd",
        "ftp://example.org/",
        "http://name:password@example.org/",
        "http://example.org:port/",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://[::1/",
        "http://example.org/a b",
        "http://example.org/\r\nHost: other",
        "http://example.org/\x1b[2J",
        "http://exämple.org/",
    ],
)
def test_what_is_no_address_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match=r"is no address of an authority: expected http://HOST") as caught:
        post(url, b"question")
    assert str(caught.value).isprintable()
