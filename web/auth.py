"""Who calls: the bearer of a token, and from which address."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from ipaddress import ip_address
from typing import Literal

from core.accounts import Accounts
from core.agents import Agents
from core.broker import Sign
from core.errors import Forbidden, Unauthorized
from core.model import Agent, Token
from web.call import Call

LONGEST_TOKEN = 200

Scope = Literal["submit", "read", "cancel", "agents"]


class Auth:
    """Answers Unauthorized only to a token that is missing or that core does not know."""

    def __init__(self, agents: Agents, accounts: Accounts, *, trust_proxy: bool) -> None:
        self._agents = agents
        self._accounts = accounts
        self._trust_proxy = trust_proxy

    async def agent(self, call: Call) -> Agent:
        """The agent that calls; that it does is a sign of life."""
        return await self._agents.authenticate(bearer(call), self.address(call))

    async def greet(
        self, call: Call, *, out: bool, take: bool = False, sign: Sign | None = None
    ) -> tuple[Agent, Sign | None]:
        """The same, with what the broker says to that sign, or said to one in its place. `out`: with
        the jobs on their way; `take`: with a job that is ready."""
        address = self.address(call)
        return await self._agents.greet(bearer(call), address, out=out, take=take, sign=sign)

    async def recognise(self, call: Call) -> Agent:
        """The agent whose poll is held; it gives no sign of life of its own."""
        return await self._agents.recognise(bearer(call))

    async def sign_all(self, agent_ids: Sequence[str], out: Collection[str]) -> Sequence[Sign]:
        """Signs of life in the place of agents whose polls are held."""
        return await self._agents.sign_all(agent_ids, out)

    def was_away(self, sign: Sign) -> bool:
        return self._agents.was_away(sign)

    async def token(self, call: Call, *scopes: Scope) -> Token:
        """The account or upstream system that calls; Forbidden where it may not do all of this."""
        token = await self._accounts.bearer(bearer(call))
        for scope in scopes:
            if not token.may(scope):
                raise Forbidden(f"This token may not do that: it lacks the scope {scope}.")
        return token

    async def account(self, call: Call, *scopes: Scope) -> tuple[str, Token]:
        """The id of the account that calls, and its token; Forbidden where it may not do all of this."""
        token = await self.token(call, *scopes)
        if token.account_id is None:
            raise Forbidden("This path takes the token of an account.")
        return token.account_id, token

    async def still_let_in(self, call: Call) -> None:
        """Unauthorized if the token that was let in has been revoked since; a call that waits may
        outlive it."""
        await self._accounts.bearer(bearer(call), late=True)

    async def account_of(self, token: Token, uid: str) -> str:
        """The id of the account that an upstream system names; an account names itself."""
        if token.account_id is None:
            return (await self._accounts.account_for_upstream(uid)).id
        if uid not in ("", token.account_id):
            raise Forbidden("The token of an account speaks for that account alone.")
        return token.account_id

    def address(self, call: Call) -> str:
        client = call.scope.get("client")
        peer: str = client[0] if client else ""
        return forwarded(call, peer) if self._trust_proxy else peer


def bearer(call: Call) -> str:
    scheme, _, token = call.header(b"authorization").partition(b" ")
    if scheme.lower() != b"bearer":
        raise Unauthorized("This path needs a bearer token.")
    if not token.isascii() or len(token) > LONGEST_TOKEN:
        raise Unauthorized("The token is unknown.")
    return token.strip().decode()


def forwarded(call: Call, peer: str) -> str:
    """What our own proxy says: it adds at the end, some in a line of its own. What stands before,
    anybody may have made up."""
    claimed = call.last_header(b"x-forwarded-for").rpartition(b",")[2].strip().decode("latin-1")
    try:
        return str(ip_address(claimed))
    except ValueError:
        return peer
