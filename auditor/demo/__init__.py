"""``auditor demo``: two models of handwritten digits, trained on the spot, and their verdicts."""

from __future__ import annotations

from auditor.demo.story import run_demo

__all__ = ["run_demo"]
