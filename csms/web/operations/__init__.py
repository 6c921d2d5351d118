"""The operator's pages: what is online, what charges, one station, one transaction, what waits for a person."""
