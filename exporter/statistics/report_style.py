"""What a report looks like beyond what all pages share; no font or image from anywhere else."""

STYLE = """
html{scroll-padding-top:3.2rem}
h3{font-size:15px;margin:0;font-weight:650;overflow-wrap:anywhere}
.over{max-height:75vh;overflow:auto}
td.name{max-width:240px;overflow:hidden;text-overflow:ellipsis;font-weight:550}
.over tbody tr:hover td{background:var(--soft)}
svg.spark{display:block;width:96px;height:22px}
svg rect{fill:var(--accent)}svg .track{fill:var(--line)}svg.missing .fill{fill:var(--warn)}
svg .before{fill:none;stroke:var(--before);stroke-width:1.6;vector-effect:non-scaling-stroke}
svg.bar{vertical-align:middle;margin-left:8px}
.plot{margin:10px 0 2px}svg.large{width:100%;height:110px;display:block;
border-bottom:1px solid var(--line)}svg.truth{width:100%;height:18px;display:block}
.axis{display:flex;justify-content:space-between;gap:12px;color:var(--dim);font-size:12px;
font-variant-numeric:tabular-nums;margin-top:3px}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(400px,100%),1fr));gap:14px}
.card{border:1px solid var(--line);border-radius:8px;padding:14px 16px;background:var(--panel);
min-width:0;content-visibility:auto;contain-intrinsic-size:auto 330px}
.card:target{border-color:var(--accent);box-shadow:0 0 0 2px var(--accent-soft)}
.head{display:flex;justify-content:space-between;gap:10px;align-items:baseline}
.head .kind{white-space:nowrap;overflow:hidden;text-overflow:ellipsis;max-width:55%}
dl{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));column-gap:22px;margin:10px 0 0;
font-variant-numeric:tabular-nums}
dl div{display:flex;justify-content:space-between;gap:10px;padding:2px 0;
border-bottom:1px solid var(--line)}
dt{color:var(--dim);white-space:nowrap}dd{margin:0;text-align:right;overflow-wrap:anywhere}
.chip{display:inline-block;border-radius:10px;padding:1px 9px;font-size:12px;font-weight:550}
.some{background:var(--warn-soft);color:var(--warn)}.strong{background:var(--bad-soft);
color:var(--bad)}.none{color:var(--dim);padding-left:0}
.drift{font-size:13px;margin-top:10px;color:var(--dim)}
.top{margin-top:10px}.top td,.top th{padding:3px 8px;font-size:13px}
.top td:first-child{max-width:260px;overflow:hidden;text-overflow:ellipsis}
.key{color:var(--before)}
@media print{.over{max-height:none}.card{break-inside:avoid;content-visibility:visible}}
@media(max-width:640px){dl{grid-template-columns:1fr}}
""".strip()
