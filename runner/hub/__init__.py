"""Resolving, downloading, verifying, listing and removing weights.

Owns the way from a model's name to proved files on this disk. huggingface_hub is imported on
first use only, and only here; all HTTP goes by the egress's rules.
"""

from .bundle import export_bundle, import_bundle
from .imported import Import, Imports, detect_chat_format
from .library import Installed, Library, hub_cache_dir
from .pull import (
    InPlace,
    Progress,
    Pulled,
    Puller,
    PullEvent,
    Resolved,
    Waiting,
    describe,
)
from .repository import Repositories
from .selection import quantization_of
from .verification import Verdict, verify

__all__ = [
    "Import",
    "Imports",
    "InPlace",
    "Installed",
    "Library",
    "Progress",
    "PullEvent",
    "Pulled",
    "Puller",
    "Repositories",
    "Resolved",
    "Verdict",
    "Waiting",
    "describe",
    "detect_chat_format",
    "export_bundle",
    "hub_cache_dir",
    "import_bundle",
    "quantization_of",
    "verify",
]
