"""The machinery behind every check.

probes.py    parts that probes are made of: networks that fail or take few pictures
worn.py      networks that have been in use, and what a call did to them
copies.py    many copies of the arguments, quickly
calls.py     calls a function on probes and records what it returned, raised or changed
values.py    makes plain data of whatever it returned
compare.py   finds the first way in which an answer differs from the expected one
diagnose.py  finds what a wrong answer has to do with the right one
causes.py    explains an exception: the learner's own line and the likely cause
sources.py   finds what a function calls, and prints a worked answer
feedback.py  what the learner is told, as text and as HTML
checks.py    puts them together: `Check`, and the decorator that makes one
"""
