"""Nobody is called who should not be, and nobody who is called can do us harm."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from time import monotonic

import pytest
import trustme

from adapters.callback.address import Allowed, may_call, read_allowed
from core.chat import DeliveryError, Published, Reply
from core.errors import SettingsError
from tests.callback.caller import BODY, call, calling
from tests.callback.receiver import Receiver, naming, receiving, silence, status

LOCAL = ("127.0.0.1",)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


# Which addresses are closed.


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1"),
        *("172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.127.255.255"),
        *("192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1"),
        *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::7f00:1", "fe80::1", "fe80::1%1", "fec0::1", "fc00::1", "fd12:3456::1"),
        *("ff02::1", "2001:db8::1", "3fff::1", "5f00::1", "100::1", "2001::1", "2001:2::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:100.64.0.1"),
        *("2002:7f00:1::", "2002:a00:1::1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1"),
        *("64:ff9b::169.254.169.254", "64:ff9b:1::1", "2001:0:7f00:1::"),
        *("2606:2800::5efe:10.0.0.1", "2606:2800::200:5efe:127.0.0.1", "::ffff:0:127.0.0.1"),
    ],
)
def test_an_address_among_ourselves_is_closed(address: str) -> None:
    assert not may_call(ip_address(address), Allowed())


@pytest.mark.parametrize(
    "address",
    [
        *("93.184.215.14", "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.169.0.1", "223.255.255.1"),
        *("2606:2800:21f::1", "2a00:1450::1", "::ffff:93.184.215.14", "64:ff9b::93.184.215.14"),
    ],
)
def test_an_address_out_in_the_world_is_open(address: str) -> None:
    assert may_call(ip_address(address), Allowed())


def test_the_settings_open_what_they_name_and_no_more() -> None:
    allowed = read_allowed(("10.1.0.0/16", "fd00::/8", "192.168.1.5", "CI.corp."))
    for address in ("10.1.2.3", "fd12::1", "192.168.1.5", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"):
        assert may_call(ip_address(address), allowed), address
    for address in ("10.2.0.1", "192.168.1.6", "127.0.0.1", "fc00::1", "::ffff:10.2.0.1"):
        assert not may_call(ip_address(address), allowed), address
    assert allowed.name("ci.CORP") and not allowed.name("x.ci.corp")


@pytest.mark.parametrize("wrong", ["10.1.2.3/8", "a b", "http://ci", "10.0.0.999", ""])
async def test_a_setting_that_opens_nothing_stops_the_start(wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"\[adapters.callback\] allow_hosts"):
        async with calling(allow_hosts=(wrong,)):
            pass


@pytest.mark.parametrize("wrong", ["dns.example:53", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:x"])
async def test_a_name_server_that_is_none_stops_the_start(wrong: str) -> None:
    with pytest.raises(SettingsError, match="dns_server"):
        async with calling(dns_server=wrong):
            pass


# What a name leads to.


@pytest.fixture
def names() -> Iterator[str]:
    with naming(
        inside=[["127.0.0.1"]],
        inside6=[["::1"]],
        mapped=[["::ffff:7f00:1"]],
        both=[["10.0.0.1", "127.0.0.1"]],
        mixed=[["10.0.0.1", "127.0.0.1"]],
        empty=[[]],
    ) as (_, server):
        yield server


@pytest.mark.parametrize("name", ["inside", "inside6", "mapped", "both"])
async def test_a_name_that_leads_to_us_is_not_called(
    names: str, receiver: Receiver, name: str
) -> None:
    async with calling(http=True, dns_server=names) as adapter:
        with pytest.raises(DeliveryError, match="not called from here") as refused:
            await call(adapter, receiver.url(host=f"{name}.example"))
    assert not refused.value.permanent, "the name may lead elsewhere in a minute"
    assert receiver.connections == 0


async def test_a_wrong_answer_of_a_name_server_loses_no_event(receiver: Receiver) -> None:
    with naming(slip=[["0.0.0.0"], ["127.0.0.1"]]) as (_, server):
        async with calling(http=True, dns_server=server, allow_hosts=LOCAL) as adapter:
            with pytest.raises(DeliveryError, match=r"leads to 0\.0\.0\.0") as failed:
                await call(adapter, receiver.url(host="slip.example"))
            assert not failed.value.permanent
            await call(adapter, receiver.url(host="slip.example"))
    assert len(receiver.calls) == 1


async def test_an_address_by_number_that_is_closed_now_is_never_called_again(
    receiver: Receiver,
) -> None:
    async with calling(http=True, allow_hosts=LOCAL) as adapter:
        thread = adapter.address(receiver.url())
    async with calling(http=True) as stricter:
        with pytest.raises(DeliveryError, match=r"leads to 127\.0\.0\.1") as refused:
            await stricter.send(Reply(thread, "", event=Published("e1", "ada", BODY)))
    assert refused.value.permanent
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost.", "a.localhost", "127.1", "2130706433", "0x7f.1", "0x7f.0x1"),
        *("0177.0.0.1", "127.0.0.1.", "127.0.0.0x1"),
    ],
)
async def test_no_spelling_of_ourselves_is_called(receiver: Receiver, host: str) -> None:
    async with calling(http=True) as adapter:
        with pytest.raises((DeliveryError, ValueError)):
            await call(adapter, receiver.url(host=host))
    assert receiver.connections == 0


async def test_a_name_that_the_settings_allow_is_called(names: str, receiver: Receiver) -> None:
    async with calling(
        http=True, dns_server=names, allow_hosts=("inside.example", "127.0.0.0/30")
    ) as adapter:
        await call(adapter, receiver.url(host="Inside.example"))
        await call(adapter, receiver.url(host="mixed.example"))
    assert [call.headers["host"] for call in receiver.calls] == [
        f"inside.example:{receiver.port}",
        f"mixed.example:{receiver.port}",
    ], "of the addresses of the second name only the one that is allowed was tried"


@pytest.mark.parametrize("name", ["empty", "unknown"])
async def test_a_name_that_leads_nowhere_is_tried_again_later(names: str, name: str) -> None:
    async with calling(dns_server=names) as adapter:
        with pytest.raises(DeliveryError) as failed:
            await call(adapter, f"https://{name}.example/")
    assert not failed.value.permanent


async def test_a_name_cannot_change_its_mind_between_look_and_call(receiver: Receiver) -> None:
    """The first answer is an address that may be called, all later ones are ours."""
    async with receiving(host="127.0.0.2", port=receiver.port) as allowed:
        with naming(turncoat=[["127.0.0.2"], ["127.0.0.1"]]) as (names, server):
            async with calling(http=True, dns_server=server, allow_hosts=("127.0.0.2",)) as adapter:
                await call(adapter, receiver.url(host="turncoat.example"))
                assert names.asked.count(("turncoat.example", "A")) == 1
                assert len(allowed.calls) == 1
            async with calling(http=True, dns_server=server, allow_hosts=("127.0.0.2",)) as adapter:
                with pytest.raises(DeliveryError, match=r"leads to 127\.0\.0\.1"):
                    await call(adapter, receiver.url(host="turncoat.example"))
    assert receiver.connections == 0


async def test_the_next_address_of_a_name_is_tried(receiver: Receiver) -> None:
    with naming(two=[["127.0.0.3", "127.0.0.1"]]) as (_, server):
        async with calling(http=True, dns_server=server, allow_hosts=("two.example",)) as adapter:
            await call(adapter, receiver.url(host="two.example"))
    assert len(receiver.calls) == 1


# What an answer can and cannot do.


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answers = [status(code, "Location: /elsewhere") for code in (301, 302, 307, 308)]
    async with calling(http=True, allow_hosts=LOCAL) as adapter:
        for _ in range(4):
            with pytest.raises(DeliveryError, match="redirect, which is not followed") as failed:
                await call(adapter, receiver.url())
            assert not failed.value.permanent
    assert {call.target for call in receiver.calls} == {"/hook"}
    assert len(receiver.calls) == 4


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
async def test_what_was_taken_is_told(receiver: Receiver, code: int) -> None:
    receiver.answers = [status(code)]
    async with calling(http=True, allow_hosts=LOCAL) as adapter:
        await call(adapter, receiver.url())


@pytest.mark.parametrize("code", [400, 401, 404, 408, 500, 502])
async def test_what_was_refused_is_tried_again(receiver: Receiver, code: int) -> None:
    receiver.answers = [status(code, "Retry-After: 3600")]
    async with calling(http=True, allow_hosts=LOCAL) as adapter:
        with pytest.raises(DeliveryError) as failed:
            await call(adapter, receiver.url())
    assert (failed.value.permanent, failed.value.retry_after) == (False, None)


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        ("120", 120),
        ("0", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("99999999999999", 86400),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 86400),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0),
    ],
)
async def test_a_wish_for_time_is_read(
    receiver: Receiver, wish: str, seconds: float | None
) -> None:
    receiver.answers = [status(429, f"Retry-After: {wish}")]
    async with calling(http=True, allow_hosts=LOCAL) as adapter:
        with pytest.raises(DeliveryError) as failed:
            await call(adapter, receiver.url())
    assert failed.value.retry_after == seconds


async def test_cookies_are_forgotten_and_connections_kept(receiver: Receiver) -> None:
    receiver.answers = [status(200, "Set-Cookie: a=b; Path=/", body=b"thanks")]
    async with calling(http=True, allow_hosts=LOCAL) as adapter:
        await call(adapter, receiver.url())
        await call(adapter, receiver.url())
    assert "cookie" not in receiver.calls[1].headers
    assert receiver.connections == 1


async def test_the_proxies_of_the_environment_are_passed_by(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        async with calling(http=True, allow_hosts=LOCAL) as adapter:
            await call(adapter, receiver.url())
        assert proxy.connections == 0
    assert len(receiver.calls) == 1


async def test_who_does_not_answer_in_time_is_called_again_later(receiver: Receiver) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    receiver.answers = [silence, drip]
    async with calling(http=True, allow_hosts=LOCAL, timeout=timedelta(seconds=0.3)) as adapter:
        for _ in range(2):
            with pytest.raises(DeliveryError, match=r"no answer within 0\.3 seconds") as failed:
                await call(adapter, receiver.url())
            assert not failed.value.permanent


async def test_a_slow_body_changes_nothing_of_what_was_taken(receiver: Receiver) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    receiver.answers = [drip]
    began = monotonic()
    async with calling(http=True, allow_hosts=LOCAL) as adapter:
        await call(adapter, receiver.url())
    assert monotonic() - began < 5


async def test_an_endless_body_is_broken_off(receiver: Receiver) -> None:
    poured = 0

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal poured
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()
            poured += 0x10000

    receiver.answers = [pour]
    async with calling(http=True, allow_hosts=LOCAL) as adapter:
        began = monotonic()
        await call(adapter, receiver.url())
        assert monotonic() - began < 1, "its size ended it, not the time"
        await call(adapter, receiver.url())
    assert poured < 16 * 1024 * 1024


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_a_failure(receiver: Receiver, answer: bytes) -> None:
    receiver.answers = [answer]
    async with calling(http=True, allow_hosts=LOCAL) as adapter:
        with pytest.raises(DeliveryError) as failed:
            await call(adapter, receiver.url())
    assert not failed.value.permanent


async def test_where_nobody_listens_is_a_failure() -> None:
    async with receiving() as gone:
        pass
    async with calling(http=True, allow_hosts=LOCAL) as adapter:
        with pytest.raises(DeliveryError) as failed:
            await call(adapter, gone.url())
    assert not failed.value.permanent


# TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


async def test_the_certificate_is_for_the_name_and_not_for_its_address(
    names: str, authority: trustme.CA, ca: str
) -> None:
    async with (
        receiving(tls=server_tls(authority, "inside.example")) as receiver,
        calling(allow_hosts=LOCAL, ca=ca, dns_server=names) as adapter,
    ):
        await call(adapter, receiver.url(host="inside.example", scheme="https"))
        assert receiver.names == ["inside.example"]
        assert receiver.calls[0].headers["host"] == f"inside.example:{receiver.port}"


@pytest.mark.parametrize("certified", ["other.example", "*.other.example"])
async def test_a_certificate_for_another_name_is_not_believed(
    names: str, authority: trustme.CA, ca: str, certified: str
) -> None:
    async with (
        receiving(tls=server_tls(authority, certified)) as receiver,
        calling(allow_hosts=LOCAL, ca=ca, dns_server=names) as adapter,
    ):
        with pytest.raises(DeliveryError, match="certificate") as failed:
            await call(adapter, receiver.url(host="inside.example", scheme="https"))
        assert not failed.value.permanent
        assert receiver.calls == []


async def test_a_certificate_of_a_strange_authority_is_not_believed(
    names: str, authority: trustme.CA
) -> None:
    async with (
        receiving(tls=server_tls(authority, "inside.example")) as receiver,
        calling(allow_hosts=LOCAL, dns_server=names) as adapter,
    ):
        with pytest.raises(DeliveryError, match="certificate"):
            await call(adapter, receiver.url(host="inside.example", scheme="https"))
        assert receiver.calls == []


async def test_an_authority_that_cannot_be_read_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"\[adapters.callback\] ca"):
        async with calling(ca="/nowhere/ca.pem"):
            pass
