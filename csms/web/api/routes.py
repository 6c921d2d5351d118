"""Every endpoint of the API, in the order of its description: one line for each resource's module."""

from csms.web.api import (
    accounts,
    cards,
    charge_points,
    charging_profiles,
    commands,
    local_lists,
    messages,
    places,
    reservations,
    tariffs,
    transactions,
)
from csms.web.api.endpoint import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *charge_points.ENDPOINTS,
    *commands.ENDPOINTS,
    *charging_profiles.ENDPOINTS,
    *reservations.ENDPOINTS,
    *local_lists.ENDPOINTS,
    *cards.ENDPOINTS,
    *accounts.ENDPOINTS,
    *transactions.ENDPOINTS,
    *tariffs.ENDPOINTS,
    *places.ENDPOINTS,
    *messages.ENDPOINTS,
)
