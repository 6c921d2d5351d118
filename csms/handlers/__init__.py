"""The calls we receive, one file for each OCPP action."""
