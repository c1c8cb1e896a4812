"""Loading the candidate: its architecture, its weights, its preprocessing, and what it costs."""

from __future__ import annotations

from auditor.models.candidate import CandidateSpec, LoadedModel, load

__all__ = ["CandidateSpec", "LoadedModel", "load"]
