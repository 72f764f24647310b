'use strict';
// The square that hides a part of a picture: shown on it; moved by pointer, wheel and keys; drawn as a free rectangle.
{
  const zfcuda = globalThis.zfcuda ??= {};

  // stage: the element (position: relative) with the picture in it. Options:
  //   size     [rows, columns] of the picture as the network sees it
  //   fill     "#808080", or the address of a picture of that size, of which the square shows its own part
  zfcuda.Occluder = class {
    constructor(stage, {size, fill}) {
      this.stage = stage;
      this.size = size;
      this.box = null;
      this.square = document.createElement('div');
      this.square.className = 'square';
      this.square.hidden = true;
      this.cover = Object.assign(document.createElement('img'), {alt: ''});
      stage.append(this.square);
      this.paint(fill);
    }

    // Changes what the square shows.
    paint(fill) {
      const plain = fill.startsWith('#');
      this.square.style.background = plain ? fill : 'none';
      if (plain) this.cover.remove();
      else { this.cover.src = fill; this.square.append(this.cover); }
    }

    // Shows the square at box {top, left, height, width}, in pixels of the picture.
    show(box) {
      const [high, wide] = this.size, {top, left, height, width} = this.box = box;
      this.square.hidden = false;
      Object.assign(this.square.style, {top: `${100 * top / high}%`, left: `${100 * left / wide}%`,
        height: `${100 * height / high}%`, width: `${100 * width / wide}%`});
      Object.assign(this.cover.style, {top: `${-100 * top / height}%`, left: `${-100 * left / width}%`,
        height: `${100 * high / height}%`, width: `${100 * wide / width}%`});
    }

    // Takes it away.
    hide() { this.square.hidden = true; }

    // Lets people hold it. The pointer has the middle of the square; dragging draws a free rectangle; the wheel and + and -
    // change the size; arrow keys move by a pixel, with Shift by ten. changed(box) is told of each change, leave() when the
    // pointer is gone and the focus is elsewhere.
    hold({side = 32, changed, leave = () => {}}) {
      const stage = this.stage, [high, wide] = this.size;
      const bound = (value, low, above) => Math.max(low, Math.min(above, value));
      const place = (y, x, height, width) => {
        height = bound(Math.round(height), 1, high);
        width = bound(Math.round(width), 1, wide);
        const box = {top: bound(Math.round(y - height / 2), 0, high - height),
          left: bound(Math.round(x - width / 2), 0, wide - width), height, width};
        if (!this.square.hidden && ['top', 'left', 'height', 'width'].every(key => box[key] === this.box[key])) return;
        this.show(box);
        changed(box);
      };
      const middle = () => this.box
        ? [this.box.top + this.box.height / 2, this.box.left + this.box.width / 2] : [high / 2, wide / 2];
      const sides = () => this.box ? [this.box.height, this.box.width] : [side, side];
      const at = event => {
        const frame = stage.getBoundingClientRect();
        return [(event.clientY - frame.top) / frame.height * high, (event.clientX - frame.left) / frame.width * wide];
      };
      let from = null;  // where dragging began
      stage.tabIndex = 0;
      stage.addEventListener('pointerdown', event => {
        if (event.button !== 0) return;
        stage.setPointerCapture?.(event.pointerId);
        from = event.pointerType === 'touch' ? null : at(event);  // a finger moves the square
        if (!from) place(...at(event), ...sides());
      });
      stage.addEventListener('pointermove', event => {
        const here = at(event);
        if (!from) return place(...here, ...sides());
        const height = Math.abs(here[0] - from[0]), width = Math.abs(here[1] - from[1]);
        if (height >= 2 && width >= 2) place((here[0] + from[0]) / 2, (here[1] + from[1]) / 2, height, width);
      });
      stage.addEventListener('pointerup', () => { from = null; });
      stage.addEventListener('pointercancel', () => { from = null; });
      const gone = () => { if (!from && document.activeElement !== stage) { this.hide(); leave(); } };
      stage.addEventListener('pointerleave', gone);
      stage.addEventListener('blur', gone);
      stage.addEventListener('wheel', event => {
        if (event.ctrlKey) return;  // that is the browser's zoom
        event.preventDefault();
        const by = event.deltaY < 0 ? 2 : -2;
        place(...middle(), ...sides().map(length => length + by));
      }, {passive: false});
      stage.addEventListener('keydown', event => {
        const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
        const grow = {'+': 2, '=': 2, '-': -2}[event.key];
        if (event.ctrlKey || event.metaKey || event.altKey || !(step || grow)) return;
        event.preventDefault();
        const [y, x] = middle(), far = event.shiftKey ? 10 : 1;
        if (step) place(y + far * step[0], x + far * step[1], ...sides());
        else place(y, x, ...sides().map(length => length + grow));
      });
    }
  };
}
