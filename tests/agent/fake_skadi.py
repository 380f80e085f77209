"""A small Skadi on a real socket: it keeps to the protocol, and notes who does not."""

import json
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "abcdefghij0123456789"
ENDS = {"succeed": "succeeded", "fail": "failed", "canceled": "canceled"}
NEW = ("canceled", "output", "hello")  # what the original server does not know


@dataclass(frozen=True)
class Piece:
    at: float
    offset: int
    text: str


@dataclass
class FakeJob:
    id: str
    message: str
    status: str = "queuing"
    journal: str | None = None
    # How often it was handed out.
    handed: int = 0
    runnings: list[str] = field(default_factory=list)
    ends: list[tuple[str, str]] = field(default_factory=list)
    # The live output: what the server has of it, and each piece as it came.
    output: bytearray = field(default_factory=bytearray)
    pieces: list[Piece] = field(default_factory=list)

    @property
    def result(self) -> str:
        [(_, result)] = self.ends
        return result


@dataclass(frozen=True)
class Poll:
    at: float
    wait: float | None
    slots: int | None
    journal: str | None
    holding: tuple[str, ...] | None


class FakeSkadi:
    """`changed` is notified of whatever happens; the fields below it may be set by a test."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.jobs: dict[str, FakeJob] = {}
        self.polls: list[Poll] = []
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        # Jobs that somebody wants stopped: said in polls as long as they have no end, and, when
        # `cancel_by_output` is set, in the answers to their output instead.
        self.cancel: list[str] = []
        self.cancel_by_output = False
        # The calls that are a sign of life of an agent.
        self.signs: list[str] = []
        # Paths that were asked for and are not known.
        self.unknown: list[str] = []
        self.hellos: list[dict[str, Any]] = []
        # What enrols an agent, once each; what the enrolled are called and where they came from.
        self.codes: list[str] = []
        self.enrolled: list[dict[str, Any]] = []
        # Paths that anybody may read: the program and its installer.
        self.files: dict[str, bytes] = {}
        # Output is answered with this, or forgotten again down to so many bytes, once.
        self.answer_output: int | None = None
        self.full = False
        self.lose_output: int | None = None
        # The next piece is taken, but its answer is lost; each answer takes so many seconds.
        self.lose_output_answer = False
        self.slow_output = 0.0
        # It speaks of cancels and has no path to be told of them.
        self.no_cancels = False
        # Every poll is answered at once; jobs are sent whether or not there is a slot for them.
        self.never_hold = False
        self.unasked = False
        self.tokens = {TOKEN}
        self.prefix = ""
        # The original server: knows nothing of wait, slots, journal and holding.
        self.old = False
        # The next claims are committed, but their answers are lost.
        self.lose_answers = 0
        # Every call, or every report, or the question after a token, or every code is answered with this.
        self.answer_all: int | None = None
        self.answer_self: int | None = None
        self.answer_codes: int | None = None
        self.answer_reports: int | None = None
        self.location = ""
        # Job ids that are handed out whatever their status.
        self.hand_out_again: list[str] = []
        self.port = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    def __enter__(self) -> "FakeSkadi":
        self.come()
        return self

    def __exit__(self, *error: object) -> None:
        self.go()

    def come(self) -> None:
        """Listen; after an absence on the same port as before."""
        self._server = Server(self)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def go(self) -> None:
        """Be away: nobody listens, and every open connection is cut."""
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()
            server.cut()
        with self.changed:
            self.changed.notify_all()

    @property
    def here(self) -> bool:
        return self._server is not None

    def submit(self, message: str) -> FakeJob:
        with self.changed:
            job = FakeJob(f"job{len(self.jobs):017d}", message)
            self.jobs[job.id] = job
            self.changed.notify_all()
        return job

    def until(self, condition: Callable[[], object], seconds: float = 8) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, seconds), "it did not happen in time"

    def until_ended(self, *jobs: FakeJob, seconds: float = 8) -> None:
        self.until(lambda: all(job.ends for job in jobs), seconds)

    # What the server decides. Each is called with `changed` held.

    def next_for(self, poll: Poll) -> FakeJob | None:
        if self.hand_out_again:
            return self.jobs[self.hand_out_again[0]]
        lost = [job for job in self.jobs.values() if self.was_lost(job, poll)]
        free = self.old or self.unasked or poll.slots is None or poll.slots > 0
        queue = [job for job in self.jobs.values() if job.status == "queuing"] if free else []
        return next(iter([*lost, *queue]), None)

    def was_lost(self, job: FakeJob, poll: Poll) -> bool:
        return (
            not self.old
            and poll.journal is not None
            and poll.holding is not None
            and job.status == "sent"
            and job.journal == poll.journal
            and job.id not in poll.holding
            and not job.runnings
        )

    def take(self, job: FakeJob, offset: int, text: str) -> dict[str, Any]:
        """A piece that leaves a gap is not taken; one that overlaps adds what is new of it."""
        data = text.encode()
        job.pieces.append(Piece(time.monotonic(), offset, text))
        if offset <= len(job.output):
            repeated = data[: len(job.output) - offset]
            assert job.output[offset : offset + len(repeated)] == repeated
            job.output += data[len(repeated) :]
        if self.lose_output is not None:
            del job.output[self.lose_output :]
            self.lose_output = None
        answer: dict[str, Any] = {"have": len(job.output), "cancel": self.wants_to_stop(job)}
        return {**answer, "full": True} if self.full else answer

    def wants_to_stop(self, job: FakeJob) -> bool:
        return self.cancel_by_output and job.id in self.cancel and not job.ends

    def enrol(self, fields: dict[str, Any]) -> dict[str, str] | None:
        if fields.get("code") not in self.codes:
            return None
        self.codes.remove(fields["code"])
        self.enrolled.append(fields)
        token = f"enrolled{len(self.enrolled):012d}"
        self.tokens.add(token)
        return {"id": "agent1", "name": fields.get("name") or fields["hostname"], "token": token}

    def report(self, job: FakeJob, verb: str, result: str) -> tuple[int, str]:
        if verb == "running":
            if job.status not in ("sent", "running"):
                return 400, "JobNotFound"
            job.status = "running"
            job.runnings.append(result)
        elif job.status in ("succeeded", "failed", "canceled"):
            return 400, "JobFinished"
        else:
            job.status = ENDS[verb]
            job.ends.append((verb, result))
        return 204, ""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, fake: FakeSkadi) -> None:
        self.fake = fake
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", fake.port), Door)

    def cut(self) -> None:
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: object, address: object) -> None:
        """A caller that goes in the middle of a call is no fault of the server."""


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        self.fake = self.server.fake
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, *anything: object) -> None:
        pass

    def do_GET(self) -> None:
        if not self.admit():
            return
        path, query = self.address()
        if path == "/status":
            self.answer(204)
        elif path == "/agent/self" and not self.fake.old:
            self.answer(200, {"id": "agent1", "name": "web-1"})
        elif path in self.fake.files:
            self.answer_file(self.fake.files[path])
        elif path == "/agent/job":
            self.poll(query)
        else:
            self.refuse(404, "NotFound")

    def do_PUT(self) -> None:
        fields = self.fields()
        if not self.admit():
            return
        _, kind, jobs, job, verb = (self.address()[0] + "/////").split("/")[:5]
        if (kind, jobs) != ("agent", "jobs") or verb not in ("running", *ENDS):
            return self.refuse(404, "NotFound")
        if verb == "canceled" and (self.fake.old or self.fake.no_cancels):
            return self.answer(405)
        if self.fake.answer_reports:
            return self.refuse(self.fake.answer_reports, "Passing")
        with self.fake.changed:
            status, key = self.judge(job, verb, str(fields.get("result", "")))
            self.fake.changed.notify_all()
        return self.refuse(status, key) if key else self.answer(status)

    def judge(self, job: str, verb: str, result: str) -> tuple[int, str]:
        if job not in self.fake.jobs:
            return 404, "NotFound"
        return self.fake.report(self.fake.jobs[job], verb, result)

    def do_POST(self) -> None:
        fields = self.fields()
        if not self.admit():
            return
        path = self.address()[0]
        if self.fake.old and path.rpartition("/")[2] in NEW:
            self.fake.unknown.append(path)
            return self.refuse(404, "NotFound")
        with self.fake.changed:
            status, body = self.post(path, fields)
            self.fake.changed.notify_all()
            if path.endswith("/output") and self.fake.lose_output_answer:
                self.fake.lose_output_answer = False
                self.close_connection = True
                return None
        if path.endswith("/output"):
            time.sleep(self.fake.slow_output)
        return self.answer(status, body)

    def post(self, path: str, fields: dict[str, Any]) -> tuple[int, object]:
        if path == "/agent/hello":
            self.fake.hellos.append(fields)
            return 204, None
        if path == "/agent/enrol":
            agent = self.fake.enrol(fields)
            return (201, agent) if agent else (404, {"error": "NotFound", "message": "no code"})
        if path.endswith("/output"):
            return self.output(path.split("/")[3], fields)
        self.fake.posts.append((path, fields))
        return (202 if "/message/" in path else 201), None

    def output(self, job: str, fields: dict[str, Any]) -> tuple[int, object]:
        if self.fake.answer_output:
            self.fake.jobs[job].pieces.append(Piece(time.monotonic(), fields["offset"], ""))
            return self.fake.answer_output, {"error": "Passing", "message": "as the test wants"}
        return 200, self.fake.take(self.fake.jobs[job], fields["offset"], fields["text"])

    def admit(self) -> bool:
        self.fake.headers.append(dict(self.headers.items()))
        path = self.address()[0]
        passing = self.fake.answer_all or {
            "/agent/self": self.fake.answer_self,
            "/agent/enrol": self.fake.answer_codes,
        }.get(path)
        if passing:
            self.refuse(passing, "Passing")
        elif self.is_open():
            return True
        elif self.headers.get("Authorization", "").removeprefix("Bearer ") not in self.fake.tokens:
            self.refuse(401, "Unauthorized")
        else:
            if self.fake.old or path != "/agent/self":
                self.fake.signs.append(f"{self.command} {path}")
            return True
        return False

    def is_open(self) -> bool:
        path = self.address()[0]
        return path in ("/status", "/agent/enrol", *self.fake.files)

    def answer_file(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        return parts.path.removeprefix(self.fake.prefix), {k: v[0] for k, v in query.items()}

    def fields(self) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length", "0"))
        found: dict[str, Any] = json.loads(self.rfile.read(length) or b"{}")
        return found

    def poll(self, query: dict[str, str]) -> None:
        with self.fake.changed:
            poll = understand(query)
            self.fake.polls.append(poll)
            self.fake.changed.notify_all()
            body = self.hold(poll)
            if body and self.fake.lose_answers and "id" in body:
                self.fake.lose_answers -= 1
                self.close_connection = True
                return
        self.answer(200 if body else 204, body)

    def hold(self, poll: Poll) -> dict[str, Any] | None:
        wait = 0 if self.fake.old or self.fake.never_hold else poll.wait or 0
        deadline = time.monotonic() + wait
        while self.caller_is_there() and self.fake.here:
            job = self.fake.next_for(poll)
            if job:
                job.status, job.journal, job.handed = "sent", poll.journal, job.handed + 1
                self.fake.changed.notify_all()
                told = {"id": job.id, "message": job.message}
                return {**told, "cancel": self.cancels()} if self.cancels() else told
            if self.cancels():
                return {"cancel": self.cancels()}
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self.fake.changed.wait(left)
        return None

    def cancels(self) -> list[str]:
        if self.fake.old or self.fake.cancel_by_output:
            return []
        jobs = self.fake.jobs
        return [job for job in self.fake.cancel if job not in jobs or not jobs[job].ends]

    def caller_is_there(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return not readable or bool(self.connection.recv(1, socket.MSG_PEEK))

    def answer(self, status: int, body: object = None) -> None:
        content = json.dumps(body).encode() if body else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if self.fake.location:
            self.send_header("Location", self.fake.location)
        self.end_headers()
        self.wfile.write(content)

    def refuse(self, status: int, key: str) -> None:
        self.answer(status, {"error": key, "message": "as the test wants it"})


def understand(query: dict[str, str]) -> Poll:
    holding = query.get("holding")
    return Poll(
        time.monotonic(),
        float(query["wait"]) if "wait" in query else None,
        int(query["slots"]) if "slots" in query else None,
        query.get("journal"),
        None if holding is None else tuple(filter(None, holding.split(","))),
    )
