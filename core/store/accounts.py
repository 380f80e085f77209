"""Accounts, the identities and tokens that speak for them, link codes, and their channels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.errors import Conflict
from core.model import Account, Channel, Identity, Token
from core.store.database import Database, is_duplicate
from core.store.facts import raise_facts
from core.store.rows import (
    digest,
    thread_columns,
    to_account,
    to_channel,
    to_identity,
    to_token,
)

accounts, identities, tokens = schema.accounts, schema.identities, schema.tokens
codes, channels = schema.link_codes, schema.channels


class AccountStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, account: Account) -> None:
        """Conflict when the id is taken."""
        row = {
            "id": account.id,
            "name": account.name,
            "language": account.language,
            "created_at": account.created_at,
        }

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(insert(accounts), row)

        try:
            await self._database.write(deed)
        except Exception as error:
            if is_duplicate(error):
                raise Conflict("There is an account with that id.", account=account.id) from error
            raise

    async def list(self) -> Sequence[Account]:
        async with self._database.reading() as connection:
            rows = await connection.execute(
                select(accounts).order_by(accounts.c.name, accounts.c.id)
            )
            return [to_account(row) for row in rows]

    async def find(self, ids: Collection[str], name: str) -> Sequence[Account]:
        """All that have one of these ids or this name."""
        meant = accounts.c.id.in_(ids) | (accounts.c.name == name)
        async with self._database.reading() as connection:
            rows = await connection.execute(select(accounts).where(meant).order_by(accounts.c.id))
            return [to_account(row) for row in rows if row.id in ids or row.name == name]

    async def get(self, account_id: str) -> Account | None:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(accounts).where(accounts.c.id == account_id))
            return next((to_account(row) for row in rows if row.id == account_id), None)

    async def set_language(self, account_id: str, language: str) -> None:
        async def deed(connection: AsyncConnection) -> None:
            change = update(accounts).where(accounts.c.id == account_id).values(language=language)
            await connection.execute(change)
            await raise_facts(connection)

        await self._database.write(deed)

    async def remove(self, account_id: str, now: datetime) -> None:
        """Nobody speaks for it any more. Its jobs' history stays; its agents go one by one before."""

        async def deed(connection: AsyncConnection) -> None:
            mine = tokens.c.account_id == account_id
            await connection.execute(
                update(tokens).where(mine, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
            )
            for table in (identities, codes, channels):
                await connection.execute(delete(table).where(table.c.account_id == account_id))
            await connection.execute(delete(accounts).where(accounts.c.id == account_id))
            await raise_facts(connection)

        await self._database.write(deed)

    # Identities

    async def identity(self, platform: str, subject: str) -> Identity | None:
        query = select(identities).where(identities.c.subject_key == digest(platform, subject))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        return to_identity(row) if row else None

    async def identities(self, account_id: str | None) -> Sequence[Identity]:
        query = select(identities).order_by(identities.c.id)
        if account_id is not None:
            query = query.where(identities.c.account_id == account_id)
        async with self._database.reading() as connection:
            return [to_identity(row) for row in await connection.execute(query)]

    async def add_identity(self, identity: Identity) -> Identity:
        """The identity that is there now; Conflict when it speaks for another account."""
        row = {
            "id": identity.id,
            "account_id": identity.account_id,
            "platform": identity.platform,
            "subject": identity.subject,
            "subject_key": digest(identity.platform, identity.subject),
            "name": identity.name,
            "created_at": identity.created_at,
        }

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(insert(identities), row)

        try:
            await self._database.write(deed)
            return identity
        except Exception as error:
            if not is_duplicate(error):
                raise
            return await self._same(identity, error)

    async def _same(self, identity: Identity, error: Exception) -> Identity:
        known = await self.identity(identity.platform, identity.subject)
        if known is None or known.account_id != identity.account_id:
            raise Conflict("It is linked to another account.", code="LinkedElsewhere") from error
        return known

    async def remove_identity(self, account_id: str, identity_id: str) -> tuple[bool, bool]:
        """(whether there was one, whether the home went with it)."""

        async def deed(connection: AsyncConnection) -> tuple[bool, bool]:
            mine = (identities.c.id == identity_id) & (identities.c.account_id == account_id)
            if not (await connection.execute(delete(identities).where(mine))).rowcount:
                return False, False
            return True, await _clear_home(connection, f"identity:{identity_id}")

        return await self._database.write(deed)

    # Link codes

    async def add_code(self, hashed: str, account_id: str, expires_at: datetime) -> None:
        async def deed(connection: AsyncConnection) -> None:
            row = {"hash": hashed, "account_id": account_id, "expires_at": expires_at}
            await connection.execute(insert(codes), row)

        await self._database.write(deed)

    async def use_code(self, hashed: str, now: datetime) -> str | None:
        """The account of a code that holds, which is spent by this; None otherwise."""

        async def deed(connection: AsyncConnection) -> str | None:
            query = select(codes).where(codes.c.hash == hashed).with_for_update()
            row = (await connection.execute(query)).first()
            await connection.execute(
                delete(codes).where((codes.c.hash == hashed) | (codes.c.expires_at < now))
            )
            return row.account_id if row and row.expires_at > now else None

        return await self._database.write(deed)

    # Tokens

    async def add_token(self, token: Token, hashed: str) -> None:
        row = {
            "id": token.id,
            "kind": token.kind,
            "account_id": token.account_id,
            "hash": hashed,
            "name": token.name,
            "scopes": " ".join(sorted(token.scopes)),
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "revoked_at": None,
        }

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(insert(tokens), row)

        await self._database.write(deed)

    async def token(self, hashed: str) -> Token | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(tokens).where(tokens.c.hash == hashed))).first()
        return to_token(row) if row else None

    async def token_named(self, token_id: str) -> Token | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(tokens).where(tokens.c.id == token_id))).first()
        return to_token(row) if row else None

    async def tokens(self, account_id: str | None) -> Sequence[Token]:
        query = select(tokens).order_by(tokens.c.id)
        if account_id is not None:
            query = query.where(tokens.c.account_id == account_id)
        async with self._database.reading() as connection:
            return [to_token(row) for row in await connection.execute(query)]

    async def revoke_token(self, token_id: str, now: datetime) -> bool:
        async def deed(connection: AsyncConnection) -> bool:
            change = update(tokens).where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None))
            done = await connection.execute(change.values(revoked_at=now))
            await _clear_home(connection, f"token:{token_id}")
            await raise_facts(connection)
            return bool(done.rowcount)

        return await self._database.write(deed)

    # Channels

    async def home(self, account_id: str) -> Channel | None:
        query = select(channels).where(channels.c.account_id == account_id, channels.c.home)
        async with self._database.reading() as connection:
            row = (await connection.execute(query.order_by(channels.c.id))).first()
        return to_channel(row) if row else None

    async def set_home(
        self, home: Channel, *, set_by: str | None = None, only_first: bool = False
    ) -> None:
        """One home an account; `only_first`: leave a home that is there. `set_by`: who takes it along
        when they go (`identity:<id>`, `token:<id>`)."""
        account_id = home.account_id
        row = {"id": home.id, "account_id": account_id, "name": home.name, "home": True}

        async def deed(connection: AsyncConnection) -> None:
            mine = channels.c.account_id == account_id
            # The account's row is the lock: two homes set at once come one after the other.
            await connection.execute(
                select(accounts.c.id).where(accounts.c.id == account_id).with_for_update()
            )
            homes = await connection.execute(select(channels.c.id).where(mine, channels.c.home))
            if only_first and homes.first():
                return
            await connection.execute(delete(channels).where(mine, channels.c.home))
            values = row | thread_columns(home.thread) | {"set_by": set_by}
            await connection.execute(insert(channels), values)
            await raise_facts(connection)

        await self._database.write(deed)


async def _clear_home(connection: AsyncConnection, set_by: str) -> bool:
    """Whoever set it speaks for the account no longer, and may read there still."""
    gone = await connection.execute(delete(channels).where(channels.c.set_by == set_by))
    if gone.rowcount:
        await raise_facts(connection)
    return bool(gone.rowcount)
