"""A comparison from start to finish, and its folder: words, plots, page."""
