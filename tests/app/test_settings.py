"""Settings: where they come from, who has the last word, and what stops the start."""

import re
import tomllib
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from adapters import callback, read_options
from adapters.smtp.options import Options
from core.errors import SettingsError
from core.settings import SECTIONS, Secret, Settings, load, settable
from core.settings.values import Given, Names, convert

ROOT = Path(__file__).parents[2]


def refusal(folder: Path, **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(folder, environment)
    return str(caught.value)


def write(folder: Path, content: str) -> Path:
    (folder / "settings.toml").write_text(content)
    return folder


def test_nothing_need_be_set(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    assert settings == Settings(data=tmp_path / "data")
    assert settings.embedded
    assert settings.store_url == f"sqlite+aiosqlite:///{tmp_path}/data/skadi.db"


def test_the_file_beats_the_default_and_the_environment_beats_the_file(tmp_path: Path) -> None:
    write(tmp_path, '[web]\nhost = "10.0.0.1"\nport = 9000\n')
    settings = load(tmp_path, {"SKADI_WEB__PORT": "9001"})
    assert (settings.web.host, settings.web.port) == ("10.0.0.1", 9001)
    assert settings.web.keep_alive == timedelta(seconds=130)


def test_another_file_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[web]\nport = 9002\n")
    assert load(tmp_path, {"SKADI_SETTINGS": str(tmp_path / "other.toml")}).web.port == 9002
    assert "nowhere.toml cannot be read" in refusal(tmp_path, SKADI_SETTINGS="nowhere.toml")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("", ""),
        ("https://skadi.example.com", "https://skadi.example.com"),
        ("https://skadi.example.com:8443/x/", "https://skadi.example.com:8443/x"),
        ("http://[2001:db8::1]:8000", "http://[2001:db8::1]:8000"),
    ],
)
def test_a_public_address_is_kept_without_the_last_slash(
    tmp_path: Path, url: str, kept: str
) -> None:
    web = load(tmp_path, {"SKADI_WEB__URL": url}).web
    assert web.url == kept
    assert web.address == (kept or "http://127.0.0.1:8000")


@pytest.mark.parametrize(
    "url",
    [
        "skadi.example.com",
        "ftp://skadi.example.com",
        "https://user:word@skadi.example.com",
        "https://skadi.example.com/?a=b",
        "https://skadi.example.com/'; rm -rf ~; '",
        'https://skadi.example.com/")+exit()#',
        "https://skadi.example.com/\n",
        "https:///x",
    ],
)
def test_a_public_address_that_would_do_harm_where_it_is_pasted_stops_the_start(
    tmp_path: Path, url: str
) -> None:
    assert "SKADI_WEB__URL is an address like https://" in refusal(tmp_path, SKADI_WEB__URL=url)


def test_a_secret_can_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:hush@localhost/0\n")
    settings = load(tmp_path, {"SKADI_REDIS__URL_FILE": str(tmp_path / "url")})
    assert settings.redis.url == "redis://:hush@localhost/0"


def test_a_secret_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    message = refusal(tmp_path, SKADI_REDIS__URL_FILE="/nowhere/url")
    assert message == "SKADI_REDIS__URL_FILE: /nowhere/url cannot be read."


def test_a_value_and_its_file_are_one_too_many(tmp_path: Path) -> None:
    message = refusal(tmp_path, SKADI_REDIS__URL_FILE="/tmp/url", SKADI_REDIS__URL="")
    assert message == "SKADI_REDIS__URL_FILE and SKADI_REDIS__URL are both set; unset one."


