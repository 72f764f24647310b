'use strict';
// The occlusion map, as it streams in: coarse first, then finer. A place on it is the same place of the occluder.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const {element, byId, numbers} = zfcuda, live = zfcuda.live;
  const VIEWS = {probability: 'Probability', log_odds: 'Log-odds', label: 'Class', activity: 'Activity'};
  const LEGEND = 5;  // classes that are named below their map

  zfcuda.LiveMap = class {
    // point(box) hears of the place that is pointed at; null: of none.
    constructor(connection, point) {
      Object.assign(this, {connection, point, map: null, fields: {}, running: false});
      this.frame = byId('map-frame');
      byId('map-run').addEventListener('click', () => this.running ? this.cancel() : this.run());
      byId('stride').addEventListener('change', event => live.set({stride: Number(event.target.value)}));
      byId('map-under').addEventListener('input', event => live.set({under: Number(event.target.value)}));
      byId('map-save').addEventListener('click', () =>
        zfcuda.save(this.map.enlarged(), `${zfcuda.stem()}-map-${live.state.view}.png`));
      byId('map-range').append(zfcuda.choice({name: 'range', label: 'Scale', value: live.state.range,
        options: [['own', 'own scale'], ['whole', '0–100 %']], chosen: range => live.set({range})}));
      byId('stride').value = live.state.stride;
      byId('map-under').value = live.state.under;
    }

    // Another picture or network: the map of the old one goes.
    reset() {
      this.cancel();
      this.fields = {};
      this.complete = null;
      this.clear();
    }

    clear() {
      this.frame.classList.add('empty');
      byId('map-scale').replaceChildren();
      byId('map-readout').textContent = '';
      byId('map-save').disabled = true;
    }

    // Asks for the map of a window as large as the occluder.
    run() {
      if (!live.looked) return;
      const {stride, layer, unit} = live.state, window = live.window();
      this.asked = {window, stride, layer: unit === null ? null : layer, unit, target: live.target(), fill: live.state.fill};
      this.fields = {};
      this.complete = null;
      this.running = true;
      this.progress(0);
      this.views();
      this.connection.ask('map', {...live.covered(), ...this.asked}, (answer, floats) => this.hear(answer, floats));
    }

    cancel() {
      if (!this.running) return;
      this.connection.cancel('map');
      this.running = false;
      this.progress(null);
    }

    hear(answer, floats) {
      if (answer.error) {
        this.running = false;
        this.progress(null);
        byId('map-readout').textContent = answer.error;
        return false;
      }
      if (answer.complete) {
        this.running = false;
        this.complete = answer;
        this.progress(null);
        this.draw();
        return false;
      }
      this.take(answer, floats);
      this.progress(answer.done / answer.of);
      this.drawing ??= requestAnimationFrame(() => { this.drawing = null; this.draw(); });
      return true;
    }

    // Writes what came into the fields, each position over as many as it stands for until finer ones come.
    take({rows, columns, step, fields, count, origins}, floats) {
      if (this.rows !== rows || this.columns !== columns || !Object.keys(this.fields).length) {
        Object.assign(this, {rows, columns});
        this.known = new Uint8Array(rows * columns);
        this.fields = Object.fromEntries(fields.map(name => [name, new Float32Array(rows * columns).fill(NaN)]));
      }
      this.origins = origins;
      const {known} = this;
      for (let i = 0; i < count; i++) {
        const at = floats[i], row = Math.floor(at / columns), column = at % columns;
        for (let y = row; y < Math.min(rows, row + step); y++) {
          for (let x = column; x < Math.min(columns, column + step); x++) {
            const here = y * columns + x, itself = here === at;
            if (!itself && known[here]) continue;
            if (itself) known[here] = 1;
            fields.forEach((name, k) => { this.fields[name][here] = floats[(1 + k) * count + i]; });
          }
        }
      }
    }

    view() { return live.state.view in this.fields ? live.state.view : 'probability'; }

    // The choice between what there is.
    views() {
      const options = Object.entries(VIEWS).filter(([name]) => name !== 'activity' || this.asked?.layer);
      if (!options.some(([name]) => name === live.state.view)) live.set({view: 'probability'});
      byId('map-views').replaceChildren(zfcuda.choice({name: 'view', label: 'What the map shows', options,
        value: live.state.view, chosen: view => live.set({view})}));
    }

    draw() {
      const view = this.view(), values = this.fields[view];
      byId('map-range').hidden = view !== 'probability';
      if (!values) return;
      const base = this.base(), shown = view === 'log_odds' ? values.map(value => base.log_odds - value) : values;
      const scale = this.scale(view, shown);
      const options = {rows: this.rows, columns: this.columns, values: shown, scale, inset: this.inset(), under: zfcuda.greyPicture(),
        strength: live.state.under / 100, alt: `${VIEWS[view]} of ${live.name()}, with the occluder at each place`};
      if (this.map) this.map.set(options);
      else {
        this.map = new zfcuda.Map(this.frame, {...options, move: (row, column) => this.point(this.box(row, column)),
          leave: () => { this.point(null); this.read(null); }});
      }
      this.frame.classList.remove('empty');
      byId('map-save').disabled = false;
      this.frame.dataset.view = view;
      this.legend(view, scale);
      if (this.map.mark.hidden) this.read(null);
    }

    // Where the positions lie in the picture: each stands at the middle of its window.
    inset() {
      const [high, wide] = live.looked.size, [dy, dx] = this.origins.stride, [h, w] = this.origins.window;
      return [(h - dy) / 2 / high, (w - dx) / 2 / wide, this.rows * dy / high, this.columns * dx / wide];
    }

    base() { return this.complete?.base ?? zfcuda.answer?.base ?? {}; }

    scale(view, values) {
      if (view === 'label') return {categories: this.categories(values)};
      const finite = values.filter(Number.isFinite), low = finite.reduce((a, b) => Math.min(a, b), Infinity);
      const high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
      if (view === 'log_odds') {
        const most = Math.max(Math.abs(low), Math.abs(high));
        return {colours: 'diverging', low: -most, high: most};
      }
      if (view === 'activity') return {colours: 'inferno', low, high};
      return live.state.range === 'whole' ? {colours: 'viridis', low: 0, high: 1} : {colours: 'viridis', low, high};
    }

    // Classes by how often they are the most probable one; the whole picture's has the first colour.
    categories(values) {
      const counts = new Map();
      for (const value of values) if (Number.isFinite(value)) counts.set(value, (counts.get(value) ?? 0) + 1);
      const first = live.looked.classes[0].index;
      this.counts = [...counts].sort((a, b) => (b[0] === first) - (a[0] === first) || b[1] - a[1] || a[0] - b[0]);
      return Object.fromEntries(this.counts.slice(0, zfcuda.colours.categories.length)
        .map(([index], i) => [index, zfcuda.colours.categories[i]]));
    }

    legend(view, scale) {
      const place = byId('map-scale');
      if (view === 'label') return place.replaceChildren(this.classes(scale.categories));
      const drop = value => value > 0 ? `lowered by ${numbers.number(value)}` : value < 0
        ? `raised by ${numbers.number(-value)}` : '0';
      const form = {probability: numbers.percent, log_odds: drop}[view] ?? numbers.number;
      const name = live.name(), base = this.base();
      const words = {
        probability: `Probability of ${name} with the square at each place`
          + (base.probability === undefined ? '.' : `; the tick: nothing covered, ${numbers.percent(base.probability)}.`),
        log_odds: `How far the square lowers the log-odds of ${name} at each place (red), or raises them (blue).`,
        activity: `Activity of unit ${this.asked.unit} of ${this.asked.layer}, all over the picture together, with the square at each place.`,
      }[view];
      place.replaceChildren(zfcuda.ramp(scale, form, {words, mark: view === 'probability' ? base.probability ?? null : null}));
    }

    // The classes of their map, by share.
    classes(colours) {
      const total = this.counts.reduce((sum, [, count]) => sum + count, 0);
      const named = this.counts.slice(0, LEGEND), rest = this.counts.slice(LEGEND);
      const lines = named.map(([index, count]) =>
        [colours[index] ?? zfcuda.colours.other, live.className(index), numbers.percent(count / total)]);
      if (rest.length) {
        const share = rest.reduce((sum, [, count]) => sum + count, 0) / total;
        lines.push([zfcuda.colours.other, `${rest.length} more`, numbers.percent(share)]);
      }
      const words = 'The most probable class with the square at each place, and its share of the places.';
      return element('div', {}, zfcuda.legend(lines), element('p', {class: 'words'}, words));
    }

    // The box of a position; at the border it ends with the picture.
    box(row, column) {
      const [high, wide] = live.looked.size, [dy, dx] = this.origins.stride, [h, w] = this.origins.window;
      const top = Math.min(row * dy, high - 1), left = Math.min(column * dx, wide - 1);
      const box = {top, left, height: Math.min(h, high - top), width: Math.min(w, wide - left)};
      this.read([row, column], box);
      return box;
    }

    // The nearest position to a box, marked while something else moves it.
    mark(box) {
      if (!this.map || this.frame.matches(':hover, :focus')) return;
      if (!box || !this.origins || this.frame.classList.contains('empty')) return this.map.clear();
      const [dy, dx] = this.origins.stride, [h, w] = this.origins.window;
      const at = (start, length, side, step, count) =>
        Math.max(0, Math.min(count - 1, Math.round((start + (length - side) / 2) / step)));
      this.map.point(at(box.top, box.height, h, dy, this.rows), at(box.left, box.width, w, dx, this.columns));
    }

    read(place, box) {
      const line = byId('map-readout');
      if (!place) return line.replaceChildren(this.summary());
      const at = place[0] * this.columns + place[1], f = this.fields, base = this.base();
      const parts = [`${zfcuda.placed(box)}: ${numbers.percent(f.probability[at])}`,
        `log-odds ${numbers.number(f.log_odds[at])} (${numbers.signed(f.log_odds[at] - base.log_odds)})`,
        live.className(f.label[at])];
      if (f.activity) parts.push(`activity ${numbers.number(f.activity[at])}`);
      line.dataset.at = place.join();
      line.textContent = parts.join(' · ');
    }

    // What the whole map says.
    summary() {
      if (this.running) return 'The map is coming in, coarse first.';
      const done = this.complete;
      if (!done) return '';
      const {activity} = this.fields, active = activity && this.view() === 'activity';
      const lowest = active ? activity.reduce((least, value, i) => value < activity[least] ? i : least, 0) : 0;
      const [row, column] = active ? [Math.floor(lowest / this.columns), lowest % this.columns] : done.worst;
      const at = row * this.columns + column, value = active ? numbers.number(activity[at]) : numbers.percent(this.fields.probability[at]);
      const how = done.method === 'incremental' ? 'incremental, exact' : 'brute force';
      return `Lowest, ${value}, with the square’s corner at row `
        + `${row * this.asked.stride}, column ${column * this.asked.stride}. ${this.rows} × ${this.columns} places in `
        + `${done.seconds.toFixed(1)} s, ${how}.`;
    }

    progress(share) {
      const bar = byId('map-progress'), button = byId('map-run');
      bar.classList.toggle('running', share !== null);
      bar.value = share ?? 0;
      button.textContent = share === null ? `Run ${live.window().join(' × ')}` : 'Cancel';
      button.classList.toggle('main', share === null && this.differs());
      this.frame.dataset.state = share !== null ? 'running' : this.complete ? 'complete' : 'none';
    }

    // Whether the map on the page is of another question than the controls say.
    differs() {
      const asked = this.asked;
      return Boolean(asked && live.looked) && (!this.complete || asked.window.join() !== live.window().join()
        || asked.stride !== live.state.stride || asked.target !== live.target() || asked.fill !== live.state.fill
        || asked.unit !== live.state.unit || asked.unit !== null && asked.layer !== live.state.layer);
    }
  };
}
