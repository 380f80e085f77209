"""One pasted line puts the agent on a machine that has nothing but python3; once more upgrades it."""

import hashlib
import io
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import config, duration
from agent.__main__ import pace_of, parser
from agent.bundle import MAIN, NAME, bundle, pack, script
from agent.errors import ConfigError
from agent.install import until_met
from agent.secret import write_token
from agent.service import STOP_TIME, Service, lingers, quoted, service_of, user_name
from tests.agent.daemon import ROOT, run
from tests.agent.deadline import eventually
from tests.agent.fake_skadi import FakeSkadi


def pythons() -> list[str]:
    """The oldest that the agent must run on, where there is one, and this one."""
    oldest = shutil.which("python3.9")
    works = oldest and subprocess.run([oldest, "-c", ""], check=False).returncode == 0
    return [sys.executable, *([oldest] if oldest and works else [])]


@pytest.fixture(params=pythons(), ids=lambda path: Path(path).name)
def python(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def handing_out(skadi: FakeSkadi) -> FakeSkadi:
    """A server with the program, its installer and one code."""
    program = bundle()
    skadi.files = {
        f"/agent/{NAME}": program,
        "/install.py": script(skadi.url, hashlib.sha256(program).hexdigest()).encode(),
    }
    skadi.codes = ["CODE-1"]
    return skadi


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def started(home: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for each in processes:
        each.kill()
        each.wait()


def paste(
    skadi: FakeSkadi, home: Path, *words: str, python: str = sys.executable, **environ: str
) -> subprocess.CompletedProcess[str]:
    """The line of the documentation, typed in an empty folder."""
    line = (
        f"{python} -I -c 'import urllib.request as u; "
        f'exec(u.urlopen("{skadi.url}/install.py").read())\' {shlex.join(words)}'
    )
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=home,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def installed(home: Path) -> Path:
    return home / ".local" / "share" / "skadi-agent"


def start_by_hand(said: str, home: Path) -> subprocess.Popen[bytes]:
    """With the line that the installer has told."""
    line = said.partition("Start it with: ")[2].splitlines()[0]
    return subprocess.Popen(
        shlex.split(line), cwd="/", env={"HOME": str(home), "PATH": "/usr/bin:/bin"}
    )


def test_the_pasted_line_makes_an_agent_that_runs_a_job(
    handing_out: FakeSkadi, home: Path, python: str, started: list[subprocess.Popen[bytes]]
) -> None:
    done = paste(handing_out, home, "CODE-1", "--user", "--no-service", python=python)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Enrolled as " in done.stdout
    assert sorted(each.name for each in home.iterdir()) == [".local"]
    started.append(start_by_hand(done.stdout, home))
    job = handing_out.submit("hello")
    handing_out.until_ended(job)
    assert job.ends[0][0] == "succeed"
    assert job.result.startswith("Hello from ")
    assert [offer["name"] for offer in handing_out.hellos[0]["commands"]] == [
        "hello",
        "uptime",
        "disk",
    ]


def test_an_installed_agent_cancels_too(
    handing_out: FakeSkadi, home: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """Its supervisor comes out of the archive, even when that has been replaced meanwhile."""
    done = paste(handing_out, home, "CODE-1", "--user", "--no-service")
    settings = installed(home) / "skadi.yml"
    settings.write_text(settings.read_text() + "commands:\n  - prefix: sleep\n")
    started.append(start_by_hand(done.stdout, home))
    handing_out.until(lambda: handing_out.hellos)
    (installed(home) / NAME).write_bytes(b"something else")
    job = handing_out.submit("sleep 60")
    handing_out.until(lambda: job.handed)
    with handing_out.changed:
        handing_out.cancel = [job.id]
        handing_out.changed.notify_all()
    handing_out.until_ended(job)
    assert job.ends == [("canceled", "canceled")]


def test_only_its_user_may_look_into_its_folder(handing_out: FakeSkadi, home: Path) -> None:
    assert paste(handing_out, home, "CODE-1", "--user", "--no-service").returncode == 0
    folder = installed(home)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "skadi.yml").stat().st_mode) == 0o600
    assert sorted(each.name for each in folder.iterdir()) == [NAME, "skadi.yml"]
    assert (folder / NAME).read_bytes() == bundle()


def test_the_server_is_told_name_and_host(handing_out: FakeSkadi, home: Path) -> None:
    done = paste(handing_out, home, "CODE-1", "--name", "web-1", "--user", "--no-service")
    assert "Enrolled as web-1." in done.stdout
    [fields] = handing_out.enrolled
    assert (fields["code"], fields["name"]) == ("CODE-1", "web-1")
    assert fields["hostname"]


def test_a_folder_may_be_named_whatever_its_name(
    handing_out: FakeSkadi, home: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    folder = home / 'an odd "name" %s'
    done = paste(handing_out, home, "CODE-1", "--user", "--no-service", "--dir", str(folder))
    assert done.returncode == 0, done.stderr
    assert config.load(folder / "skadi.yml", {}).state == folder / "state"
    started.append(start_by_hand(done.stdout, home))
    handing_out.until_ended(handing_out.submit("hello"))


def test_the_program_is_not_run_when_it_is_not_what_was_promised(
    handing_out: FakeSkadi, home: Path
) -> None:
    handing_out.files[f"/agent/{NAME}"] = b"print('evil')"
    done = paste(handing_out, home, "CODE-1", "--user", "--no-service")
    assert done.returncode == 1
    assert "is not the agent it promised" in done.stderr
    assert (done.stdout, handing_out.codes) == ("", ["CODE-1"])
    assert list(home.iterdir()) == []


def test_a_code_that_is_used_up_is_told_in_one_line(handing_out: FakeSkadi, home: Path) -> None:
    done = paste(handing_out, home, "CODE-0", "--user", "--no-service")
    assert done.returncode == 2
    assert done.stderr == (
        "skadi: This code is used up or too old; ask for a new one with `agent add`\n"
    )
    assert list(home.iterdir()) == []


def test_a_folder_that_was_there_stays(handing_out: FakeSkadi, home: Path) -> None:
    (home / "mine").mkdir()
    folder = str(home / "mine" / "deep" / "agent")
    paste(handing_out, home, "CODE-0", "--user", "--no-service", "--dir", folder)
    assert list(home.rglob("*")) == [home / "mine"]


def test_a_server_that_takes_no_codes_is_told_of(handing_out: FakeSkadi, home: Path) -> None:
    handing_out.answer_codes = 429
    done = paste(handing_out, home, "CODE-1", "--user", "--no-service")
    assert done.returncode == 2
    assert "Too many wrong codes came from this address" in done.stderr
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("own", ["", "PYTHONPATH"])
def test_no_module_of_the_current_folder_is_run(
    handing_out: FakeSkadi, home: Path, own: str
) -> None:
    for name in ("urllib", "hashlib", "argparse", "zipfile"):
        (home / f"{name}.py").write_text("raise SystemExit('not the one of Python')")
    environ = {own: str(home)} if own else {}
    done = paste(handing_out, home, "CODE-1", "--user", "--no-service", **environ)
    assert (done.returncode, done.stderr) == (0, "")


# Whose folder it is.


def test_a_folder_for_others_too_is_left_as_it_is(handing_out: FakeSkadi, home: Path) -> None:
    shared = home / "opt"
    shared.mkdir()
    shared.chmod(0o755)
    (shared / "somebody-elses").touch()
    done = paste(handing_out, home, "CODE-1", "--user", "--no-service", "--dir", str(shared))
    assert done.returncode == 2
    assert f"{shared} is there for others too" in done.stderr
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    assert [each.name for each in shared.iterdir()] == ["somebody-elses"]
    assert handing_out.codes == ["CODE-1"]


def test_a_folder_that_others_may_write_to_is_refused(handing_out: FakeSkadi, home: Path) -> None:
    shared = home / "shared"
    shared.mkdir()
    (shared / "skadi.yml").write_text("token:\n")
    shared.chmod(0o775)
    done = paste(handing_out, home, "CODE-1", "--user", "--no-service", "--dir", str(shared))
    assert done.returncode == 2
    assert f"chmod go-w {shared}" in done.stderr
    assert stat.S_IMODE(shared.stat().st_mode) == 0o775


def test_an_upgrade_leaves_the_folders_mode_as_it_is(handing_out: FakeSkadi, home: Path) -> None:
    """Another user must get through to what is theirs in it."""
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    installed(home).chmod(0o711)
    assert paste(handing_out, home, "--user", "--no-service").returncode == 0
    assert stat.S_IMODE(installed(home).stat().st_mode) == 0o711


NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@needs_root
def test_root_puts_nothing_into_a_folder_of_somebody_elses(
    handing_out: FakeSkadi, home: Path
) -> None:
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    victim = home / "victim"
    victim.write_text("mine\n")
    (installed(home) / "skadi.yml.new").symlink_to(victim)
    for each in (installed(home), *installed(home).iterdir()):
        os.chown(each, NOBODY, NOBODY, follow_symlinks=False)
    handing_out.codes = ["CODE-2"]
    done = paste(handing_out, home, "CODE-2", "--user", "--no-service")
    assert done.returncode == 2
    assert f"chown root {installed(home)}" in done.stderr
    assert handing_out.codes == ["CODE-2"]
    assert (victim.read_text(), victim.stat().st_uid) == ("mine\n", 0)


@needs_root
def test_settings_and_journal_may_be_another_users(
    handing_out: FakeSkadi, home: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """As docs/agents.md has it for jobs that are not to run as root."""
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    folder = installed(home)
    (folder / "state").mkdir(mode=0o700)
    folder.chmod(0o711)
    for each in (folder / "state", folder / "skadi.yml"):
        os.chown(each, NOBODY, NOBODY)
    handing_out.codes = ["CODE-2"]
    done = paste(handing_out, home, "CODE-2", "--user", "--no-service")
    assert (done.returncode, done.stderr) == (0, "")
    assert config.load(folder / "skadi.yml", {}).token == "enrolled000000000002"
    owners = {each.name: each.stat().st_uid for each in folder.iterdir()}
    assert owners == {NAME: 0, "skadi.yml": NOBODY, "state": NOBODY}


@needs_root
def test_root_follows_no_link_that_somebody_else_has_made(tmp_path: Path) -> None:
    victim, file = tmp_path / "victim", tmp_path / "skadi.yml"
    victim.write_text("token:\n")
    file.symlink_to(victim)
    os.chown(file, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(ConfigError, match="is a link that somebody else has made"):
        write_token(file, 1, "abcdefghij0123456789")
    assert victim.read_text() == "token:\n"


def test_what_lies_in_wait_under_the_name_of_a_new_file_is_not_opened(tmp_path: Path) -> None:
    victim, file = tmp_path / "victim", tmp_path / "skadi.yml"
    victim.write_text("mine\n")
    file.write_text("token:\n")
    (tmp_path / "skadi.yml.new").symlink_to(victim)
    write_token(file, 1, "abcdefghij0123456789")
    assert victim.read_text() == "mine\n"
    assert file.read_text() == 'token: "abcdefghij0123456789"\n'


def test_without_a_code_nothing_is_begun(handing_out: FakeSkadi, home: Path) -> None:
    done = paste(handing_out, home, "--user", "--no-service")
    assert done.returncode == 2
    assert "no code: ask for one with `agent add`" in done.stderr


def test_a_folder_that_cannot_be_used_spends_no_code(handing_out: FakeSkadi, home: Path) -> None:
    (home / "file").touch()
    folder = str(home / "file" / "x")
    done = paste(handing_out, home, "CODE-1", "--user", "--no-service", "--dir", folder)
    assert done.returncode == 2
    assert "cannot be used" in done.stderr
    assert handing_out.codes == ["CODE-1"]


# Once more.


@pytest.mark.parametrize("words", [["CODE-1"], []], ids=["its code is spent", "no code"])
def test_the_same_line_again_upgrades_and_keeps_token_and_settings(
    handing_out: FakeSkadi, home: Path, words: list[str]
) -> None:
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    settings = installed(home) / "skadi.yml"
    settings.write_text(settings.read_text() + "# mine\n")
    before = settings.read_text()
    (installed(home) / NAME).write_bytes(b"an older one")
    done = paste(handing_out, home, *words, "--user", "--no-service")
    assert (done.returncode, done.stderr) == (0, "")
    assert "The token that is here is kept." in done.stdout
    assert settings.read_text() == before
    assert (installed(home) / NAME).read_bytes() == bundle()


def test_a_server_that_takes_no_codes_upgrades_all_the_same(
    handing_out: FakeSkadi, home: Path
) -> None:
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    (installed(home) / NAME).write_bytes(b"an older one")
    handing_out.answer_codes = 429
    done = paste(handing_out, home, "CODE-1", "--user", "--no-service")
    assert (done.returncode, done.stderr) == (0, "")
    assert "The token that is here is kept." in done.stdout
    assert (installed(home) / NAME).read_bytes() == bundle()


@pytest.mark.parametrize("words", [["CODE-1"], []], ids=["its code is spent", "no code"])
def test_a_token_that_is_dead_is_not_said_to_be_kept(
    handing_out: FakeSkadi, home: Path, words: list[str]
) -> None:
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    handing_out.tokens = {"another"}
    done = paste(handing_out, home, *words, "--user", "--no-service")
    assert done.returncode == 1
    assert "does not know the token that is here: ask for a new code" in done.stderr
    assert "kept" not in done.stdout
    assert (installed(home) / "skadi.yml").exists()


def test_a_token_of_which_the_server_says_nothing_is_kept(
    handing_out: FakeSkadi, home: Path
) -> None:
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    handing_out.answer_self = 503
    done = paste(handing_out, home, "--user", "--no-service")
    assert done.returncode == 0
    assert "The token that is here is kept; the server does not say if it is good" in done.stdout


def test_a_fresh_code_changes_the_token_and_nothing_else(
    handing_out: FakeSkadi, home: Path
) -> None:
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    settings = installed(home) / "skadi.yml"
    settings.write_text(settings.read_text() + "# mine\n")
    handing_out.codes = ["CODE-2"]
    paste(handing_out, home, "CODE-2", "--user", "--no-service")
    assert config.load(settings, {}).token == "enrolled000000000002"
    assert settings.read_text().endswith("# mine\n")
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600


def test_a_token_is_not_sent_to_another_server(handing_out: FakeSkadi, home: Path) -> None:
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    settings = installed(home) / "skadi.yml"
    text = settings.read_text().replace(handing_out.url, "https://skadi.example.com")
    settings.write_text(text)
    for words in (["CODE-1"], []):
        done = paste(handing_out, home, *words, "--user", "--no-service")
        assert done.returncode == 2
        assert settings.read_text() == text
    handing_out.codes = ["CODE-2"]
    assert paste(handing_out, home, "CODE-2", "--user", "--no-service").returncode == 0
    assert config.load(settings, {}).server == handing_out.url


def test_an_agent_that_runs_from_before_is_spoken_of(
    handing_out: FakeSkadi, home: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    first = paste(handing_out, home, "CODE-1", "--user", "--no-service")
    started.append(start_by_hand(first.stdout, home))
    handing_out.until(lambda: handing_out.hellos)
    done = paste(handing_out, home, "--user", "--no-service")
    assert "stop it first" in done.stdout


def test_check_finds_the_settings_beside_the_program(
    handing_out: FakeSkadi, home: Path, python: str
) -> None:
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    done = subprocess.run(
        [python, str(installed(home) / NAME), "check"],
        cwd="/",
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"settings  {installed(home)}/skadi.yml" in done.stdout


def test_who_needs_another_token_is_told_a_command_that_is_there(
    handing_out: FakeSkadi, home: Path
) -> None:
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    handing_out.tokens = {"abcdefghij0123456789"}
    words = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, str(installed(home) / NAME), "check"],
        cwd="/",
        env=words,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    told = done.stdout.partition("into skadi.yml (")[2].partition(" TOKEN)")[0]
    assert told == f"python3 {installed(home) / NAME}"
    again = [sys.executable, *told.split()[1:], "abcdefghij0123456789"]
    assert subprocess.run(again, cwd="/", env=words, timeout=20, check=False).returncode == 0
    assert config.load(installed(home) / "skadi.yml", {}).token == "abcdefghij0123456789"


# A plain connection.


def test_a_token_in_clear_is_warned_of(tmp_path: Path) -> None:
    words = ["install", "--url", "http://skadi.invalid", "--code", "C", "--user", "--no-service"]
    done = run(*words, "--dir", str(tmp_path / "x"), folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == (
        "Warning: http://skadi.invalid is not https: the token and all output travel in clear.\n"
    )


def test_loopback_is_not(handing_out: FakeSkadi, home: Path) -> None:
    assert "Warning" not in paste(handing_out, home, "CODE-1", "--user", "--no-service").stdout


# systemd, as far as it can be had here: its own reader of units, and a systemctl that keeps a list
# and starts what a unit says.

SYSTEMCTL = """\
#!/bin/sh
echo "$@" >> "$HOME/calls"
[ "$FAIL" != "$2" ] || { echo "Failed to do that: no bus" >&2; exit 1; }
case "$*" in
*restart*)
    words=$(sed -n 's/^ExecStart=//p' "$HOME/.config/systemd/user/skadi-agent.service")
    [ -z "$(cat "$HOME/pid" 2>/dev/null)" ] || kill "$(cat "$HOME/pid")"
    $words >> "$HOME/log" 2>&1 &
    echo $! > "$HOME/pid";;
esac
"""


@pytest.fixture
def systemd(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that says that systemd has booted this machine."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "booted").mkdir()
    yield tmp_path / "booted"
    if (home / "pid").exists():
        subprocess.run(["kill", "-9", (home / "pid").read_text().strip()], check=False)


def service(home: Path, system: bool = False) -> Service:
    return Service(installed(home), system, "skadi-agent")


def test_a_service_is_enabled_and_started_and_meets_the_server(
    handing_out: FakeSkadi, home: Path, systemd: Path
) -> None:
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    unit = service(home)
    assert unit.is_possible(systemd)
    unit.install()
    assert until_met(installed(home) / "state", 0.0, 8)
    handing_out.until_ended(handing_out.submit("hello"))
    assert (home / "calls").read_text().splitlines() == [
        "--user show-environment",
        "--user daemon-reload",
        "--user enable skadi-agent",
        "--user restart skadi-agent",
    ]


def test_an_upgrade_restarts_it(handing_out: FakeSkadi, home: Path, systemd: Path) -> None:
    paste(handing_out, home, "CODE-1", "--user", "--no-service")
    service(home).install()
    assert until_met(installed(home) / "state", 0.0, 8)
    first = (home / "pid").read_text()
    met = (installed(home) / "state" / "contact").stat().st_mtime
    service(home).install()
    assert until_met(installed(home) / "state", met + 0.001, 8)
    assert (home / "pid").read_text() != first
    eventually(lambda: not Path("/proc", first.strip(), "exe").exists())


def test_what_systemctl_refuses_is_said_in_its_words(
    home: Path, systemd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "enable")
    with pytest.raises(ConfigError, match="systemctl enable skadi-agent: Failed to do that"):
        service(home).install()


def test_where_systemd_is_not_at_work_nothing_is_started(
    handing_out: FakeSkadi, home: Path, systemd: Path, tmp_path: Path
) -> None:
    assert not service(home).is_possible(tmp_path / "nowhere")
    if not Path("/run/systemd/system").exists():
        done = paste(handing_out, home, "CODE-1", "--user")
        assert done.returncode == 0
        assert "systemd is not at work here" in done.stdout
        assert "Start it with: " in done.stdout


def test_an_agent_that_never_meets_the_server_is_not_waited_for_without_end(tmp_path: Path) -> None:
    assert not until_met(tmp_path, 0.0, 0.3)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here to ask")
@pytest.mark.parametrize("system", [True, False], ids=["system", "user"])
@pytest.mark.parametrize("name", ["plain", 'an odd "name" %s $x'])
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, system: bool, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    file = tmp_path / "skadi-agent.service"
    file.write_text(Service(folder, system, "skadi-agent").text())
    done = subprocess.run(
        ["systemd-analyze", *([] if system else ["--user"]), "--man=no", "verify", str(file)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        timeout=30,
        check=False,
    )
    assert [line for line in done.stderr.splitlines() if "skadi" in line] == []


def test_the_unit_leaves_alone_what_a_job_has_left_running(tmp_path: Path) -> None:
    text = Service(tmp_path, True, "skadi-agent").text()
    assert "\nKillMode=process\n" in text
    active = [
        line for line in text.splitlines() if line.startswith(("Protect", "Private", "NoNew"))
    ]
    assert active == []


def test_a_word_for_systemd_is_quoted() -> None:
    assert quoted("/opt/skadi-agent/skadi.yml") == "/opt/skadi-agent/skadi.yml"
    assert quoted('/a "b" $c %d') == '"/a \\"b\\" $$c %%d"'


def test_two_agents_on_one_machine_have_two_units(tmp_path: Path) -> None:
    assert service_of(tmp_path, True, tmp_path).name == "skadi-agent"
    names = {service_of(Path(each, "shop 2"), True, tmp_path).name for each in ("/srv", "/opt")}
    assert len(names) == 2
    assert all(re.fullmatch("skadi-agent-shop-2-[0-9a-f]{8}", name) for name in names)


def test_a_unit_that_was_set_up_under_its_earlier_name_keeps_it(home: Path, systemd: Path) -> None:
    folder = home / "an odd %name"
    earlier = Service(folder, False, "skadi-agent-an-odd-name")
    earlier.install()
    assert service_of(folder, False, home) == earlier
    another = home / "other" / "an odd %name"
    assert service_of(another, False, home).name.startswith("skadi-agent-an-odd-name-")


def test_the_unit_of_another_agent_is_not_overwritten(
    handing_out: FakeSkadi, home: Path, systemd: Path
) -> None:
    Service(home / "elsewhere", False, "skadi-agent").install()
    before = service(home).file.read_text()
    with pytest.raises(ConfigError, match=r"starts the agent of .*elsewhere/skadi\.yml"):
        service(home).install()
    done = paste(handing_out, home, "CODE-1", "--user")
    assert done.returncode == 2
    assert "starts the agent of" in done.stderr
    assert handing_out.codes == ["CODE-1"]
    assert service(home).file.read_text() == before


def test_systemd_waits_longer_than_an_agent_takes_to_end(tmp_path: Path) -> None:
    (tmp_path / "skadi.yml").write_text(f"kill_grace: {config.LONGEST_KILL_GRACE:.0f}s\n")
    settings = config.load(tmp_path / "skadi.yml", {"SKADI_SERVER": "http://x", "SKADI_TOKEN": "x"})
    pace = pace_of(settings, duration.parse(parser().get_default("grace")))
    assert pace.grace + pace.kill_grace + pace.farewell < STOP_TIME
    assert f"\nTimeoutStopSec={STOP_TIME}\n" in Service(tmp_path, True, "skadi-agent").text()


def test_whether_a_user_lingers_is_seen(tmp_path: Path) -> None:
    assert not lingers(tmp_path)
    (tmp_path / user_name()).touch()
    assert lingers(tmp_path)


# The one file.


def test_the_same_sources_make_the_same_bytes(tmp_path: Path) -> None:
    files = {"b.py": b"2", "a.py": b"1"}
    assert pack(files) == pack(dict(reversed(files.items())))
    (tmp_path / "one").mkdir()
    assert run("bundle", "out.pyz", folder=tmp_path / "one").returncode == 0
    assert (tmp_path / "one" / "out.pyz").read_bytes() == bundle()


def test_it_holds_the_package_and_nothing_else() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle())) as packed:
        names = packed.namelist()
    sources = sorted(f"agent/{file.name}" for file in (ROOT / "agent").glob("*.py"))
    assert names == ["__main__.py", *sources]


def test_a_bundle_bundles_itself(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(bundle())
    words = [sys.executable, NAME, "bundle", "again.pyz"]
    subprocess.run(words, cwd=tmp_path, check=True, timeout=20)
    assert (tmp_path / "again.pyz").read_bytes() == bundle()


def test_a_python_that_is_too_old_is_told_so_and_can_read_it() -> None:
    compile(MAIN, "__main__.py", "exec")
    assert 'f"' not in MAIN
    compile(script("https://skadi.example.com", "0" * 64), "install.py", "exec")


def test_what_would_break_the_script_is_refused_or_quoted() -> None:
    with pytest.raises(ValueError, match="no sha256"):
        script("https://x", "'")
    text = script("https://x/'\"\\", "0" * 64)
    space: dict[str, object] = {}
    exec(compile(text.rpartition("sys.exit")[0], "install.py", "exec"), space)
    assert space["URL"] == "https://x/'\"\\"
