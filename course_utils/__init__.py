"""The small package behind the course's notebooks: one technique, one file.

Importing it loads no library; each module brings in what it needs.
"""

from course_utils._memory import keep_freed_memory

__version__ = "0.1.0"

keep_freed_memory()
