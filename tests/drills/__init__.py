"""Fault drills: real processes, a real redis-server and PostgreSQL, injected faults, and invariants that must hold afterwards.

Each drill is proved by a mutant: the same drill without one safety of the product has to break an invariant.
"""
