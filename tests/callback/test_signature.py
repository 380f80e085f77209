"""Each account has a secret of its own; who changes it has a day to change the receivers."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from datetime import timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from adapters.callback.signature import Secrets, sign
from core.model import utc_now
from core.notebook import Notes
from tests.callback.caller import at_work
from tests.callback.receiver import receiving
from tests.clock import Clock
from tests.house import House, open_house


def secrets_of(house: House) -> Secrets:
    return Secrets(Notes(house.store, "callback", clock=house.clock), house.clock)


def test_a_signature_is_what_the_rules_say() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks (its libraries' tests)."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", '{"test": 2432232314}'
    made = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("body", ["{}", '{"result":"é 好 \\u0000"}', "x" * 100_000])
def test_the_vendors_library_agrees(body: str) -> None:
    now, secret = utc_now(), "whsec_" + "QUJD" * 8
    moment = int(now.timestamp())
    headers = {
        "webhook-id": "e1",
        "webhook-timestamp": str(moment),
        "webhook-signature": sign(secret, "e1", moment, body),
    }
    Webhook(secret).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + " ", headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "QUJE" * 8).verify(body, headers, json_parse=False)


async def test_a_secret_is_made_at_first_use_for_each_account(
    sqlite_url: str, clock: Clock
) -> None:
    async with open_house(sqlite_url, clock) as house:
        secrets = secrets_of(house)
        [ada], [mallory] = await secrets.signing("ada"), await secrets.signing("mallory")
        assert ada != mallory
        assert len(b64decode(ada.removeprefix("whsec_"))) == 32
        assert await secrets.signing("ada") == [ada]


async def test_processes_that_begin_together_make_one_secret(
    database_url: str, clock: Clock
) -> None:
    async with open_house(database_url, clock) as one, open_house(database_url, clock) as two:
        parties = [secrets_of(house) for house in (one, two) for _ in range(5)]
        made = await asyncio.gather(*(each.signing("ada") for each in parties))
        assert len({secret for [secret] in made}) == 1


async def test_a_secret_is_shown_once(sqlite_url: str, clock: Clock) -> None:
    async with open_house(sqlite_url, clock) as house:
        secrets = secrets_of(house)
        used = await secrets.signing("ada")
        assert await secrets.show("ada") == used[0]
        assert await secrets.show("ada") is None
        fresh = await secrets.rotate("ada")
        assert await secrets.show("ada") is None
        assert (await secrets.signing("ada"))[0] == fresh


async def test_the_old_secret_signs_for_another_day(sqlite_url: str, clock: Clock) -> None:
    async with open_house(sqlite_url, clock) as house:
        secrets = secrets_of(house)
        [old] = await secrets.signing("ada")
        new = await secrets.rotate("ada")
        assert await secrets.signing("ada") == [new, old]
        clock.move(hours=23, minutes=59)
        assert await secrets.signing("ada") == [new, old]
        clock.move(minutes=1)
        assert await secrets.signing("ada") == [new]
        assert old != new


async def test_a_receiver_believes_with_either_secret_meanwhile(
    sqlite_url: str, clock: Clock
) -> None:
    async with receiving() as receiver, at_work(sqlite_url, clock) as work:
        [old] = await work.secrets.signing(work.account.id)
        new = await work.secrets.rotate(work.account.id)
        for receiver.secret in (old, new):
            await work.finish(await work.submit(receiver.url()))
            await work.tell()
        assert (len(receiver.calls), receiver.forged) == (4, 0)


async def test_a_receiver_does_not_believe_another_accounts_secret(
    sqlite_url: str, clock: Clock
) -> None:
    async with receiving() as receiver, at_work(sqlite_url, clock) as work:
        [receiver.secret] = await work.secrets.signing("mallory")
        await work.finish(await work.submit(receiver.url()))
        await work.tell()
        assert (receiver.calls, receiver.forged) == ([], 1)


async def test_each_try_says_when_it_was_made(sqlite_url: str, clock: Clock) -> None:
    async with receiving() as receiver, at_work(sqlite_url, clock) as work:
        await work.finish(await work.submit(receiver.url()))
        before = utc_now() - timedelta(seconds=1)
        await work.tell()
        moments = [int(call.headers["webhook-timestamp"]) for call in receiver.calls]
        assert all(before.timestamp() <= each <= utc_now().timestamp() for each in moments)
