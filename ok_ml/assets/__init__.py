"""Assets: thin sentences that read, call one pure function, commit and say what came out."""
