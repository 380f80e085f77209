"""Who a chat identity is, which account a token speaks for, and where an account is at home."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

from core.chat import Thread
from core.errors import Invalid, NotFound, TooMany, Unauthorized
from core.memory import Memory
from core.model import Account, Channel, Clock, Identity, Token, new_id, utc_now
from core.store import Store

LANGUAGES = ("", "en", "zh")
"""The empty one: as each person's platform says."""
CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # none that look alike
CODE_LENGTH = 9
"""31^9: about 44 bits, for ten minutes and five tries a person."""
CODE_LIFE = timedelta(minutes=10)
CODE_TRIES = 5
LONGEST_UID = 20
BY_ID = "id:"
PREFIXES = {"account": "ska_", "system": "sks_"}
MAIL_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"

SCOPES = frozenset({"submit", "read", "cancel", "agents"})
"""What the token of an account may be restricted to: to submit jobs, to read what became of them, to
cancel them, to make agents."""

TokenKind = Literal["account", "system", "mail"]


class Accounts:
    def __init__(
        self, store: Store, *, clock: Clock = utc_now, memory: Memory | None = None
    ) -> None:
        self._store = store.accounts
        self._notes = store.notes
        self._clock = clock
        self._memory = memory or Memory()

    async def add(self, name: str, language: str = "", account_id: str | None = None) -> Account:
        """Conflict when the id is taken."""
        if not name.strip() or len(name) > 100:
            raise Invalid("An account's name has 1 to 100 characters.", code="InvalidName")
        account = Account(account_id or new_id(), name.strip(), _language(language), self._clock())
        await self._store.add(account)
        return account

    async def list(self) -> Sequence[Account]:
        return await self._store.list()

    async def get(self, account_id: str) -> Account:
        known = await self._memory.recall(
            ("account", account_id), lambda: self._store.get(account_id)
        )
        if known is None:
            raise NotFound("There is no such account.", code="AccountNotFound", account=account_id)
        return known

    async def find(self, name_or_id: str) -> Account:
        """For the operator: by the name or id that only one account has, or by `id:` and its id.

        Upstream systems choose ids, so that one account's may be the name of another."""
        ids = {name_or_id, name_or_id.removeprefix(BY_ID)}
        found = await self._store.find(ids, name_or_id)
        if not found:
            raise NotFound(
                f"There is no account {name_or_id}.", code="AccountNotFound", account=name_or_id
            )
        if len(found) > 1:
            meant = ", ".join(f"{BY_ID}{account.id}" for account in found)
            raise Invalid(f"{name_or_id} may be one of several: {meant}.", code="Ambiguous")
        return found[0]

    async def set_language(self, account_id: str, language: str) -> None:
        await self._store.set_language(account_id, _language(language))
        await self._memory.changed()

    async def remove(self, account_id: str) -> None:
        """Its agents go before, by Agents.remove, so that each job's end is told."""
        await self.get(account_id)
        await self._store.remove(account_id, self._clock())
        await self._memory.changed()

    # Who is it

    async def identity(self, platform: str, subject: str) -> Identity | None:
        # A conversation begins here: what is asked after this shall be believed as of now.
        await self._memory.refresh()
        return await self._store.identity(platform, subject)

    async def identities(self, account_id: str | None = None) -> Sequence[Identity]:
        return await self._store.identities(account_id)

    async def add_identity(
        self, account_id: str, platform: str, subject: str, name: str
    ) -> Identity:
        """Conflict (LinkedElsewhere) when it speaks for another account."""
        if not subject or len(subject) > 400:
            raise Invalid("A sender's id has 1 to 400 characters.")
        wanted = Identity(new_id(), account_id, platform, subject, name[:200], self._clock())
        return await self._store.add_identity(wanted)

    async def remove_identity(self, account_id: str, identity_id: str) -> bool:
        """They speak for nobody any more. Whether the home they had set went with them."""
        known, had_home = await self._store.remove_identity(account_id, identity_id)
        if not known:
            raise NotFound("There is no such identity.", code="IdentityNotFound", id=identity_id)
        if had_home:
            await self._memory.changed()
        return had_home

    async def new_code(self, account_id: str) -> str:
        """A one-time code that links whoever sends it, good for ten minutes."""
        await self.get(account_id)
        code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
        await self._store.add_code(_hash_code(code), account_id, self._clock() + CODE_LIFE)
        return "-".join((code[:3], code[3:6], code[6:]))

    async def link(self, code: str, platform: str, subject: str, name: str) -> Identity:
        """Invalid (BadCode), TooMany after five tries within ten minutes, Conflict (LinkedElsewhere)."""
        who = sha256(f"{platform}\0{subject}".encode()).hexdigest()
        until = self._clock() + CODE_LIFE
        if await self._notes.add("link", who, 1, self._clock(), until) > CODE_TRIES:
            raise TooMany("Too many tries; wait ten minutes.", code="TooManyTries")
        account_id = await self._store.use_code(_hash_code(code), self._clock())
        if account_id is None:
            raise Invalid("That code is not valid, or no longer.", code="BadCode")
        return await self.add_identity(account_id, platform, subject, name)

    async def spoil_code(self, code: str) -> None:
        """It was shown where others read it."""
        await self._store.use_code(_hash_code(code), self._clock())

    # Tokens

    async def add_token(
        self,
        kind: TokenKind,
        account_id: str | None,
        name: str,
        expires_at: datetime | None = None,
        scopes: Collection[str] = (),
    ) -> tuple[Token, str]:
        """The token and its secret, which is never shown again. `scopes`: what an account's token is
        restricted to; none: nothing."""
        if (kind == "system") != (account_id is None):
            raise Invalid("A system token belongs to no account, the others to one.")
        if not name.strip() or len(name) > 100:
            raise Invalid("A token's name has 1 to 100 characters.", code="InvalidName")
        secret = _mail_secret() if kind == "mail" else PREFIXES[kind] + secrets.token_urlsafe(24)
        token = Token(
            id=new_id(),
            kind=kind,
            account_id=account_id,
            name=name.strip(),
            created_at=self._clock(),
            expires_at=expires_at,
            scopes=_scopes(kind, scopes),
        )
        await self._store.add_token(token, hash_secret(secret))
        return token, secret

    async def tokens(self, account_id: str | None = None) -> Sequence[Token]:
        return await self._store.tokens(account_id)

    async def revoke_token(self, token_id: str) -> None:
        if not await self._store.revoke_token(token_id, self._clock()):
            raise NotFound("There is no such token.", code="TokenNotFound", id=token_id)
        await self._memory.changed()

    async def bearer(self, secret: str, *, late: bool = False) -> Token:
        """The account or system token a program shows. Unauthorized otherwise. `late`: it was let in
        before, and may have expired since; not so if somebody revoked it."""
        await self._memory.refresh()
        token = await self._valid(secret, late=late)
        if token is None or token.kind == "mail":
            raise Unauthorized("The token is missing or not known.")
        return token

    async def holder(self, secret: str) -> tuple[str, str] | None:
        """core.chat.Keyring: whose secret command address or account token this is.

        A token with scopes is none: whoever writes may say any verb."""
        await self._memory.refresh()
        token = await self._valid(secret)
        if token is None or token.account_id is None or token.scopes:
            return None
        return token.account_id, f"token:{token.id}"

    async def alive(self, requested_by: str) -> bool:
        """core.chat.Keyring: whether `token:<id>` still speaks for anybody."""
        kind, _, token_id = requested_by.partition(":")
        token = await self._store.token_named(token_id) if kind == "token" else None
        return token is not None and self._holds(token)

    async def speaks(self, account_id: str, platform: str, subject: str) -> bool:
        """core.chat.Keyring: whether nobody else's account has this person."""
        identity = await self._store.identity(platform, subject)
        return identity is None or identity.account_id == account_id

    async def _valid(self, secret: str, *, late: bool = False) -> Token | None:
        hashed = hash_secret(secret)
        token = await self._memory.recall(("token", hashed), lambda: self._store.token(hashed))
        if token is None or token.revoked_at is not None:
            return None
        return token if late or self._holds(token) else None

    def _holds(self, token: Token) -> bool:
        if token.revoked_at is not None:
            return False
        return token.expires_at is None or token.expires_at > self._clock()

    async def account_for_upstream(self, uid: str) -> Account:
        """The account an upstream system names by its own user id, made when it first does."""
        if not uid or len(uid) > LONGEST_UID or "\0" in uid:
            raise Invalid(f"A user_id has 1 to {LONGEST_UID} characters.")
        if known := await self._memory.recall(("account", uid), lambda: self._store.get(uid)):
            return known
        try:
            return await self.add(uid if uid.strip() else repr(uid), account_id=uid)
        except Exception:
            if known := await self._store.get(uid):  # somebody was first
                return known
            raise

    # Homes

    async def set_home(self, account_id: str, thread: Thread, set_by: str | None = None) -> None:
        """Where results without a thread, agents' messages and comings and goings are told.

        `set_by`: the identity or token that says so (as in Job.requested_by); the home goes with it."""
        home = Channel(new_id(), account_id, "", thread, home=True)
        await self._store.set_home(home, set_by=set_by)
        await self._memory.changed()

    async def first_home(self, account_id: str, thread: Thread, set_by: str | None = None) -> None:
        """The first linked private chat is the home until somebody says otherwise."""
        home = Channel(new_id(), account_id, "", thread, home=True)
        await self._store.set_home(home, set_by=set_by, only_first=True)
        await self._memory.changed()

    async def home(self, account_id: str) -> Thread | None:
        thread = await self._home(account_id)
        if thread is None:  # and an end would be told to nobody: was none set this very moment?
            await self._memory.refresh(within=0)
            thread = await self._home(account_id)
        return thread

    async def _home(self, account_id: str) -> Thread | None:
        channel = await self._memory.recall(
            ("home", account_id), lambda: self._store.home(account_id), keep_none=True
        )
        return replace(channel.thread) if channel else None


def hash_secret(secret: str) -> str:
    """Our secrets are random and long, so that a plain digest is enough, and a lookup by it leaks nothing."""
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _hash_code(code: str) -> str:
    letters = "".join(c for c in code.upper() if c.isalnum())
    return hash_secret(f"code {letters}")


def _mail_secret() -> str:
    """26 letters that survive a mail program's lower-casing: 130 bits."""
    return "".join(secrets.choice(MAIL_LETTERS) for _ in range(26))


def _scopes(kind: TokenKind, scopes: Collection[str]) -> frozenset[str]:
    known = ", ".join(sorted(SCOPES))
    if scopes and kind != "account":
        raise Invalid("Only the token of an account has scopes.", code="InvalidScope")
    if not SCOPES.issuperset(scopes):
        raise Invalid(f"A scope is one of {known}.", code="InvalidScope")
    return frozenset(scopes)


def _language(language: str) -> str:
    if language not in LANGUAGES:
        known = ", ".join(LANGUAGES[1:])
        raise Invalid(f"A language is one of {known}, or empty.", code="InvalidLanguage")
    return language
