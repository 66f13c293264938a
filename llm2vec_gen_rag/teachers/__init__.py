"""Things that embed an answer: training runs them once, evaluation compares with them.

Training reads the stored vectors and never holds a teacher in memory.
"""
