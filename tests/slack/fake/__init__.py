"""A Slack for tests, on real sockets: as strict as the real one, and it remembers what people saw.

world is who and what there is, sight what a message looks like, rules and rates what is refused; slack
is what people do and payloads what we are told of it, over calls (HTTP) or sockets (Socket Mode); web,
files, hooks and oauth are what we can ask for, server the address of them all.
"""

from tests.slack.fake.calls import Caller, sign
from tests.slack.fake.server import Server, open_slack
from tests.slack.fake.slack import App, Attempt, Slack, Unanswered
from tests.slack.fake.world import Person, Post, Room, Shared, Team

__all__ = [
    "App",
    "Attempt",
    "Caller",
    "Person",
    "Post",
    "Room",
    "Server",
    "Shared",
    "Slack",
    "Team",
    "Unanswered",
    "open_slack",
    "sign",
]
