"""Resolving, downloading, verifying, listing and removing weights.

Owns the way from a model's name to proved files on this disk. huggingface_hub is imported on
first use only, and only here; all HTTP goes by the egress's rules.
"""

from .bundle import export_bundle, import_bundle
from .crossing import in_thread
from .event import (
    InPlace,
    Progress,
    Pulled,
    PullEvent,
    Resolved,
    Waiting,
    describe,
    in_words,
    size_text,
)
from .imported import Import, Imports, detect_chat_format
from .library import Installed, Library, hub_cache_dir
from .pull import Puller
from .repository import Repositories
from .selection import Candidate, Chooser, Offer, Pick, by_size, quantization_of
from .verification import Verdict, verify

__all__ = [
    "Candidate",
    "Chooser",
    "Import",
    "Imports",
    "InPlace",
    "Installed",
    "Library",
    "Offer",
    "Pick",
    "Progress",
    "PullEvent",
    "Pulled",
    "Puller",
    "Repositories",
    "Resolved",
    "Verdict",
    "Waiting",
    "by_size",
    "describe",
    "detect_chat_format",
    "export_bundle",
    "hub_cache_dir",
    "import_bundle",
    "in_thread",
    "in_words",
    "quantization_of",
    "size_text",
    "verify",
]
