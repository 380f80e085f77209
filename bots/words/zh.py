"""What is said in Chinese."""

from __future__ import annotations

from bots.words.help import Help

SENTENCES = {
    # How lists, amounts and moments are spelled.
    "or": " 或 ",
    "comma": "、",
    "days": "{n} 天",
    "hours": "{n} 小时",
    "minutes": "{n} 分钟",
    "seconds": "{n} 秒",
    "units": " ",
    "instant": "不到 0.1 秒",
    "and_more": "……另有 {n} 个",
    # A job, as its one message shows it.
    "job.delayed": "**已延时**：{wait}后（{at}）在 {agent} 执行 {command}（{tag}）",
    "job.due": "**时间已到**：即将在 {agent} 执行 {command}（{tag}）",
    "job.queuing": "**排队中**：{command} 等待 {agent} 领取（{tag}）",
    "job.sent": "**已发送**至 {agent}：{command}（{tag}）",
    "job.running": "**运行中**，{agent} 已运行 {took}：{command}（{tag}）",
    "job.stopping": "**正在停止**，{agent} 已运行 {took}：{command}（{tag}）",
    "job.succeeded": "**成功**，{agent} 用时 {took}：{command}（{tag}）",
    "job.failed": "**失败**，{agent} 用时 {took}：{command}（{tag}）",
    "job.canceled": "**已取消**：{command} 没有在 {agent} 执行（{tag}）",
    "job.stopped": "**已取消**，{agent} 运行了 {took}：{command}（{tag}）",
    "job.offline": "**已过期**：{agent} 离线，{command} 没有执行（{tag}）",
    "job.given_up": "**已过期**：{agent} 领取之前任务已被放弃，{command} 没有执行（{tag}）",
    "job.silent": "**结果未知**：{command}（{tag}）\n"
    "{agent} 在 {lease}内没有回报，命令可能已经执行。",
    "job.unknown": "**结果未知**：{command}（{tag}）\n"
    "{agent} 已领取任务，但没有回报结果，命令可能已经执行。",
    "job.late_succeeded": "**成功**（迟到的回报），{agent}：{command}（{tag}）\n"
    "任务发出 {took}后才收到回报。",
    "job.late_failed": "**失败**（迟到的回报），{agent}：{command}（{tag}）\n"
    "任务发出 {took}后才收到回报。",
    # A job as one line of a list, and its status as a word.
    "line.job": "- {tag} {agent} {command}：{state}",
    "state.delayed": "{wait}后开始",
    "state.due": "即将开始",
    "state.queuing": "排队中",
    "state.sent": "{ago}前已发送",
    "state.running": "已运行 {took}",
    "state.stopping": "正在停止",
    "state.succeeded": "{ago}前成功",
    "state.failed": "{ago}前失败",
    "state.canceled": "{ago}前取消",
    "state.expired": "{ago}前过期，没有执行",
    "state.unknown": "{ago}前失去回报，结果未知",
    "status.delayed": "已延时",
    "status.queuing": "排队中",
    "status.sent": "已发送",
    "status.running": "运行中",
    "status.succeeded": "成功",
    "status.failed": "失败",
    "status.expired": "已过期",
    "status.canceled": "已取消",
    # What to type, by name.
    "typed.add": "代理 添加 {name}",
    "typed.remove": "代理 删除 {name} 确认",
    "typed.rotate": "代理 换令牌 {name}",
    "typed.line": "代理 安装 {name}",
    "typed.help": "帮助 {name}",
    # Buttons.
    "button.cancel": "取消",
    "button.again": "再来一次",
    "button.log": "日志",
    "button.remove": "删除 {name}",
    "chosen": "{who} 选择了 {command}。",
    # An agent as one line, and how it is.
    "line.agent": "- {name}：{state}",
    "line.agent.remark": "- {name}：{state}（{remark}）",
    "agent.online": "在线",
    "agent.busy": "忙碌",
    "agent.offline": "离线，最后在线于 {ago}前",
    "agent.gone": "离线",
    "agent.new": "从未上线",
    "agent.off": "已停用",
    # What is said unasked.
    "event.words": "{agent}：{words}",
    "event.output": "{agent} 说：",
    "event.AgentOnline": "{agent} 已上线。",
    "event.AgentOffline": "{agent} 已离线。",
    "event.AgentOffline.since": "{agent} 已离线，最后一次联系在 {since}。",
    "event.TwoJournals": "有两个程序轮流使用 {agent} 的令牌，请停掉其中一个。"
    "如果你只知道一个，{rotate} 可以把另一个挡在门外。",
    # status, log, cancel
    "status.agents": "**Agent**",
    "status.jobs": "**任务**",
    "status.no_agents": "你还没有 Agent。在私聊里对我说 {add} 就能添加一个。",
    "status.no_agents.operator": "你还没有 Agent。可以请管理员生成：{operator}",
    "status.no_jobs": "还没有任务。发送 {example} 就能开始一个。",
    "log.none": "没有输出。",
    "log.none_yet": "还没有输出。",
    "log.page": "从末尾数第 {page} 页，共 {pages} 页。发送 {older} 查看更早的内容。",
    "log.first": "从末尾数第 {page} 页，共 {pages} 页，这是开头部分。",
    "cancel.asked": "已要求 {agent} 停止 {command}（{tag}），结束时会告诉你。",
    "cancel.asked_before": "之前已要求 {agent} 停止 {command}（{tag}），结束时会告诉你。",
    # agent
    "agent.added": "已添加 {name}。{way}\n"
    "如果那里已经装好 Agent，也可以把这个令牌交给它，令牌只显示这一次：\n```\n{token}\n```\n"
    "谁持有令牌，谁就能以 {name} 的身份回报。",
    "agent.added.kept": "已添加 {name}。当时显示的内容不会再显示；{line} 可以得到新的安装命令，"
    "{rotate} 可以换一个新令牌。",
    "agent.line": "{way}\n粘贴执行之后，{name} 原来的令牌立即失效。",
    "agent.line.kept": "{name} 的安装命令只显示一次，不会再显示；{line} 可以得到新的。",
    "way": "请在 {within}内把这一行粘贴到那台服务器上执行，它只能用一次，会把 Agent 装好：\n"
    "```\n{line}\n```",
    "way.here": "请在 {within}内粘贴执行这一行，它只能用一次，会把 Agent 装好：\n"
    "```\n{line}\n```\n"
    "它只在我所在的机器（{url}）上有效；其他机器需要管理员先设置 `[web] url`。",
    # What an agent says of itself.
    "hello.where": "版本 {version}，主机 {hostname}",
    "hello.none": "{name} 没有说明能执行什么：它是旧版本，或者还没有上线过。",
    "hello.nothing": "它还不能执行任何命令。",
    "hello.shell": "它可以执行任何命令。",
    "hello.commands": "**可以执行**",
    "hello.line": "- {usage}：{does}",
    "hello.line.bare": "- {usage}",
    "agent.rotated": "{name} 的旧令牌已失效。新令牌只显示这一次：\n```\n{token}\n```\n"
    "请把令牌交给那台服务器上的 Agent。",
    "agent.rotated.kept": "{name} 已换新令牌。令牌只显示一次，不会再显示；{rotate} 可以再换一个。",
    "agent.renamed": "{old} 已改名为 {name}。",
    "agent.removed": "{name} 已删除，令牌已失效。",
    "agent.remove": "删除 {name} 后无法恢复，令牌立即失效。确定要删除，请发送 {confirm}",
    "agent.remove.waiting": "这些任务会被取消：",
    "agent.remove.active": "这些任务正在它手里，你将无法得知结果：",
    # Who is who.
    "linked": "绑定成功。你在这里代表账号 {account}。可以试试 {status} 或 {help}。",
    "unlinked": "已解绑。你在这里不再代表账号 {account}。向管理员要一个新的绑定码可以重新绑定。",
    "unlinked.homeless": "已解绑。你在这里不再代表账号 {account}，你为它设的主页也已取消："
    "仍代表该账号的人可以在想接收消息的地方发送 {home}。",
    "whoami.linked": "你是 {name}，在 {platform} 上是 {subject}，代表账号 {account}。",
    "whoami.token": "这个会话凭令牌代表账号 {account}。",
    "whoami.stranger": "你是 {name}，在 {platform} 上是 {subject}，还没有绑定账号。",
    "home.set": "这里现在是账号 {account} 的主页：Agent 的消息、上下线通知，"
    "以及没有会话的结果都会发到这里。",
    # help
    "help.run": "**在这里可以说**",
    "help.line": "- {usage}：{does}",
    "help.footer": "“任务”是任务编号的最后四位，在任务自己的会话里可以省略。"
    "{more} 可以了解更多。英文也可以：`status`、`delay`、`cancel`……",
    "help.agents": "你的 Agent：{agents}。{example} 可以查看那里能执行什么。",
    "help.example": "例如：{example}",
    "help.aliases": "也可以说：{aliases}",
    "help.private": "只能在私聊里使用。",
    "help.stranger": "我替认识的人在服务器上执行命令，但我还不认识你。"
    "请向管理员要一个绑定码（{operator}），然后在私聊里发送 {link}。"
    "{whoami} 可以查看我如何识别你。",
    # What an adapter left out of a message.
    "remark.attachments": "附件已忽略。",
    "remark.rest": "只读取了命令，其余内容已忽略。",
    "remark.brake": "此地址一小时内的回复已达上限，其余回复稍后发送。",
    # 适配器自己的话。
    "remark.unkept": "无法确定这条消息是否已收到。如果一分钟内没有回应，请再说一次。",
    "remark.guest": "我不为此工作区的访客服务。请找一位正式成员。",
    "remark.stranger": "我只为自己工作区的人服务。",
    "remark.uninstalled": "此工作区已不再安装我。管理应用的人可以重新安装。",
    "remark.installed": "安装完成。请在私信中对我说 `帮助` 开始使用。",
    "remark.install_declined": "已按你的意思取消，没有安装任何东西。",
    "remark.install_refused": "此工作区不允许安装我。请让操作员放行。",
    "remark.install_stale": "此页面已过期，或是在另一个浏览器中打开的。请重新开始。",
    "remark.install_failed": "安装没有成功。请重新开始。",
}

