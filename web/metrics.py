"""What this process counts and what waits in the database, as Prometheus reads it."""

from __future__ import annotations

import hmac
import logging
import platform
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from ipaddress import ip_address
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.routing import Route

from core.errors import Forbidden, SkadiError, Unauthorized
from core.metrics import HISTOGRAMS, NUMBERS, OUTAGES, Histogram, Number
from core.model import Clock, moment_of
from core.store import Depths
from web.answer import Answer, answer
from web.auth import bearer
from web.call import Call

LOOK_EVERY = 10.0
"""Seconds for which one look at the database is good, however often we are asked."""
FORWARDED = frozenset(
    {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"}
    | {b"x-real-ip"}
)
"""Headers of proxies: with one of them the caller is somebody else than who connects."""
KIND = [(b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode())]

Look = Callable[[], Awaitable[Depths]]

log = logging.getLogger(__name__)


class Waiting:
    """What waits, looked up at most every ten seconds; None while the database is away."""

    def __init__(self, look: Look, seconds: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._seconds = seconds
        self._looked_at = -LOOK_EVERY
        self._depths: Depths | None = None

    async def depths(self) -> Depths | None:
        now = self._seconds()
        if now - self._looked_at >= LOOK_EVERY:
            # Those who ask meanwhile get what was known before, so that nobody asks twice.
            self._looked_at = now
            self._depths = await self._ask()
        return self._depths

    async def _ask(self) -> Depths | None:
        try:
            return await self._look()
        except SkadiError as error:
            log.warning("What waits is not known: %s", error)
            return None


class Counted(Collector):
    """The numbers of core.metrics in the words of the library."""

    def __init__(self, version: str) -> None:
        self._version = version

    def collect(self) -> Iterator[Metric]:
        facts = {"version": self._version, "python": platform.python_version()}
        yield InfoMetricFamily("skadi_build", "What runs here.", value=facts)
        yield from map(in_family, NUMBERS)
        yield from map(in_buckets, HISTOGRAMS)
        away = CounterMetricFamily(
            "skadi_away_seconds", "How long a part has not answered this process.", labels=["part"]
        )
        for outage in OUTAGES:
            away.add_metric([outage.part], outage.seconds)
        yield away


class MetricsApi:
    """Open to callers on this machine; to anybody else, and to them as well once there is a token, only
    with that. `token`: empty is none."""

    def __init__(self, look: Look, token: str, version: str, clock: Clock) -> None:
        self._waiting = Waiting(look)
        self._token = token
        self._clock = clock
        self._registry = CollectorRegistry()
        self._registry.register(Counted(version))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    async def show(self, call: Call) -> Answer:
        self._admit(call)
        depths = await self._waiting.depths()
        text = generate_latest(self._registry)
        if depths is not None:
            text += generate_latest(Fixed(waiting(depths, self._clock().timestamp())))
        return answer(200, text, KIND)

    def _admit(self, call: Call) -> None:
        if not self._token:
            if not is_local(call):
                raise Forbidden(
                    "From elsewhere the metrics are shown to the bearer of a token only."
                )
        elif not hmac.compare_digest(bearer(call).encode(), self._token.encode()):
            raise Unauthorized("The token is unknown.")


class Fixed(CollectorRegistry):
    """Families that are known already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        super().__init__()
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def metrics_app(route: Route) -> Starlette:
    """The metrics and nothing else, for processes that serve nobody."""
    return Starlette(routes=[route])


def is_local(call: Call) -> bool:
    client = call.scope.get("client")
    if not client or any(name in FORWARDED for name, _ in call.scope["headers"]):
        return False
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return False


def in_family(number: Number) -> Metric:
    kind = CounterMetricFamily if number.kind == "counter" else GaugeMetricFamily
    family = kind(number.name, number.help, labels=number.labels)
    for labels, value in sorted(number.values.items()):
        family.add_metric(labels, value)
    if not number.labels and not number.values:
        family.add_metric([], 0)
    return family


def in_buckets(histogram: Histogram) -> Metric:
    bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(
        histogram.name, histogram.help, buckets=buckets, sum_value=histogram.total
    )


def waiting(depths: Depths, now: float) -> Iterator[Metric]:
    """`now`: seconds since 1970."""
    depth = GaugeMetricFamily("skadi_jobs_waiting", "Unfinished jobs.", labels=["status"])
    oldest = GaugeMetricFamily(
        "skadi_jobs_oldest_seconds", "Since the submit of the oldest of them.", labels=["status"]
    )
    for status in ("delayed", "queuing", "sent", "running"):
        number, first = depths.jobs.get(status, (0, ""))
        depth.add_metric([status], number)
        oldest.add_metric([status], max(now - moment_of(first).timestamp(), 0) if first else 0)
    yield depth
    yield oldest
    late = max(now - depths.due_since.timestamp(), 0) if depths.due_since else 0
    yield GaugeMetricFamily("skadi_deliveries_due", "What is still to be told.", depths.due)
    yield GaugeMetricFamily(
        "skadi_deliveries_late_seconds", "Since the first of them should have been told.", late
    )
    yield GaugeMetricFamily("skadi_dead_letters", "What could not be told.", depths.dead)
