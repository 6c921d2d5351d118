"""`csms serve`: the central system and the portal, until SIGINT or SIGTERM."""

import asyncio

import uvloop

from csms.app import Running
from csms.app import serve as run_until_told
from csms.cli import logs
from csms.cli.opening import opened
from csms.cli.output import say
from csms.cli.refusals import Refusal
from csms.errors import ConfigurationError


def serve() -> None:
    """Run the central system and the portal until Ctrl-C."""
    with opened() as installation:
        settings = installation.settings
    logs.of_server(settings.log_level, settings.log_format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_until_told(settings, on_ready=_tell))
    except ConfigurationError as error:  # a port is taken: the settings were read and found right before
        raise Refusal(str(error)) from None


def _tell(running: Running) -> None:
    host = running.installation.settings.host
    say(f"Charge points connect to ws://{host}:{running.ocpp_port}/ocpp/IDENTITY")
    if running.ocpp_tls_port is not None:
        say(f"and, with TLS, to wss://{host}:{running.ocpp_tls_port}/ocpp/IDENTITY")
    say(f"The portal is at http://{host}:{running.portal_port}/")
