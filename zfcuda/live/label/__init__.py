"""A person labels pictures, and the network's answers stand beside theirs afterwards (``zfcuda label``).

Which pictures, and what is asked of them: `task.py`. What a person said, on the disk after each: `answers.py`. What the
network says: `network.py`. Both held against the truth and against one another: `compare.py`, `statistics.py`. Who is
at it, and what may be told by then: `labelling.py`, which `routes.py` asks. The results: `page.py`, `written.py`.
"""
