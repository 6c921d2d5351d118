"""Every endpoint of the API, in the order of its description: one line for each resource's module."""

from csms.web.api import commands
from csms.web.api.endpoint import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (*commands.ENDPOINTS,)
