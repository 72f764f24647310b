'use strict';
// One picture of a report: its maps of the numbers that the page carries, the square under the pointer, the switches.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const {numbers} = zfcuda;
  const loaded = (image, then) => image.complete && image.naturalWidth ? then() : image.addEventListener('load', then);
  const element = (name, properties) => Object.assign(document.createElement(name), properties);

  zfcuda.Picture = class {
    constructor(article) {
      this.article = article;
      const block = article.querySelector('script[type="application/json"]');
      this.data = JSON.parse(block.textContent);
      block.remove();
      for (const template of article.querySelectorAll('template')) template.replaceWith(template.content);
      this.image = article.querySelector('[data-picture] img');
      this.grid = Object.fromEntries(Object.entries(this.data.grid).map(([of, packed]) => [of, numbers.unpack(packed)]));
      this.heat = {};  // by quantity, when it is asked for
      this.quantity = 'log_odds';
      this.chosen = {evidence: zfcuda.evidenceScale ?? 'own'};  // or 'shared', by the kind of map
      this.panels = [];  // [element that holds it, its name, a function that draws it on a canvas]
      for (const image of this.all('[data-image]')) this.show(image);
      for (const frame of this.all('[data-cut]')) this.cut(frame);
      this.maps = new Map(this.all('[data-map]').map(frame => [frame.dataset.map, this.map(frame)]));
      for (const key of this.maps.keys()) this.bar(key);
      this.ring();
      this.stage();
      this.panels.push([article.querySelector('[data-picture]'), 'picture', () => this.canvas(this.image)]);
      for (const panel of this.panels) this.button(...panel);
      for (const input of this.all('[data-choice]')) input.addEventListener('input', () => this.choose(input));
      loaded(this.image, () => this.underlay());
      this.follow(this.chosen.evidence);
    }

    all(selector) { return [...this.article.querySelectorAll(selector)]; }

    // ------------------------------------------------------------------ panels

    show(image) {
      const key = image.dataset.image;
      image.decoding = 'sync';  // or a page that is printed at once would lack it
      image.src = this.data.images[key];
      this.panels.push([image.parentElement, key, () => this.canvas(image)]);
    }

    // A part of the picture: the picture itself, larger than its frame.
    cut(frame) {
      const [top, left, bottom, right] = frame.dataset.cut.split(' ').map(Number), [high, wide] = this.data.size;
      const height = bottom - top, width = right - left, most = Math.max(height, width);
      const whole = height === high && width === wide;
      const part = element('div', {className: 'part'}), image = element('img', {alt: '', src: this.image.src});
      image.classList.toggle('hard', most < 64);
      frame.style.aspectRatio = whole ? `${wide} / ${high}` : '1';
      if (!whole) Object.assign(part.style, {width: `${100 * width / most}%`, height: `${100 * height / most}%`});
      Object.assign(image.style, {width: `${100 * wide / width}%`, height: `${100 * high / height}%`,
        top: `${-100 * top / height}%`, left: `${-100 * left / width}%`});
      part.append(image);
      frame.append(part);
      this.panels.push([frame.parentElement, `part-${top}-${left}-${bottom}-${right}`,
        () => this.canvas(this.image, left, top, width, height)]);
    }

    canvas(image, left = 0, top = 0, width = image.naturalWidth, height = image.naturalHeight) {
      const canvas = element('canvas', {width, height});
      canvas.getContext('2d').drawImage(image, left, top, width, height, 0, 0, width, height);
      return canvas;
    }

    // A button that saves a panel.
    button(holder, key, draw) {
      const what = holder.querySelector('[aria-label]')?.getAttribute('aria-label') ?? holder.querySelector('img').alt;
      const button = element('button', {type: 'button', className: 'png', textContent: 'PNG', title: 'Save as PNG'});
      button.setAttribute('aria-label', `Save as PNG: ${what}`);
      button.addEventListener('click', () => zfcuda.save(draw(), `${this.data.stem}-${key}.png`));
      holder.classList.add('holder');
      holder.append(button);
    }

    // ------------------------------------------------------------------ maps

    map(frame) {
      const key = frame.dataset.map, spec = this.data.maps[key];
      const squares = {rows: this.data.rows.length, columns: this.data.columns.length};
      const pixels = {rows: this.data.size[0], columns: this.data.size[1]};
      const options = {scale: this.scale(key)};
      if (key === 'evidence') Object.assign(options, pixels, this.shown(), {fade: true});
      else if (spec.of) Object.assign(options, pixels, {values: this.evidence('log_odds')});
      else if (key === 'labels') Object.assign(options, squares, {values: Float32Array.from(this.data.label)});
      else if (key in this.grid) Object.assign(options, squares, {values: this.grid[key]});
      else Object.assign(options, {rows: spec.rows, columns: spec.columns, values: numbers.unpack(spec.values)});
      if (key === 'labels' || key in this.grid) {
        Object.assign(options, {move: (row, column) => this.move(row, column), leave: () => this.rest()});
      } else {
        Object.assign(options, {move: (row, column) => this.read(key, row, column), leave: () => this.unread(key)});
      }
      const map = new zfcuda.Map(frame, options);
      this.panels.push([frame.parentElement, key, () => map.enlarged()]);
      return map;
    }

    // The evidence in a quantity: for each pixel the mean of what the squares cost that cover it.
    evidence(of) {
      const {rows, columns, window, size, base} = this.data;
      return this.heat[of] ??= zfcuda.heatmap({drop: this.grid[of].map(value => (base[of] ?? NaN) - value),
        rows, columns, window: [window, window], size});
    }

    // What the map of the evidence tells, and what it draws.
    shown() {
      const values = this.evidence(this.quantity);
      return {values, drawn: zfcuda.stepwise(values, this.data.size, this.data.stride)};
    }

    // The colours of a map and the values at their ends, as the switches are.
    scale(key) {
      const spec = this.data.maps[key];
      if (spec.categories) {
        const pairs = Object.entries(spec.categories).map(([i, hex]) => [i, zfcuda.colours.rgb(hex)]);
        return {categories: Object.fromEntries(pairs)};
      }
      const chosen = this.chosen[key.split('-')[0]] ?? 'own';
      const range = spec.quantities ? spec.quantities[this.quantity][chosen] : spec[chosen];
      const [low, high] = Array.isArray(range) ? range : [-range, range];
      return {colours: spec.colours, low, high, root: Boolean(spec.root)};
    }

    // How a value of a map is written.
    form(key) {
      const spec = this.data.maps[key];
      return numbers[spec.quantities ? spec.quantities[this.quantity].form : spec.form];
    }

    // The colour bar below a map: the values at its ends, and the tick of the whole picture.
    bar(key) {
      const bar = this.article.querySelector(`[data-scale="${key}"]`);
      if (!bar) return;
      const scale = this.scale(key), {low, high} = scale, form = this.form(key), {mark} = this.data.maps[key];
      const [ramp, ends] = bar.children;
      ramp.className = `ramp ${scale.colours}`;
      const middle = scale.colours === 'diverging' ? [0] : scale.root ? [high / 4] : [];
      ends.replaceChildren(...[low, ...middle, high].map(value => element('span', {textContent: form(value)})));
      ramp.replaceChildren();
      if (mark !== undefined && mark !== null && high > low) {
        const tick = element('i', {});
        tick.style.left = `${100 * zfcuda.colours.share(mark, scale)}%`;
        ramp.append(tick);
      }
    }

    // Draws some maps anew, after a switch.
    again(kind, options = {}) {
      for (const [key, map] of this.maps) {
        if (key.split('-')[0] !== kind) continue;
        map.set({scale: this.scale(key), ...options});
        this.bar(key);
      }
    }

    // What lies below and upon the maps of pixels, once the picture is there.
    underlay() {
      const under = zfcuda.grey(this.image);
      const strength = kind => this.article.querySelector(`[data-choice="${kind}-strength"]`)?.value / 100;
      const draw = over => {
        this.again('evidence', {under, over, strength: strength('evidence')});
        this.again('method', {under, over, strength: strength('methods')});
      };
      draw(null);
      if (!this.data.outline) return;
      const outline = element('img', {src: this.data.outline});
      loaded(outline, () => draw(outline));
    }

    // A ring around the strongest place of a unit.
    ring() {
      for (const holder of this.all('[data-strongest]')) {
        const frame = holder.querySelector('[data-map]'), {rows, columns} = this.maps.get(frame.dataset.map).options;
        const [row, column] = holder.dataset.strongest.split(' ').map(Number), ring = element('i', {className: 'ring'});
        Object.assign(ring.style, {top: `${100 * (row + 0.5) / rows}%`, left: `${100 * (column + 0.5) / columns}%`});
        frame.append(ring);
      }
    }

    // ------------------------------------------------------------------ under the pointer

    // Tells the value of a map at a pixel; those of all methods, as one asks what the others say there.
    read(key, row, column) {
      const keys = key.startsWith('method-') ? [...this.maps.keys()].filter(each => each.startsWith('method-')) : [key];
      for (const each of keys) {
        const map = this.maps.get(each), value = map.value(row, column);
        map.point(row, column);
        let said = this.form(each)(value);
        if (each === 'evidence' && Number.isFinite(value)) {
          const {words, form} = this.data.maps.evidence.quantities[this.quantity];
          const size = numbers.number(Math.abs(form === 'points' ? 100 * value : value));
          const by = form === 'points' ? `${size} points` : size;
          const way = value > 0 ? 'lowers' : 'raises';
          said = value ? `hiding it ${way} the ${words} by ${by}` : 'hiding it changes nothing';
        }
        this.line(each, `row ${row}, column ${column}: ${said}`);
      }
    }

    unread(key) {
      for (const [each, map] of this.maps) {
        if (each !== key && !(key.startsWith('method-') && each.startsWith('method-'))) continue;
        map.clear();
        this.line(each, null);
      }
    }

    // Says something of a map; null: what stood there at first.
    line(key, text) {
      const line = this.article.querySelector(`[data-value="${key}"]`);
      if (!line) return;
      line.kept ??= [...line.childNodes];
      line.replaceChildren(...text === null ? line.kept : [text]);
    }

    // The picture with the square on it, and what the network says of it at each place.
    stage() {
      const {rows, columns, window, size, fill, worst} = this.data;
      const stage = this.article.querySelector('[data-stage]');
      stage.append(element('img', {alt: '', src: this.image.src}));
      stage.tabIndex = 0;
      stage.setAttribute('role', 'application');
      stage.setAttribute('aria-roledescription', 'picture with a square');
      this.occluder = new zfcuda.Occluder(stage, {size, fill});
      this.readout = this.article.querySelector('.readout');
      this.finding = [...this.readout.childNodes];
      const nearest = (starts, middle) => starts.reduce((best, start, i) =>
        Math.abs(start + window / 2 - middle) < Math.abs(starts[best] + window / 2 - middle) ? i : best, 0);
      zfcuda.follow(stage, {
        grid: () => [rows.length, columns.length],
        place: () => this.place,
        at: (y, x) => [nearest(rows, y * size[0]), nearest(columns, x * size[1])],
        move: (row, column) => this.move(row, column),
        leave: () => this.rest(),
      });
      this.panels.push([stage.parentElement, 'occluded', () => this.occluded()]);
      this.put(...worst);
    }

    box(row, column) {
      const {rows, columns, window, size} = this.data, top = rows[row], left = columns[column];
      return {top, left, height: Math.min(window, size[0] - top), width: Math.min(window, size[1] - left)};
    }

    put(row, column) {
      this.place = [row, column];
      this.occluder.show(this.box(row, column));
      for (const key of ['probability', 'labels', 'activity']) this.maps.get(key)?.point(row, column);
    }

    move(row, column) {
      this.put(row, column);
      const {data, grid} = this, {top, left, height, width} = this.box(row, column);
      const at = row * data.columns.length + column;
      const odds = grid.log_odds[at], change = odds - (data.base.log_odds ?? NaN);
      const parts = [`${data.target} ${numbers.percent(grid.probability[at])} (log-odds ${numbers.signed(odds)}, ` +
        `${change ? `${numbers.signed(change)} by the square` : 'as without it'})`,
      `most probable ${data.names[data.label[at]]}`];
      if (grid.activity) parts.push(`activity of the map ${numbers.number(grid.activity[at])}`);
      this.readout.textContent = `Square over rows ${top} to ${top + height - 1}, columns ${left} to ` +
        `${left + width - 1}: ${parts.join(', ')}.`;
    }

    rest() {
      this.put(...this.data.worst);
      this.readout.replaceChildren(...this.finding);
    }

    occluded() {
      const canvas = this.canvas(this.image), context = canvas.getContext('2d'), {box, cover} = this.occluder;
      const area = [box.left, box.top, box.width, box.height];
      context.fillStyle = this.data.fill;
      if (this.data.fill.startsWith('#')) context.fillRect(...area);
      else context.drawImage(cover, ...area, ...area);
      return canvas;
    }

    // ------------------------------------------------------------------ switches

    // Takes the scale that the evidence of all pictures has.
    follow(scale) {
      this.chosen.evidence = scale;
      for (const input of this.all('[data-choice="evidence-scale"]')) input.checked = input.value === scale;
      this.again('evidence');
    }

    choose(input) {
      const value = input.value, [kind, what] = input.dataset.choice.split('-');
      const maps = {methods: 'method', units: 'unit'}[kind] ?? kind;
      if (kind === 'quantity') {
        this.quantity = value;
        const {words} = this.data.maps.evidence.quantities[value];
        this.article.querySelector('[data-quantity]').textContent = words;
        for (const meaning of this.all('[data-meaning]')) meaning.hidden = meaning.dataset.meaning !== value;
        this.again('evidence', this.shown());
      } else if (what === 'strength') {
        input.nextElementSibling.textContent = `${value}\u00a0%`;
        for (const [key, map] of this.maps) if (key.split('-')[0] === maps) map.set({strength: value / 100});
      } else {
        this.chosen[maps] = value;
        this.again(maps);
      }
    }
  };
}
