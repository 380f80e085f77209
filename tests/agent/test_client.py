"""The wire: what is sent, and what each answer of a server means."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from agent import BadToken, ConfigError, Refused, Unreachable
from agent.client import Abandoned, Client, Order
from tests.agent.fake_skadi import TOKEN, FakeSkadi


@pytest.fixture
def client(skadi: FakeSkadi) -> Iterator[Client]:
    client = Client(skadi.url, TOKEN, timeout=2)
    yield client
    client.close()


@pytest.fixture
def says() -> Iterator["Says"]:
    with Says() as server:
        yield server


class Says:
    """A server that answers every connection with the same bytes."""

    def __init__(self) -> None:
        self.answer = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> "Says":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(self.answer)
        except OSError:
            return


def test_a_poll_says_what_it_can_take_and_what_it_holds(skadi: FakeSkadi, client: Client) -> None:
    assert client.poll(0, 2, "j1", ["a", "b"]).order is None
    [poll] = skadi.polls
    assert (poll.wait, poll.slots, poll.journal, poll.holding) == (0, 2, "j1", ("a", "b"))


def test_an_empty_holding_is_said_and_no_journal_is_not(skadi: FakeSkadi, client: Client) -> None:
    client.poll(0, 1, "j1")
    client.poll(0, 1)
    assert (skadi.polls[0].journal, skadi.polls[0].holding) == ("j1", ())
    assert (skadi.polls[1].journal, skadi.polls[1].holding) == (None, None)


def test_a_job_arrives_and_is_reported(skadi: FakeSkadi, client: Client) -> None:
    job = skadi.submit("deploy 傻瓜")
    assert client.poll(0, 1).order == Order(job.id, "deploy 傻瓜")
    client.report(job.id, "running", "half")
    client.report(job.id, "succeed", "done\0 \ud800")
    assert job.runnings == ["half"]
    assert job.ends == [("succeed", "done\ufffd ?")]


def test_a_held_poll_answers_as_soon_as_a_job_comes(skadi: FakeSkadi, client: Client) -> None:
    threading.Timer(0.2, skadi.submit, ["deploy"]).start()
    began = time.monotonic()
    assert client.poll(5, 1).order
    assert 0.1 < time.monotonic() - began < 2


def test_word_of_cancels_is_read(skadi: FakeSkadi, client: Client) -> None:
    skadi.cancel = ["one"]
    answer = client.poll(1, 0)
    assert (answer.order, answer.cancel) == (None, ("one",))


def test_a_path_before_the_api_is_honoured(skadi: FakeSkadi) -> None:
    skadi.prefix = "/ops/skadi"
    client = Client(skadi.url + "/", TOKEN)
    client.status()
    job = skadi.submit("deploy")
    assert client.poll(0, 1).order == Order(job.id, "deploy")
    client.close()


def test_an_unknown_token_is_told_apart(skadi: FakeSkadi) -> None:
    client = Client(skadi.url, "no" + TOKEN)
    with pytest.raises(BadToken, match="does not know this token"):
        client.poll(0, 1)
    client.close()


@pytest.mark.parametrize("status", [404, 400, 403, 422])
def test_a_no_in_skadis_words_is_final(skadi: FakeSkadi, client: Client, status: int) -> None:
    skadi.answer_all = status
    with pytest.raises(Refused, match=f"{status} Passing: as the test wants it"):
        client.report("one", "succeed", "done")


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_a_passing_fault_is_not(skadi: FakeSkadi, client: Client, status: int) -> None:
    skadi.answer_all = status
    with pytest.raises(Unreachable, match=f"answers {status}"):
        client.report("one", "succeed", "done")


def test_a_redirect_is_not_followed(skadi: FakeSkadi, client: Client) -> None:
    with FakeSkadi() as other:
        skadi.answer_all, skadi.location = 302, other.url
        with pytest.raises(Unreachable, match=rf"sends us on \(302\) to {other.url}"):
            client.poll(0, 1)
        assert other.headers == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope", "no JSON"),
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\n{}", "answers 400 as Skadi does not"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "no JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "no job"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "no job"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"id": "one"', "no JSON"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"id": "a/../b", "message": "x"}', "an id that is none"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b" " * 2000000, "larger"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "no JSON"),
        (b"SSH-2.0-OpenSSH\r\n", "SSH"),
        (b"", "closed connection"),
    ],
)
def test_what_is_no_answer_of_skadi_is_worth_another_try(
    says: Says, answer: bytes, reason: str
) -> None:
    says.answer = answer
    client = Client(says.url, TOKEN, timeout=2)
    with pytest.raises(Unreachable, match=reason):
        client.poll(0, 1)
    client.close()


def test_a_server_that_is_silent_is_given_up_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}", TOKEN, timeout=0.3)
        began = time.monotonic()
        with pytest.raises(Unreachable, match="timed out"):
            client.poll(0, 1)
        assert time.monotonic() - began < 2
        client.close()


def test_one_connection_serves_many_calls(skadi: FakeSkadi, client: Client) -> None:
    client.poll(0, 1)
    first = client._connection
    client.poll(0, 1)
    assert first is client._connection is not None


def test_a_connection_closed_meanwhile_is_opened_again(skadi: FakeSkadi, client: Client) -> None:
    job = skadi.submit("deploy")
    client.poll(0, 1)
    skadi.go()
    skadi.come()
    client.report(job.id, "succeed", "done")
    assert job.result == "done"


def test_a_call_can_be_abandoned_from_another_thread(skadi: FakeSkadi, client: Client) -> None:
    threading.Timer(0.2, client.abandon).start()
    began = time.monotonic()
    with pytest.raises(Abandoned):
        client.poll(30, 1)
    assert time.monotonic() - began < 2
    with pytest.raises(Abandoned):
        client.poll(0, 1)
    client.resume()
    assert client.poll(0, 1).order is None


@pytest.mark.parametrize(
    "url", ["skadi.example.com", "ftp://x", "http://", "https://u:p@x", "http://x?y", "http://x:y"]
)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="server"):
        Client(url, TOKEN)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "tökén"])
def test_a_token_that_cannot_be_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Client("https://x", token)
    assert not token or token not in str(caught.value)
