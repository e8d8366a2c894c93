"""Fault drills: real processes, a real redis-server and PostgreSQL, faults on purpose, and invariants that must hold afterwards.

Each drill is proved by a mutant: the same drill with one safety of the product taken away has to break an invariant.
"""
