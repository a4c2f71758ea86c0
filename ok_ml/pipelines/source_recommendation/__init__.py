"""Pipeline type source_recommendation: the sources that a user is not subscribed to yet, best first."""
