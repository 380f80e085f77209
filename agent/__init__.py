"""The reference agent of Skadi and its SDK. Python 3.9 or later, nothing but the standard library.

As a program it runs what skadi.yml allows: `python -m agent --help`. As a library it is a thread in
a service of yours:

    from agent import Agent

    agent = Agent("https://skadi.example.com", token).start(lambda job: "pong")
    agent.send_info("the shop is open")
"""

from .agent import Agent
from .errors import (
    AgentError,
    BadToken,
    ConfigError,
    Failed,
    JournalError,
    Refused,
    ServerError,
    Unreachable,
)
from .hello import Offer
from .job import Handler, Job
from .pace import Pace

__all__ = [
    "Agent",
    "AgentError",
    "BadToken",
    "ConfigError",
    "Failed",
    "Handler",
    "Job",
    "JournalError",
    "Offer",
    "Pace",
    "Refused",
    "ServerError",
    "Unreachable",
]
