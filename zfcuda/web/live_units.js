'use strict';
// A layer's units as a grid, the strongest first.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const {element, byId, numbers} = zfcuda, live = zfcuda.live;
  const PAGE = 24;

  zfcuda.Units = class {
    constructor(connection) {
      Object.assign(this, {connection, seen: false, shown: null, count: 0});
      this.grid = byId('units');
      byId('layer').addEventListener('change', event => live.set({layer: event.target.value, unit: null}));
      byId('units-more').addEventListener('click', () => this.more());
      this.grid.addEventListener('keydown', event => this.key(event));
      // Nobody waits for what he has not scrolled to.
      new IntersectionObserver(entries => {
        this.seen = entries.at(-1).isIntersecting;
        this.ask();
      }, {rootMargin: '80px'}).observe(byId('units-section'));
    }

    // Another picture or network.
    reset() {
      const {layers} = live.looked, section = byId('units-section'), select = byId('layer');
      this.connection.cancel('units');
      this.shown = null;
      section.hidden = false;
      select.parentElement.hidden = !layers.length;
      if (!layers.length) {
        this.grid.replaceChildren();
        byId('units-more').hidden = true;
        byId('units-note').textContent = 'This network has no convolutions whose units could be shown.';
        return;
      }
      select.replaceChildren(...layers.map(one => element('option', {value: one.name},
        `${one.name}${one.output && one.output !== one.name ? ` → ${one.output}` : ''} · ${one.units} × ${one.rows} × ${one.columns}`)));
      if (!layers.some(one => one.name === live.state.layer)) live.set({layer: layers.at(-1).name, unit: null});
      select.value = live.state.layer;
      this.ask();
    }

    // Asks for the first units of the layer, where they are not there yet.
    ask() {
      const {layer} = live.state;
      if (!this.seen || !live.looked?.layers.length || this.shown === layer) return;
      this.shown = layer;
      this.count = 0;
      byId('layer').value = layer;
      byId('units-note').textContent = 'Looking at its units …';
      byId('units-more').hidden = true;
      this.more();
    }

    more() {
      const from = this.count;
      this.connection.ask('units', {...live.asked(), layer: this.shown, count: PAGE, from}, answer => {
        if (answer.error) byId('units-note').textContent = answer.error;
        else this.take(answer);
        return false;
      });
    }

    take({from, of, units, rows, columns}) {
      const tiles = units.map(one => this.tile(one, rows, columns));
      if (from) this.grid.append(...tiles);
      else this.grid.replaceChildren(...tiles);
      this.count = from + units.length;
      byId('units-more').hidden = this.count >= of;
      byId('units-note').textContent = `${this.count} of ${of} units, those that this picture excites most first. A tile: where a unit is `
        + 'active, and its largest activity. Click one.';
      this.mark();
    }

    tile(one, rows, columns) {
      const image = element('img', {src: one.image, class: 'hard', alt: `Where unit ${one.unit} is active`, draggable: false});
      image.style.aspectRatio = `${columns} / ${rows}`;
      const tile = element('button', {type: 'button', class: 'tile', 'data-unit': one.unit}, image,
        element('span', {class: 'row'}, element('span', {}, String(one.unit)),
          element('span', {class: 'num soft'}, numbers.number(one.strength))));
      tile.addEventListener('click', () => live.set({unit: live.state.unit === one.unit ? null : one.unit}));
      return tile;
    }

    mark() {
      for (const tile of this.grid.children) {
        tile.setAttribute('aria-pressed', Number(tile.dataset.unit) === live.state.unit);
      }
    }

    // Arrow keys walk over the grid.
    key(event) {
      const tiles = [...this.grid.children], at = tiles.indexOf(document.activeElement);
      if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
      const top = tiles[0].offsetTop, columns = tiles.filter(tile => tile.offsetTop === top).length;
      const by = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns}[event.key];
      if (!by) return;
      event.preventDefault();
      tiles[Math.max(0, Math.min(tiles.length - 1, at + by))].focus();
    }
  };
}
