"""The vectors' list itself, without a ranker: music, groups, games."""
