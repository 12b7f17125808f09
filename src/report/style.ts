/** Style sheet of the report. Colours differ in lightness too (Okabe and Ito's palette), and none carries meaning alone. */
export const styleSheet = `:root{color-scheme:light dark;--paper:#fff;--ink:#1b1b1b;--quiet:#555;--faint:#999;--line:#ddd;--soft:#f4f5f7;--dot:#0072b2;--best:#d55e00;--bar:#7fb8d9;--level:#b04a00}
@media (prefers-color-scheme:dark){:root{--paper:#15171a;--ink:#e8e8e8;--quiet:#b0b0b0;--faint:#777;--line:#383c42;--soft:#1f2328;--dot:#56b4e9;--best:#f0a04b;--bar:#2f6f96;--level:#f0a04b}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
main{max-width:74rem;margin:auto;padding:1rem}
h1,h2,h3,h4{line-height:1.25;overflow-wrap:anywhere}h1{margin:.5rem 0 0}h2{margin:2.2rem 0 .6rem;padding-top:.8rem;border-top:1px solid var(--line)}h3{margin:1.8rem 0 .4rem}h4{margin:1.2rem 0 .3rem}
p{margin:.5rem 0;max-width:56rem;overflow-wrap:anywhere}.quiet{color:var(--quiet)}
.choice{border-left:5px solid var(--best);background:var(--soft);padding:.7rem 1rem;font-size:1.1rem}.missed{border-left:5px solid var(--level);background:var(--soft);padding:.5rem 1rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:.6rem 0;font-size:.875rem;min-width:100%}caption{text-align:left;font-weight:600;padding-bottom:.3rem}
th,td{padding:.3rem .5rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;font-variant-numeric:tabular-nums}thead th{white-space:nowrap;color:var(--quiet)}td{white-space:nowrap}td.left{white-space:normal;min-width:6.5rem;overflow-wrap:break-word}tbody th{font-weight:500;min-width:15rem}.right{text-align:right}
tr.strong th,tr.strong td{background:var(--soft);font-weight:700}tr.strong th:first-child{box-shadow:inset 4px 0 var(--best)}
figure{margin:1rem 0;max-width:860px}figcaption{margin-top:.5rem;color:var(--quiet);font-size:.9rem;overflow-wrap:anywhere}figure svg{color:var(--ink);max-width:100%;height:auto;display:block}.phone{display:none}
pre{overflow-x:auto;padding:.7rem;background:var(--soft);border:1px solid var(--line);border-radius:4px;font:.85rem/1.45 ui-monospace,"Liberation Mono",monospace}
details{margin:.6rem 0}summary{cursor:pointer;padding:.2rem 0}
dl{margin:.5rem 0}dl div{display:flex;gap:1rem;border-bottom:1px solid var(--line);padding:.25rem 0}dt{flex:0 0 11rem;color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}
:focus-visible{outline:2px solid var(--dot);outline-offset:2px}
@media (max-width:800px){tbody th{min-width:9rem}.screen{display:none}.phone{display:block}dl div{flex-direction:column;gap:0}dt{flex:none}}
@media print{.scroll{overflow:visible}details{display:block}}`;
