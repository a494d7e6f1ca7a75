"""Which processes run, where they listen, what they can do and how they are.

Owns: service instances (the JetStream bucket `registry`), their contracts (descriptor sets) and the history of their
states; all of it belongs to the platform.
RPCs: ListServices, GetService, ListInstances, ListHistory, Register, Heartbeat, Attend, Deregister, Drain, Watch,
GetContract.
Events out: InstanceHealthChanged.
Events in: none.

Any number of processes serve, and tell the same: a state is changed by compare-and-set in the bucket (`keeper`), whose
revision is the registry's; signs of life stay in memory (`roster`) and are shared over NATS (`peers`). Each process
looks after the instances that it heard last (`work`), by rules that know no clock (`rules`). The history, the trail and
the events are written from the bucket's stream (`intake`).
"""
