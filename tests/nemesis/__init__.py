"""A real server under mixed load, struck by random faults: `python -m tests.nemesis --minutes N`.

After each fault the invariants are checked and one line is printed; at the end comes a verdict.
"""
