"""WEBHOOKS: what happens, sent to programs of others, signed, until they have taken it.

models          tables: who wants what, and each delivery
signing         the signature of a body, as Standard Webhooks writes it (pure)
addresses       where a webhook may go: not into our own network, unless a setting says so
sending         one request to one address
store           webhooks and deliveries as rows
delivering      takes events off their rows, sends what is due, tries again; one node for each webhook
"""
