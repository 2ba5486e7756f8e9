"""Estimators over counted whole days: percentiles, survival and competing outcomes.

Pure functions of counts, so that a query sums its cells first and estimates once. No I/O, no clock.
"""
