"""Teachers embed answers: training runs one once, evaluation compares with it.

`protocol` says what a teacher is; `stored_vectors` keeps its vectors on disk, so that no teacher is
in memory while response tokens train. No torch is imported here: `tfidf` does without.
"""
