"""Calls that we send: durable rows, one outstanding per charge point. One file per family of actions.

actions         every call that a central system may send
requests        turns what somebody wants into a command
dispatcher      claims a charge point's next command, sends it, records the answer
expiry          decides commands whose time is up
answers         what a charge point's answer means for a command
history         what people read of commands
waiting         waits until it is known what became of a command
settings_checks begins the checks of stations' settings that are due
security_work   signs requests for certificates, changes keys and renews certificates in time
remote          RemoteStartTransaction, RemoteStopTransaction
"""
