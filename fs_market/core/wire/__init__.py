"""Bytes of the market without IO: messages, their schema and framing, and signatures."""
