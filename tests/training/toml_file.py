import json


def write_toml(path, tables):
    """Write tables of plain values, with `[[model.levels]]`, as a TOML file; returns its name."""
    lines = []
    for section, table in tables.items():
        lines.append(f"[{section}]")
        lines += [f"{k} = {json.dumps(v)}" for k, v in table.items() if k != "levels"]
        for level in table.get("levels", []):
            lines += [f"[[{section}.levels]]", *(f"{k} = {v}" for k, v in level.items())]
    path.write_text("\n".join(lines))
    return str(path)
