"""Programs inside or outside of a tunnel."""
