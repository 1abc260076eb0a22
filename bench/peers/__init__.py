"""What fastrnn is compared with: the same works in NumPy, SciPy, PyTorch and reservoirpy."""
