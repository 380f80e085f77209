"""Who speaks for whom."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from core.chat import Thread
from core.errors import Conflict, Invalid, NotFound, SkadiError, TooMany, Unauthorized
from tests.clock import Clock
from tests.core.parts import count, eventually
from tests.house import House, open_house


class TestAccounts:
    async def test_upstreams_ids_that_differ_by_little_are_different_accounts(
        self, house: House
    ) -> None:
        uids = ["u1", "U1", "u1 ", " u1", "ú1", "  "]
        for _ in range(2):
            accounts = [await house.accounts.account_for_upstream(uid) for uid in uids]
            assert [account.id for account in accounts] == uids
        assert await count(house.store, "accounts") == len(uids)

    async def test_an_upstream_that_names_a_user_many_times_at_once_makes_one(
        self, house: House
    ) -> None:
        accounts = await asyncio.gather(
            *(house.accounts.account_for_upstream("u1") for _ in range(8))
        )
        assert {account.id for account in accounts} == {"u1"}

    @pytest.mark.parametrize("uid", ["", "x" * 21, "a\0"])
    async def test_an_id_nobody_can_keep_is_refused(self, house: House, uid: str) -> None:
        with pytest.raises(Invalid):
            await house.accounts.account_for_upstream(uid)

    async def test_a_word_that_means_two_accounts_means_neither(self, house: House) -> None:
        """An upstream system that calls its user "Ada" does not become Ada."""
        ada, mallory = await house.people()
        assert await house.accounts.find("Ada") == ada
        taker = await house.accounts.account_for_upstream("Ada")
        with pytest.raises(Invalid) as refusal:
            await house.accounts.find("Ada")
        assert refusal.value.code == "Ambiguous"
        assert f"id:{ada.id}" in refusal.value.message
        assert await house.accounts.find(ada.id) == ada
        assert await house.accounts.find(f"id:{ada.id}") == ada
        assert await house.accounts.find("id:Ada") == taker
        await house.accounts.account_for_upstream("id:Ada")
        with pytest.raises(Invalid):
            await house.accounts.find("id:Ada")
        assert await house.accounts.find("Mallory") == mallory
        for nobody in ("ada", "Ada ", "id:", ""):
            with pytest.raises(NotFound):
                await house.accounts.find(nobody)

    async def test_identities_that_differ_by_little_are_different_people(
        self, house: House
    ) -> None:
        ada, mallory = await house.people()
        await house.accounts.add_identity(ada.id, "wechat", "wx/oAbC", "Ada")
        for subject in ("wx/oabc", "wx/oAbC ", "WX/oAbC"):
            assert await house.accounts.identity("wechat", subject) is None
            await house.accounts.add_identity(mallory.id, "wechat", subject, "Mallory")
        found = await house.accounts.identity("wechat", "wx/oAbC")
        assert found is not None
        assert found.account_id == ada.id
        assert await house.accounts.identity("slack", "wx/oAbC") is None

    async def test_an_identity_speaks_for_one_account(self, house: House) -> None:
        ada, mallory = await house.people()
        first = await house.accounts.add_identity(ada.id, "slack", "T1/U1", "Ada")
        assert await house.accounts.add_identity(ada.id, "slack", "T1/U1", "Ada") == first
        with pytest.raises(Conflict):
            await house.accounts.add_identity(mallory.id, "slack", "T1/U1", "Mallory")
        with pytest.raises(NotFound):
            await house.accounts.remove_identity(mallory.id, first.id)


class TestCodes:
    async def test_a_code_links_one_sender_once(self, house: House) -> None:
        ada, _ = await house.people()
        code = await house.accounts.new_code(ada.id)
        tries = await asyncio.gather(
            *(house.accounts.link(code.lower(), "slack", f"T1/U{n}", "x") for n in range(4)),
            return_exceptions=True,
        )
        assert sum(not isinstance(one, Exception) for one in tries) == 1
        assert len(await house.accounts.identities(ada.id)) == 1

    async def test_a_code_lasts_ten_minutes(self, house: House) -> None:
        ada, _ = await house.people()
        code = await house.accounts.new_code(ada.id)
        house.clock.move(minutes=10)
        with pytest.raises(Invalid):
            await house.accounts.link(code, "slack", "T1/U1", "x")

    async def test_five_tries_are_all_even_when_made_at_once(self, house: House) -> None:
        tries = await asyncio.gather(
            *(house.accounts.link(f"AAA-AAA-AA{n}", "slack", "T1/U1", "x") for n in range(9)),
            return_exceptions=True,
        )
        assert sum(isinstance(one, TooMany) for one in tries) == 4
        assert all(isinstance(one, SkadiError) for one in tries)


class TestTokens:
    async def test_a_token_speaks_until_it_ends_or_is_revoked(self, house: House) -> None:
        ada, _ = await house.people()
        until = house.clock() + timedelta(hours=1)
        token, secret = await house.accounts.add_token("account", ada.id, "ci", until)
        assert (await house.accounts.bearer(secret)).account_id == ada.id
        house.clock.move(hours=1)
        with pytest.raises(Unauthorized):
            await house.accounts.bearer(secret)
        house.clock.move(hours=-1)
        await house.accounts.revoke_token(token.id)
        with pytest.raises(Unauthorized):
            await house.accounts.bearer(secret)
        with pytest.raises(NotFound):
            await house.accounts.revoke_token(token.id)

    async def test_a_mail_secret_is_no_bearer(self, house: House) -> None:
        ada, _ = await house.people()
        _, secret = await house.accounts.add_token("mail", ada.id, "mail")
        with pytest.raises(Unauthorized):
            await house.accounts.bearer(secret)
        held = await house.accounts.holder(secret)
        assert held is not None
        assert held[0] == ada.id

    async def test_a_token_with_scopes_proves_nobody_in_a_mail(self, house: House) -> None:
        ada, _ = await house.people()
        token, secret = await house.accounts.add_token("account", ada.id, "ci", None, ["submit"])
        assert (await house.accounts.bearer(secret)).scopes == {"submit"} == token.scopes
        assert await house.accounts.holder(secret) is None
        assert (token.may("submit"), token.may("read")) == (True, False)

    async def test_scopes_are_few_and_for_accounts(self, house: House) -> None:
        ada, _ = await house.people()
        with pytest.raises(Invalid, match="A scope is one of agents, cancel, read, submit"):
            await house.accounts.add_token("account", ada.id, "ci", None, ["write"])
        with pytest.raises(Invalid, match="Only the token of an account"):
            await house.accounts.add_token("system", None, "ci", None, ["read"])
        with pytest.raises(Invalid, match="Only the token of an account"):
            await house.accounts.add_token("mail", ada.id, "ci", None, ["read"])

    async def test_a_removed_accounts_tokens_and_people_speak_for_nobody(
        self, house: House
    ) -> None:
        ada, _ = await house.people()
        _, secret = await house.accounts.add_token("account", ada.id, "ci")
        await house.accounts.add_identity(ada.id, "slack", "T1/U1", "Ada")
        await house.accounts.remove(ada.id)
        with pytest.raises(Unauthorized):
            await house.accounts.bearer(secret)
        assert await house.accounts.identity("slack", "T1/U1") is None


class TestHomes:
    async def test_of_homes_set_at_once_one_is_left(self, house: House) -> None:
        ada, _ = await house.people()
        homes = [Thread("chat", f"C{n}") for n in range(6)]
        await asyncio.gather(*(house.accounts.set_home(ada.id, home) for home in homes))
        assert await count(house.store, "channels") == 1
        assert await house.accounts.home(ada.id) in homes
        await house.accounts.first_home(ada.id, Thread("chat", "later"))
        assert await house.accounts.home(ada.id) in homes

    async def test_the_first_home_is_known_to_every_process_at_once(
        self, clock: Clock, database_url: str, redis_url: str
    ) -> None:
        """Else a job that is submitted now would end unheard."""
        async with (
            open_house(database_url, clock, redis_url=redis_url) as house,
            open_house(database_url, clock, redis_url=redis_url) as elsewhere,
        ):
            ada, _ = await house.people()
            await elsewhere.accounts.identity("chat", "T1/U1")
            assert await elsewhere.accounts.home(ada.id) is None
            await house.accounts.set_home(ada.id, Thread("chat", "D1"))
            assert await elsewhere.accounts.home(ada.id) == Thread("chat", "D1")

    async def test_a_home_goes_with_whoever_set_it(self, house: House, database_url: str) -> None:
        ada, _ = await house.people()
        hers = await house.accounts.add_identity(ada.id, "chat", "T1/U1", "Ada")
        home = Thread("chat", "D1")
        await house.accounts.set_home(ada.id, home, f"identity:{hers.id}")
        async with open_house(database_url, house.clock) as elsewhere:

            async def sees(where: Thread | None) -> bool:
                await elsewhere.watcher.remind_facts()
                await elsewhere.accounts.identity("chat", "T1/U1")
                return await elsewhere.accounts.home(ada.id) == where

            assert await sees(home)
            assert await house.accounts.remove_identity(ada.id, hers.id)
            assert await house.accounts.home(ada.id) is None
            await eventually(lambda: sees(None))

    async def test_a_home_that_somebody_else_set_stays(self, house: House) -> None:
        ada, mallory = await house.people()
        hers, his = [
            await house.accounts.add_identity(ada.id, "chat", f"T1/{name}", name)
            for name in ("Ada", "Ben")
        ]
        strangers = await house.accounts.add_identity(mallory.id, "chat", "T1/M", "Mallory")
        await house.accounts.first_home(ada.id, Thread("chat", "D1"), f"identity:{hers.id}")
        home = Thread("chat", "D2")
        await house.accounts.set_home(ada.id, home, f"identity:{his.id}")
        assert not await house.accounts.remove_identity(ada.id, hers.id)
        assert not await house.accounts.remove_identity(mallory.id, strangers.id)
        with pytest.raises(NotFound):
            await house.accounts.remove_identity(mallory.id, his.id)
        assert await house.accounts.home(ada.id) == home

    async def test_a_home_goes_with_the_token_that_set_it(self, house: House) -> None:
        """Who stole a mail address of ours and made a home of his own mailbox reads there no more."""
        ada, _ = await house.people()
        token, _ = await house.accounts.add_token("mail", ada.id, "mail")
        await house.accounts.set_home(ada.id, Thread("smtp", "thief@x"), f"token:{token.id}")
        await house.accounts.revoke_token(token.id)
        assert await house.accounts.home(ada.id) is None
