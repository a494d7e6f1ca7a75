"""Events to the clients that may see them, while they happen.

`feed` reads the events of all services from JetStream, `hub` numbers and keeps those of each channel, `channels` says
who may join which, `websocket` speaks with the clients.
"""
