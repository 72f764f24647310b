"""The look of the page (CSS) and the little that moves on it (JavaScript); both end up inside the one HTML file."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #faf9f6; --card: #ffffff; --tile: #eeece7; --ink: #1b1a18; --soft: #5c5850; --line: #e2dfd7;
  --accent: #a3341f; --bar: #c9512f; --bar-rest: #ebe7df; --link: #8a2b19;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", "Source Serif 4", Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131315; --card: #1b1b1e; --tile: #26262a; --ink: #eceae6; --soft: #a9a59d; --line: #303035;
    --accent: #f0937b; --bar: #e07a5f; --bar-rest: #2d2d32; --link: #f3a48f;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 var(--sans); overflow-wrap: anywhere; }
main, header, footer { max-width: 1200px; margin: 0 auto; padding: 0 24px; }
h1, h2, h3 { font-family: var(--serif); font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { font-size: clamp(2rem, 5vw, 3.1rem); letter-spacing: -.015em; margin: 0 0 12px; }
h2 { font-size: clamp(1.5rem, 3.4vw, 2.1rem); letter-spacing: -.01em; margin: 0 0 8px; }
h3 { font-size: 1.25rem; margin: 0 0 4px; }
p { margin: 0 0 12px; }
a { color: var(--link); }
img { display: block; width: 100%; height: auto; background: var(--tile); border-radius: 3px; }
img.hard { image-rendering: pixelated; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: .84rem; line-height: 1.45; color: var(--soft); margin-top: 8px; }
figcaption b, .name { color: var(--ink); font-weight: 600; }
.num { font-variant-numeric: tabular-nums; white-space: nowrap; }
.soft { color: var(--soft); }
.lead { font-size: 1.1rem; line-height: 1.5; max-width: 46em; }
.note { font-size: .9rem; color: var(--soft); max-width: 54em; }
.brow { font-size: .8rem; letter-spacing: .08em; text-transform: uppercase; color: var(--accent); font-weight: 600;
  margin: 0 0 10px; }

header { padding-top: 56px; padding-bottom: 28px; }
header dl { display: flex; flex-wrap: wrap; gap: 6px 28px; margin: 20px 0 0; font-size: .88rem; }
header dl div { display: flex; gap: 7px; }
dt { color: var(--soft); white-space: nowrap; } dd { margin: 0; }
nav { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 24px; }
nav a { display: flex; align-items: center; gap: 10px; padding: 6px 14px 6px 6px; background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; text-decoration: none; color: inherit; font-size: .9rem;
  line-height: 1.3; }
nav a:hover { border-color: var(--accent); }
nav img { width: 44px; height: 44px; object-fit: cover; border-radius: 4px; }

header.network { padding: 44px 0 28px; border-top: 3px solid var(--line); }
article { padding: 44px 0 20px; border-top: 1px solid var(--line); }
section { margin-top: 44px; }
.answer { display: grid; grid-template-columns: 1fr 1fr 1.25fr; gap: 28px; margin-top: 24px; align-items: start; }
.classes { list-style: none; margin: 14px 0 0; padding: 0; }
.classes li { margin-bottom: 13px; }
.classes .row { display: flex; justify-content: space-between; gap: 12px; font-size: .95rem; margin-bottom: 4px; }
.bar { height: 9px; border-radius: 5px; background: var(--bar-rest); overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--soft); border-radius: 5px; min-width: 2px; opacity: .6; }
.target .bar i { background: var(--bar); opacity: 1; }
.target .row { font-weight: 650; }

.panels { display: grid; grid-template-columns: repeat(var(--columns, 6), minmax(0, 1fr)); gap: 24px 16px;
  margin-top: 18px; max-width: calc(var(--columns, 6) * 250px); }
.panels .pair { grid-column: span 2; }
.pair .two, .unit .two { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; }
.pair .two { gap: 16px; }
.frame { position: relative; }
.frame img { aspect-ratio: var(--ratio, 1); object-fit: fill; }
.frame.fit img { object-fit: contain; }
.frame[tabindex] { cursor: crosshair; outline-offset: 3px; }
.cell, .square, .ring { position: absolute; pointer-events: none; }
.square { overflow: hidden; }
.square img { position: absolute; max-width: none; aspect-ratio: auto; }
.cell { outline: 2px solid #fff; box-shadow: 0 0 0 3.5px rgb(0 0 0 / .75); }
.ring { width: 16px; height: 16px; margin: -8px 0 0 -8px; border: 2px solid #fff; border-radius: 50%;
  box-shadow: 0 0 0 1.5px rgb(0 0 0 / .7), inset 0 0 0 1px rgb(0 0 0 / .5); }
.letter { display: inline-block; margin-right: 7px; color: var(--accent); font-family: var(--serif);
  font-style: italic; font-size: 1.05rem; font-weight: 600; }
.scale { margin-top: 8px; font-size: .78rem; color: var(--soft); }
.scale .ramp { height: 8px; border-radius: 2px; position: relative; }
.scale .ramp i { position: absolute; top: -3px; height: 14px; width: 2px; margin-left: -1px; background: var(--ink);
  box-shadow: 0 0 0 1px var(--page); }
.scale .ends { display: flex; justify-content: space-between; margin-top: 3px; gap: 8px; }
.legend { list-style: none; margin: 8px 0 0; padding: 0; font-size: .82rem; line-height: 1.5; }
.legend li { display: flex; gap: 7px; align-items: baseline; }
.legend i { flex: none; width: 11px; height: 11px; border-radius: 2px; transform: translateY(1px); }
.legend .num { margin-left: auto; color: var(--soft); }
.switch { position: relative; display: flex; flex-wrap: wrap; align-items: baseline; gap: 6px; }
.switch .view { order: -1; width: 100%; }
.switch > span { font-size: .82rem; color: var(--soft); }
.switch input { position: absolute; bottom: 0; opacity: 0; }
.switch label { padding: 2px 10px; border: 1px solid var(--line);
  border-radius: 999px; font-size: .82rem; color: var(--soft); background: var(--card); cursor: pointer; }
.switch input:checked + label { border-color: var(--accent); color: var(--ink); font-weight: 600; }
.switch input:focus-visible + label { outline: 2px solid var(--accent); outline-offset: 2px; }
.switch .view { display: none; }
.switch .log_odds:checked ~ .view.log_odds, .switch .score:checked ~ .view.score,
.switch .probability:checked ~ .view.probability { display: block; }
section > .panels + .note { margin-top: 16px; }
.readout { margin: 18px 0 0; padding: 11px 16px; background: var(--card); border: 1px solid var(--line);
  border-left: 3px solid var(--accent); border-radius: 6px; font-size: .93rem; }
.method { margin-top: 12px; }

.keys { display: flex; flex-wrap: wrap; gap: 12px 32px; margin: 14px 0 0; }
.keys .scale { flex: 1 1 260px; max-width: 420px; margin: 0; }
.keys p { margin: 4px 0 0; font-size: .84rem; line-height: 1.45; }
.methods .row { display: flex; justify-content: space-between; gap: 8px; margin-top: 6px; font-size: .84rem; }
.methods .source { display: block; margin-top: 3px; font-style: italic; }

.layer { margin-top: 26px; padding-top: 18px; border-top: 1px solid var(--line); }
.layer > header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; padding: 0; margin: 0 0 14px;
  max-width: none; }
.layer h4 { margin: 0; font: 600 1.08rem/1.3 var(--sans); }
.layer header span { font-size: .86rem; color: var(--soft); }
.units { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 18px; }
.unit { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px; }
.unit .two img { aspect-ratio: 1; object-fit: contain; }
.unit figcaption { display: grid; grid-template-columns: 54px 1fr; gap: 11px; align-items: center; margin-top: 9px; }
.unit .ring { width: 12px; height: 12px; margin: -6px 0 0 -6px; border-width: 1.5px; }
.unit .frame { overflow: hidden; }  /* a ring at the border stays on its map */
.refused { margin-bottom: 14px; padding: 9px 14px; border: 1px dashed var(--line); border-radius: 6px;
  font-size: .9rem; color: var(--soft); }
.refused b { color: var(--ink); }
.unit.bare .two { align-items: start; }
.unit.bare figcaption { display: block; }
.filters { max-width: 760px; margin-top: 16px; }
.filters img { border-radius: 4px; }
footer { padding-top: 12px; padding-bottom: 56px; font-size: .86rem; color: var(--soft); }
footer p { border-top: 1px solid var(--line); padding-top: 24px; }

@media (max-width: 1020px) {
  .panels { grid-template-columns: repeat(3, minmax(0, 1fr)); grid-auto-flow: dense; }
  .units { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .answer { grid-template-columns: 1fr 1fr; }
  .answer > :last-child { grid-column: 1 / -1; }
}
@media (max-width: 620px) {
  main, header, footer { padding-left: 16px; padding-right: 16px; }
  header { padding-top: 36px; }
  .answer { gap: 18px 12px; }
  .panels { grid-template-columns: 1fr 1fr; grid-auto-flow: row; gap: 22px 14px; }
  .pair .two { gap: 14px; }
  .units { grid-auto-flow: column; grid-template-columns: none; grid-auto-columns: 78%; gap: 12px; overflow-x: auto;
    scroll-snap-type: x proximity; margin-right: -16px; padding: 0 16px 8px 0; }
  .unit { scroll-snap-align: start; }
  .lead { font-size: 1.03rem; }
}
@media print { .readout, nav { display: none; } article { break-before: page; } .unit, figure { break-inside: avoid; } }
"""

