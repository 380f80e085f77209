"""Whatever is killed, stopped or emptied in the middle of the traffic: no accepted job is lost, none
runs twice, every job ends, and every end is told."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from core.model import JobStatus
from tests.app.program import wait_for
from tests.crash.books import Books, Rules, find_faults, read, report, settle
from tests.crash.town import Town
from tests.crash.traffic import Traffic, Wish, make_home, wish, wishes
from tests.servers import MariaDB, Redis

ROLES = {
    "web-1": ["web"],
    "web-2": ["web"],
    "worker": ["worker"],
    "watcher": ["watcher"],
    "smtp": ["smtp"],
}
NEW, OLD = ["new-1", "new-2", "new-3"], ["old-1"]
HTTP, MAIL = 75, 25
RULES = Rules(old=frozenset(OLD))
LEAST = 0.8
"""The share of the jobs that must have succeeded: agents that are there do their work."""

Disaster = Callable[[Town], None]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, maria: MariaDB, redis: Redis) -> Iterator[Town]:
    """An agent is offline after 15 s, longer than any disaster; a lease is 6 s."""
    town = Town(
        tmp_path_factory.mktemp("disasters"),
        *(maria, redis),
        *(ROLES, NEW + OLD),
        SKADI_JOBS__OFFLINE_AFTER="15s",
        SKADI_JOBS__LEASE="6s",
    )
    try:
        town.open()
        for turn, name in enumerate(NEW):
            town.new_agent(name, turn % 2)
        town.old_agent("old-1", 1)
        town.wait_until_seen(*NEW, *OLD)
        make_home(town)
        yield town
    finally:
        town.close()


@pytest.fixture(scope="module")
def kept(town: Town) -> Iterator[list[Wish]]:
    """All that was ever accepted: what held after each disaster still holds after the last."""
    kept: list[Wish] = []
    yield kept
    rules = Rules(old=RULES.old, killed=frozenset(NEW))
    books = read(town)
    faults = list(find_faults(books, kept, rules))
    assert not faults, report(town, books, kept, faults)


def endure(
    town: Town, kept: list[Wish], disaster: Disaster, rules: Rules = RULES, least: float = LEAST
) -> Books:
    """Let it happen in the middle of the traffic, wait until all is well, and count."""
    traffic = Traffic(town, wishes(NEW + OLD, HTTP, MAIL))
    traffic.until(0.25)
    disaster(town)
    wanted = traffic.finish()
    books = settle(town, wanted, rules)
    kept += wanted
    ended = [record.status for wish in wanted for record in books.records[wish.number]]
    assert ended.count(JobStatus.SUCCEEDED) >= least * len(wanted), report(town, books, wanted, [])
    return books


# Ours.


def test_each_web_process_is_killed_in_its_turn(town: Town, kept: list[Wish]) -> None:
    def disaster(town: Town) -> None:
        town.processes["web-1"].restart()
        time.sleep(1)
        town.processes["web-2"].restart()

    endure(town, kept, disaster)


def test_the_worker_is_killed_again_and_again(town: Town, kept: list[Wish]) -> None:
    def disaster(town: Town) -> None:
        for _ in range(2):
            town.processes["worker"].restart()
            town.wait_until_told_more()
        town.processes["worker"].restart()

    endure(town, kept, disaster)


@pytest.mark.parametrize("name", ["watcher", "smtp"])
def test_a_process_is_killed_and_started_again(town: Town, kept: list[Wish], name: str) -> None:
    endure(town, kept, lambda town: town.processes[name].restart())


def test_everything_of_ours_is_killed_at_once(town: Town, kept: list[Wish]) -> None:
    def disaster(town: Town) -> None:
        for name in ROLES:
            town.processes[name].kill()
        for name in ROLES:
            town.processes[name].start()

    endure(town, kept, disaster)


# Agents.


def test_an_agent_is_killed_at_work(town: Town, kept: list[Wish]) -> None:
    """What it had begun is reported as interrupted when it is back, and not begun again."""
    long = [wish("new-1", "rest {} 3") for _ in range(3)]

    def disaster(town: Town) -> None:
        Traffic(town, long).finish()
        begun = {str(wish.number) for wish in long}
        wait_for(lambda: begun <= set(town.runs_seen()) or None, "three jobs at work")
        town.processes["new-1"].restart()

    rules = Rules(old=RULES.old, killed=frozenset({"new-1"}))
    endure(town, kept, disaster, rules)
    books = settle(town, long, rules)
    for each in long:
        [record] = books.records[each.number]
        assert record.status is JobStatus.FAILED
        [(result,)] = town.ask("SELECT text FROM results WHERE job_id = %s", record.id)
        assert result.startswith("interrupted: ")
    kept += long


def test_an_old_agent_is_killed_at_work(town: Town, kept: list[Wish]) -> None:
    """What it had begun ends with its lease, outcome unknown; the rest is done when it is back."""
    [long] = [wish("old-1", "rest {} 30")]
    behind = [wish("old-1") for _ in range(5)]
    Traffic(town, [long]).finish()
    wait_for(lambda: str(long.number) in town.runs_seen() or None, "a job at work")
    Traffic(town, behind).finish()
    town.processes["old-1"].restart()
    books = settle(town, [long, *behind], RULES)
    assert books.records[long.number][0].status is JobStatus.EXPIRED
    assert all(books.records[each.number][0].status is JobStatus.SUCCEEDED for each in behind)
    kept += [long, *behind]


# Redis.


def test_redis_is_emptied(town: Town, kept: list[Wish]) -> None:
    def disaster(town: Town) -> None:
        for _ in range(5):
            town.redis.flush()
            time.sleep(0.1)

    endure(town, kept, disaster)


def test_while_redis_is_away_jobs_are_accepted(town: Town, kept: list[Wish]) -> None:
    def disaster(town: Town) -> None:
        town.redis.kill()
        Traffic(town, while_away).finish()
        town.redis.start()

    while_away = wishes(NEW + OLD, 12, 6)
    endure(town, kept, disaster)
    settle(town, while_away, RULES)
    kept += while_away


# MySQL.


def test_mysql_is_stopped_for_ten_seconds(town: Town, kept: list[Wish]) -> None:
    def disaster(town: Town) -> None:
        with paused(town.maria):
            time.sleep(10)

    # An old agent gives up on each answer after 3 s, and reports once.
    endure(town, kept, disaster)


@contextmanager
def paused(maria: MariaDB) -> Iterator[None]:
    maria.pause()
    try:
        yield
    finally:
        maria.resume()


def test_mysql_is_killed_and_started_again(town: Town, kept: list[Wish]) -> None:
    def disaster(town: Town) -> None:
        town.maria.kill()
        time.sleep(1)
        town.maria.start()

    endure(town, kept, disaster)
