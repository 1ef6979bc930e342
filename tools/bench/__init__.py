"""``make bench``: what the tunnel costs, and how fast it is beside others, on one machine.

Programs take turns between two namespaces joined by a veth; medians of several rounds are shown,
and judged as ratios. Figures of different runs of this program are not to be compared.
"""
