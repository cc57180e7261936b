"""Grading of notebooks that nobody has read: answers run in a sandbox and are judged outside.

records      tasks, results and verdicts as data: what everything about a graded class builds on
handed_in    the files and folders of a class, and whose they are
submissions  a notebook that was handed in -> for each exercise the code that its answer needs
slicing      which statements of a notebook a statement needs
sandbox      bubblewrap, limits, time
stage        what of the course lies inside the sandbox: the package without the answers
harness      inside: runs the code, calls the answer on the probes, sends the results
transfer     results as bytes that are safe to read: no pickles
forked       a function in a process of its own, with limits; inside and outside
frames       messages through pipes
judging      results -> verdicts
worker       one submission after the other, each in a process of its own; workers asks it
grade        all of it for a class: resumable, several at once
cluster      the same on a Dask cluster
reports      CSV, JSON and each learner's feedback as HTML
version      which course this is
text         foreign text in messages, terminals and file names
"""
