"""What of mapped files this process has in memory (Linux)."""

from __future__ import annotations

from pathlib import Path


def file_pages_mib():
    """Return the MiB of mapped files that this process has in memory."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssFile")) / 1024
