"""The read model `pipeline`: where every lead stands, and has stood, with its value.

`facts` says what a lead's history makes of rows, `tables.sql` and `indexes.sql` where they lie, `queries` what is asked of
them, `model` binds the first two to the machinery beside this package, which keeps rows and cells in step. A further
read model is another package of these four, and nothing else.
"""
