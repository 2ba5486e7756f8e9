"""The read model `reference`: what owners, accounts and products are, what campaigns cost, what should be reached, and what
currencies are worth; by their own streams, with both clocks. Every figure is asked together with it."""
