"""The accountant's pages: cards with their credit, the journal behind every balance, the accounts."""
