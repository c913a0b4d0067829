"""Training: one pass over the pools, with checkpoints to resume from.

After `SHALLOW_POOLS` the network gets one more layer, a second, gentler round of rates begins, and
only rows that are not known yet are learnt from.

    python -m scripts.train_tiny.train --work DIR

The work directory holds the tokenizer, the last checkpoint and a log.
"""

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, distributed

from . import batches, sieve
from . import tokenizer as tokenizers_
from .curriculum import POOLS, SEED, SHALLOW_POOLS, SHORT_POOLS
from .model import Shape, TinyHermes

BATCH_TOKENS, SIFTED_TOKENS, HARD_TOKENS = 1800, 3000, 1500  # for each rank
MATRIX_RATE, OTHER_RATE = 8e-3, 2e-3
DEEP_SHARE = 0.2  # of the rates, for the deeper network
DOUBLED = (2,)  # the layers that get one more behind them
HARD_SHARE, SIFTED_POOLS = 0.3, 4  # the worst rows of so many pools make its batches
_WARM_POOLS = 8
_LOG_EVERY = 4
_SAVE_SECONDS = 60


def rate_factor(pool: float) -> float:
    """Warm up, hold through the short pools, then fall along a line; once more when deeper."""
    if pool < SHALLOW_POOLS:
        warm = min(1.0, (pool + 0.05) / _WARM_POOLS)
        left = (SHALLOW_POOLS - pool) / (SHALLOW_POOLS - SHORT_POOLS)
        return warm * min(1.0, 0.03 + 0.97 * left)
    warm = min(1.0, (pool - SHALLOW_POOLS + 0.05) / _WARM_POOLS)
    return DEEP_SHARE * warm * (0.02 + 0.98 * (POOLS - pool) / (POOLS - SHALLOW_POOLS))


def optimizers_of(network: TinyHermes) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for everything else."""
    inside = [p for block in network.blocks for p in block.parameters() if p.dim() == 2]
    known = {id(p) for p in inside}
    rest = [p for p in network.parameters() if id(p) not in known]
    return [
        torch.optim.Muon(inside, lr=MATRIX_RATE, momentum=0.95, weight_decay=0.05),
        torch.optim.AdamW(rest, lr=OTHER_RATE, betas=(0.9, 0.97), weight_decay=0.0),
    ]


def loss_of(network: TinyHermes, batch: batches.Batch, half: bool) -> Tensor:
    """The mean loss on the tokens the model is taught to write."""
    tokens = torch.from_numpy(batch.tokens).long()
    wanted = torch.from_numpy(batch.taught)[:, 1:]
    return network.losses(tokens, wanted, half).mean()


def average_gradients(network: TinyHermes, ranks: int) -> None:
    """Give every rank the mean of all ranks' gradients."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= ranks
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()


