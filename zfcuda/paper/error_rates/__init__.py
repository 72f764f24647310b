"""How often trained networks err, for Tables 2 and 3: what runs answer, as rows of tables, as dots.

``scored`` reads runs and computes their answers; ``rates`` are the rows of tables; ``drawing`` the dots of pictures.
"""
