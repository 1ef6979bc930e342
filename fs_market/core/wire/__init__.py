"""Bytes of the market without IO: messages, records, what is signed, and signatures."""
