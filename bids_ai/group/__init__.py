"""Groups of subjects: moments, similarity, reliability, contrasts and comparisons of connectivity matrices.

Everything takes edges as rows of a table on disk (`edges.EdgeStore`) and works through it in blocks, so that memory
does not grow with the number of subjects.
"""
