"""What commands there are, and how a command ends: exit status, and one sentence where it did not do what was asked.

Only the group that is named is imported, so that help is quick. Exit statuses: 0 done, 1 refused or not possible now,
2 wrong argument or configuration, 3 a defect of this program, 130 interrupted.
"""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer

from csms.cli.refusals import Refusal, complain
from csms.errors import ConfigurationError, StorageUnavailable

DONE, REFUSED, WRONG_ARGUMENT, DEFECT, INTERRUPTED = 0, 1, 2, 3, 130

_HELP = """Central system for prepaid electric-car charging over OCPP 1.6J.

\b
Try it, with two simulated charge points:
  csms demo
\b
Begin for real:
  csms migrate
  csms tariff add "Day and night" --per-kwh 0.35
  csms station add CP-1
  csms card issue 04A1B2C3 --credit 20.00
  csms staff add maria --role administrator
  csms serve
\b
Work beside a running server:
  csms card top-up 04A1B2C3 10.00
  csms transaction list --json
  csms ledger verify

Settings come from the environment (CSMS_DATA_DIR, CSMS_DATABASE_URL, ...) and from csms.toml: docs/operations.md.
Exit statuses: 0 done, 1 refused or not possible now, 2 wrong argument or setting, 3 a defect of this program.
"""


class Command(NamedTuple):
    """A name on the first level: where its function or its group `commands` is, and its line in the help."""

    module: str
    function: str
    help: str


COMMANDS = {
    "serve": Command("csms.cli.serving", "serve", "Run the central system and the portal until Ctrl-C."),
    "demo": Command("csms.cli.demo", "demo", "Run a small world with two simulated charge points."),
    "migrate": Command("csms.cli.migrating", "migrate", "Create the database, or bring it to this version's tables."),
    "version": Command("csms.cli.migrating", "version", "Say which version this is."),
}
GROUPS = {
    "station": Command("csms.cli.stations", "commands", "Charge points: add, list, show, change the key."),
    "security": Command("csms.cli.security", "commands", "Links: security events, keys, profiles of stations."),
    "ca": Command("csms.cli.authority", "commands", "Certificates: issue, revoke, list, requests, an authority."),
    "card": Command("csms.cli.cards", "commands", "Cards: issue, top up, import, replace, block, let expire, list."),
    "customer": Command("csms.cli.customers", "commands", "Customers of cards: set, show, erase."),
    "receipt": Command("csms.cli.receipts", "commands", "Receipts: show, write as PDF."),
    "tariff": Command("csms.cli.tariffs", "commands", "Tariffs: add, list, show, price an example, assign."),
    "command": Command("csms.cli.commands", "commands", "Calls to stations: list, show, cancel, progress, stop."),
    "group": Command("csms.cli.groups", "commands", "Groups of stations and of accounts: add, list, set."),
    "profile": Command("csms.cli.profiles", "commands", "Charging profiles: add, list, send, installed, clear."),
    "transaction": Command("csms.cli.transactions", "commands", "Charging transactions: list, show."),
    "reservation": Command("csms.cli.reservations", "commands", "Reservations: list, add, cancel."),
    "local-list": Command("csms.cli.local_lists", "commands", "Cards that stations know themselves: list, set, send."),
    "review": Command("csms.cli.reviews", "commands", "What waits for a person: list, show, resolve."),
    "messages": Command("csms.cli.messages", "commands", "The message log: search, tail, export."),
    "alarm": Command("csms.cli.alarms", "commands", "What the administrator has to know: list, acknowledge."),
    "ledger": Command("csms.cli.ledger", "commands", "The books: verify, journal, audit."),
    "staff": Command("csms.cli.staff", "commands", "People of the portal: add, list, link, desk, disable, enable."),
    "api-key": Command("csms.cli.api_keys", "commands", "Keys of the API: add, list, revoke, scopes."),
    "desk": Command("csms.cli.desks", "commands", "Cash desks: add, list, rename, what their card readers type."),
    "firmware": Command("csms.cli.firmware", "commands", "Firmware: add, list, send to a station, campaigns."),
    "diagnostics": Command("csms.cli.diagnostics", "commands", "Files of stations: ask for them, list, save."),
    "site": Command("csms.cli.sites", "commands", "Sites: add, list, rename, time zone."),
}


def main() -> None:
    """Run the command that the arguments name, and end the process with its exit status."""
    status = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def run(words: Sequence[str]) -> int:
    """Run a command and return its exit status. No error leaves this function; with --debug tracebacks are logged."""
    debug = "--debug" in words
    if debug:
        import_module("csms.cli.logs").show()
    try:
        result = typer.main.get_command(build(words)).main(
            args=list(words) or ["--help"],
            prog_name="csms",
            standalone_mode=False,
        )
    except Exception as error:  # noqa: BLE001 - the last place that can make a sentence of it
        if debug:
            import_module("csms.cli.logs").traceback()
        return _explain(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else DONE


def build(words: Sequence[str]) -> typer.Typer:
    """Return the commands, of which only the one that `words` name can do more than to say what it is."""
    app = typer.Typer(help=_HELP, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(_root)
    named = next((word for word in words if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        function: Callable[..., None] = _load(command) if name == named else _placeholder
        app.command(name, help=None if name == named else command.help, short_help=command.help)(function)
    for name, command in GROUPS.items():
        group = _load(command) if name == named else typer.Typer()
        app.add_typer(group, name=name, help=command.help)
    return app


def _load(command: Command) -> Any:  # noqa: ANN401 - a function or a group of them
    return getattr(import_module(command.module), command.function)


def _placeholder() -> None:
    """Stand in the list of commands for one that was not named."""


def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Log what happens, with tracebacks, to stderr.")] = False,
) -> None:
    """Options of every command; `run` has seen them already."""


def _explain(error: Exception) -> int:
    """Print one sentence and return the exit status."""
    status, sentence = DEFECT, f"This is a defect of csms ({type(error).__name__}): please report it."
    if isinstance(error, Refusal):
        status, sentence = error.exit_status, str(error)
    elif isinstance(error, ConfigurationError):
        status, sentence = WRONG_ARGUMENT, str(error)
    elif isinstance(error, typer.TyperException):
        status, sentence = WRONG_ARGUMENT, _usage(error)
    elif isinstance(error, StorageUnavailable):
        status, sentence = (
            REFUSED,
            "The database does not take anything at the moment, and nothing was stored; try again.",
        )
    elif type(error).__module__.startswith("sqlalchemy") and hasattr(error, "orig"):
        cause = str(error.orig).strip().partition("\n")[0]
        status, sentence = REFUSED, f"The database does not do what it should ({cause}); nothing was changed."
    if status == DEFECT:
        sentence += " `csms --debug ...` shows where it happened."
    complain(sentence)
    return status


def _usage(error: typer.TyperException) -> str:
    """Make one sentence of what the argument parser says, naming the command whose help says more."""
    name = getattr(error, "option_name", "")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "csms"
    what = str(getattr(error, "format_message", lambda: error)()).strip().replace("Value error, ", "")
    if name.startswith("-") and name[1:2].isdigit():
        what = f"{name} is not possible here: give an amount above zero, such as 20.00"
    return f"{what.rstrip('.')}; see `{path} --help`."
