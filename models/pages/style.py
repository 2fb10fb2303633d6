"""The look of the report: one style sheet inside the page, for light and dark, screen and paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --raised: #f5f6f8; --ink: #1a1c1e; --muted: #5c6269; --grid: #d9dce0;
  --first: #2457d6; --second: #c2410c; --third: #7c3aed; --strong: #0f7a55; --band: #9db8f5;
  --good: #0f7a55; --bad: #b42318;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --raised: #1d2026; --ink: #e8eaed; --muted: #a2a9b2; --grid: #363b43;
    --first: #8ab0ff; --second: #ff9d6b; --third: #c4a5ff; --strong: #58d0a3; --band: #3f5fa8;
    --good: #58d0a3; --bad: #ff8f85;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 3rem 1.5rem 6rem; max-width: 70rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
p, li, figcaption { max-width: 44rem; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.02em; }
h2 {
  font-size: 1.4rem; margin: 4rem 0 .6rem; padding-top: 1.4rem; letter-spacing: -.01em;
  border-top: 1px solid var(--grid);
}
h3 { font-size: 1.1rem; margin: 2.6rem 0 .4rem; }
.lead { font-size: 1.12rem; color: var(--muted); margin: 0 0 1.6rem; }
.over { margin: 0; color: var(--muted); }
nav { font-size: .92rem; margin: 0 0 2rem; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
a { color: var(--first); text-underline-offset: .15em; }
.numbers { display: flex; flex-wrap: wrap; gap: 1px; background: var(--grid); padding: 1px; }
.numbers div { flex: 1 1 11rem; background: var(--paper); padding: 1rem 1.1rem; }
.numbers dt { color: var(--muted); font-size: .88rem; }
.numbers dd { margin: 0; font-size: 1.75rem; font-weight: 600; letter-spacing: -.02em; }
.numbers small { display: block; font-size: .84rem; font-weight: 400; color: var(--muted);
  letter-spacing: 0; }
dl.numbers { margin: 0 0 1rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--muted); padding-bottom: .5rem; }
td code, th code { white-space: nowrap; }
th, td { padding: .42rem .9rem .42rem 0; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--grid); }
th:first-child, td:first-child, .left { text-align: left; }
thead th { color: var(--muted); font-weight: 600; vertical-align: bottom; white-space: nowrap; }
tbody th { font-weight: 600; }
.measure { min-width: 15rem; }
.measure small { display: block; font-weight: 400; color: var(--muted); line-height: 1.35; }
td small { display: block; color: var(--muted); white-space: nowrap; }
td.best { font-weight: 700; } td.best small { font-weight: 400; }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 1.6rem;
  margin: 1.2rem 0; align-items: start; }
.plots.three { grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); }
figure { margin: 0; }
figure.wide { max-width: 36rem; margin: 1.2rem 0; }
figcaption { color: var(--muted); font-size: .88rem; line-height: 1.45; margin-top: .3rem; }
figcaption b { color: var(--ink); }
svg.plot { width: 100%; height: auto; display: block; }
svg.plot text { font-family: inherit; }
.said { font-size: 1.02rem; }
.refused { border-left: 3px solid var(--bad); padding-left: .9rem; }
.missing { color: var(--muted); border-left: 3px solid var(--grid); padding-left: .9rem; }
.verdict { font-weight: 600; }
.yes { color: var(--good); } .no { color: var(--bad); }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--first); }
.bar { display: inline-block; height: .7rem; background: var(--first); vertical-align: baseline; }
footer { margin-top: 4rem; color: var(--muted); font-size: .88rem; }
@media (max-width: 34rem) { body { padding: 1.6rem 1rem 4rem; } h1 { font-size: 1.7rem; } }
@media print { body { max-width: none; padding: 0; } h2, figure, table { break-inside: avoid; } }
"""
