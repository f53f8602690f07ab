"""Evidence and verdicts turned into what people read; sees values only, never a live device."""
