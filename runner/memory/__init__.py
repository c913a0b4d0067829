"""Planning: what a model needs, whether this machine holds it, and how it should be loaded.

Pure: facts in, `LoadPlan` or `DoesNotFitError` out; reads no file, asks no system. Invariant: the
sums a plan shows are the ones the decision was made on.
"""

from .choice import Candidate, Choice, choose_quantization, list_candidates
from .footprint import Footprint
from .plan import LoadPlan, Wish, confirm, plan
from .shape import ModelShape, shape_from_catalog, shape_from_header

__all__ = [
    "Candidate",
    "Choice",
    "Footprint",
    "LoadPlan",
    "ModelShape",
    "Wish",
    "choose_quantization",
    "confirm",
    "list_candidates",
    "plan",
    "shape_from_catalog",
    "shape_from_header",
]
