"""How often trained networks err, for Tables 2 and 3: what runs answer, differences with intervals, dots.

``scored`` reads runs and computes their answers; ``contrast`` says how sure a difference is; ``rates`` are the rows of
tables; ``drawing`` the dots of pictures.
"""
