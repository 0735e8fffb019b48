"""What people do with an engine: one picture, many, and measuring how well."""
