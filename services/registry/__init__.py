"""Which processes run, where they listen, what they can do and how they are.

Owns: service instances, their contracts (descriptor sets) and the history of their states; rows belong to the platform.
RPCs: ListServices, GetService, ListInstances, ListHistory, Register, Heartbeat, Deregister, Drain, Watch, GetContract.
Events out: InstanceHealthChanged.
Events in: none.

What is live (last signs of life, states, watchers) is in the memory of the one process that serves; what was registered
is in the database, from which a restart begins.
"""
