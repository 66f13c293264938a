"""Programs that measure speed, memory and quality; each prints its figures and writes JSON."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
