"""The ledger: attempts, tokens, and money reserved, settled and uncertain, in one SQLite file.

Owns every count that must survive a restart. Knows neither HTTP nor who chooses a backend.
Invariant: money is held before it can be spent, and is never let go without a reason.
"""

from __future__ import annotations

from .answer import AnswerRow
from .attempt import Again, Attempt, AttemptsSpentError, Call, Outcome, Verdict
from .budget import Budget
from .ledger import Ledger, LedgerError
from .money import Price, to_nusd, to_usd
from .quote import Quote
from .store import HoldRequest, Sample, Uncertain
from .usage import UsageReport, UsageRow

__all__ = [
    "Again",
    "AnswerRow",
    "Attempt",
    "AttemptsSpentError",
    "Budget",
    "Call",
    "HoldRequest",
    "Ledger",
    "LedgerError",
    "Outcome",
    "Price",
    "Quote",
    "Sample",
    "Uncertain",
    "UsageReport",
    "UsageRow",
    "Verdict",
    "to_nusd",
    "to_usd",
]
