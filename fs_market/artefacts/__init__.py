"""Made by tools/gen_artefacts.py: ABI and bytecode of the contracts, and what they want signed."""
