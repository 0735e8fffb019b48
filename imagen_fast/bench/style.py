"""How the page and its charts look, by day and by night."""

COLOURS = {
    "native": ("#d9480f", "#ff922b"),
    "triton": ("#e8590c", "#ffa94d"),
    "openvino": ("#1c7ed6", "#4dabf7"),
    "openvino-throughput": ("#1864ab", "#74c0fc"),
    "onnxruntime": ("#2b8a3e", "#69db7c"),
    "tensorrt": ("#5c940d", "#a9e34b"),
    "torch": ("#9c36b5", "#da77f2"),
    "torch-compile": ("#c2255c", "#f783ac"),
    "eager": ("#6741d9", "#b197fc"),
    "compiled": ("#a61e4d", "#faa2c1"),
    "other": ("#495057", "#adb5bd"),
}


def css_class(name: str) -> str:
    """The class of a runtime's colour."""
    return f"c-{name}" if name in COLOURS else "c-other"


_DAY = (
    "--ink:#1f2328;--muted:#636c76;--grid:#e3e6ea;--paper:#ffffff;--back:#f6f7f9;"
    "--good:#2b8a3e;--bad:#c92a2a;"
)
_NIGHT = (
    "--ink:#e6e8eb;--muted:#9aa4af;--grid:#30363d;--paper:#161b22;--back:#0d1117;"
    "--good:#69db7c;--bad:#ff8787;"
)


def _palette(index: int) -> str:
    return "".join(f"--{css_class(name)}:{pair[index]};" for name, pair in COLOURS.items())


VARIABLES = (
    f":root{{color-scheme:light dark;{_DAY}{_palette(0)}}}\n"
    f"@media (prefers-color-scheme:dark){{:root{{{_NIGHT}{_palette(1)}}}}}\n"
)
_CLASSES = "\n".join(
    f".{name}{{--series:var(--{name})}}" for name in (css_class(colour) for colour in COLOURS)
)
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
CHART = f"""{_CLASSES}
.chart{{display:block;width:100%;height:auto}}
.chart text{{font:13px {FONT};fill:var(--ink)}}
.chart .tick,.chart .name{{fill:var(--muted)}}
.chart .grid{{stroke:var(--grid);stroke-width:1}}
.chart .axis{{stroke:var(--muted);stroke-width:1}}
.chart .line{{fill:none;stroke:var(--series);stroke-width:2;stroke-linejoin:round}}
.chart .line.c-native{{stroke-width:3}}
.chart .dashed{{stroke-dasharray:5 4}}
.chart .dot{{fill:var(--series);stroke:var(--paper);stroke-width:1.5}}
.chart .hollow{{fill:var(--paper);stroke:var(--series);stroke-width:2}}
.chart .leader{{stroke:var(--series);stroke-width:1;opacity:.45}}
.chart .label{{fill:var(--series)}}
.chart .label.c-native{{font-weight:700}}
"""
PAGE = f"""*{{box-sizing:border-box}}
body{{margin:0;background:var(--back);color:var(--ink);font:16px/1.5 {FONT}}}
main{{max-width:1180px;margin:0 auto;padding:28px 20px 60px}}
h1{{font-size:1.7rem;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}}
h2{{font-size:1.12rem;margin:0 0 2px}}
p{{margin:0 0 10px}}
.muted,figcaption,.facts dt{{color:var(--muted)}}
.muted,figcaption{{font-size:.88rem}}
section,figure{{background:var(--paper);border:1px solid var(--grid);border-radius:12px;
padding:18px 20px;margin:0 0 18px}}
.tiles,.charts{{display:grid;gap:18px;margin:20px 0 18px}}
.tiles{{grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px}}
.tile{{background:var(--paper);border:1px solid var(--grid);border-radius:12px;padding:14px 18px}}
.tile b{{display:block;font-size:1.75rem;line-height:1.2;letter-spacing:-.02em}}
.tile.first b{{color:var(--c-native)}}
.charts{{grid-template-columns:repeat(auto-fit,minmax(min(100%,500px),1fr))}}
.charts figure{{margin:0}}
figcaption{{margin:0 0 10px}}
.wide{{overflow-x:auto;margin:0 -20px;padding:0 20px}}
table{{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums;width:100%}}
th{{text-align:right;font-weight:600;color:var(--muted);border-bottom:1px solid var(--grid)}}
th,td{{padding:5px 9px;white-space:nowrap}}
td{{text-align:right;border-bottom:1px solid var(--grid)}}
th.text,td.text{{text-align:left}}
tr.native td{{font-weight:600}}
tr.native td:first-child,tr.native .who{{color:var(--c-native)}}
tr.group th{{text-align:left;color:var(--ink);padding-top:16px;font-size:.95rem}}
tr.lost td,.bad{{color:var(--bad)}}
.good{{color:var(--good)}}
.facts{{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;margin:0;font-size:.9rem}}
.facts dd{{margin:0;overflow-wrap:anywhere}}
code{{font-size:.9em;overflow-wrap:anywhere}}
@media (max-width:600px){{main{{padding:18px 12px 40px}}section,figure{{padding:14px}}
.wide{{margin:0 -14px;padding:0 14px}}.facts{{grid-template-columns:1fr}}.facts dd{{margin:0 0 8px}}
.tiles{{grid-template-columns:1fr 1fr}}.tile b{{font-size:1.4rem}}
.chart text{{font-size:14px}}}}
"""
