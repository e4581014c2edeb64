"""The studies of ``unrollbit reproduce``: published tables and our own, as experiments that anyone can run again."""
