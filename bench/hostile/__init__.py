"""Hostile peers: what anybody who reaches the ports can send, seeded, while a good station charges beside it.

    python -m bench.hostile --seconds 60 --seed 1

frames      frames that are nearly right: valid ones of every action, mutated. Pure
sockets     TCP and WebSocket without manners, from many addresses of this machine
stations    attacks of whoever got in as a station: frames, floods, answers that nobody asked for
strangers   attacks of whoever has only the port: handshakes, slow senders, floods of connections
pages       the same at the portal and the API
target      the server as a process of its own, what it holds, and what it complained of
campaign    all of it at once, and what has to hold afterwards
"""
