"""Tables beside the commands themselves: commands to many charge points, and what may not be shown of a command."""

from sqlalchemy import Column, ForeignKey, Integer, Sequence, String, Table, Text

from csms.db import Instant, metadata

command_batch_ids = Sequence("command_batch_ids", data_type=Integer, metadata=metadata)

# The same call to many charge points; how far it is, its commands tell.
command_batch = Table(
    "command_batch",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("form_key", String(100), nullable=False, unique=True),  # a form that is sent twice asks once
    Column("action", String(40), nullable=False),
    Column("payload_json", Text, nullable=False),
    Column("requested_by", String(100), nullable=False),
    Column("target", String(200), nullable=False),  # whom it is for, in words: the group, or how many stations
    Column("size", Integer, nullable=False),
    Column("created_at", Instant, nullable=False, index=True),
    Column("stopped_at", Instant, nullable=True),
    Column("stopped_by", String(100), nullable=True),
)

# The whole payload of a command in whose row a key or password is masked; gone when the command is decided.
command_secret = Table(
    "command_secret",
    metadata,
    Column("command_id", ForeignKey("command.id"), primary_key=True, autoincrement=False),
    Column("payload_json", Text, nullable=False),
)
