"""Read by every Python that the tests start (conftest.py puts this folder on their PYTHONPATH).

To look for garbage among what has just been imported finds nothing, and takes a fifth of the time that a process needs
to import the libraries: with these thresholds Python all but never does.
"""

import gc

gc.set_threshold(50_000, 10, 10)