def test_the_kinds_of_values(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        {
            "SKADI_DATA": "/var/lib/skadi",
            "SKADI_WEB__TRUST_PROXY": "true",
            "SKADI_WEB__BODY_LIMIT": "64 KiB",
            "SKADI_DATABASE__MIGRATE": "false",
            "SKADI_DATABASE__POOL": "3",
            "SKADI_JOBS__LEASE": "1h30m",
            "SKADI_LOG": "debug",
        },
    )
    assert settings.data == Path("/var/lib/skadi")
    assert settings.web.trust_proxy is True
    assert settings.web.body_limit == 65536
    assert (settings.database.migrate, settings.database.pool) == (False, 3)
    assert settings.jobs.lease == timedelta(minutes=90)
    assert settings.log == "debug"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            'prot = "x"',
            'settings.toml: prot: there is no setting "prot". Allowed: data, demo, log, log_format.',
        ),
        (
            "[web]\nprot = 1",
            'there is no setting "prot"; did you mean "port"? Allowed: body_limit, ',
        ),
        ("[wbe]\nport = 1", 'there is no section "wbe"; did you mean "web"? Allowed: adapters.<n'),
        ("[web]\nport = 0", "settings.toml: [web] port is a port, 1 to 65535, not 0."),
        ("[web]\nport = true", "is a port, 1 to 65535, not True"),
        ("[web]\nhost = 3", "[web] host is a text in quotes, not 3."),
        ("[web]\nkeep_alive = 130", '[web] keep_alive is a duration like "90s"'),
        ('[web]\nkeep_alive = "0s"', '[web] keep_alive is a duration like "90s"'),
        ('[web]\nbody_limit = "1 GB"', '[web] body_limit is a size like "64 KiB"'),
        ("[web]\ntrust_proxy = 1", "[web] trust_proxy is true or false, not 1."),
        ("[database]\npool = 0", "[database] pool is a whole number from 1, not 0."),
        ('[database]\nmigrate = "no"', "[database] migrate is true or false, not 'no'."),
        ('log = "loud"', "log is one of debug, info, warning, error, not 'loud'."),
        ('[redis]\nurl = "http://here"', "[redis] url begins with redis://"),
        ('[database]\nurl = "postgresql://here/skadi"', "[database] url begins with mysql://"),
        ('[database]\nurl = "mysql://root@here"', "[database] url names no database"),
        (
            '[database]\nurl = "mysql://skadi@here:abc/skadi"',
            "[database] url is no address: its port",
        ),
        (
            '[database]\nurl = "mysql://skadi@here:0/skadi"',
            "[database] url is no address: its port",
        ),
        ('[database]\nurl = "mysql://skadi@[here/skadi"', "[database] url is no address"),
        ('[database]\nurl = "mysql://h/skadi?bogus=1"', '"bogus" is not known; behind the ? may'),
        ('[database]\nurl = "mysql://h/skadi?bogus"', '"bogus" is not known; behind the ? may'),
        (
            '[database]\nurl = "sqlite:////srv/s.db?bogus=1"',
            '"bogus" is not known; behind the ? st',
        ),
        ('[redis]\nurl = "redis://here:abc/0"', "[redis] url is no address: its port"),
        ("adapters = 3", "settings.toml: below [adapters] are sections only"),
        ("[adapters]\nport = 3", "below [adapters] are sections only, as [adapters.port]"),
        ("[adapters.worker]", "[adapters.worker]: app.py knows this word already"),
        ("[adapters.agent]", "[adapters.agent]: app.py knows this word already"),
        ('[adapters."my-team"]', "[adapters.my-team]: a name is lower-case letters"),
        ("[web", "is not TOML"),
    ],
)
def test_what_is_written_wrongly_stops_the_start(
    tmp_path: Path, content: str, message: str
) -> None:
    assert message in refusal(write(tmp_path, content))


def test_an_unknown_variable_stops_the_start(tmp_path: Path) -> None:
    message = refusal(tmp_path, SKADI_WEB__PROT="1")
    assert message.startswith('SKADI_WEB__PROT: there is no setting "prot"; did you mean "port"?')
    assert 'SKADI_WEBB__PORT: there is no section "webb"' in refusal(tmp_path, SKADI_WEBB__PORT="1")


def test_the_variables_of_an_agent_are_none_of_ours(tmp_path: Path) -> None:
    given = {"SKADI_SERVER": "http://here", "SKADI_TOKEN": "t", "SKADI_TOKEN_FILE": "/nowhere"}
    given |= {"SKADI_URL": "http://here"}
    assert load(tmp_path, given) == load(tmp_path, {})


def test_how_long_things_are_kept_is_written_in_days_or_not_at_all(tmp_path: Path) -> None:
    write(tmp_path, '[keep]\njobs = ""\noutput = "1d12h"\n')
    keep = load(tmp_path, {"SKADI_KEEP__LETTERS": "", "SKADI_KEEP__EVENTS": "36h"}).keep
    assert (keep.jobs, keep.letters) == (None, None)
    assert keep.output == keep.events == timedelta(hours=36)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('jobs = "soon"', '[keep] jobs is a duration like "90d", or "" for ever, not \'soon\'.'),
        ("jobs = 90", "is a duration like"),
        ('output = "0d"', "is a duration like"),
        ('jobs = "6d"', "[keep] jobs is at least as long as messages, which lead to them."),
        ('messages = ""', "[keep] jobs is at least as long as messages"),
        ('messages = "23h"', "[keep] messages is at least 1d"),
    ],
)
def test_what_would_be_forgotten_too_early_stops_the_start(
    tmp_path: Path, content: str, message: str
) -> None:
    assert message in refusal(write(tmp_path, f"[keep]\n{content}\n"))


def test_a_list_is_written_with_commas_in_the_environment() -> None:
    for given in (["a", "b"], "a, b"):
        assert convert(Names, Given(given, "here")) == ("a", "b")
    with pytest.raises(SettingsError, match="here is a list of words"):
        convert(Names, Given(3, "here"))


def test_a_refusal_does_not_repeat_a_secret(tmp_path: Path) -> None:
    assert "3141" not in refusal(write(tmp_path, "[redis]\nurl = 3141"))


