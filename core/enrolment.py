"""The line that puts an agent on a machine: a one-time code, and the token that it is exchanged for."""

from __future__ import annotations

import logging
import secrets
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network

from core.accounts import CODE_LETTERS, hash_secret
from core.errors import Conflict, Invalid, NotFound, TooMany
from core.memory import Memory
from core.model import Agent, Clock
from core.store import Store
from core.text import one_line

log = logging.getLogger(__name__)

CODE_LENGTH = 16
"""31^16: about 79 bits, as whoever guesses needs no token to try."""
LONGEST_CODE = 64
BOOK = "enrol"
TRIES = 20
TRIES_WITHIN = timedelta(minutes=10)
LINE = """python3 -I -c 'import urllib.request as u; exec(u.urlopen("{url}/install.py").read())' {code}"""


@dataclass(frozen=True, slots=True)
class Way:
    """How agents come to us. `url`: where they reach us, `local`: from this machine alone for all we know;
    `life`: how long a code is good for."""

    url: str = "http://127.0.0.1:8000"
    life: timedelta = timedelta(hours=1)
    local: bool = True


class Enrolment:
    def __init__(
        self,
        store: Store,
        memory: Memory,
        clock: Clock,
        way: Way,
        check_names: Callable[[str, str], tuple[str, str]],
    ) -> None:
        self._store = store.enrolment
        self._notes = store.notes
        self._memory = memory
        self._clock = clock
        self._check_names = check_names
        self.way = way

    async def new_line(self, agent: Agent) -> str:
        """What to paste on the agent's machine. The lines it was given before are good no more."""
        code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
        until = self._clock() + self.way.life
        await self._store.add(hash_code(code), agent, until)
        spelled = "-".join(code[n : n + 4] for n in range(0, CODE_LENGTH, 4))
        return LINE.format(url=self.way.url, code=spelled)

    async def exchange(
        self, code: str, address: str, *, name: str = "", hostname: str = ""
    ) -> tuple[Agent, str]:
        """The code's agent, called `name` from now on if there is one, and its new token.

        NotFound (EnrolCodeNotFound) for a code that is wrong, old or used, all alike, and TooMany when
        so many of those came from there lately that it looks like guessing; Conflict (InvalidName)
        leaves the code as good as it was."""
        token, now = new_token(), self._clock()
        try:
            names = self._check_names(name, "") if name else None
            agent = await self._store.exchange(
                hash_code(code), hash_secret(token), now, names and names[0]
            )
        except Invalid as error:
            raise Conflict(error.message, code=error.code) from error
        if agent is None:
            await self._count_wrong(neighbourhood(address))
            raise NotFound("This code is wrong, used or too old.", code="EnrolCodeNotFound")
        await self._memory.changed()
        log.info("agent %s enrolled from %s (%s)", agent.id, address, one_line(hostname, 100))
        return agent, token

    async def _count_wrong(self, neighbours: str) -> None:
        """A right code is good however many wrong ones came from its neighbours: to brake it as well
        would let anybody keep the agents of a whole network away."""
        now = self._clock()
        wrong = await self._notes.get(BOOK, neighbours, now)
        if wrong and wrong >= TRIES:
            raise TooMany("Too many wrong codes; wait ten minutes.", code="TooManyTries")
        await self._notes.add(BOOK, neighbours, 1, now, now + TRIES_WITHIN)


def new_token() -> str:
    """20 characters of base32: 100 bits, the length old agents check."""
    return b32encode(secrets.token_bytes(13)).decode()[:20].lower()


def hash_code(code: str) -> str:
    """As people may have copied it: the dashes and the letters' case are no part of it."""
    letters = "".join(c for c in code[:LONGEST_CODE].upper() if c.isalnum())
    return hash_secret(f"enrol {letters}")


def neighbourhood(address: str) -> str:
    """Whose tries are counted together: of IPv6 everybody has a whole network of addresses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return sha256(address.encode()).hexdigest()
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed.packed[:8] + bytes(8), 64)))
    return str(parsed)
