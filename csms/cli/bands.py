"""A band of a tariff as it is typed: "night 22:00-06:00 mon-sun 0.20/0.01"; and an example to price: "20/60/15"."""

import re
from datetime import datetime

from csms.billing.bands import Band, split
from csms.billing.tariffs import Usage, example
from csms.billing.wall_clock import read_clock, read_weekdays
from csms.cli import arguments
from csms.cli.refusals import WrongArgument

_BAND = re.compile(r"(.{1,60}?)\s+([0-9:]+)-([0-9:]+)\s+([a-zA-Z,-]+)\s+([^/\s]+)(?:/(\S+))?")


def read_band(text: str) -> tuple[Band, ...]:
    """Read name, from-to, weekdays, price per kWh and, after a slash, per minute; a night is a band on each side of
    midnight.
    """
    found = _BAND.fullmatch(text.strip())
    if found is None:
        raise WrongArgument(
            f'--band is {text!r}: name, from-to, weekdays and price per kWh, such as "night 22:00-06:00 mon-sun 0.20", '
            "with a price per minute after a slash if there is one."
        )
    name, begin, end, weekdays, per_kwh, per_minute = found.groups()
    try:
        begin_minute, end_minute, days = read_clock(begin), read_clock(end), read_weekdays(weekdays)
    except ValueError as error:
        raise WrongArgument(f"--band {text!r}: {error}.") from None
    if end_minute == begin_minute:
        raise WrongArgument(f"--band {text!r}: it ends when it begins; a whole day is 00:00-24:00.")
    rate = arguments.rate(per_kwh, f"The price in --band {text!r}")
    rate_per_minute = arguments.rate(per_minute or "0", f"The price in --band {text!r}")
    return split(Band(name, days, begin_minute, end_minute, rate, rate_per_minute))


def read_example(text: str, time_zone: str, now: datetime) -> Usage:
    """Read kWh, minutes and idle minutes, and when it begins (else now), such as "20/60/15 @2026-12-01 21:30"."""
    quantities, _, at = text.partition("@")
    kwh, minutes, idle_minutes, *more = [*(one.strip() for one in quantities.split("/")), "0", "0"]
    if not quantities.strip()[:1].isdigit() or len(more) > 2 or "" in (kwh, minutes, idle_minutes):  # noqa: PLR2004 - the two that stand in for what is missing
        raise WrongArgument(f'--preview is {text!r}: kWh, minutes and idle minutes, such as "20/60/15".')
    return example(
        arguments.energy_wh(kwh, "--preview"),
        arguments.seconds(minutes, "--preview"),
        arguments.seconds(idle_minutes, "--preview"),
        arguments.moment(at, "--preview", time_zone) if at.strip() else now,
    )
