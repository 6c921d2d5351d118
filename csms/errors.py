"""The errors of the central system, as one tree.

Expected refusals (no credit, a card in another state) are values, not errors. What stands here is what a caller cannot
have expected, or what the edge has to turn into one sentence for a person::

    CsmsError
    ├── ConfigurationError      a setting is missing or wrong; names it, its value and what is allowed
    ├── StorageUnavailable      nothing was stored; the caller may try the same again
    │   └── Overloaded          the engine's queue is full
    ├── DecisionFailed          a defect met while deciding one input; the others of its batch are not touched
    ├── handlers.wire           FrameError, CallRejected, ResultUnreadable: what a peer sent cannot be read
    └── commands.answers        CommandUnsendable: a stored command is no call
"""


class CsmsError(Exception):
    """Any error of the central system."""


class ConfigurationError(CsmsError):
    """A setting is missing or wrong."""


class StorageUnavailable(CsmsError):  # noqa: N818 - a state of the storage, not a mistake of the caller
    """The unit of work was not committed: nothing was stored, and the same input may be submitted again."""


class Overloaded(StorageUnavailable):
    """More is waiting for the engine than `engine_queue_max` allows."""


class DecisionFailed(CsmsError):  # noqa: N818 - names the event that the log shows
    """A defect met while deciding one input; nothing of this input was stored."""
