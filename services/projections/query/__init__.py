"""How figures are asked for and answered, whatever the metric: what stands in a query, rows at two clocks with their
dimensions, money at the rates of its day, periods, and the answer's form.

`parameters` and `periods` read a query, `facts` makes SQL of it, `rates` converts, `metric` says what a metric is. A metric is
a module that holds its definition beside its SQL.
"""
