"""Lets `python -m csms` do what the command `csms` does."""

from csms.cli import main

main()
