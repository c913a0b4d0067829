"""llama.cpp, wrapped: the only importer of `llama_cpp`.

Owns weights, context, batch memory and sampler chains as objects that free themselves, checks
every return code, and turns failures into exceptions. Decides nothing about who runs when.
"""

from .context import AbortFlag, Batch, Context, DecodeAborted, DecodeFailed, Logits
from .model import DryModel, LoadOptions, Model, logger, route_log, system_info, version
from .sampler_chain import Ids, SamplerChain

__all__ = [
    "AbortFlag",
    "Batch",
    "Context",
    "DecodeAborted",
    "DecodeFailed",
    "Ids",
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
