"""Which numbers are watched, judged and shown, on top of quality and the lake."""
