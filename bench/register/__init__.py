"""Many evidence files at once: listed, filtered and compared."""
