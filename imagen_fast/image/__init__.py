"""Pictures in and out, and the arithmetic on them that needs no model."""