REFUSALS = {
    # Kinds of errors: said when a code has no words of its own.
    "InvalidInput": ("不能这样做。发送 `帮助` 看看怎么说。",),
    "Unauthorized": ("我不知道你是谁。",),
    "Forbidden": ("你没有权限这样做。",),
    "NotFound": ("这里没有这样的东西。",),
    "Conflict": ("有人抢先一步，情况已经变了。先看看 `状态`，再试一次。",),
    "TooLarge": ("内容太长了。",),
    "TooManyTries": ("绑定码错误次数太多。请等十分钟再试。",),
    "TooMany": ("太频繁了。请等一分钟再试。",),
    "Unavailable": ("我的一部分暂时不可用，请过一分钟再试。",),
    "Error": ("没有成功。",),
    "Answered": ("这条消息之前已经处理过，没有重复执行。",),
    "KeyTaken": ("这条消息之前已经处理过，没有重复执行。",),
    # Agents.
    "AgentNotFound": (
        "你没有叫 {name} 的 Agent。你是不是想说 {near}？",
        "你没有叫 {name} 的 Agent。发送 `代理` 查看你的 Agent。",
        "没有这个 Agent。发送 `代理` 查看你的 Agent。",
    ),
    "MissingName": ("Agent 需要一个名字：`代理 添加 web-1`",),
    "InvalidName.reserved": ("{name} 是我的命令词，不能用作 Agent 的名字。请换一个名字。",),
    "InvalidName": (
        "{name} 不能用作 Agent 的名字。名字为 1 到 50 个字符，不含空白，不能是我的命令词，"
        "也不能与你的其他 Agent 重名。",
        "这不能用作 Agent 的名字。名字为 1 到 50 个字符，不含空白，不能是我的命令词，"
        "也不能与你的其他 Agent 重名。",
    ),
    "InvalidAlias": (
        "这不能用作别名：别名为 1 到 50 个字符，不含空白，不能是我的命令词，"
        "也不能与你的其他 Agent 重名。",
    ),
    "InvalidRemark": ("备注太长，最多 250 个字符。",),
    "InvalidAgent.off": ("{name} 已停用。没有执行任何命令。管理员可以重新启用它。",),
    "InvalidAgent": (
        "{name} 离线，最后在线于 {last_seen}前。没有执行任何命令。"
        "请确认那台服务器上的 Agent 正在运行，再试一次。",
        "{name} 离线。没有执行任何命令。请确认那台服务器上的 Agent 正在运行，再试一次。",
        "这个 Agent 离线。没有执行任何命令。请确认它正在服务器上运行，再试一次。",
    ),
    "UnavailableAgent": ("这个 Agent 已停用。没有执行任何命令。管理员可以重新启用它。",),
    # Jobs.
    "JobNotFound": (
        "你没有编号以 {job} 结尾的任务。发送 `状态` 查看最近的任务。",
        "没有这个任务。发送 `状态` 查看最近的任务。",
    ),
    "JobFinished": ("{job} 已经结束：{status}。", "这个任务已经结束。"),
    "JobRunning": (
        "{job} 已经在 {agent} 手里，无法中断。结束时会告诉你。",
        "这个任务已经在执行，无法中断。结束时会告诉你。",
    ),
    "InvalidMessage": (
        "命令太长，最多 {limit} 个字符。可以把它写成那台服务器上的脚本，再执行脚本。",
        "这不能作为命令：内容为空、太长，或者含有无法发送的字符。",
    ),
    "InvalidDuration": (
        "看不懂 {given} 是多久。请写成 `90s`、`20m`、`1h30m`、`2d` 或 `20分钟`，"
        "后面跟 Agent 和命令。",
        "不能延时这么久。请写成 `90s`、`20m`、`1h30m`、`2d` 或 `20分钟`。",
    ),
    # Who is who.
    "BadCode": ("绑定码无效。绑定码十分钟内有效，只能用一次：请向管理员要一个新的。",),
    "EnrolCodeNotFound": ("安装码错误、已使用或已过期。`代理 安装` 可以得到新的。",),
    # The bot's own.
    "NotLinked": (
        "我还不认识你，所以什么也没有做。请向管理员要一个绑定码（{operator}），"
        "然后在私聊里发送 {link}。{whoami} 可以查看我如何识别你。",
    ),
    "NotYet": ("{verb} 还不能用，我先留着这个词。发送 `帮助` 看看我会做什么。",),
    "NoSuchWord": (
        "没有叫 {word} 的 Agent，我也不懂这个词。你是不是想说 {near}？",
        "没有叫 {word} 的 Agent，我也不懂这个词。发送 `帮助` 看看我会做什么，"
        "发送 `代理` 查看你的 Agent。",
    ),
    "NeitherOne": (
        "你没有叫 {word} 的 Agent，也没有以此结尾的任务。你是不是想说 {near}？",
        "你没有叫 {word} 的 Agent，也没有以此结尾的任务。只发送 `状态` 可以看到全部。",
    ),
    "NoHelp": (
        "没有叫 {word} 的命令词。你是不是想说 {near}？",
        "没有叫 {word} 的命令词。发送 `帮助` 查看全部。",
    ),
    "NoSuchCommand": (
        "{name} 没有 {word} 这个命令，所以什么也没有执行。你是不是想说 {near}？"
        "{help} 可以查看它能执行什么。",
    ),
    "NoCommand": ("要在 {name} 上执行什么？例如 {example}",),
    "Usage": ("请这样说：{usage}\n例如：{example}",),
    "TokenInPublic": ("令牌只在私聊里显示，所以什么也没有做。请到私聊里再说一次。",),
    "TokenInMail": (
        "令牌会留在邮箱里，所以我不在这里发送，什么也没有做。请在私聊里再说一次，或者找管理员。",
    ),
    "TokenInChat": (
        "令牌送达这里之前会被保存下来，所以我不在这里发送，什么也没有做。可以请管理员生成：{operator}",
    ),
    "CodeInPublic": (
        "其他人可能已经看到这个绑定码，所以它已作废。请向管理员要一个新的，在私聊里发给我。",
    ),
    "LinkInPublic": ("绑定码只能在私聊里使用：请向管理员要一个，在私聊里发给我。",),
    "AlreadyLinked": (
        "你在这里已经代表账号 {account}，所以绑定码没有使用。要更换，请先发送 `解绑`，"
        "再发送绑定码。",
    ),
    "LinkedElsewhere": (
        "你在这里已经代表另一个账号。请先发送 `解绑`，再向管理员要一个新的绑定码。",
    ),
    "TokenSpeaks": ("你在这里凭令牌说话，不需要绑定，也无法解绑。管理员可以吊销令牌。",),
    "AskedAnother": ("这个问题是问另一个账号的，所以什么也没有做。",),
    "NoJobHere": ("这里没有开始过任务。请指明一个：{usage}\n发送 `状态` 查看最近的任务。",),
    "ShortId": ("{job} 太短：至少需要任务编号的最后四位。",),
    "WhichJob": ("是哪一个？请发送 {usage}，从下面选一个：\n{jobs}",),
    "NotEnded": ("{job} 还没有结束：{status}。",),
}

