"""The web application: every path in one list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, ExceptionHandler, Receive, Scope, Send

from core.accounts import Accounts
from core.agents import Agents
from core.broker import Broker
from core.errors import SkadiError
from core.following import Following
from core.jobs import Jobs
from core.model import Clock
from web.api import AgentApi, SystemApi
from web.auth import Auth
from web.body import Bodies
from web.call import Endpoint, Serve, Tally
from web.enrol import EnrolApi, Handout
from web.errors import refuse
from web.events import EventApi
from web.health import Health, Ready
from web.jobs import JobApi
from web.openapi import OpenApi
from web.output import OutputApi
from web.poll import Polls
from web.settings import WebSettings
from web.stream import Streamed


class Path(Route):
    """A route that names, to who comes with another method, those of all routes with its path."""

    def __init__(self, path: str, endpoint: ASGIApp, method: str) -> None:
        super().__init__(path, endpoint, methods=[method])
        self.allowed = set(self.methods or ())

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            allowed = {"Allow": ", ".join(sorted(self.allowed))}
            raise HTTPException(405, headers=allowed)
        await self.app(scope, receive, send)


class Door(Starlette):
    """The application, with the polls and waits it holds: close it when the server is to stop.

    The routes called most often are tried before all else: an Endpoint answers for its own errors,
    so it needs no middleware, and without that a held poll takes a quarter less memory."""

    def __init__(
        self,
        polls: Polls,
        following: Following,
        *,
        often: Sequence[Route],
        routes: Sequence[BaseRoute],
        exception_handlers: Mapping[Any, ExceptionHandler],
    ) -> None:
        super().__init__(routes=routes, exception_handlers=exception_handlers)
        gather_methods([each for each in routes if isinstance(each, Path)])
        self.router.redirect_slashes = False
        self.polls = polls
        self._following = following
        self._often = often

    def close(self) -> None:
        """End all that is held open, and hold nothing open from here on."""
        self.polls.close()
        self._following.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"].startswith("//"):
                # Old agents whose `server` ends with a slash ask for //agent/job.
                scope["path"] = "/" + scope["path"].lstrip("/")
            for route in self._often:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    return await route.app(scope, receive, send)
        await super().__call__(scope, receive, send)


def make_app(
    *,
    agents: Agents,
    jobs: Jobs,
    accounts: Accounts,
    broker: Broker,
    following: Following,
    ready: Ready,
    clock: Clock,
    settings: WebSettings,
    handout: Handout,
    extra_routes: Sequence[BaseRoute] = (),
) -> Door:
    """`handout`: the program of agents; `extra_routes`: what adapters bring."""
    auth = Auth(agents, accounts, trust_proxy=settings.trust_proxy)
    bodies = Bodies(settings)
    polls = Polls(auth, jobs, broker, settings)
    agent = AgentApi(auth, bodies, polls, agents=agents, jobs=jobs)
    system = SystemApi(auth, bodies, agents=agents, jobs=jobs)
    longest = settings.longest_follow
    job = JobApi(auth, bodies, following, longest, agents=agents, jobs=jobs)
    output = OutputApi(auth, jobs, following, longest_wait=longest)
    event = EventApi(auth, jobs, following, settings.pulse)
    often = [
        route("GET", "/agent/job", agent.pull),
        route("PUT", "/agent/jobs/{id}/{verb}", agent.report),
        route("POST", "/sys/jobs", system.submit),
    ]
    own = [
        *often,
        *seldom(agent, system, job, output, event, Health(ready, clock)),
        *coming(EnrolApi(auth, bodies, handout, agents=agents)),
    ]
    served = [each for each in (*own, *extra_routes) if isinstance(each, Route)]
    own.append(route("GET", "/openapi.json", OpenApi(served, settings).read))
    return Door(
        polls,
        following,
        often=often,
        routes=[*own, *extra_routes],
        exception_handlers=dict.fromkeys((HTTPException, SkadiError, Exception), refuse),
    )


def seldom(
    agent: AgentApi,
    system: SystemApi,
    job: JobApi,
    output: OutputApi,
    event: EventApi,
    health: Health,
) -> list[Route]:
    return [
        route("POST", "/agent/jobs/{id}/output", agent.output),
        route("POST", "/agent/job/add", agent.add),
        route("POST", "/agent/job/delayed", agent.delay),
        route("POST", "/agent/message/info", partial(agent.say, "info")),
        route("POST", "/agent/message/warning", partial(agent.say, "warning")),
        route("POST", "/agent/message/text", partial(agent.say, "text")),
        route("POST", "/agent/message/auto", partial(agent.say, "auto")),
        # As the first agents spell it.
        route("POST", "/agent/info", partial(agent.say, "info")),
        route("POST", "/agent/warning", partial(agent.say, "warning")),
        route("POST", "/agent/text", partial(agent.say, "text")),
        route("POST", "/agent/kf", partial(agent.say, "text")),
        route("PUT", "/sys/jobs/{id}/expire", system.expire),
        route("POST", "/sys/users/{uid}/agents", system.enrol),
        route("POST", "/api/jobs", job.submit),
        route("GET", "/api/jobs", job.list),
        route("GET", "/api/jobs/{id}", job.get),
        route("POST", "/api/jobs/{id}/cancel", job.cancel),
        route("GET", "/api/jobs/{id}/output", output.read),
        follow("/api/jobs/{id}/events", event),
        route("GET", "/status", health.status),
        route("GET", "/healthz", health.alive),
        route("GET", "/readyz", health.ready),
    ]


def coming(enrolment: EnrolApi) -> list[Route]:
    """What brings an agent to a machine, and what it says when it is there."""
    return [
        route("POST", "/agent/hello", enrolment.hello),
        route("GET", "/agent/self", enrolment.introduce),
        route("POST", "/agent/enrol", enrolment.enrol),
        route("GET", "/agent/skadi-agent.pyz", enrolment.program),
        route("GET", "/install.py", enrolment.script),
    ]


def route(method: str, path: str, serve: Serve) -> Path:
    return Path(path, Endpoint(serve, Tally(method, path)), method)


def follow(path: str, event: EventApi) -> Path:
    return Path(path, Streamed(event.follow, Tally("GET", path)), "GET")


def gather_methods(paths: Sequence[Path]) -> None:
    """What `Allow` names, where several routes share a path."""
    allowed: defaultdict[str, set[str]] = defaultdict(set)
    for each in paths:
        allowed[each.path] |= each.methods or set()
    for each in paths:
        each.allowed = allowed[each.path]
