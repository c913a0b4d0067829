"""Tests: `tests/` mirrors `runner/`; `fakes/` stands in for outside services."""
