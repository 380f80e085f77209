"""What a job says while it runs arrives whole, however often and in whatever pieces it is sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.chat import Abilities, Reply
from core.errors import Invalid, NotFound
from core.model import Account, Agent, Job
from core.notifier import Notifier
from core.output import OWN_WORDS, SEAM, Kept, fit, last_lines, same_size
from core.store import AddOutput, Store
from core.store.chunks import FULL_ROW, readable, up_to
from tests.clock import Clock
from tests.core.parts import CHAT, SENT, Platform, count, job_in, submit
from tests.core.test_notifier import open_notifier
from tests.house import House

LIMIT = 1024 * 1024
HERE = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
async def ada(house: House) -> Account:
    return (await house.people())[0]


@pytest.fixture
async def web(house: House, ada: Account) -> Agent:
    return (await house.enrol(ada))[0]


async def running(house: House, ada: Account, web: Agent, **told: object) -> Job:
    job = await house.jobs.submit(
        ada.id,
        web,
        "uptime",
        source="test",
        requested_by="identity:1",
        **told,  # type: ignore[arg-type]
    )
    held = (await house.broker.sign(web.id, house.clock(), out=True)).out
    assert await house.jobs.claim(web, journal="j1", holding=held)
    return job


async def now(house: House, job: Job) -> Job:
    return await house.jobs.get(job.account_id, job.id)


async def add(store: Store, job: Job, offset: int, text: str, limit: int = LIMIT) -> int:
    return (await store.outputs.add(AddOutput(job.id, job.agent_id, offset, text, limit))).have


# Pieces


@HERE
@given(
    text=st.text(st.sampled_from("ab\n漢é🦌"), max_size=400),
    cuts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=12),
)
async def test_any_pieces_in_any_order_make_no_hole_and_no_repeat(
    store: Store, clock: Clock, text: str, cuts: list[tuple[int, int]]
) -> None:
    """What is there is always a beginning of what was said."""
    job = await job_in(store, SENT, clock())
    raw = text.encode()
    for begin, end in [*cuts, *((n, n + 150) for n in range(0, 401, 100)), (0, 400)]:
        before = len(text[:begin].encode())
        have = await add(store, job, before, text[begin:end])
        kept = await store.outputs.read(job.id)
        assert kept == raw[: len(kept)]
        assert have == len(kept) == await store.outputs.size(job.id)
    assert await store.outputs.read(job.id) == raw
    for offset in (0, 1, len(raw) // 2, len(raw), len(raw) + 5):
        assert await store.outputs.read(job.id, offset) == raw[offset:]


async def test_pieces_that_arrive_together_are_kept_together(store: Store, clock: Clock) -> None:
    jobs = [await job_in(store, SENT, clock(), agent_id=f"agent-{n}") for n in range(30)]
    await asyncio.gather(
        *(add(store, job, offset, "0123456789"[offset:]) for job in jobs for offset in (0, 5, 0, 2))
    )
    for job in jobs:
        assert await store.outputs.read(job.id) == b"0123456789"


async def test_many_small_pieces_make_few_rows(store: Store, clock: Clock) -> None:
    job = await job_in(store, SENT, clock())
    line = "x" * 99 + "\n"
    for n in range(100):
        assert await add(store, job, 100 * n, line) == 100 * (n + 1)
    assert await store.outputs.read(job.id) == line.encode() * 100
    assert await count(store, "outputs") <= 100 * 100 // FULL_ROW + 1


async def test_a_gap_is_not_kept_and_the_answer_says_where_to_go_on(
    store: Store, clock: Clock
) -> None:
    job = await job_in(store, SENT, clock())
    assert await add(store, job, 0, "abc") == 3
    assert await add(store, job, 4, "efg") == 3
    assert await store.outputs.read(job.id) == b"abc"


async def test_what_is_beyond_the_limit_is_said_to_be(store: Store, clock: Clock) -> None:
    job = await job_in(store, SENT, clock())
    change = await store.outputs.add(AddOutput(job.id, job.agent_id, 0, "漢漢漢", 8))
    assert (change.have, change.full) == (6, True)
    assert await store.outputs.read(job.id) == "漢漢".encode()
    again = await store.outputs.add(AddOutput(job.id, job.agent_id, 6, "漢", 8))
    assert (again.have, again.full) == (6, True)


async def test_hostile_text_is_kept_as_it_is(store: Store, clock: Clock) -> None:
    job = await job_in(store, SENT, clock())
    text = "'; DROP TABLE jobs; -- \\' %s ? :x \x1b[31m\r\n\u2028 🦌"
    await add(store, job, 0, text)
    assert await store.outputs.read(job.id) == text.encode()


async def test_a_repeat_after_a_lost_answer_changes_nothing(
    database_url: str, store: Store, clock: Clock
) -> None:
    """The process that kept it is gone; the agent sends the piece again, to another."""
    job = await job_in(store, SENT, clock())
    await add(store, job, 0, "one ")
    other = await Store.open(database_url, clock=clock)
    try:
        assert await add(other, job, 0, "one ") == 4
        assert await add(other, job, 0, "one two") == 7
        assert await add(store, job, 4, "two") == 7
    finally:
        await other.close()
    assert await store.outputs.read(job.id) == b"one two"


# Whose it is, and what it means


async def test_only_the_agent_that_has_the_job_in_hand_is_heard(
    house: House, ada: Account, web: Agent
) -> None:
    job = await running(house, ada, web)
    other, _ = await house.enrol(ada, "web-2")
    with pytest.raises(NotFound):
        await house.jobs.output.add(other, job.id, 0, "not mine")
    with pytest.raises(NotFound):
        await house.jobs.output.add(web, "nonsense", 0, "x")
    with pytest.raises(Invalid):
        await house.jobs.output.add(web, job.id, -1, "x")
    waiting = await submit(house, ada, web)
    with pytest.raises(NotFound):
        await house.jobs.output.add(web, waiting.id, 0, "too early")
    await house.jobs.report(web, job.id, "succeed", "done")
    with pytest.raises(NotFound):
        await house.jobs.output.add(web, job.id, 0, "too late")


async def test_the_answer_says_what_is_here_and_whether_to_stop(
    house: House, ada: Account, web: Agent
) -> None:
    job = await running(house, ada, web)
    assert await house.jobs.output.add(web, job.id, 0, "abc") == Kept(3, False, False)
    await house.jobs.cancel(ada.id, job.id)
    assert await house.jobs.output.add(web, job.id, 0, "abc") == Kept(3, False, True)


async def test_output_renews_the_lease_and_is_no_event(
    house: House, ada: Account, web: Agent
) -> None:
    job = await running(house, ada, web)
    seq = (await now(house, job)).seq
    for n in range(4):
        house.clock.move(minutes=5)
        await house.jobs.output.add(web, job.id, n, "x")
        await house.jobs.sweep()
    after = await now(house, job)
    assert (after.status, after.seq) == (SENT, seq)
    house.clock.move(minutes=10)
    await house.jobs.sweep()
    assert (await now(house, job)).status.final


async def test_not_each_piece_renews_the_lease(house: House, ada: Account, web: Agent) -> None:
    job = await running(house, ada, web)
    due = (await now(house, job)).due_at
    house.clock.move(seconds=59)
    await house.jobs.output.add(web, job.id, 0, "x")
    assert (await now(house, job)).due_at == due


# Read


async def test_an_expired_job_keeps_what_it_had_said(
    house: House, ada: Account, web: Agent
) -> None:
    job = await running(house, ada, web)
    await house.jobs.report(web, job.id, "running", "an old word")
    await house.jobs.output.add(web, job.id, 0, "until here\n")
    house.clock.move(minutes=10)
    await house.jobs.sweep()
    assert await house.jobs.output.known(await now(house, job)) == "until here\n"


async def test_at_the_end_the_report_is_what_counts(house: House, ada: Account, web: Agent) -> None:
    job = await running(house, ada, web)
    await house.jobs.output.add(web, job.id, 0, "one\n")
    assert await house.jobs.output.known(await now(house, job)) == "one\n"
    await house.jobs.report(web, job.id, "succeed", "one\ntwo\n")
    ended = await now(house, job)
    assert await house.jobs.output.known(ended) == "one\ntwo\n"
    rest = await house.jobs.output.since(ended, 4)
    assert (rest.text, rest.next, rest.ended) == (b"two\n", 8, True)


async def test_a_report_that_goes_on_otherwise_is_told_whole_after_the_pieces(
    house: House, ada: Account, web: Agent
) -> None:
    job = await running(house, ada, web)
    await house.jobs.output.add(web, job.id, 0, "a long story")
    await house.jobs.report(web, job.id, "fail", "a … story\nexit status 1")
    ended = await now(house, job)
    report = "a … story\nexit status 1".encode()
    assert (await house.jobs.output.since(ended, 7)).text == b"story" + SEAM + report
    assert (await house.jobs.output.since(ended, 0)).text == report


OTHERWISE = "exit status 1\n漢: a … story\n"
LIVE = "a long 漢 story\n"


async def told_otherwise(house: House, ada: Account, web: Agent) -> Job:
    """A job whose report does not begin as its pieces did."""
    job = await running(house, ada, web)
    await house.jobs.output.add(web, job.id, 0, LIVE)
    await house.jobs.report(web, job.id, "fail", OTHERWISE)
    return await now(house, job)


async def forget_pieces(house: House) -> None:
    for _ in range(2):
        await house.watcher.tidy()


async def test_a_place_beyond_the_pieces_is_one_in_the_report_that_follows_them(
    house: House, ada: Account, web: Agent
) -> None:
    job = await told_otherwise(house, ada, web)
    size, whole = len(LIVE.encode()), LIVE.encode() + SEAM + OTHERWISE.encode()
    for forgotten in (False, True):
        for offset in range(1, len(whole) + 5):
            piece = await house.jobs.output.since(job, offset)
            assert piece.text == whole[max(offset, size) if forgotten else offset :]
            assert (piece.next, piece.ended) == (max(offset, len(whole)), True)
        piece = await house.jobs.output.since(job, 0)
        assert (piece.text, piece.next) == (OTHERWISE.encode(), len(whole))
        await forget_pieces(house)
    assert await count(house.store, "outputs") == 1


async def test_pieces_that_are_forgotten_twice_leave_their_size(
    house: House, ada: Account, web: Agent
) -> None:
    """Two watchers may be at it."""
    job = await told_otherwise(house, ada, web)
    await asyncio.gather(*(house.store.outputs.forget([job.id]) for _ in range(3)))
    await house.store.outputs.forget([job.id])
    assert await house.store.outputs.size(job.id) == len(LIVE.encode())
    assert await house.store.outputs.replaced("", 10) == []


@pytest.mark.parametrize("live", ["", LIVE])
@pytest.mark.parametrize("truth", ["short", "halfway", LIVE + "the end", OTHERWISE])
async def test_a_late_truth_is_told_whole_to_who_knew_what_came_before(
    house: House, ada: Account, web: Agent, live: str, truth: str
) -> None:
    job = await running(house, ada, web)
    await house.jobs.report(web, job.id, "running", "halfway")
    if live:
        await house.jobs.output.add(web, job.id, 0, live)
    house.clock.move(minutes=10)
    await house.jobs.sweep()
    known = await house.jobs.output.since(await now(house, job), 0)
    assert known.text.decode() == (live or "halfway")
    assert (await house.jobs.output.since(await now(house, job), known.next)).text == b""
    await house.jobs.report(web, job.id, "succeed", truth)
    late, goes_on = await now(house, job), live and truth.startswith(live)
    for _ in range(2):
        rest = await house.jobs.output.since(late, known.next)
        expected = truth[len(live) :] if goes_on else SEAM.decode() + truth
        assert rest.text.decode() == expected
        first = await house.jobs.output.since(late, 0)
        assert first.text.decode() == truth
        for piece in (rest, first):
            assert (await house.jobs.output.since(late, piece.next)).text == b""
        await forget_pieces(house)


async def test_pieces_are_forgotten_once_the_report_has_been_here_for_a_while(
    house: House, ada: Account, web: Agent
) -> None:
    told, silent = await running(house, ada, web), await running(house, ada, web)
    for job in (told, silent):
        await house.jobs.output.add(web, job.id, 0, "said")
    await house.jobs.report(web, told.id, "succeed", "said")
    await house.watcher.tidy()
    assert await count(house.store, "outputs") == 2
    await house.watcher.tidy()
    assert await house.store.outputs.size(told.id) == 0
    assert await house.store.outputs.read(silent.id) == b"said"


async def test_those_who_wait_for_a_job_are_rung_for(
    house: House, ada: Account, web: Agent
) -> None:
    job = await running(house, ada, web)
    with house.broker.bell(job.id) as bell:
        await house.jobs.output.add(web, job.id, 0, "x")
        assert await bell.wait(5)


# Shown where a post can be edited


@pytest.fixture
async def shown(house: House) -> AsyncIterator[tuple[Platform, Notifier]]:
    platform = Platform(Abilities(edits=True, edit_pause=3))
    house.adapters[platform.name] = platform
    notifier = open_notifier(house, platform)
    notifier._phrase = Tail()
    yield platform, notifier


class Tail:
    def job(self, job: Job, thread: object, **_: object) -> Reply:
        return Reply(CHAT, f"{job.status}: {job.result}")

    def message(self, *_: object, **__: object) -> Reply:
        raise AssertionError


async def test_the_post_of_a_running_job_follows_its_output_at_its_pace(
    house: House, ada: Account, web: Agent, shown: tuple[Platform, Notifier]
) -> None:
    platform, notifier = shown
    job = await running(house, ada, web, thread=CHAT)
    await notifier.tell_due()
    assert platform.texts == ["sent: "]
    for n in range(20):  # two a second
        await house.jobs.output.add(web, job.id, n, str(n % 10))
        await notifier.tell_due()
        house.clock.move(seconds=0.5)
    house.clock.move(seconds=3)
    await notifier.tell_due()
    assert platform.texts[-1] == "sent: 01234567890123456789"
    assert 4 <= len(platform.texts) <= 7
    before = list(platform.texts)
    for _ in range(5):
        house.clock.move(seconds=60)
        await notifier.tell_due()
    assert platform.texts == before, "nothing is edited just to tick"


async def test_what_is_said_while_the_post_is_edited_is_shown_later(
    house: House, ada: Account, web: Agent, shown: tuple[Platform, Notifier]
) -> None:
    platform, notifier = shown
    job = await running(house, ada, web, thread=CHAT)
    await notifier.tell_due()

    async def meanwhile(_: Reply) -> None:
        house.clock.move(seconds=1)
        await house.jobs.output.add(web, job.id, 1, "b")

    await house.jobs.output.add(web, job.id, 0, "a")
    platform.troubles = [meanwhile]
    await notifier.tell_due()
    assert platform.texts[-1] == "sent: a"
    house.clock.move(seconds=5)
    await notifier.tell_due()
    assert platform.texts[-1] == "sent: ab"


async def test_where_nothing_can_be_edited_output_is_not_told(
    house: House, ada: Account, web: Agent
) -> None:
    platform = Platform(Abilities(accepts_after=1))
    house.adapters[platform.name] = platform
    notifier = open_notifier(house, platform)
    job = await running(house, ada, web, thread=CHAT)
    house.clock.move(seconds=2)
    await notifier.tell_due()
    told = list(platform.texts)
    await house.jobs.output.add(web, job.id, 0, "x")
    house.clock.move(seconds=60)
    await notifier.tell_due()
    assert platform.texts == told


async def test_the_outcome_is_unknown_but_what_was_said_is_told(
    house: House, ada: Account, web: Agent, shown: tuple[Platform, Notifier]
) -> None:
    platform, notifier = shown
    job = await running(house, ada, web, thread=CHAT)
    await house.jobs.output.add(web, job.id, 0, "until here")
    house.clock.move(minutes=10)
    await house.jobs.sweep()
    await notifier.tell_due()
    assert platform.texts[-1] == "expired: until here"


# Text


def test_text_keeps_its_size_in_bytes_whatever_it_holds() -> None:
    for text in ("a\0b", "漢\0", "plain"):
        safe = same_size(text)
        assert len(safe.encode()) == len(text.encode())
        assert "\0" not in safe


@given(st.text(max_size=50), st.integers(0, 60))
def test_no_character_is_cut_and_no_byte_is_lost(text: str, at: int) -> None:
    raw = text.encode()
    head = up_to(raw, at)
    assert text.startswith(head.decode())
    assert len(head) > at - 4 or head == raw
    assert len(readable(raw[at:]).encode()) == len(raw[at:])


@given(
    text=st.text(st.sampled_from("ab\n漢é🦌"), max_size=4000).map(lambda text: text * 3),
    limit=st.integers(0, 3000),
)
def test_of_a_report_that_is_too_long_beginning_and_end_are_kept(text: str, limit: int) -> None:
    kept, size = fit(text, limit), len(text.encode())
    if size <= limit + OWN_WORDS:
        assert kept == text
        return
    head, gap, tail = re.split(r"\n\[\.\.\. (\d+) bytes of this report left out \.\.\.\]\n", kept)
    assert text.startswith(head) and text.endswith(tail)
    assert len(head.encode()) + int(gap) + len(tail.encode()) == size
    for half in (head, tail):
        assert limit // 2 - 3 <= len(half.encode()) <= limit // 2 + 1


@pytest.mark.parametrize("moved", range(-60, 61, 7))
def test_a_report_that_was_cut_before_is_not_said_to_lack_less_than_it_does(moved: int) -> None:
    """Wherever the words about the first cut fall: none of them is cut in two."""
    head, tail = "é" * (5000 + moved), "x" * (10_000 - 2 * moved)
    kept = fit(head + "\n[... 300000 bytes left out ...]\n" + tail, 17_000)
    before, _, after = kept.partition("\n[... ")
    words, _, after = after.partition(" ...]\n")
    assert head.startswith(before) and tail.endswith(after)
    assert words.endswith(
        " bytes of this report left out; it said that it lacked 300000 bytes of the output"
    )


def test_a_tail_begins_with_a_line_where_one_is_near() -> None:
    assert last_lines("short", 10) == "short"
    assert last_lines("one\ntwo\nthree", 11) == "…\ntwo\nthree"
    assert last_lines("x" * 30, 10) == "…" + "x" * 10
