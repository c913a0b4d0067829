"""Weights that are fetched on first use, the way `runner pull` does it.

Owns who is being fetched, how far that is, and the memory of what could not be. The pool asks once
for a model however many requests wait for it, so there is one transfer for all of them. Invariants:
nothing is asked of the Hub for what the plan says cannot be loaded here, and only for models of the
catalogue; after a failure the model rests for a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from runner.backend import BackendStatus
from runner.errors import DoesNotFitError, NotInstalledError, RunnerError, WeightsError
from runner.hub import Progress, Puller, PullEvent, Resolved, Waiting, in_thread, in_words

from .planning import Planner
from .pool import COOL_DOWN_S, Order
from .shelf import Shelf

logger = logging.getLogger(__name__)

TOLD_EVERY_S = 10.0


@dataclass(slots=True)
class Errand:
    """One model's weights on their way here, or lately not come."""

    words: str = "the Hub is asked"
    quantization: str | None = None
    told_s: float = 0.0
    failure: WeightsError | None = None
    failed_until_s: float = 0.0


class Fetcher:
    """Fetches what is not here and then plans it; `order` is what a pool starts engines by."""

    def __init__(
        self,
        shelf: Shelf,
        planner: Planner,
        make_puller: Callable[[], Puller],
        clock: Callable[[], float],
    ) -> None:
        self._shelf = shelf
        self._planner = planner
        self._make_puller = make_puller
        self._clock = clock
        self._errands: dict[str, Errand] = {}

    async def order(self, model: str) -> Order:
        """As the planner's, with the weights fetched first where they are not here.

        Raises:
            DoesNotFitError: this machine could not hold it; nothing was fetched.
            NotInstalledError: it is not in the catalogue, or fetching it failed, now or lately.
        """
        if self._shelf.find(model) is None and self._shelf.catalogued(model) is not None:
            self._check_rest(model)
            await asyncio.to_thread(self._planner.prospect, model)
            await self._fetch(model)
        return await self._planner.order(model)

    def status(self, model: str) -> BackendStatus | None:
        """What a request meets while the weights come, or after they did not; else None."""
        errand = self._errands.get(model)
        if errand is None:
            return None
        if errand.failure is None:
            words = f"{model} is being fetched: {errand.words}"
            return BackendStatus("loading", words, quantization=errand.quantization)
        left_s = errand.failed_until_s - self._clock()
        if left_s <= 0:
            return None
        words = f"{errand.failure}; it is tried again in {left_s:.0f} s at the earliest"
        cause = "does_not_fit" if isinstance(errand.failure, DoesNotFitError) else "not_installed"
        return BackendStatus("unavailable", words, cause=cause)

    def _check_rest(self, model: str) -> None:
        errand = self._errands.get(model)
        if errand is None or errand.failure is None:
            return
        if self._clock() < errand.failed_until_s:
            raise errand.failure.with_traceback(None)

    async def _fetch(self, model: str) -> None:
        errand = self._errands[model] = Errand(told_s=self._clock())
        try:
            events = self._make_puller().pull(model, choose=self._planner.choose)
            async with aclosing(in_thread(events)) as told:
                async for event in told:
                    self._note(model, errand, event)
        except DoesNotFitError as error:
            self._rest(model, errand, error)
            raise
        except RunnerError as error:
            words = f"the weights of {model} could not be fetched: {error}"
            self._rest(model, errand, NotInstalledError(words))
            raise NotInstalledError(words) from error
        except BaseException:
            del self._errands[model]
            raise
        finally:
            self._shelf.refresh()
        del self._errands[model]

    def _note(self, model: str, errand: Errand, event: PullEvent) -> None:
        """Keep the news for whoever asks, and log now and then."""
        errand.words = in_words(event)
        if isinstance(event, Resolved):
            errand.quantization = event.quantization
        if isinstance(event, Progress | Waiting) and self._clock() - errand.told_s < TOLD_EVERY_S:
            return
        errand.told_s = self._clock()
        logger.info("%s: %s", model, errand.words)

    def _rest(self, model: str, errand: Errand, failure: WeightsError) -> None:
        errand.failure = failure
        errand.failed_until_s = self._clock() + COOL_DOWN_S
        logger.warning("%s: %s", model, failure)
