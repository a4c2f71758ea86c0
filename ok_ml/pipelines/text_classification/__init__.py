"""Texts to label scores: spam or not, clickbait or not, the topic of a post."""
