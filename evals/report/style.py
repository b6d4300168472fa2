"""How the page looks: in light, in dark, on paper, and on a telephone. Arms stand out 3:1 or more."""

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--text:#1b2127;--soft:#5a6672;--line:#d5dbe1;--tint:#f3f5f7;
--accent:#0b62a4;--t0:#cfe0ee;--t1:#e9eef2;--heat:11,98,164;
--s0:#0b62a4;--s1:#b3470b;--s2:#2b7d4f;--s3:#8a3ea8;--s4:#8c6d00;--s5:#b8265c;--s6:#007a87;--s7:#555f6b}
@media screen and (prefers-color-scheme:dark){:root{--ground:#14181c;--text:#e6eaee;--soft:#a3afba;--line:#363e46;
--tint:#1d2328;--accent:#7fbdf5;--t0:#2b4f6e;--t1:#2a3138;--heat:75,150,215;
--s0:#6db3f2;--s1:#f09a5a;--s2:#6fcf97;--s3:#cf9bea;--s4:#e0c04a;--s5:#f488b0;--s6:#4fd0dc;--s7:#b5bec9}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:66rem;background:var(--ground);color:var(--text);
font:16px/1.5 system-ui,"Liberation Sans","DejaVu Sans",sans-serif;overflow-wrap:break-word}
h1{font-size:1.7rem;margin:.5rem 0}h2{font-size:1.35rem;margin:2.5rem 0 .5rem;border-bottom:2px solid var(--line)}
h3{font-size:1.05rem;margin:1.8rem 0 .4rem}p,ul{margin:.4rem 0;max-width:48rem}a{color:var(--accent)}
.soft,figcaption,caption{color:var(--soft);font-size:.9rem}.warn{border-left:4px solid var(--s1);padding-left:.7rem}
.scroll{overflow-x:auto;margin:.7rem 0 1.1rem}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.2rem 0}th,td{padding:.3rem .6rem;text-align:right;border-bottom:1px solid var(--line);
vertical-align:top}thead th{background:var(--tint);vertical-align:bottom}
th:first-child,.words th,.words td{text-align:left}
td,tbody th{white-space:nowrap}.words td,.words tbody th{white-space:normal}
.words td{overflow-wrap:anywhere;min-width:7rem}.words td:nth-child(n+5):last-child{min-width:15rem}
code{font-size:.8rem;overflow-wrap:anywhere}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr));
gap:1.2rem;align-items:start}
figure{margin:.4rem 0;max-width:30rem}svg[role=img]{width:100%;height:auto;display:block}
.key{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1rem}
.key svg{vertical-align:-3px;margin-right:.3rem}
svg text{font-size:11px;fill:var(--text)}svg .small{font-size:9px}svg .tick,svg .axis{fill:var(--soft);font-size:10px}
svg .in{font-weight:600}
.grid{stroke:var(--line);stroke-width:.6}.zero{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 2}
.whisker{stroke:var(--text);stroke-width:1.2;fill:none}.line{fill:none;stroke:var(--c);stroke-width:1.8}
.mark{fill:var(--c);stroke:var(--ground);stroke-width:.8}.mark.open{fill:var(--ground);stroke:var(--c);stroke-width:1.6}
.bar{fill:var(--c);opacity:.28}.part{stroke:var(--ground);stroke-width:1}rect.t0{fill:var(--t0)}rect.t1{fill:var(--t1)}
.s0{--c:var(--s0)}.s1{--c:var(--s1)}.s2{--c:var(--s2)}.s3{--c:var(--s3)}.s4{--c:var(--s4)}.s5{--c:var(--s5)}
.s6{--c:var(--s6)}.s7{--c:var(--s7)}
.h1{background:rgba(var(--heat),.08)}.h2{background:rgba(var(--heat),.18)}.h3{background:rgba(var(--heat),.28)}
.h4{background:rgba(var(--heat),.38)}
@media (max-width:30rem){body{padding:.6rem}th,td{padding:.25rem .4rem}
tbody th{white-space:normal;min-width:5.5rem}}
@media print{body{max-width:none;font-size:10pt}.scroll{overflow:visible}table{font-size:7.5pt}figure{max-width:8.5cm}
figure,tr,svg{break-inside:avoid}h2,h3{break-after:avoid}.h1,.h2,.h3,.h4,svg{print-color-adjust:exact}}
""".strip()
