"""The read model `churn`: who is a customer, what recurs, who leaves, and how content they are."""
