"""The HTML page around the report: readable on a phone, printable."""

import string

PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 62rem; margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #ccc; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.35; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0;
  border-bottom: 1px solid #ddd; }
thead th { border-bottom: 2px solid #888; }
table.numbers td { white-space: nowrap; font-variant-numeric: tabular-nums; }
table.numbers th[scope="row"] { position: sticky; left: 0; background: #fff; }
table.text { width: 100%; }
table.text td, table.text th { overflow-wrap: anywhere; min-width: 4.5rem; }
.under { display: block; color: #555; font-size: .8rem; }
.note, figcaption { color: #555; font-size: .875rem; max-width: 48rem; }
figure { margin: 1.4rem 0; }
figure img { width: 100%; max-width: 40rem; height: auto; }
@media (max-width: 40rem) {
  table.text thead { display: none; }
  table.text tr { display: block; padding: .5rem 0; border-bottom: 1px solid #888; }
  table.text th, table.text td { display: block; border: 0; padding: .1rem 0; }
  table.text td:not([data-column=""])::before { content: attr(data-column) ": "; color: #555; }
}
@media print {
  body { max-width: none; font-size: 10pt; padding: 0; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; }
  .under { font-size: 7pt; }
  th, td { padding-right: .4rem; }
  figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
</style>
</head>
<body>
$body
</body>
</html>
""")
