"""OPERATIONS: what is done to stations beside charging, and what they tell of themselves.

What an operator wants goes out as a command; the effect on our own tables is a pure function of the command and its
answer, wherever it was asked for. Knows the facts of charging and its engine; charging knows nothing of it.

events, event_store                       what happened, in the order of the commits
rules           what the engine decides, follows up, loads and writes beside charging: the table of contents

charging_profiles    what stations have of them, and the credit guard's limit among them; `_store`, `_models` beside it
profile_schedules    what several profiles allow together (OCPP 1.6, 3.13); profile_words: how people write them
profile_library      the stored ones, and what a station says it cannot take
composite_answers    what stations answer to GetCompositeSchedule, read and compared
"""
