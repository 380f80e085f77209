"""What the broker in the process promises beyond: it does not wait, and it does not grow."""

import pytest

from core.broker.embedded import EmbeddedBroker
from tests.clock import START, Clock


@pytest.fixture
def broker() -> EmbeddedBroker:
    return EmbeddedBroker()


def test_a_sign_is_answered_without_waiting(broker: EmbeddedBroker) -> None:
    with pytest.raises(StopIteration) as done:
        broker.sign("a", START).send(None)
    assert done.value.value.last_seen is None


async def test_what_was_handed_out_is_forgotten_a_day_after_the_last(
    broker: EmbeddedBroker, clock: Clock
) -> None:
    await broker.hand_out("a", "j1")
    await broker.hand_out("b", "j1")
    await broker.listen(clock(), 15)
    clock.move(hours=23)
    await broker.hand_out("b", "j2")
    await broker.listen(clock(), 15)
    clock.move(hours=1, seconds=1)
    await broker.listen(clock(), 15)
    assert (await broker.sign("a", clock(), out=True)).out == set()
    assert (await broker.sign("b", clock(), out=True)).out == {"j1", "j2"}


async def test_a_ready_set_is_forgotten_an_hour_after_it_began(
    broker: EmbeddedBroker, clock: Clock
) -> None:
    await broker.tell([], [("a", "j1"), ("b", "j1")])
    await broker.listen(clock(), 15)
    await broker.pop("b")
    clock.move(minutes=59)
    await broker.tell([], [("a", "j2"), ("b", "j2")])
    await broker.listen(clock(), 15)
    assert (await broker.sign("a", clock())).ready
    clock.move(minutes=1, seconds=1)
    await broker.listen(clock(), 15)
    assert not (await broker.sign("a", clock())).ready
    assert await broker.pop("b") == "j2"