class Trainer:
    """The state of a run: network, optimizers, position in the data."""

    def __init__(self, options: argparse.Namespace, rank: int = 0) -> None:
        self.rank, self.ranks = rank, options.ranks
        self.work, self.half, self.compiles = options.work, options.half, options.compile
        self.tokenizer_file = self.work / "tokenizer.json"
        torch.manual_seed(SEED)
        vocabulary = tokenizers_.load(self.tokenizer_file)
        self.pad = vocabulary.token_to_id(tokenizers_.PAD)
        self.judged: list[sieve.Judged] = []
        self.worst: list[batches.Batch] = []
        self.pool = self.steps = self.tokens = 0
        self.checkpoint_file = self.work / "checkpoint.pt"
        if self.checkpoint_file.exists():
            self._resume()
        else:
            self._take(TinyHermes(Shape(vocabulary.get_vocab_size())))

    def _take(self, network: TinyHermes) -> None:
        """Train this network from now on, with optimizers that know nothing yet."""
        self.network = network
        if self.compiles:
            for block in network.blocks:
                block.compile(dynamic=True)
        self.optimizers = optimizers_of(network)

    def _resume(self) -> None:
        saved = torch.load(self.checkpoint_file, weights_only=True)
        network = TinyHermes(Shape(**saved["shape"]))
        network.load_state_dict(saved["network"])
        self._take(network)
        # A checkpoint restored from a shipped file holds no optimizers.
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=False):
            optimizer.load_state_dict(state)
        self.pool, self.steps, self.tokens = saved["pool"], saved["steps"], saved["tokens"]

    def save(self) -> None:
        """Write the checkpoint in one go."""
        if self.rank:
            return
        partial = self.checkpoint_file.with_suffix(".partial")
        torch.save(
            {
                "network": self.network.state_dict(),
                "shape": asdict(self.network.shape),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "pool": self.pool,
                "steps": self.steps,
                "tokens": self.tokens,
            },
            partial,
        )
        partial.replace(self.checkpoint_file)

    def step(self, batch: batches.Batch, pool: float) -> float:
        """One update."""
        factor = rate_factor(pool)
        for optimizer, peak in zip(self.optimizers, (MATRIX_RATE, OTHER_RATE), strict=True):
            optimizer.param_groups[0]["lr"] = peak * factor
        loss = loss_of(self.network, batch, self.half)
        loss.backward()
        if self.ranks > 1:
            average_gradients(self.network, self.ranks)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        self.tokens += batch.tokens.size * self.ranks
        return loss.item()

    def run(self, stop: int) -> None:
        """Train up to pool `stop`, the deeper network on what comes after `SHALLOW_POOLS`."""
        shallow = min(stop, SHALLOW_POOLS)
        if self.pool < shallow:
            self._read(shallow, BATCH_TOKENS)
        if self.pool < stop:
            if self.network.shape.layers == Shape.layers:
                self._take(self.network.deepen(DOUBLED))
            self._read(stop, SIFTED_TOKENS)

    def _sifted(self, number: int, several: list[batches.Batch]) -> list[batches.Batch]:
        """What is worth a step now: nothing until some pools are judged, then the worst of them."""
        for batch in several:
            self.judged += sieve.judge(self.network, batch, self.half)
        if (number + 1) % SIFTED_POOLS:
            return []
        self.worst += sieve.worst(self.judged, HARD_SHARE, HARD_TOKENS, self.pad)
        self.judged = []
        count = torch.tensor(len(self.worst))
        if self.ranks > 1:
            distributed.all_reduce(count, distributed.ReduceOp.MIN)
        ready, self.worst = self.worst[: int(count)], self.worst[int(count) :]
        return ready

    def _read(self, stop: int, size: int) -> None:
        """Train on the pools up to `stop` in batches of `size` tokens for each rank."""
        context = self.network.shape.context
        started, saved, losses = time.time(), time.time(), []
        first_tokens = self.tokens
        made = batches.stream(self.tokenizer_file, self.pool, stop, size, context)
        for number, every in made:
            usable = len(every) - len(every) % self.ranks
            several = every[self.rank : usable : self.ranks]
            if number >= SHALLOW_POOLS:
                several = self._sifted(number, several)
            for index, batch in enumerate(several):
                losses.append(self.step(batch, number + index / len(several)))
            self.pool = number + 1
            if self.pool % _LOG_EVERY == 0 and losses and not self.rank:
                seconds = time.time() - started
                line = {
                    "pool": self.pool, "steps": self.steps, "tokens": self.tokens,
                    "loss": round(sum(losses) / len(losses), 4), "seconds": round(seconds),
                    "tokens_a_second": round((self.tokens - first_tokens) / seconds),
                }  # fmt: skip
                print(json.dumps(line), flush=True)
                losses = []
            if time.time() - saved > _SAVE_SECONDS:
                self.save()
                saved = time.time()
        self.save()


def run_rank(rank: int, options: argparse.Namespace) -> None:
    """One of the processes that share the work: each has one thread and its own batches."""
    os.setsid()  # on a shared machine the kernel shares time by session
    torch.set_num_threads(1)
    meeting = f"file://{(options.work / 'meeting').resolve()}"
    distributed.init_process_group("gloo", meeting, rank=rank, world_size=options.ranks)
    Trainer(options, rank).run(options.stop)
    distributed.destroy_process_group()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stop", type=int, default=POOLS, help="stop early, to resume later")
    parser.add_argument("--ranks", type=int, default=2, help="processes that share the work")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--half", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    tokenizer_file = options.work / "tokenizer.json"
    if not tokenizer_file.exists():
        tokenizers_.train(tokenizer_file)
    (options.work / "meeting").unlink(missing_ok=True)
    torch.multiprocessing.spawn(run_rank, (options,), nprocs=options.ranks)


if __name__ == "__main__":
    main()