def test_secrets_do_not_show_themselves() -> None:
    settings = Settings()
    shown = repr(load(Path("/"), {"SKADI_DATABASE__URL": "mysql://root:hush@here/skadi"}).database)
    assert "hush" not in shown
    assert "hush" not in repr(Secret("hush"))
    assert repr(settings.redis) == "Redis(url='')"


def test_adapters_keep_what_they_were_told(tmp_path: Path) -> None:
    write(tmp_path, '[adapters.smtp]\nport = 8025\n[adapters.team]\nkind = "slack"\n')
    settings = load(
        tmp_path, {"SKADI_ADAPTERS__SMTP__PORT": "2525", "SKADI_ADAPTERS__WX__KIND": "w"}
    )
    assert settings.adapters == {
        "smtp": {"port": "2525"},
        "team": {"kind": "slack"},
        "wx": {"kind": "w"},
    }


@pytest.mark.parametrize(
    ("content", "environment", "message"),
    [
        ("", {"SKADI_ADAPTERS__SMTP__PORT": "99999"}, "SKADI_ADAPTERS__SMTP__PORT is a port, 1 to"),
        (
            "",
            {"SKADI_ADAPTERS__SMTP__PROT": "1"},
            "SKADI_ADAPTERS__SMTP__PROT: there is no setting",
        ),
        ("[adapters.smtp]\nport = 0", {}, "settings.toml: [adapters.smtp] port is a port, 1 to"),
        ("[adapters.smtp]\nprot = 1", {}, "settings.toml: [adapters.smtp] prot: there is no setti"),
    ],
)
def test_a_mistake_in_the_section_of_an_adapter_is_named_where_it_was_made(
    tmp_path: Path, content: str, environment: dict[str, str], message: str
) -> None:
    settings = load(write(tmp_path, content), environment)
    with pytest.raises(SettingsError) as caught:
        read_options(Options, "smtp", settings.adapters["smtp"])
    assert str(caught.value).startswith(message)


def test_an_adapter_can_be_switched_off(tmp_path: Path) -> None:
    write(tmp_path, "[adapters.smtp]\nport = 8025\n")
    assert load(tmp_path, {"SKADI_ADAPTERS__SMTP__ENABLED": "false"}).adapters == {}
    assert load(tmp_path, {"SKADI_ADAPTERS__SMTP__ENABLED": "true"}).adapters == {
        "smtp": {"port": 8025}
    }


@pytest.mark.parametrize(
    "given",
    [
        "mysql://skadi:p%40ss@db/skadi",
        "mariadb://skadi:p%40ss@db/skadi",
        "mysql+aiomysql://skadi:p%40ss@db/skadi?charset=utf8",
        "mysql+pymysql://skadi:p%40ss@db/skadi?charset=utf8mb4",
    ],
)
def test_every_spelling_of_mysql_leads_to_one_driver(tmp_path: Path, given: str) -> None:
    settings = load(tmp_path, {"SKADI_DATABASE__URL": given})
    assert settings.store_url == "mysql+aiomysql://skadi:p%40ss@db/skadi?charset=utf8mb4"
    assert not settings.embedded


def test_sqlite_can_lie_elsewhere(tmp_path: Path) -> None:
    settings = load(tmp_path, {"SKADI_DATABASE__URL": "sqlite:////srv/skadi.db"})
    assert settings.store_url == "sqlite+aiosqlite:////srv/skadi.db"


# settings.toml is the manual of the settings.


def test_the_file_holds_every_setting_and_no_other() -> None:
    content = tomllib.loads((ROOT / "settings.toml").read_text())
    content.pop("adapters")
    top = {key for key, value in content.items() if not isinstance(value, dict)}
    assert top == set(settable(Settings))
    assert {name: set(table) for name, table in content.items() if name not in top} == {
        name: set(settable(kind)) for (name,), kind in SECTIONS.items()
    }


def test_the_file_says_the_defaults() -> None:
    said = load(ROOT, {})
    assert said == Settings(data=ROOT / "data", adapters=said.adapters)


def test_the_file_holds_every_setting_of_mail_with_its_default() -> None:
    said = load(ROOT, {}).adapters["smtp"]
    options = read_options(Options, "smtp", said)
    assert options == Options()
    assert set(said) == {field.name for field in fields(Options)}


def test_the_file_holds_every_setting_of_callbacks_with_its_default() -> None:
    said = load(ROOT, {}).adapters["callback"]
    options = read_options(callback.Options, "callback", said)
    assert options == callback.Options()
    assert set(said) == {field.name for field in fields(callback.Options)}


def test_every_setting_in_the_file_has_its_reason() -> None:
    """A line of why before each; two that belong together share one."""
    paragraphs = (ROOT / "settings.toml").read_text().split("\n\n")
    holding = [text for text in paragraphs if re.search(r"^\w+ = ", text, re.MULTILINE)]
    bare = [text for text in holding if not re.match(r"\s*(\[[\w.]+\]\n)?# ", text)]
    assert bare == []
    assert len(holding) > 50
