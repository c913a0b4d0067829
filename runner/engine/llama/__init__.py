"""llama.cpp, wrapped: the only importer of `llama_cpp`.

Owns weights, context, batch memory and sampler chains as objects that free themselves, checks
every return code, and turns failures into exceptions. Decides nothing about who runs when.
"""

from .context import AbortFlag, Batch, Context, DecodeAborted, DecodeFailed, Logits
from .model import DryModel, LoadOptions, Model, logger, route_log, system_info, version
from .sampler_chain import MARGIN, SamplerChain

__all__ = [
    "MARGIN",
    "AbortFlag",
    "Batch",
    "Context",
    "DecodeAborted",
    "DecodeFailed",
    "DryModel",
    "LoadOptions",
    "Logits",
    "Model",
    "SamplerChain",
    "logger",
    "route_log",
    "system_info",
    "version",
]
