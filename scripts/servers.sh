#!/bin/sh
# Sees to it that the servers the tests start for themselves are installed: MariaDB and Redis 6.2
# or newer. Nothing is started here, and nothing that runs on this machine already is touched.
set -eu

PATH=$PATH:/usr/sbin:/usr/local/sbin # where mariadbd lives, and no ordinary user looks
policy=/usr/sbin/policy-rc.d

say() { printf '%s\n' "$@" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

has_mariadb() {
    { has mariadbd || has mysqld; } && { has mariadb-install-db || has mysql_install_db; }
}

has_redis() {
    has redis-server && redis-server --version |
        awk -F '[=.]' '{ exit !($2 > 6 || ($2 == 6 && $3 >= 2)) }'
}

missing() {
    has_mariadb || printf 'mariadb-server '
    has_redis || printf 'redis-server '
}

explain() { # the packages
    if has apt-get; then
        say "The tests start servers of their own that are not installed. Run this, then make again:" \
            "  sudo apt-get install -y --no-install-recommends $*"
    else
        say "The tests start servers of their own: MariaDB 10.6 or newer and Redis 6.2 or newer." \
            "Install both from your system's packages (Homebrew: brew install mariadb redis)."
    fi
}

# Debian starts a service as soon as it is installed, unless this file says no.
forbid_starting() {
    [ -e "$policy" ] && return
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
}

install() { # the packages
    log=$(mktemp)
    say "Installing $* for the tests (once) …"
    # --no-remove: MariaDB must not push out a MySQL that somebody uses.
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends --no-remove "$@"; } >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        say "Installing $* failed; the whole story is in $log."
        exit 1
    fi
    rm -f "$log"
}

wanted=$(missing)
[ -z "$wanted" ] && exit 0
if ! has apt-get || [ "$(id -u)" != 0 ]; then
    explain $wanted
    exit 1
fi
forbid_starting
install $wanted
wanted=$(missing)
[ -z "$wanted" ] || { say "Still missing, or too old: $wanted"; exit 1; }
