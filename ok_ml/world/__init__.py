"""The simulated social network: a log with planted truth, so that what is served can be judged."""
