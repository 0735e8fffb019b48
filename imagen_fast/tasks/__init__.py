"""What people do with an engine: enlarge one picture, many, and measure how well."""
