"""Runs that a command starts in its own process: a whole pipeline, an attempt, one recipe, a judgement made again."""
