"""A person labels pictures, and the network's answers stand beside theirs afterwards (``zfcuda label``).

Which pictures, and what is asked of them: `task.py`. What a person said, on the disk after each: `answers.py`. Both held
against the truth and against one another: `compare.py`, `statistics.py`. The network's own answers: `network.py`.
"""