VERBS = {
    "": Help(
        "Agent 命令",
        "在那个 Agent 上执行命令",
        "web-1 df -h",
        "Agent 名字之后的内容会原样送达。",
    ),
    "status": Help(
        "状态 [Agent 或任务]",
        "查看 Agent 和任务",
        "状态 web-1",
        "在任务自己的会话里，只说 `状态` 就是问那个任务。",
    ),
    "log": Help(
        "日志 [任务] [页]",
        "查看任务的输出，运行中也可以",
        "日志 k3f9",
        "一次放不下的输出会分页，先给末尾；`日志 k3f9 2` 是更早的内容。",
    ),
    "delay": Help(
        "延时 20分钟 Agent 命令",
        "过一会儿再执行",
        "延时 1小时30分钟 web-1 reboot",
        "时间可以写成 `90s`、`20m`、`1h30m`、`2d`、`20分钟` 或 `半小时`。"
        "开始之前可以用 `取消` 收回。",
    ),
    "cancel": Help(
        "取消 [任务]",
        "收回或停止一个任务",
        "取消 k3f9",
        "运行中的任务会连同它启动的一切一起停止，结束时会告诉你。旧版 Agent 做不到。",
    ),
    "again": Help("重来 [任务]", "把同样的命令再执行一次", "重来 k3f9"),
    "agent": Help(
        "代理 [名字、列表、添加、安装、删除、改名、换令牌]",
        "管理你的 Agent",
        "代理 添加 web-1 机房里的旧机器",
        "`代理` 列出所有 Agent。\n"
        "`代理 名字` 查看它的状态、版本和可以执行的命令。\n"
        "`代理 添加 名字 [备注]` 添加一个，并显示在那台服务器上粘贴的安装命令。\n"
        "`代理 安装 名字` 显示新的安装命令，用于换服务器或重新安装。\n"
        "`代理 改名 名字 新名字` 换一个名字。\n"
        "`代理 换令牌 名字` 换一个新令牌，旧的立即失效。\n"
        "`代理 删除 名字` 会先请你确认。\n"
        "令牌和安装命令只在私聊里显示。",
    ),
    "home": Help(
        "主页",
        "把通知发到这里",
        "主页",
        "Agent 的消息、上下线通知和没有会话的结果，都会发到你最后一次这样说的会话。",
    ),
    "whoami": Help("我是谁", "查看我如何识别你", "我是谁"),
    "link": Help(
        "绑定 绑定码",
        "告诉我你代表哪个账号",
        "绑定 K7Q-D2M-4X9",
        "绑定码由管理员生成，十分钟内有效，只能用一次。",
    ),
    "unlink": Help("解绑", "在这里不再代表账号", "解绑"),
    "help": Help("帮助 [命令词或 Agent]", "显示这份说明，或其中一个的说明", "帮助 延时"),
}
