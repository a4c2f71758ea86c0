"""Asset checks: what must hold before the next step, in words that say the value and the limit."""
