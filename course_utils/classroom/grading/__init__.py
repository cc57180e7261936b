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
classes      what is done for a whole class, with the modules below
tables       CSV files that a teacher keeps
roster       who belongs to the class, and whose a submission is
lateness     deadlines, and what being late costs
overrides    points given by hand
gradebook    all of these taken into the results; totals
exports      for Canvas and Moodle, and without names
class_statistics  how the class did in each exercise
equal_answers  which answers are equal but for names and comments
free_text    answers that a person marks
version      which course this is
text         foreign text in messages, terminals and file names
"""
