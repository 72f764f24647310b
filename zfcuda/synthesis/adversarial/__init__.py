"""Images that a network takes for something else: within a bound (FGSM, PGD), and without one (fooling)."""
