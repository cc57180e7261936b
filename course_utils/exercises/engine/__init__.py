"""The machinery behind every check.

calls.py     calls a function on probes and records what it returned, raised or changed
compare.py   finds the first way in which an answer differs from the expected one
causes.py    explains an exception: the learner's own line and the likely cause
feedback.py  what the learner is told, as text and as HTML
checks.py    puts them together: `Check`, and the decorator that makes one
"""
