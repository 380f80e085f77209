"""Where the way out of a network is a proxy, the agent takes it."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from agent import ConfigError, Unreachable
from agent.client import Client
from agent.proxy import proxy_for
from tests.agent.fake_skadi import TOKEN

SKADI = "https://skadi.example.com"


class FakeProxy:
    """Lets a caller through to skadi.example.com, which it is itself."""

    def __init__(self, authority: trustme.CA) -> None:
        self.asked: list[str] = []
        self.answer = b"HTTP/1.1 200 OK\r\n\r\n"
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("skadi.example.com").configure_cert(self._tls)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return
        with connection:
            self.asked.append(connection.recv(65536).decode())
            connection.sendall(self.answer)
            if b" 200 " not in self.answer:
                return
            with self._tls.wrap_socket(connection, server_side=True) as inside:
                self.asked.append(inside.recv(65536).decode())
                inside.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProxy]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    fake = FakeProxy(authority)
    monkeypatch.setenv("https_proxy", f"http://ada:se%3Acret@{fake.place}")
    yield fake
    fake.close()


def test_a_server_is_reached_through_the_proxy_of_the_environment(proxy: FakeProxy) -> None:
    client = Client(SKADI, TOKEN, timeout=5)
    client.status()
    client.close()
    outside, inside = proxy.asked
    assert outside.startswith("CONNECT skadi.example.com:443 HTTP/1.")
    assert "Proxy-Authorization: Basic YWRhOnNlOmNyZXQ=\r\n" in outside
    assert TOKEN not in outside
    assert inside.startswith("GET /status HTTP/1.1\r\nHost: skadi.example.com\r\n")
    assert "Proxy-Authorization" not in inside


def test_a_proxy_that_refuses_is_told_of(proxy: FakeProxy) -> None:
    proxy.answer = b"HTTP/1.1 403 Forbidden\r\n\r\n"
    client = Client(SKADI, TOKEN, timeout=5)
    with pytest.raises(Unreachable, match="403 Forbidden"):
        client.status()


def test_no_proxy_is_heeded(proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for("skadi.example.com", 443)
    monkeypatch.setenv("no_proxy", "localhost, .example.com")
    assert proxy_for("skadi.example.com", 443) is None


def test_a_proxy_without_a_host_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: FakeProxy
) -> None:
    for text in ("http://", "http://ada:secret@host:port"):
        monkeypatch.setenv("https_proxy", text)
        with pytest.raises(ConfigError) as error:
            Client(SKADI, TOKEN)
        assert str(error.value) == "https_proxy: write it as http://host:port"
