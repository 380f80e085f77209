"""Two of everything at once do no harm, nothing is done twice, and the agents that exist live well.

A minute is a second here: an agent is offline after 3 of them, a lease is 10."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from core.model import JobStatus
from tests.app.program import wait_for
from tests.crash.books import Rules, settle
from tests.crash.town import Town
from tests.crash.traffic import Traffic, make_home, submit, wish, wishes, write
from tests.servers import MariaDB, Redis

ROLES = {
    "first": ["web", "worker", "watcher", "smtp"],
    "second": ["web", "worker", "watcher"],
}
OFFLINE_AFTER = 3.0
LONGEST_POLL = 30.0
"""Seconds that an agent asks for."""
NEW, OLD, SLOW, TWINS = ["new-1", "new-2"], ["old-1"], "old-2", "twins"
RULES = Rules(old=frozenset([*OLD, SLOW]))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, maria: MariaDB, redis: Redis) -> Iterator[Town]:
    redis.flush()
    town = Town(
        tmp_path_factory.mktemp("doubles"),
        *(maria, redis),
        *(ROLES, [*NEW, *OLD, SLOW, TWINS]),
        SKADI_JOBS__OFFLINE_AFTER=f"{OFFLINE_AFTER:g}s",
        SKADI_JOBS__LEASE="10s",
    )
    try:
        town.open()
        make_home(town)
        yield town
    finally:
        town.close()


@pytest.fixture(scope="module")
def busy(town: Town) -> Town:
    """With agents at work, some at each door."""
    town.new_agent("new-1", 0)
    town.new_agent("new-2", 1)
    town.old_agent("old-1", 1)
    town.wait_until_seen(*NEW, *OLD)
    return town


# Two of everything of ours.


def test_two_webs_two_workers_and_two_watchers_do_no_harm(busy: Town) -> None:
    wanted = Traffic(busy, wishes(NEW + OLD, 90, 30)).finish()
    books = settle(busy, wanted, RULES)
    ended = [record.status for each in wanted for record in books.records[each.number]]
    assert ended == [JobStatus.SUCCEEDED] * len(wanted)
    told = [letter for letter in busy.letters() if "Succeeded" in letter]
    # At least once is promised; that each was told by both would be a nuisance.
    assert len(wanted) <= len(told) <= 1.1 * len(wanted)


def test_the_same_wish_said_many_times_at_both_doors_is_one_job(busy: Town) -> None:
    once = [wish("new-1") for _ in range(10)]
    letters = [wish("new-2", by_mail=True) for _ in range(5)]
    said: list[bool] = []

    def repeat(door: int) -> None:
        said.extend(submit(busy, each, door) for each in once)
        said.extend(write(busy, each) for each in letters)

    threads = [threading.Thread(target=repeat, args=(door,)) for door in busy.doors * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count(True) >= len(once) * len(threads)
    for each in letters:
        wait_for(lambda each=each: write(busy, each) or None, "a yes")  # type: ignore[misc]
    settle(busy, [*once, *letters], RULES)
    # When all has ended it is still the same wish.
    assert all(submit(busy, each, busy.doors[1]) for each in once)
    assert all(write(busy, each) for each in letters)
    settle(busy, [*once, *letters], RULES)


def test_silence_while_nobody_listened_does_not_count(busy: Town) -> None:
    """Agents have the whole time again to be heard, and what waits for them waits on."""
    busy.processes["old-1"].kill()
    waiting = [wish("old-1") for _ in range(3)]
    Traffic(busy, waiting).finish()
    for name in ROLES:
        busy.processes[name].kill()
    time.sleep(OFFLINE_AFTER + 1)
    busy.open()
    busy.processes["old-1"].start()
    books = settle(busy, waiting, RULES)
    assert all(books.records[each.number][0].status is JobStatus.SUCCEEDED for each in waiting)


# Two agents of one name.


@contextmanager
def twins(town: Town, *doors: int) -> Iterator[None]:
    """Two daemons, each with a journal of its own, and one token."""
    agents = [town.new_agent(TWINS, door, f"twin-{turn}") for turn, door in enumerate(doors)]
    town.wait_until_seen(TWINS)
    try:
        yield
    finally:
        for agent in agents:
            agent.kill()


def test_two_daemons_on_one_token_double_nothing(town: Town) -> None:
    with twins(town, 0, 1):
        wanted = Traffic(town, wishes([TWINS], 40, 10), rate=30).finish()
        settle(town, wanted, RULES)


def test_of_two_daemons_on_one_token_the_owner_is_told_once(town: Town) -> None:
    def look() -> list[str] | None:
        said = "Two programs take turns using the token"
        return [letter for letter in town.letters() if said in letter and TWINS in letter] or None

    with twins(town, 0, 0):
        settle(town, Traffic(town, wishes([TWINS], 20, 0)).finish(), RULES)
        # Both are sure to be back when a poll of each has been held to its end.
        wait_for(look, "word of the second daemon", 2 * LONGEST_POLL + 30)
        told = look()
    assert told is not None
    assert len(told) == 1


# Old agents.


def test_a_job_of_five_minutes_does_not_let_the_queue_behind_it_expire(town: Town) -> None:
    town.old_agent(SLOW, 0, seconds=1)
    town.wait_until_seen(SLOW)
    long = wish(SLOW, "rest {} 5")
    Traffic(town, [long]).finish()
    wait_for(lambda: str(long.number) in town.runs_seen() or None, "the long job at work")
    # Some when it has just begun, some when nothing was heard for longer than an agent may be silent.
    behind = [wish(SLOW) for _ in range(3)]
    Traffic(town, behind).finish()
    time.sleep(OFFLINE_AFTER + 1)
    late = [wish(SLOW), wish(SLOW, by_mail=True)]
    Traffic(town, late).finish()
    books = settle(town, [long, *behind, *late], RULES)
    for each in (long, *behind, *late):
        [record] = books.records[each.number]
        assert record.status is JobStatus.SUCCEEDED


def test_what_waits_for_an_old_agent_that_is_gone_does_expire(town: Town) -> None:
    """Else the test before this one would prove nothing."""
    town.processes[SLOW].kill()
    waiting = wish(SLOW)
    Traffic(town, [waiting]).finish()

    def look() -> bool | None:
        query = "SELECT status FROM jobs WHERE command = %s"
        return town.ask(query, waiting.words) == [("expired",)] or None

    wait_for(look, "its end", 4 * OFFLINE_AFTER)
    assert str(waiting.number) not in town.runs_seen()
