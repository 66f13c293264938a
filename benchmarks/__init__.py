"""Programs that measure; each prints what it measured and can write it as JSON."""
