"""Benchmarks against peers, side by side in one run: `make bench`.

Three systems answer the same questions on the same machine, the same PostgreSQL and the same Valkey, in turns:
Switchyard as `switchyard up` starts it; a one-process FastAPI monolith built by the usual means (`bench/monolith`); and
Envoy's JSON transcoder in front of the same inventory process. Each answer is checked, byte for byte where it can be;
a wrong one ends the run. What is counted is CPU time of every process involved, besides throughput and latency.
"""
