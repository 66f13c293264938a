"""Programs that measure; each prints what it measured and can write it as JSON."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
