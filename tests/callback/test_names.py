"""Names are looked up by what the machine says, and nobody else has to wait for it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import httpcore
import pytest

from adapters.callback.names import Names, ask, make_resolver, new_resolver, read_servers
from tests.callback.caller import call, calling
from tests.callback.receiver import naming, receiving


def resolver_at(server: str, lifetime: float = 5.0) -> Names:
    """Without a file of hosts."""
    resolver = new_resolver()
    resolver.nameservers, resolver.port = ["127.0.0.1"], int(server.rpartition(":")[2])
    resolver.lifetime = lifetime
    return Names(dict, lambda: resolver)


async def find(names: Names, host: str) -> list[str]:
    return [str(address) for address in await names.find(host)]


async def test_no_thread_is_needed_to_look_up_a_name() -> None:
    """They are few, and each may be held by somebody who waits for a name that is not answered."""
    loop, release = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    held = loop.run_in_executor(None, release.wait)
    try:
        async with (
            receiving() as receiver,
            calling(http=True, allow_hosts=("localhost",), timeout=timedelta(seconds=2)) as adapter,
        ):
            await call(adapter, receiver.url(host="localhost"))
        assert len(receiver.calls) == 1
    finally:
        release.set()
        await held


async def test_the_file_of_hosts_goes_before_the_name_servers(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "# ours\n\n10.0.0.7\tci.example CI-2.Example # both\nfd00::7 ci.example\nnonsense here\n9.9.9.9"
    )
    with naming(ci=[["9.9.9.9"]], other=[["1.1.1.1"]]) as (names, server):
        resolve = make_resolver("callback", server, hosts=hosts)
        assert await resolve("CI.example.") == [ip_address("10.0.0.7"), ip_address("fd00::7")]
        assert await resolve("ci-2.example") == [ip_address("10.0.0.7")]
        assert names.asked == []
        assert await resolve("other.example") == [ip_address("1.1.1.1")]


async def test_a_changed_file_of_hosts_is_read_again(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    with naming(ci=[["9.9.9.9"]]) as (_, server):
        resolve = make_resolver("callback", server, hosts=hosts)
        assert await resolve("ci.example") == [ip_address("9.9.9.9")], "there is no such file"
        hosts.write_text("10.0.0.7 ci.example")
        assert await resolve("ci.example") == [ip_address("10.0.0.7")]
        hosts.write_text("10.0.0.77 ci.example")
        assert await resolve("ci.example") == [ip_address("10.0.0.77")]


async def test_localhost_is_here_whatever_a_name_server_says() -> None:
    with naming() as (names, server):
        for host in ("localhost", "LOCALHOST.", "ci.localhost"):
            assert await find(resolver_at(server), host) == ["127.0.0.1", "::1"]
        assert names.asked == []


async def test_the_name_servers_are_those_of_the_machine(tmp_path: Path) -> None:
    servers = tmp_path / "resolv.conf"
    servers.write_text("search example\nnameserver 127.0.0.9\nnameserver ::1\n")
    assert read_servers(servers).nameservers == ["127.0.0.9", "::1"]
    assert read_servers(tmp_path / "none").nameservers == ["127.0.0.1"]
    servers.write_text("nameserver nonsense\n")
    resolve = make_resolver("callback", "", hosts=tmp_path / "none", servers=servers)
    with pytest.raises(httpcore.ConnectError, match=r"ci\.example cannot be looked up"):
        await resolve("ci.example")


async def test_a_name_is_looked_up_as_it_stands(tmp_path: Path) -> None:
    """Nothing is put behind it, so that who owns the name decides where it leads."""
    servers = tmp_path / "resolv.conf"
    servers.write_text("search example\noptions ndots:5\nnameserver 127.0.0.1\n")
    resolver = read_servers(servers)
    with naming(ci=[["9.9.9.9"]]) as (names, server):
        resolver.port = int(server.rpartition(":")[2])
        with pytest.raises(httpcore.ConnectError, match="cannot be looked up"):
            await Names(dict, lambda: resolver).find("ci")
        assert {name for name, _ in names.asked} == {"ci"}
        assert await ask(resolver, "ci.example") == [ip_address("9.9.9.9")]


async def test_both_kinds_of_address_are_tried_by_turns() -> None:
    addresses = ["2606:2800::1", "2606:2800::2", "2606:2800::3", "9.9.9.1", "9.9.9.2"]
    with naming(ci=[addresses]) as (_, server):
        found = await find(resolver_at(server), "ci.example")
    assert found == ["9.9.9.1", "2606:2800::1", "9.9.9.2", "2606:2800::2", "2606:2800::3"]


@pytest.mark.parametrize(("silent", "found"), [("AAAA", ["9.9.9.9"]), ("A", ["2606:2800::1"])])
async def test_one_kind_of_address_is_enough(silent: str, found: list[str]) -> None:
    with naming(ci=[["9.9.9.9", "2606:2800::1"]]) as (names, server):
        names.mute.add(("ci.example", silent))
        assert await find(resolver_at(server, 0.3), "ci.example") == found


async def test_a_look_up_ends_although_nobody_answers() -> None:
    with naming() as (_, server), pytest.raises(httpcore.ConnectError, match="cannot be looked up"):
        async with asyncio.timeout(5):
            await find(resolver_at(server, 0.3), "ci.silent.example")
