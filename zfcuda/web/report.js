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
