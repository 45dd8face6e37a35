"""Programs that write, check and prepare data sets."""
