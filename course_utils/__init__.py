"""The small package behind the course's notebooks: one technique, one file.

Importing it loads nothing else; each module brings in what it needs.
"""

__version__ = "0.1.0"
