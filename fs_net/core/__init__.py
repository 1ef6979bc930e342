"""The network without IO: what providers announce, what is believed, and how full nodes agree."""
