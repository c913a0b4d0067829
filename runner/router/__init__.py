"""Who answers: the choice between this machine and hosted providers, and its record.

Owns policy and the order of attempts. Knows backends by protocol only. Invariant: content that
reached a client is never retracted, and every decision can be explained without acting on it.
"""

from __future__ import annotations

from .policy import Choice, Decision, Rejected, Rules
from .record import AttemptRecord, RouteRecord, RouteSnapshot
from .router import Answer, Router
from .seam import Hooks, HostedBackend, ReportingBackend

__all__ = [
    "Answer",
    "AttemptRecord",
    "Choice",
    "Decision",
    "Hooks",
    "HostedBackend",
    "Rejected",
    "ReportingBackend",
    "RouteRecord",
    "RouteSnapshot",
    "Router",
    "Rules",
]
