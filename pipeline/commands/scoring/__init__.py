"""Scores of anybody's results: a submission in LUNA16's form, and two or more side by side."""
