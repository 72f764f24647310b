"""Figure 7: an occluder moves over a picture, and four things are watched.

``experiment`` moves it, ``watched`` is the feature map that is followed, ``questions`` what many pictures come to,
``sheet`` the drawing.
"""
