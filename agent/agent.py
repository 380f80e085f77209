"""The agent as a service embeds it: a thread that works for Skadi, and messages to send."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from . import duration
from .client import Client
from .errors import AgentError, ConfigError
from .hello import Offer, hello
from .job import Handler
from .journal import Journal
from .pace import Pace
from .worker import Worker


class Agent:
    """
    agent = Agent("https://skadi.example.com", token, state="/var/lib/shop").start(handle)

    `handle(job)` runs in a thread of its own. What it returns is the result of a success, what it
    raises that of a failure; `job.running(text)` tells of progress and `job.show(bytes)` shows output
    while it works. It should look at `job.stopping` now and then: a job that somebody cancels is
    told so, and what it raises then is how far it came.

    `state` is a folder of this agent alone. With it a job that was lost on its way is handed out
    again, and one that a crash cut short is reported as interrupted. Without it the agent remembers
    its jobs only while it lives and does not name a journal to the server, which then hands nothing
    out twice: after a crash, a job's end stays unknown.

    `offers` is what can be asked of it, for the help that people get in their chat.

    `send_…`, `add_job` and `delay` may be called from any thread, started or not. They are tried
    once and raise a ServerError when the server did not take them.
    """

    def __init__(
        self,
        url: str,
        token: str,
        state: str | Path | None = None,
        *,
        slots: int = 1,
        output_limit: int = 1 << 20,
        pace: Pace | None = None,
        offers: Sequence[Offer] = (),
    ) -> None:
        self._url = url
        self._token = token
        self._state = Path(state) if state else None
        self._slots = slots
        self._output_limit = output_limit
        self._pace = pace or Pace()
        self._hello = hello(offers)
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None
        self._client().close()
        if slots < 1:
            raise ConfigError("an agent has at least one slot")

    def __repr__(self) -> str:
        return f"Agent({self._url!r})"

    @property
    def error(self) -> Exception | None:
        """Why the agent ended by itself: BadToken, or a fault of its own."""
        return self._worker.error if self._worker else None

    def start(self, handler: Handler) -> Agent:
        """Raises JournalError when the state folder cannot be used."""
        if self._thread:
            raise AgentError("an agent starts once; make another one")
        journal = Journal.open(self._state) if self._state else Journal()
        self._worker = Worker(
            self._client, journal, handler, self._pace, self._slots, self._output_limit, self._hello
        )
        self._thread = threading.Thread(target=self._worker.work, name="skadi-agent", daemon=True)
        self._thread.start()
        return self

    def run(self, handler: Handler) -> None:
        """Work in the foreground until stopped. Raises what else ended the agent."""
        self.start(handler)
        try:
            self.join()
        finally:
            self.stop()
            self.join()
        if self.error:
            raise self.error

    def stop(self, grace: float | None = None) -> None:
        """Take no more jobs; those that run get `grace` seconds. Returns at once: see `join`."""
        if self._worker:
            self._worker.stop(grace)

    def join(self, timeout: float | None = None) -> bool:
        """Whether the agent has ended, waited for up to `timeout` seconds."""
        if self._thread:
            self._thread.join(timeout)
        return not (self._thread and self._thread.is_alive())

    def send_info(self, message: str, channel: str | None = None) -> None:
        self._send("info", message, channel)

    def send_warning(self, message: str, channel: str | None = None) -> None:
        self._send("warning", message, channel)

    def send_text(self, message: str, channel: str | None = None) -> None:
        self._send("text", message, channel)

    def send_auto(self, message: str, channel: str | None = None) -> None:
        self._send("auto", message, channel)

    def add_job(self, message: str) -> None:
        """A job for another agent of the same account: add_job("web-2 deploy")."""
        self._submit("/agent/job/add", {"message": message})

    def delay(self, command: str, after: timedelta | float | str, callback: str = "") -> None:
        """A job for this agent itself, later: after a timedelta, seconds, or "1h30m".

        `callback` is empty (the answer goes home), "disable" (nobody is told) or a URL.
        """
        fields = {"message": command, "duration": duration.say(after)}
        self._submit(
            "/agent/job/delayed", {**fields, **({"callback": callback} if callback else {})}
        )

    def _send(self, kind: str, message: str, channel: str | None) -> None:
        fields = {"message": message, **({"channel": channel} if channel else {})}
        self._submit(f"/agent/message/{kind}", fields)

    def _submit(self, path: str, fields: dict[str, str]) -> None:
        # A line of its own: it is never reused, so that nothing is ever submitted twice.
        client = self._client()
        try:
            client.submit(path, fields)
        finally:
            client.close()

    def _client(self) -> Client:
        return Client(self._url, self._token, self._pace.timeout)
