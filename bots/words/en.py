"""What is said in English."""

from __future__ import annotations

from bots.words.help import Help

SENTENCES = {
    # How lists, amounts and moments are spelled.
    "or": " or ",
    "comma": ", ",
    "days": "{n} d",
    "hours": "{n} h",
    "minutes": "{n} min",
    "seconds": "{n} s",
    "units": " ",
    "instant": "under 0.1 s",
    "and_more": "… and {n} more",
    # A job, as its one message shows it.
    "job.delayed": "**Delayed**: {command} starts on {agent} in {wait}, at {at} ({tag})",
    "job.due": "**Due now**: {command} is about to start on {agent} ({tag})",
    "job.queuing": "**Queuing**: {command} waits for {agent} ({tag})",
    "job.sent": "**Sent** to {agent}: {command} ({tag})",
    "job.running": "**Running** {took} on {agent}: {command} ({tag})",
    "job.stopping": "**Stopping** on {agent}, after {took}: {command} ({tag})",
    "job.succeeded": "**Succeeded** in {took} on {agent}: {command} ({tag})",
    "job.failed": "**Failed** after {took} on {agent}: {command} ({tag})",
    "job.canceled": "**Canceled**: {command} did not run on {agent} ({tag})",
    "job.stopped": "**Canceled** after {took} on {agent}: {command} ({tag})",
    "job.offline": "**Expired**: {agent} was offline; {command} did not run ({tag})",
    "job.given_up": "**Expired**: {command} was given up before {agent} fetched it;"
    " it did not run ({tag})",
    "job.silent": "**Outcome unknown**: {command} ({tag})\n"
    "{agent} did not report within {lease}; it may have run.",
    "job.unknown": "**Outcome unknown**: {command} ({tag})\n"
    "{agent} has it and did not say how it ended; it may have run.",
    "job.late_succeeded": "**Succeeded**, reported late, on {agent}: {command} ({tag})\n"
    "The report came {took} after the job was sent.",
    "job.late_failed": "**Failed**, reported late, on {agent}: {command} ({tag})\n"
    "The report came {took} after the job was sent.",
    # A job as one line of a list, and its status as a word.
    "line.job": "- {tag} {agent} {command}: {state}",
    "state.delayed": "starts in {wait}",
    "state.due": "starts now",
    "state.queuing": "queuing",
    "state.sent": "sent {ago} ago",
    "state.running": "running {took}",
    "state.stopping": "being stopped",
    "state.succeeded": "succeeded {ago} ago",
    "state.failed": "failed {ago} ago",
    "state.canceled": "canceled {ago} ago",
    "state.expired": "did not run, {ago} ago",
    "state.unknown": "outcome unknown, {ago} ago",
    "status.delayed": "delayed",
    "status.queuing": "queuing",
    "status.sent": "sent",
    "status.running": "running",
    "status.succeeded": "succeeded",
    "status.failed": "failed",
    "status.expired": "expired",
    "status.canceled": "canceled",
    # What to type, by name.
    "typed.add": "agent add {name}",
    "typed.remove": "agent remove {name} yes",
    "typed.rotate": "agent rotate {name}",
    "typed.line": "agent line {name}",
    "typed.help": "help {name}",
    # Buttons.
    "button.cancel": "Cancel",
    "button.again": "Again",
    "button.log": "Log",
    "button.remove": "Remove {name}",
    "chosen": "{who} chose {command}.",
    # An agent as one line, and how it is.
    "line.agent": "- {name}: {state}",
    "line.agent.remark": "- {name}: {state} ({remark})",
    "agent.online": "online",
    "agent.busy": "busy",
    "agent.offline": "offline, last seen {ago} ago",
    "agent.gone": "offline",
    "agent.new": "never seen yet",
    "agent.off": "switched off",
    # What is said unasked.
    "event.words": "{agent}: {words}",
    "event.output": "{agent} says:",
    "event.AgentOnline": "{agent} is online.",
    "event.AgentOffline": "{agent} went offline.",
    "event.AgentOffline.since": "{agent} went offline: last heard of at {since}.",
    "event.TwoJournals": "Two programs take turns using the token of {agent}. Stop one of them;"
    " if you know of only one, {rotate} shuts the other out.",
    # status, log, cancel
    "status.agents": "**Agents**",
    "status.jobs": "**Jobs**",
    "status.no_agents": "You have no agents yet. {add}, said to me in a private conversation,"
    " makes one.",
    "status.no_agents.operator": "You have no agents yet. The operator makes one: {operator}",
    "status.no_jobs": "No jobs yet. {example} starts one.",
    "log.none": "No output.",
    "log.none_yet": "No output yet.",
    "log.page": "Page {page} of {pages}, from the end. {older} shows what came before.",
    "log.first": "Page {page} of {pages}, from the end: this is how it began.",
    "cancel.asked": "{agent} is asked to stop {command} ({tag}). Its end will be told.",
    "cancel.asked_before": "{agent} has been asked already to stop {command} ({tag}). Its end will be"
    " told.",
    # agent
    "agent.added": "{name} is made. {way}\n"
    "Where an agent is installed already, give it this token instead; it is shown this once:\n"
    "```\n{token}\n```\nWhoever has it can answer as {name}.",
    "agent.added.kept": "{name} is made. What was shown with that is not shown again; {line}"
    " gives a new line to paste, {rotate} makes a new token.",
    "agent.line": "{way}\nOnce it is pasted, the token that {name} had before is dead.",
    "agent.line.kept": "The line for {name} was shown once and is not shown again; {line} gives"
    " a new one.",
    "way": "Paste this on its server within {within}; it works once, and installs the agent there:\n"
    "```\n{line}\n```",
    "way.here": "Paste this within {within}; it works once, and installs the agent there:\n"
    "```\n{line}\n```\n"
    "It works only on the machine that I run on ({url}): for others the operator sets `[web] url`"
    " first.",
    # What an agent says of itself.
    "hello.where": "Version {version} on {hostname}",
    "hello.none": "{name} has not said what it can run: it is an old one, or was not there yet.",
    "hello.nothing": "It can run nothing yet.",
    "hello.shell": "It runs any command.",
    "hello.commands": "**What it can run**",
    "hello.line": "- {usage}: {does}",
    "hello.line.bare": "- {usage}",
    "agent.rotated": "The old token of {name} is dead. The new one, shown this once:\n"
    "```\n{token}\n```\nGive it to the agent on that server.",
    "agent.rotated.kept": "{name} has a new token. It was shown once and is not shown again;"
    " {rotate} makes another.",
    "agent.renamed": "{old} is now called {name}.",
    "agent.removed": "{name} is removed. Its token is dead.",
    "agent.remove": "Removing {name} cannot be undone, and its token dies at once. If you are sure,"
    " say {confirm}",
    "agent.remove.waiting": "These jobs would be canceled:",
    "agent.remove.active": "These are with it now; you would not learn how they end:",
    # Who is who.
    "linked": "Linked. You now speak for the account {account} here. Try {status} or {help}.",
    "unlinked": "Unlinked. You no longer speak for the account {account} here."
    " A new code from the operator links you again.",
    "unlinked.homeless": "Unlinked. You no longer speak for the account {account} here, and the home"
    " you had set for it is gone: whoever still speaks for it can say {home} where its messages"
    " are to be told.",
    "whoami.linked": "You are {name}, on {platform} {subject}, and speak for the account"
    " {account}.",
    "whoami.token": "This conversation speaks for the account {account} by a token.",
    "whoami.stranger": "You are {name}, on {platform} {subject}, and not linked to an account.",
    "home.set": "This is now the home of the account {account}. Agents' messages, their comings"
    " and goings, and results that have no thread are told here.",
    # help
    "help.run": "**What you can say here**",
    "help.line": "- {usage}: {does}",
    "help.footer": "JOB is the last four characters of a job's id; in a job's thread you can leave"
    " it out. {more} tells more about a verb.",
    "help.agents": "Your agents: {agents}. {example} shows what can be run there.",
    "help.example": "For example: {example}",
    "help.aliases": "Also: {aliases}",
    "help.private": "Only in a private conversation.",
    "help.stranger": "I run commands on servers for people I know, and I do not know you yet."
    " Ask the operator for a code ({operator}), then tell me {link} in a private conversation."
    " {whoami} shows how I see you.",
    # What an adapter left out of a message.
    "remark.attachments": "Attachments were ignored.",
    "remark.rest": "Only the command was read; the rest of your message was ignored.",
    "remark.brake": "This address has had as many answers as it gets in an hour; "
    "the others come later.",
    # Of an adapter's own.
    "remark.unkept": "I cannot say whether that reached me. If nothing answers it within a minute,"
    " please say it again.",
    "remark.guest": "I do not work for guests of this workspace. Ask one of its members.",
    "remark.stranger": "I work for the people of my own workspace only.",
    "remark.uninstalled": "I am not installed in this workspace any more. Whoever looks after its apps"
    " can install me again.",
    "remark.installed": "I am installed. To begin, tell me `help` in a direct message.",
    "remark.install_declined": "Nothing was installed, as you wished.",
    "remark.install_refused": "This workspace may not install me. Ask the operator to allow it.",
    "remark.install_stale": "This page is out of date, or was opened in another browser. Please begin"
    " again.",
    "remark.install_failed": "The installation did not work. Please begin again.",
}

