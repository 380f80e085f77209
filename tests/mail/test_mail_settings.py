"""What may stand in the section of a mail adapter, and what stops the start."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from adapters import Surroundings, load
from adapters.smtp import Smtp
from bots.words import remark
from core.chat import Message, Reply
from core.errors import SettingsError
from tests.clock import Clock
from tests.mail.office import Keys, Notes


async def nobody(message: Message) -> Reply | None:
    raise AssertionError("no message was sent")


@pytest.fixture
def around(clock: Clock, tmp_path: Path) -> Surroundings:
    return Surroundings(
        inbox=nobody,
        notebook=Notes(clock),
        keyring=Keys(),
        clock=clock,
        data=tmp_path,
        remark=remark,
    )


def loaded(name: str, section: Mapping[str, object], around: Surroundings) -> Smtp:
    adapter = load(name, section, around)
    assert isinstance(adapter, Smtp)
    return adapter


async def test_an_empty_section_is_enough(around: Surroundings, tmp_path: Path) -> None:
    adapter = loaded("smtp", {}, around)
    assert (adapter.name, adapter.platform) == ("smtp", "smtp")
    assert adapter.bound == ("127.0.0.1", 8025)
    assert adapter.describe() == (
        f"mail to agent@localhost at 127.0.0.1:8025, answers into {tmp_path / 'outbox'}"
    )
    await adapter.close()


async def test_the_kind_says_which_platform_a_section_is_for(around: Surroundings) -> None:
    adapter = loaded("post_office", {"kind": "smtp", "domain": "corp.example"}, around)
    assert (adapter.name, adapter.platform) == ("post_office", "smtp")
    await adapter.close()


async def test_values_may_be_written_as_in_the_environment(around: Surroundings) -> None:
    section = {
        "port": "2525",
        "auth": "false",
        "size_limit": "1 MiB",
        "idle_timeout": "2m",
        "dkim_domains": "corp.example, other.example",
        "dns_server": "127.0.0.1:53",
    }
    options = loaded("smtp", section, around)._options
    assert (options.port, options.auth, options.size_limit) == (2525, False, 1024 * 1024)
    assert options.idle_timeout == timedelta(minutes=2)
    assert options.dkim_domains == ("corp.example", "other.example")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"prot": 1}, '[adapters.smtp] prot: there is no setting "prot"; did you mean "port"?'),
        ({"kind": "telegram"}, '[adapters.smtp]: there is no platform "telegram"'),
        ({"kind": "__init__"}, "there is no platform"),
        ({"kind": "smtp.options"}, "there is no platform"),
        ({"kind": 3}, "there is no platform"),
        ({"port": "x"}, "[adapters.smtp] port is a port"),
        ({"auth": "perhaps"}, "[adapters.smtp] auth is true or false"),
        ({"size_limit": "10 elephants"}, "[adapters.smtp] size_limit is a size"),
        ({"domain": "not a domain"}, "[adapters.smtp] domain is a domain"),
        ({"address": "agent+x"}, "[adapters.smtp] address is what stands before the @"),
        ({"address": "a" * 36}, "35 characters at most"),
        ({"aliases": ["jobs"]}, "[adapters.smtp] aliases is a list of whole addresses"),
        ({"sender": "skadi"}, "[adapters.smtp] sender is a whole address"),
        ({"dkim_domains": ["*.corp"]}, "[adapters.smtp] dkim_domains is a list of domains"),
        ({"dns_server": "dns.example"}, "[adapters.smtp] dns_server is an IP address with a port"),
        ({"tls_cert": "cert.pem"}, "[adapters.smtp] tls_key is set when tls_cert is"),
        ({"tls_cert": "no.pem", "tls_key": "no.pem"}, "[adapters.smtp] tls_cert and tls_key"),
        ({"auth": True}, "[adapters.smtp] auth is possible with tls_cert"),
        ({"smarthost": "https://x.example"}, "[adapters.smtp] smarthost is like smtp://"),
        ({"smarthost": "x.example:port"}, "[adapters.smtp] smarthost is like smtp://"),
        ({"smarthost_tls": "perhaps"}, "[adapters.smtp] smarthost_tls is one of starttls, tls"),
        ({"smarthost": "x.example", "smarthost_ca": "no.pem"}, "[adapters.smtp] smarthost_ca"),
        ({"dkim_key": "no.pem"}, "[adapters.smtp] dkim_selector is set when dkim_key is"),
        ({"dkim_key": "no.pem", "dkim_selector": "s"}, "dkim_key: no.pem cannot be read"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(
    around: Surroundings, section: Mapping[str, object], said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load("smtp", section, around)
    assert said in str(caught.value)


def test_a_key_for_signing_that_is_none_stops_the_start(
    around: Surroundings, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "x.pem")
    with pytest.raises(SettingsError, match="dkim_key is a file with an RSA key"):
        load("smtp", {"dkim_key": str(tmp_path / "x.pem"), "dkim_selector": "s"}, around)


def test_a_password_is_not_repeated_in_a_complaint(around: Surroundings) -> None:
    with pytest.raises(SettingsError) as caught:
        load("smtp", {"smarthost": "ftp://me:hunter2@x.example"}, around)
    assert "hunter2" not in str(caught.value)
