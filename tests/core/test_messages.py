"""A repeat of a message gets the same answer and changes nothing."""

from __future__ import annotations

import asyncio

import pytest

from core.broker import open_broker
from core.chat import Action, Reply
from core.errors import Unavailable
from core.messages import Answered, Messages, message_key
from tests.core.parts import CHAT, count
from tests.house import House

REPLY = Reply(CHAT, "done", level="warning", output="é\n", actions=(Action("Again", "again abcd"),))


class TestMessages:
    async def test_a_repeat_finds_the_answer_that_was_given(self, house: House) -> None:
        assert await house.messages.begin("k") is None
        await house.messages.finish("k", "ada", REPLY, deliver=False)
        assert await house.messages.begin("k") == Answered(REPLY)
        assert await count(house.store, "deliveries") == 0

    async def test_silence_is_an_answer(self, house: House) -> None:
        await house.messages.begin("k")
        await house.messages.finish("k", None, None, deliver=True)
        assert await house.messages.begin("k") == Answered(None)
        assert await count(house.store, "deliveries") == 0

    async def test_what_is_being_answered_is_not_answered_twice(self, house: House) -> None:
        outcomes = await asyncio.gather(
            *(house.messages.begin("k") for _ in range(6)), return_exceptions=True
        )
        assert outcomes.count(None) == 1
        assert all(isinstance(one, Unavailable) for one in outcomes if one is not None)

    async def test_what_nobody_finished_is_begun_again_by_one(self, house: House) -> None:
        await house.messages.begin("k")
        house.clock.move(seconds=29)
        with pytest.raises(Unavailable):
            await house.messages.begin("k")
        house.clock.move(seconds=1)
        outcomes = await asyncio.gather(
            *(house.messages.begin("k") for _ in range(4)), return_exceptions=True
        )
        assert outcomes.count(None) == 1

    async def test_an_answer_the_platform_does_not_wait_for_becomes_one_delivery(
        self, house: House
    ) -> None:
        await house.messages.begin("k")
        for _ in range(2):
            await house.messages.finish("k", "ada", REPLY, deliver=True)
        (id,) = await house.store.deliveries.due(house.clock(), 5)
        assert await house.store.deliveries.reply(id) == REPLY

    def test_keys_keep_their_parts_apart(self) -> None:
        assert message_key("a", "b", "c") == message_key("a", "b", "c")
        keys = {
            message_key(*parts) for parts in (("ab", "", "c"), ("a", "b", "c"), ("a", "bc", ""))
        }
        assert len(keys) == 3

    async def test_the_notifier_hears_of_an_answer_at_once(self, house: House) -> None:
        await house.messages.finish("unknown", "ada", REPLY, deliver=True)
        await house.messages.begin("k")
        await house.messages.finish("k", "ada", REPLY, deliver=True)
        assert await house.broker.take_news("notifier", 0.5) == await house.store.deliveries.due(
            house.clock(), 5
        )

    async def test_an_answer_is_kept_while_nobody_can_hear_of_it(self, house: House) -> None:
        broker = open_broker("redis://127.0.0.1:1/0")
        messages = Messages(house.store, broker, clock=house.clock)
        await messages.begin("k")
        await messages.finish("k", "ada", REPLY, deliver=True)
        await broker.close()
        assert len(await house.store.deliveries.due(house.clock(), 5)) == 1
