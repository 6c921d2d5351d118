"""Pages about programs of others: keys of the API, webhooks, and the API's description for people."""
