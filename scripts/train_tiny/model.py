"""The network: a small Llama (RMSNorm, rotary positions, SwiGLU, tied embeddings).

Weights keep the layout of llama.cpp's `llama` architecture, whose rotary pairs are neighbours,
so export is a plain copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_LOOK_BACK = (1, 2, 3)
_LOOK_STRENGTH = 5.0
_FAST_PAIRS = 4
_BAND = 256


@dataclass(frozen=True)
class Shape:
    """The sizes of the network."""

    vocabulary: int
    width: int = 224
    layers: int = 5
    heads: int = 7
    hidden: int = 576
    context: int = 2048
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5


class Block(nn.Module):
    """Attention and a gated feed-forward layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads, self.epsilon = shape.heads, shape.norm_epsilon
        self.attention_norm = nn.Parameter(torch.ones(width))
        self.feed_norm = nn.Parameter(torch.ones(width))
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, width, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """One block over a batch of rows."""
        rows, length, width = x.shape
        normed = functional.rms_norm(x, (width,), self.attention_norm, self.epsilon)
        mixed = self.query_key_value(normed).view(rows, length, 3, self.heads, -1)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        seen = attend(query, key, value)
        x = x + self.out(seen.transpose(1, 2).reshape(rows, length, width))
        normed = functional.rms_norm(x, (width,), self.feed_norm, self.epsilon)
        gate, up = self.gate_up(normed).chunk(2, dim=-1)
        return x + self.down(functional.silu(gate) * up)


class TinyHermes(nn.Module):
    """The whole network; logits come from the transposed embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.width))
        size = shape.width // shape.heads
        rates = shape.rope_base ** (-torch.arange(0, size, 2).float() / size)
        angles = torch.arange(shape.context).float()[:, None] * rates
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deep = name.endswith(("out.weight", "down.weight"))
                spread = 0.5 * shape.width**-0.5 / ((2 * shape.layers) ** 0.5 if deep else 1)
                nn.init.normal_(parameter, std=0.02 if "embedding" in name else spread)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        look_back(self.blocks[0], rates)

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Logits at every position, or only where `wanted` is true."""
        length = tokens.shape[1]
        cosine, sine = self.cosine[:length], self.sine[:length]
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, cosine, sine)
        if wanted is not None:
            x = x[wanted]
        x = functional.rms_norm(x, (self.shape.width,), self.norm, self.shape.norm_epsilon)
        return functional.linear(x, self.embedding.weight)

    def losses(self, tokens: Tensor, wanted: Tensor, half: bool) -> Tensor:
        """The loss on each token after the first that is wanted, row by row."""
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = self(tokens[:, :-1], wanted)
        return functional.cross_entropy(logits.float(), tokens[:, 1:][wanted], reduction="none")

    @torch.no_grad()
    def deepen(self, after: Sequence[int]) -> "TinyHermes":
        """A network with one more block behind each of these, which says the same at first.

        A new block reads like the one before it and adds nothing yet.
        """
        sources: list[Block] = []
        for index, block in enumerate(self.blocks):
            sources += [block, block] if index in after else [block]
        deeper = TinyHermes(replace(self.shape, layers=len(sources)))
        deeper.embedding.load_state_dict(self.embedding.state_dict())
        deeper.norm.copy_(self.norm)
        for index, (block, source) in enumerate(zip(deeper.blocks, sources, strict=True)):
            block.load_state_dict(source.state_dict())
            if index and source is sources[index - 1]:
                block.out.weight.zero_()
                block.down.weight.zero_()
        return deeper


class Bands(torch.autograd.Function):
    """Causal attention in bands of queries, each over no more keys than it may see.

    On a processor, plain products in bfloat16 take half the time of the fused kernel. Queries
    are scaled by the caller; all are (rows * heads, length, size).
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What the queries see."""
        hidden = torch.full((_BAND, _BAND), float("-inf"), dtype=query.dtype).triu(1)
        seen, weights = torch.empty_like(value), []
        for start in range(0, query.shape[1], _BAND):
            stop = min(start + _BAND, query.shape[1])
            scores = torch.bmm(query[:, start:stop], key[:, :stop].mT)
            scores[..., start:] += hidden[: stop - start, : stop - start]
            weights.append(scores.softmax(-1))
            seen[:, start:stop] = torch.bmm(weights[-1], value[:, :stop])
        ctx.save_for_backward(query, key, value, *weights)
        return seen

    @staticmethod
    def backward(ctx: Any, d_seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of queries, keys and values."""
        query, key, value, *weights = ctx.saved_tensors
        d_query, d_key, d_value = (torch.zeros_like(x) for x in (query, key, value))
        for band, weight in enumerate(weights):
            start, stop = band * _BAND, weight.shape[2]
            d_band = d_seen[:, start:stop]
            d_value[:, :stop].baddbmm_(weight.mT, d_band)
            d_weight = torch.bmm(d_band, value[:, :stop].mT)
            d_scores = torch._softmax_backward_data(d_weight, weight, -1, weight.dtype)
            d_query[:, start:stop] = torch.bmm(d_scores, key[:, :stop])
            d_key[:, :stop].baddbmm_(d_scores.mT, query[:, start:stop])
        return d_query, d_key, d_value


@torch.compiler.disable  # the number of bands follows from the length
def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention over (rows, heads, length, size)."""
    shape = query.shape
    flat = (x.reshape(-1, *shape[2:]) for x in (query * shape[-1] ** -0.5, key, value))
    return Bands.apply(*flat).view(shape)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions on neighbouring pairs."""
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
    return turned.flatten(-2).to(x.dtype)


@torch.no_grad()
def look_back(block: Block, rates: Tensor) -> None:
    """Start the first heads off looking 1, 2 and 3 tokens back; training may change that.

    Copying rests on heads that see the token before. Their key bias is the query bias turned
    by the distance, in the fast rotary pairs alone, so the score peaks at that distance.
    """
    bias = block.query_key_value.bias.view(3, block.heads, -1, 2)
    fast = rates[:_FAST_PAIRS]
    for head, distance in enumerate(_LOOK_BACK):
        bias[0, head, :_FAST_PAIRS, 0] = _LOOK_STRENGTH
        bias[1, head, :_FAST_PAIRS, 0] = _LOOK_STRENGTH * (fast * distance).cos()
        bias[1, head, :_FAST_PAIRS, 1] = _LOOK_STRENGTH * (fast * distance).sin()
