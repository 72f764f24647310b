'use strict';
// A map of numbers in a canvas: colours, an overlay over a picture, a readout under the pointer and by arrow keys, and the
// map as a PNG file.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const SMALLEST = 448;  // pixels of the longer side of a PNG, about: a map of 25 x 25 is of no use as it is

  const canvasOf = (width, height) => Object.assign(document.createElement('canvas'), {width, height});

  // A picture without its colours, as Pillow's "L", for maps to lie upon. `image`: loaded.
  zfcuda.grey = image => {
    const canvas = canvasOf(image.naturalWidth || image.width, image.naturalHeight || image.height);
    const context = canvas.getContext('2d', {willReadFrequently: true});
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height), data = pixels.data;
    for (let i = 0; i < data.length; i += 4) {
      data[i] = data[i + 1] = data[i + 2] = Math.round(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]);
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  };

  // Calls move(row, column, event) for the place under the pointer, or where the arrow keys lead (with Shift ten at once),
  // and leave() when neither is there any more. grid() -> [rows, columns]; place() -> [row, column], where the keys start;
  // at(y, x) -> [row, column] of a place in shares of the element, where that is no even grid.
  zfcuda.follow = (element, {grid, place, at, move, leave}) => {
    const within = (value, count) => Math.max(0, Math.min(count - 1, value));
    const point = event => {
      const box = element.getBoundingClientRect(), [rows, columns] = grid();
      const y = (event.clientY - box.top) / box.height, x = (event.clientX - box.left) / box.width;
      const [row, column] = at ? at(y, x) : [Math.floor(y * rows), Math.floor(x * columns)];
      move(within(row, rows), within(column, columns), event);
    };
    element.addEventListener('pointermove', point);
    element.addEventListener('pointerdown', point);
    element.addEventListener('pointerleave', () => { if (document.activeElement !== element) leave(); });
    element.addEventListener('blur', leave);
    element.addEventListener('keydown', event => {
      const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
      if (event.key === 'Escape') leave();
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();  // or the page would scroll
      const [rows, columns] = grid(), [row, column] = place(), far = event.shiftKey ? 10 : 1;
      move(within(row + far * step[0], rows), within(column + far * step[1], columns), event);
    });
  };

  // Offers a canvas, or a promise of one, as a PNG file.
  zfcuda.save = async (canvas, name) => {
    const blob = await new Promise(done => canvas.toBlob(done, 'image/png'));
    const link = Object.assign(document.createElement('a'), {href: URL.createObjectURL(blob), download: name});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };

  // frame: an element (position: relative), which gets the canvas and the mark of a place. Options, which set() changes:
  //   rows, columns, values   Float32Array, row by row; NaN where there is none
  //   drawn                   null, or {rows, columns, values} that are drawn smoothly in place of these, which are told
  //   scale                   {colours, low, high, root} as colours.share takes it; or {categories: {class: [r, g, b]}}
  //   under                   null, or a canvas or a loaded image on which the map lies; then the canvas has its size
  //   over                    null, or what lies upon both, such as an outline
  //   strength                how opaque the map is upon it, 0 ... 1
  //   fade                    the map is the more opaque the further a value is from the middle of the scale
  //   alt                     what the map shows, in words
  //   move(row, column, value), leave()   whom to tell of the place under the pointer
  zfcuda.Map = class {
    constructor(frame, options) {
      this.frame = frame;
      this.options = {drawn: null, under: null, over: null, strength: 1, fade: false, alt: '', move() {}, leave() {}};
      this.canvas = frame.querySelector('canvas') ?? document.createElement('canvas');
      this.mark = document.createElement('div');
      this.mark.className = 'cell';
      this.mark.hidden = true;
      this.place = null;
      frame.append(this.canvas, this.mark);
      frame.tabIndex = 0;
      frame.setAttribute('role', 'application');  // arrow keys belong to the map, not to a screen reader
      frame.setAttribute('aria-roledescription', 'map');
      zfcuda.follow(frame, {
        grid: () => [this.options.rows, this.options.columns],
        place: () => this.place ?? [this.options.rows >> 1, this.options.columns >> 1],
        move: (row, column) => { this.point(row, column); this.options.move(row, column, this.value(row, column)); },
        leave: () => { this.clear(); this.options.leave(); },
      });
      this.set(options);
    }

    // Changes some of the options, and draws what they change.
    set(options) {
      Object.assign(this.options, options);
      const o = this.options;
      const colours = ['rows', 'columns', 'values', 'drawn', 'scale', 'fade'];
      if (colours.some(key => key in options)) this.coloured = this.colour();
      if (options.alt) this.frame.setAttribute('aria-label', o.alt);
      const width = o.under?.naturalWidth || o.under?.width || o.columns;
      const height = o.under?.naturalHeight || o.under?.height || o.rows;
      Object.assign(this.canvas, {width, height});
      this.canvas.classList.toggle('hard', Math.max(width, height) < 128);
      const context = this.canvas.getContext('2d');
      context.imageSmoothingQuality = 'high';
      if (o.under) context.drawImage(o.under, 0, 0);
      context.globalAlpha = o.under ? o.strength : 1;
      context.imageSmoothingEnabled = !o.scale.categories;  // there is no class between two classes
      context.drawImage(this.coloured, 0, 0, width, height);
      context.globalAlpha = 1;
      context.imageSmoothingEnabled = true;
      if (o.over) context.drawImage(o.over, 0, 0, width, height);
    }

    // The value at a place.
    value(row, column) { return this.options.values[row * this.options.columns + column]; }

    // Marks a place.
    point(row, column) {
      const {rows, columns} = this.options;
      this.place = [row, column];
      this.mark.hidden = false;
      this.mark.classList.toggle('fine', Math.max(rows, columns) > 64);
      Object.assign(this.mark.style, {top: `${100 * row / rows}%`, left: `${100 * column / columns}%`,
        height: `${100 / rows}%`, width: `${100 / columns}%`});
    }

    // Takes the mark away; the keys go on from where it was.
    clear() { this.mark.hidden = true; }

    // The map as it is shown, as a canvas large enough for a file of its own.
    enlarged() {
      const {width, height} = this.canvas, factor = Math.max(1, Math.round(SMALLEST / Math.max(width, height)));
      const large = canvasOf(width * factor, height * factor), context = large.getContext('2d');
      context.imageSmoothingEnabled = false;
      context.drawImage(this.canvas, 0, 0, large.width, large.height);
      return large;
    }

    colour() {
      const {scale, fade} = this.options, {rows, columns, values} = this.options.drawn ?? this.options;
      const canvas = canvasOf(columns, rows), context = canvas.getContext('2d');
      const image = context.createImageData(columns, rows);
      for (let i = 0; i < values.length; i++) {
        const share = scale.categories ? 0 : zfcuda.colours.share(values[i], scale);
        image.data.set(scale.categories ? scale.categories[values[i]] ?? zfcuda.colours.other
          : zfcuda.colours.at(scale.colours, share), 4 * i);
        const far = Number.isNaN(share) ? 0 : Math.abs(2 * share - 1);
        image.data[4 * i + 3] = fade ? Math.round(255 * far ** 0.75) : 255;
      }
      context.putImageData(image, 0, 0);
      return canvas;
    }
  };
}
