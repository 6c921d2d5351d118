#!/usr/bin/env bash
# Executable documentation: what one does with this project. One function is one task; `./run.sh` alone lists them.
# A fresh Debian machine with Python 3.11, git and apt is enough; the first task that needs it makes `.venv`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly VENV=.venv
readonly STAMP=$VENV/.installed # what was installed, as a hash; made last, so that half an install is done again

#: demo         a small world with two simulated stations, until Ctrl-C (--fresh begins anew)
task_demo() {
    task_install
    exec "$VENV/bin/csms" demo "$@"
}

#: install      make .venv with everything pinned; does nothing when nothing changed
task_install() {
    local python
    if [[ -f $STAMP && $(<"$STAMP") == "$(fingerprint)" ]]; then
        return
    fi
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        debian_packages "Python's module venv" "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    say "Installing the pinned dependencies into $VENV (once; a minute or two) ..."
    if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --clear "$VENV"
    fi
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' ||
        fail "The dependencies could not be installed; pip says why above. A connection to a package index is needed."
    fingerprint >"$STAMP"
}

#: test         what has to pass: check, then the tests (installs PostgreSQL and Chromium where they are missing)
task_test() {
    prepare_tests
    task_check
    run_pytest -n "$(($(nproc) + 2))" -m "not slow" "$@" # two more than cores: many tests wait
}

#: test-all     the same with the slow tests, and pages and commands on PostgreSQL too
task_test_all() {
    prepare_tests
    task_check
    run_pytest -n "$(($(nproc) + 2))" "$@"
}

#: check        style, types, direction of imports, house rules, generated files
task_check() {
    task_install
    "$VENV/bin/ruff" check .
    "$VENV/bin/ruff" format --check .
    "$VENV/bin/mypy"
    "$VENV/bin/lint-imports"
    "$VENV/bin/python" scripts/generate_messages.py --check
    run_pytest --quiet tests/test_house_rules.py
}

# Databases of tests live in memory where there is some: they are lost anyway, and a disk would be waited for.
run_pytest() {
    if [[ -z ${PYTEST_DEBUG_TEMPROOT:-} && -w /dev/shm ]]; then
        export PYTEST_DEBUG_TEMPROOT=/dev/shm
    fi
    "$VENV/bin/python" -m pytest "$@"
}

#: serve        the central system and the portal, as configured by CSMS_* and csms.toml
task_serve() {
    task_install
    exec "$VENV/bin/csms" serve "$@"
}

#: migrate      create the configured database, or bring it to this version's tables
task_migrate() {
    task_install
    exec "$VENV/bin/csms" migrate "$@"
}

#: csms         any command of the central system, such as: ./run.sh csms card list
task_csms() {
    task_install
    exec "$VENV/bin/csms" "$@"
}

#: simulate     a simulated charge point, such as: ./run.sh simulate session ws://localhost:9000/ocpp CP-1 --id-tag CARD
task_simulate() {
    task_install
    exec "$VENV/bin/chargepoint-sim" "$@"
}

#: bench        measure the central system on this machine (bench/README.md says how)
task_bench() {
    task_install
    exec "$VENV/bin/python" -m bench "$@"
}

#: fuzz         attack a server of its own from all sides (--seconds, --seed, --rounds), and say what it did
task_fuzz() {
    task_install
    exec "$VENV/bin/python" -m bench.hostile "$@"
}

#: guard        simulate how exactly the credit guard lands on the credit (docs/credit-guard.md)
task_guard() {
    task_install
    exec "$VENV/bin/python" -m bench.guard_simulation "$@"
}

#: guard-cases  the same for histories in which that is hard (docs/credit-guard.md)
task_guard_cases() {
    task_install
    exec "$VENV/bin/python" -m bench.guard_cases "$@"
}

#: guard-real   the same for real: a server, databases, stations over sockets (about four minutes)
task_guard_real() {
    task_install
    exec "$VENV/bin/python" -m bench.guard_for_real "$@"
}

#: guard-link-loss   simulate what a lost link costs, with and without the limit at the station
task_guard_link_loss() {
    task_install
    exec "$VENV/bin/python" -m bench.guard_link_loss "$@"
}

#: screenshots  make the pictures of the portal for the README
task_screenshots() {
    [[ -f scripts/screenshots.py ]] || fail "There is no scripts/screenshots.py in this version."
    prepare_tests
    exec "$VENV/bin/python" scripts/screenshots.py "$@"
}

# --- what the tasks use ---

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

# What an installation depends on. The folder is part of it: a virtual environment cannot be moved.
fingerprint() {
    { sha256sum pyproject.toml constraints.txt && pwd; } | sha256sum | cut -d ' ' -f 1
}

find_python() {
    local candidate
    for candidate in python3.11 python3 python3.12 python3.13 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed and was not found; on Debian 12: apt-get install python3 python3-venv"
}

# PostgreSQL and Chromium come from Debian's packages; the tests start their own cluster and never touch another.
prepare_tests() {
    local missing=()
    task_install
    if ! command -v initdb >/dev/null && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
        missing+=(postgresql)
    fi
    if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
        missing+=(chromium)
    fi
    if ((${#missing[@]})); then
        debian_packages "The tests" "${missing[@]}"
    fi
}

# debian_packages WHO PACKAGE...: install what WHO needs, or say that a person has to.
debian_packages() {
    local who=$1 sudo=()
    shift
    command -v apt-get >/dev/null ||
        fail "$who: the packages $* are missing, and there is no apt-get here to install them; please install them."
    if ((EUID != 0)); then
        command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; } ||
            fail "$who: the Debian packages $* are missing. As root: apt-get install $*"
        sudo=(sudo)
    fi
    say "$who: installing the Debian packages $* ..."
    {
        "${sudo[@]}" apt-get update -qq
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    } || fail "$who: the Debian packages $* could not be installed; apt-get says why above."
}

tasks() {
    printf 'Tasks of ./run.sh:\n'
    sed -n 's/^#: /  /p' run.sh
}

main() {
    local name=${1:-}
    case $name in
    "" | help | -h | --help)
        tasks
        return
        ;;
    esac
    shift
    if ! grep -q "^#: $name " run.sh; then
        say "There is no task $name."
        tasks
        exit 2
    fi
    "task_${name//-/_}" "$@"
}

main "$@"
