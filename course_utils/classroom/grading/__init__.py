"""Grading of notebooks that nobody has read: answers run in a sandbox and are judged outside.

submissions  what a learner handed in -> for each exercise the few cells that its answer needs
harness      inside the sandbox: runs these cells, calls the answer on the probes, sends the results
transfer     results as text that is safe to read: no pickles
sandbox      bubblewrap, limits, time
grade        all of it for a class: resumable, several at once or on a Dask cluster
reports      CSV, JSON and each learner's feedback as HTML
"""
