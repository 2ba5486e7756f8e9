"""The read model `pipeline`: where every lead stands, and has stood, how it closed, and the figures that follow from that.

A view (`intervals`, `outcomes`, …) says what a lead's history makes of the rows of its ledger, `model` binds the views to the
machinery beside this package, `ledgers` are the tables for SQL, and each metric is a module that holds its definition beside
its SQL; `metrics` lists them.
"""
