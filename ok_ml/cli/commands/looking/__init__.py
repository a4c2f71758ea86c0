"""Commands that only look: they change no state."""
