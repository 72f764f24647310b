"""The page live: a server on loopback that answers what the pointer asks (``zfcuda serve``, ``zfcuda label``)."""
