"""Equations of generative brain and neural-mass models in torch, their integration, and haemodynamics.

Arrays are batches first: states (..., n_regions, n_variables), connectivity row = source, column = target.
"""
