"""A page that needs nothing else: its frame, and the looks that all pages share, light and dark."""

from __future__ import annotations

from exporter.drawing import text

BASE_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--panel:#fff;--soft:#f5f6f8;--line:#e3e6ea;--ink:#1b2028;
--dim:#667080;--accent:#3b6fd4;--accent-soft:#9db8ec;--warn:#b45f06;--warn-soft:#fdeed8;
--bad:#b3261e;--bad-soft:#fbe3e1;--good:#2b7a4b;--before:#d9822b}
@media(prefers-color-scheme:dark){:root{--bg:#14171c;--panel:#1a1e25;--soft:#20252d;--line:#2e343e;
--ink:#e4e8ee;--dim:#98a2b1;--accent:#7aa2f0;--accent-soft:#41598c;--warn:#f0b060;
--warn-soft:#3d2f18;--bad:#f2958d;--bad-soft:#472522;--good:#7cc79a;--before:#f0a45c}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1280px;margin:0 auto;padding:24px 28px 64px}
h1{font-size:22px;margin:0 0 2px;font-weight:650;overflow-wrap:anywhere}
h2{font-size:16px;margin:36px 0 10px;font-weight:650}
p{margin:4px 0}.dim{color:var(--dim)}
a{color:inherit;text-decoration:none}a:hover{text-decoration:underline;color:var(--accent)}
.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:18px 0 4px}
.tile{border:1px solid var(--line);border-radius:8px;padding:10px 16px;min-width:118px;
background:var(--panel)}
.tile b{display:block;font-size:20px;font-weight:600;font-variant-numeric:tabular-nums}
.tile span{color:var(--dim);font-size:12px}
.note{border-left:3px solid var(--warn);background:var(--warn-soft);padding:8px 12px;
border-radius:4px;margin:12px 0}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px;background:var(--panel)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 11px;text-align:left;white-space:nowrap;border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}
thead th{position:sticky;top:0;background:var(--soft);color:var(--dim);font-weight:550;
font-size:12px;z-index:1}
.n{text-align:right}
.kind{color:var(--dim);font-size:12px}
footer{margin-top:40px;color:var(--dim);font-size:12px}
""".strip()
SMALL_STYLE = "@media(max-width:640px){main{padding:16px 12px 40px}}"


def framed(title: str, body: str, style: str) -> str:
    """Put a body into a page that may load nothing; `title` is escaped, `body` is HTML already."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{text.escaped(title)}</title><style>{BASE_STYLE}\n{style}\n{SMALL_STYLE}</style>"
        f"</head><body><main><h1>{text.named(title)}</h1>{body}</main></body></html>\n"
    )


def tiles(facts: list[tuple[str, str]]) -> str:
    """Show figures in a row, each a name and HTML."""
    made = (f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for name, value in facts)
    return f'<div class="tiles">{"".join(made)}</div>'
