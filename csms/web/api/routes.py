"""Every endpoint of the API, in the order of its description: one line for each resource's module."""

from csms.web.api import (
    accounts,
    cards,
    certificates,
    charge_points,
    charging_profiles,
    commands,
    events,
    firmware,
    firmware_campaigns,
    local_lists,
    messages,
    places,
    reservations,
    security,
    station_files,
    tariffs,
    transactions,
    webhooks,
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
    *events.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *firmware.ENDPOINTS,
    *firmware_campaigns.ENDPOINTS,
    *station_files.ENDPOINTS,
    *messages.ENDPOINTS,
    *security.ENDPOINTS,
    *certificates.ENDPOINTS,
)
