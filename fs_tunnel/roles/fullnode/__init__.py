"""A full node: its view of the chain, the page's orders, and sign-in."""