REFUSALS = {
    # Kinds of errors: said when a code has no words of its own.
    "InvalidInput": ("That does not work like this. `help` shows how.",),
    "Unauthorized": ("I do not know who you are.",),
    "Forbidden": ("You may not do that.",),
    "NotFound": ("There is no such thing here.",),
    "Conflict": ("Somebody was faster: it changed meanwhile. Look with `status`, then try again.",),
    "TooLarge": ("That is too long.",),
    "TooManyTries": ("Too many wrong codes. Wait ten minutes, then try again.",),
    "TooMany": ("That was too much at once. Wait a minute, then try again.",),
    "Unavailable": ("A part of me is away right now. Try again in a minute.",),
    "Error": ("That did not work.",),
    "Answered": ("That message was answered before, so nothing was done again.",),
    "KeyTaken": ("That message was answered before, so nothing was done again.",),
    # Agents.
    "AgentNotFound": (
        "You have no agent called {name}. Did you mean {near}?",
        "You have no agent called {name}. `agent` lists those you have.",
        "There is no such agent. `agent` lists those you have.",
    ),
    "MissingName": ("An agent needs a name: `agent add web-1`",),
    "InvalidName.reserved": (
        "{name} is one of my own words, so no agent can be called that. Choose another name.",
    ),
    "InvalidName": (
        "{name} cannot be an agent's name. A name has 1 to 50 characters and no blanks, is not one"
        " of my own words, and no other agent of yours has it.",
        "That cannot be an agent's name. A name has 1 to 50 characters and no blanks, is not one"
        " of my own words, and no other agent of yours has it.",
    ),
    "InvalidAlias": (
        "That cannot be an alias: 1 to 50 characters, no blanks, not one of my own words, and not"
        " the name of another agent of yours.",
    ),
    "InvalidRemark": ("That remark is too long: 250 characters are the most.",),
    "InvalidAgent.off": (
        "{name} is switched off. Nothing was started. The operator can switch it on.",
    ),
    "InvalidAgent": (
        "{name} is offline, last seen {last_seen} ago. Nothing was started. See that its agent runs"
        " on that server, then try again.",
        "{name} is offline. Nothing was started. See that its agent runs on that server, then try"
        " again.",
        "That agent is offline. Nothing was started. See that it runs on its server, then try"
        " again.",
    ),
    "UnavailableAgent": (
        "That agent is switched off. Nothing was started. The operator can switch it on.",
    ),
    # Jobs.
    "JobNotFound": (
        "No job of yours ends in {job}. `status` lists the latest.",
        "There is no such job. `status` lists the latest.",
    ),
    "JobFinished": (
        "{job} has already ended: {status}.",
        "That job has already ended.",
    ),
    "JobRunning": (
        "{job} is with {agent} already and cannot be interrupted. Its end will be told.",
        "That job is with its agent already and cannot be interrupted. Its end will be told.",
    ),
    "InvalidMessage": (
        "That is too long for a command: {limit} characters are the most. Put it into a script on"
        " that server and run the script.",
        "That cannot be a command: it is empty, too long, or holds a character that cannot be"
        " sent.",
    ),
    "InvalidDuration": (
        "{given} is not a duration I understand. Write `90s`, `20m`, `1h30m` or `2d`, then the"
        " agent and the command.",
        "That is no delay I can keep. Write `90s`, `20m`, `1h30m` or `2d`.",
    ),
    # Who is who.
    "BadCode": (
        "This code is not valid. A code works once and for ten minutes: ask the operator for a new"
        " one.",
    ),
    "EnrolCodeNotFound": ("This code is wrong, used or too old. `agent line` gives a new one.",),
    # The bot's own.
    "NotLinked": (
        "I do not know you here yet, so nothing was done. Ask the operator for a code ({operator}),"
        " then tell me {link} in a private conversation. {whoami} shows how I see you.",
    ),
    "NotYet": ("{verb} is not there yet; I keep the word for it. `help` lists what I can do.",),
    "NoSuchWord": (
        "I know no agent and no verb called {word}. Did you mean {near}?",
        "I know no agent and no verb called {word}. `help` lists what I understand, `agent` your"
        " agents.",
    ),
    "NeitherOne": (
        "You have no agent called {word} and no job that ends in it. Did you mean {near}?",
        "You have no agent called {word} and no job that ends in it. `status` alone lists both.",
    ),
    "NoHelp": (
        "I know no verb called {word}. Did you mean {near}?",
        "I know no verb called {word}. `help` lists those I know.",
    ),
    "NoSuchCommand": (
        "{name} has no command {word}, so nothing was started. Did you mean {near}? {help} lists"
        " what it can run.",
    ),
    "NoCommand": ("What should {name} run? For example {example}",),
    "Usage": ("Say it like this: {usage}\nFor example: {example}",),
    "TokenInPublic": (
        "A token is shown only in a private conversation, so nothing was done. Ask me again there.",
    ),
    "TokenInMail": (
        "A token would stay in a mailbox, so I do not send it here and nothing was done. Ask me in"
        " a private chat, or the operator of this server.",
    ),
    "TokenInChat": (
        "A token would be kept until it is delivered here, so I do not send it and nothing was done."
        " The operator makes one: {operator}",
    ),
    "CodeInPublic": (
        "Others could read that code here, so it is void now. Ask the operator for a new one and"
        " send it to me in a private conversation.",
    ),
    "LinkInPublic": (
        "Codes belong in a private conversation: ask the operator for one and send it to me there.",
    ),
    "AlreadyLinked": (
        "You already speak for the account {account} here, so the code was not used. To change"
        " that, say `unlink` first and send the code again.",
    ),
    "LinkedElsewhere": (
        "You already speak for another account here. Say `unlink` first, then ask the operator for"
        " a new code.",
    ),
    "TokenSpeaks": (
        "A token speaks for you here, so there is no link to make or undo. The operator can revoke"
        " the token.",
    ),
    "AskedAnother": ("That question was put to another account, so nothing was done.",),
    "NoJobHere": ("No job was started here. Name one: {usage}\n`status` lists the latest.",),
    "ShortId": ("{job} is too short: I need the last four characters of a job's id at least.",),
    "WhichJob": ("Which one? Say {usage} with one of these:\n{jobs}",),
    "NotEnded": ("{job} has not ended yet: {status}.",),
}

