"""What a key may do: the scopes, each with the words that a person chooses it by. Knows no key and no endpoint."""

from typing import Literal, get_args

Scope = Literal[
    "charge-points:read",
    "charge-points:write",
    "commands:read",
    "commands:write",
    "cards:read",
    "cards:write",
    "top-ups:write",
    "transactions:read",
    "tariffs:read",
    "tariffs:write",
    "sites:read",
    "reservations:read",
    "reservations:write",
    "local-lists:read",
    "local-lists:write",
    "charging-profiles:read",
    "charging-profiles:write",
    "files:read",
    "files:write",
    "security:read",
    "security:write",
    "messages:read",
    "events:read",
    "webhooks:read",
    "webhooks:write",
]

SCOPES: tuple[Scope, ...] = get_args(Scope)

MEANINGS: dict[Scope, str] = {
    "charge-points:read": "See charge points, their connectors and whether they are connected",
    "charge-points:write": "Create, change and adopt charge points",
    "commands:read": "See what charge points were asked for and what they answered",
    "commands:write": "Send commands to charge points; some need another scope, too",
    "cards:read": "See cards, accounts and their statements",
    "cards:write": "Issue, block and unblock cards",
    "top-ups:write": "Top up cards",
    "transactions:read": "See transactions, their readings and charges",
    "tariffs:read": "See tariffs and where they apply",
    "tariffs:write": "Create tariff versions and assign tariffs",
    "sites:read": "See sites and groups",
    "reservations:read": "See reservations",
    "reservations:write": "Make and cancel reservations",
    "local-lists:read": "See local lists of cards",
    "local-lists:write": "Change and send local lists of cards",
    "charging-profiles:read": "See charging profiles",
    "charging-profiles:write": "Change and send charging profiles",
    "files:read": "See firmware, diagnostics and logs",
    "files:write": "Upload firmware, run campaigns, ask for diagnostics and logs",
    "security:read": "See certificates and security events",
    "security:write": "Issue, install and revoke certificates, change keys of charge points",
    "messages:read": "See the message log",
    "events:read": "Follow what happens as it happens",
    "webhooks:read": "See webhooks; with events:read also what they were sent",
    "webhooks:write": "Test, pause and delete webhooks; with events:read also create and change them",
}


def narrowed(asked: list[str]) -> tuple[Scope, ...]:
    """Return the scopes among `asked`, in the order of the table."""
    return tuple(scope for scope in SCOPES if scope in asked)