# Moving over a map moves the occluder; arrow keys do the same. Without JavaScript the most harmful place is shown.
SCRIPT = """
'use strict';
for (const section of document.querySelectorAll('[data-occlusion]')) {
  const data = JSON.parse(section.querySelector('script').textContent);
  const [height, width] = data.size, rows = data.probability.length, columns = data.probability[0].length;
  const stage = section.querySelector('.stage'), image = stage.querySelector('img');
  const hidden = image.src, plain = document.getElementById(data.picture).src;
  const maps = section.querySelectorAll('.frame[tabindex]'), readout = section.querySelector('.readout');
  const first = readout.innerHTML, square = document.createElement('div');
  const percent = p => p === null ? 'unknown' : p > 0 && p < 0.0005 ? 'below 0.1 %' :
    p >= 0.9995 && p < 1 ? 'above 99.9 %' : (100 * p).toFixed(1) + ' %';
  let row = data.worst[0], column = data.worst[1];
  square.className = 'square';
  const cover = document.createElement('img');  // what differs from place to place shows its own part
  if (data.fill.startsWith('#')) square.style.background = data.fill;
  else { cover.src = data.fill; square.append(cover); }
  const cells = () => {
    for (const cell of section.querySelectorAll('.cell')) {
      cell.style.top = 100 * row / rows + '%'; cell.style.left = 100 * column / columns + '%';
    }
  };
  const show = () => {
    const y = data.rows[row], x = data.columns[column];
    const h = Math.min(data.window, height - y), w = Math.min(data.window, width - x);
    image.src = plain;
    Object.assign(square.style, {top: 100 * y / height + '%', left: 100 * x / width + '%',
      height: 100 * h / height + '%', width: 100 * w / width + '%'});
    Object.assign(cover.style, {top: -100 * y / h + '%', left: -100 * x / w + '%',
      height: 100 * height / h + '%', width: 100 * width / w + '%'});
    stage.append(square);
    cells();
    readout.textContent = 'Square over rows ' + y + ' to ' + (y + h - 1) +
      ', columns ' + x + ' to ' + (x + w - 1) + ': ' +
      data.target + ' ' + percent(data.probability[row][column]) +
      ', most probable ' + data.names[data.label[row][column]] +
      (data.activity ? ', activity of the map ' + (data.activity[row][column] ?? 0).toPrecision(3) : '') + '.';
  };
  const reset = () => {
    [row, column] = data.worst;
    image.src = hidden; square.remove(); cells(); readout.innerHTML = first;
  };
  for (const map of maps) {
    const point = event => {
      const box = map.getBoundingClientRect();
      row = Math.max(0, Math.min(rows - 1, Math.floor((event.clientY - box.top) / box.height * rows)));
      column = Math.max(0, Math.min(columns - 1, Math.floor((event.clientX - box.left) / box.width * columns)));
      show();
    };
    map.addEventListener('pointermove', point);
    map.addEventListener('pointerdown', point);
    map.addEventListener('pointerleave', reset);
    map.addEventListener('blur', reset);
    map.addEventListener('keydown', event => {
      const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
      if (!step) return;
      event.preventDefault();
      row = Math.max(0, Math.min(rows - 1, row + step[0]));
      column = Math.max(0, Math.min(columns - 1, column + step[1]));
      show();
    });
  }
}
"""