VERBS = {
    "": Help(
        "AGENT COMMAND",
        "run the command there",
        "web-1 df -h",
        "All that follows the agent's name reaches it exactly as you typed it.",
    ),
    "status": Help(
        "status [AGENT or JOB]",
        "how your agents and jobs are",
        "status web-1",
        "In a job's thread, `status` alone is about that job.",
    ),
    "log": Help(
        "log [JOB] [PAGE]",
        "a job's output, also while it runs",
        "log k3f9",
        "What is too long for one answer comes in pages, the end first; `log k3f9 2` is what came"
        " before.",
    ),
    "delay": Help(
        "delay 20m AGENT COMMAND",
        "run it later",
        "delay 1h30m web-1 reboot",
        "A delay is written `90s`, `20m`, `1h30m` or `2d`. Until it starts, `cancel` takes the job"
        " back.",
    ),
    "cancel": Help(
        "cancel [JOB]",
        "take back a job, or stop it",
        "cancel k3f9",
        "A job that runs is stopped with all that it started, and its end is told. Old agents cannot"
        " do that.",
    ),
    "again": Help("again [JOB]", "run the same once more", "again k3f9"),
    "agent": Help(
        "agent [NAME, list, add, line, remove, rename, rotate]",
        "your agents",
        "agent add web-1 the old machine",
        "`agent` lists them.\n"
        "`agent NAME` shows how it is, its version and what it can run.\n"
        "`agent add NAME [REMARK]` makes one and shows a line to paste on its server.\n"
        "`agent line NAME` shows a new line, for another server or a fresh installation.\n"
        "`agent rename NAME NEW` gives it another name.\n"
        "`agent rotate NAME` gives it a new token; the old one dies at once.\n"
        "`agent remove NAME` asks before it does it.\n"
        "Tokens and lines are shown in a private conversation only.",
    ),
    "home": Help(
        "home",
        "bring news to this conversation",
        "home",
        "Agents' messages, their comings and goings, and results that have no thread are told in"
        " the conversation where you last said this.",
    ),
    "whoami": Help("whoami", "who I think you are", "whoami"),
    "link": Help(
        "link CODE",
        "tell me whose account you speak for",
        "link K7Q-D2M-4X9",
        "The operator makes the code. It works once and for ten minutes.",
    ),
    "unlink": Help("unlink", "stop speaking for your account here", "unlink"),
    "help": Help("help [VERB or AGENT]", "this list, or more about one of them", "help delay"),
}
