"""A network that draws any picture in a style in one pass, in tiles where the picture is large."""
