"""Benchmarks: this project's server and llama-server on the same work, in turn.

Owns models of random weights, both servers' processes, the workloads, the table and its targets.
Nothing in `runner` imports it. Invariant: both servers get the same bytes, the same context, the
same threads, and a fresh, warmed-up process for every figure.
"""
