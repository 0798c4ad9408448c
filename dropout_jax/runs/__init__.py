"""A comparison from start to finish (`run`), its folder, its words, its plots and its page."""
