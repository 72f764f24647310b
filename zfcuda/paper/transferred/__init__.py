"""What codes of a network are worth on pictures, for Table 7 and Figure 9, beside those of one that has learnt nothing.

``untrained`` is that network, ``measured`` fits linear classifiers on the codes of both and on pixels, once for both
figures.
"""
