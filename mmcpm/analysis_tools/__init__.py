"""Programs that measure models and data."""
