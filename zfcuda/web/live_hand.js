'use strict';
// The hand that holds the occluder: pointer, wheel, keys and fingers become a box {top, left, height, width} of pixels, or
// null where nothing is covered. Where it leads is drawn dashed, at once; what is covered is drawn when its numbers are there.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const DRAWN = 5;     // pixels of the screen that a press moves before it is a rectangle
  const NOTCH = 30;    // pixels of the wheel for one of the picture
  const FAR = 8;       // pixels of a step with Shift
  const ARROWS = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
  const bound = (value, low, high) => Math.max(low, Math.min(high, value));

  zfcuda.sameBox = (a, b) => a === b
    || Boolean(a && b) && ['top', 'left', 'height', 'width'].every(key => a[key] === b[key]);

  // stage: the element (position: relative) with the picture. changed(box) hears of every other box, and of pins.
  zfcuda.Hand = class {
    constructor(stage, {side, changed}) {
      Object.assign(this, {stage, changed, size: [1, 1], side, box: null, pinned: false, kept: null,
        press: null, fingers: new Map(), turned: 0, byKeys: false});
      this.outline = zfcuda.element('div', {class: 'wanted', hidden: true});
      stage.append(this.outline);
      stage.addEventListener('pointerdown', event => this.down(event));
      stage.addEventListener('pointermove', event => this.moved(event));
      stage.addEventListener('pointerup', event => this.up(event));
      stage.addEventListener('pointercancel', event => { this.fingers.delete(event.pointerId); this.press = null; });
      stage.addEventListener('pointerleave', () => this.left());
      stage.addEventListener('blur', () => { this.byKeys = false; if (!stage.matches(':hover')) this.left(); });
      stage.addEventListener('dblclick', () => this.square());
      stage.addEventListener('wheel', event => this.wheel(event), {passive: false});
      stage.addEventListener('keydown', event => this.key(event));
    }

    // Takes another picture of [rows, columns], with a box on it, or none.
    take(size, box, pinned) {
      this.size = size;
      this.side = bound(this.side, 1, Math.min(...size));
      this.box = null;
      this.pinned = false;
      if (box) this.place(box.top + box.height / 2, box.left + box.width / 2, box.height, box.width, pinned);
      else this.go(null);
    }

    // The box around a middle, within the picture.
    place(y, x, height, width, pinned = this.pinned) {
      const [high, wide] = this.size;
      height = bound(Math.round(height), 1, high);
      width = bound(Math.round(width), 1, wide);
      if (height === width) this.side = height;  // to which a rectangle that is drawn goes back
      this.go({top: bound(Math.round(y - height / 2), 0, high - height),
        left: bound(Math.round(x - width / 2), 0, wide - width), height, width}, pinned);
    }

    go(box, pinned = this.pinned) {
      if (zfcuda.sameBox(box, this.box) && pinned === this.pinned) return;
      this.box = box;
      this.pinned = pinned && box !== null;
      if (box) this.kept = box;
      this.stage.classList.toggle('pinned', this.pinned);
      this.draw();
      this.changed(box);
    }

    draw() {
      const {box, outline, size: [high, wide]} = this;
      outline.hidden = !box;
      if (box) Object.assign(outline.style, {top: `${100 * box.top / high}%`, left: `${100 * box.left / wide}%`,
        height: `${100 * box.height / high}%`, width: `${100 * box.width / wide}%`});
    }

    sides() { return this.kept ? [this.kept.height, this.kept.width] : [this.side, this.side]; }
    middle() {
      const box = this.box ?? this.kept;
      return box ? [box.top + box.height / 2, box.left + box.width / 2] : this.size.map(length => length / 2);
    }

    // The square again, where the box is.
    square() {
      const [y, x] = this.middle();
      this.kept = null;
      this.place(y, x, this.side, this.side, false);
    }

    // Both sides, in pixels.
    resize(height, width) { this.place(...this.middle(), height, width); }

    // Larger or smaller by about so many pixels of the longer side, in the same shape.
    grow(by) {
      const [height, width] = this.sides(), longest = Math.max(height, width), factor = Math.max(1, longest + by) / longest;
      this.resize(Math.max(1, height * factor), Math.max(1, width * factor));
    }

    at(event) {
      const frame = this.stage.getBoundingClientRect(), [high, wide] = this.size;
      return [(event.clientY - frame.top) / frame.height * high, (event.clientX - frame.left) / frame.width * wide];
    }

    down(event) {
      if (event.button !== 0) return;
      this.stage.setPointerCapture?.(event.pointerId);
      this.byKeys = false;
      const here = this.at(event);
      if (event.pointerType === 'touch') {
        this.fingers.set(event.pointerId, here);
        const [y, x] = this.middle(), [height, width] = this.sides();
        const inside = this.box && Math.abs(here[0] - y) <= height / 2 && Math.abs(here[1] - x) <= width / 2;
        if (this.fingers.size === 1 && !inside) this.place(...here, height, width, true);
        this.press = {finger: here, middle: this.middle(), sides: this.sides(), apart: this.apart()};
      } else {
        this.press = {from: here, x: event.clientX, y: event.clientY, drawn: false, was: this.pinned};
      }
    }

    // How far two fingers are from each other.
    apart() {
      const [a, b] = [...this.fingers.values()];
      return b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 0;
    }

    moved(event) {
      const here = this.at(event), press = this.press;
      if (event.pointerType === 'touch') {
        if (!press || !this.fingers.has(event.pointerId)) return;
        this.fingers.set(event.pointerId, here);
        if (this.fingers.size === 2 && press.apart) {
          const factor = this.apart() / press.apart;
          this.place(...press.middle, press.sides[0] * factor, press.sides[1] * factor, true);
        } else if (this.fingers.size === 1 && !press.apart) {
          this.place(press.middle[0] + here[0] - press.finger[0], press.middle[1] + here[1] - press.finger[1],
            ...press.sides, true);
        }
        return;
      }
      if (press) {
        press.drawn ||= Math.hypot(event.clientX - press.x, event.clientY - press.y) > DRAWN;
        if (press.drawn) this.draws(press.from, here);
      } else if (!this.pinned) {
        this.byKeys = false;
        this.place(...here, ...this.sides());
      }
    }

    // A free rectangle between two corners, whose pixels are those that the pointer has touched.
    draws(from, to) {
      const [high, wide] = this.size, side = (a, b, most) => {
        const low = bound(Math.floor(Math.min(a, b)), 0, most - 1);
        return [low, bound(Math.ceil(Math.max(a, b)), low + 1, most) - low];
      };
      const [top, height] = side(from[0], to[0], high), [left, width] = side(from[1], to[1], wide);
      this.go({top, left, height, width}, true);
    }

    up(event) {
      this.fingers.delete(event.pointerId);
      const press = this.press;
      if (!press || event.pointerType === 'touch') {
        if (!this.fingers.size) this.press = null;
        return;
      }
      this.press = null;
      if (!press.drawn) this.place(...this.at(event), ...this.sides(), !press.was);
    }

    // The pointer is elsewhere: nothing is covered, unless it is pinned or keys brought it where it is.
    left() { if (!this.press && !this.pinned && !this.byKeys) this.go(null); }

    wheel(event) {
      if (event.ctrlKey) return;  // that is the browser's zoom
      event.preventDefault();
      this.turned -= event.deltaY * (event.deltaMode ? 40 : 1) / NOTCH;
      const by = Math.trunc(this.turned);
      this.turned -= by;
      if (by) this.grow(by);
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.stage) return;
      const step = ARROWS[event.key], grow = {'+': 2, '=': 2, ']': 2, '-': -2, '[': -2}[event.key];
      const far = event.shiftKey ? FAR : 1, [y, x] = this.middle();
      if (step) this.place(y + far * step[0], x + far * step[1], ...this.sides());
      else if (grow) this.grow(grow);
      else if (event.key === 'Enter' || event.key === ' ') this.place(y, x, ...this.sides(), !this.pinned);
      else if (event.key === 'Escape') this.escape();
      else return;
      this.byKeys = event.key !== 'Escape' || this.box !== null;
      event.preventDefault();  // or the page would scroll
    }

    // From a rectangle or a pin back to the square, and from that to the whole picture.
    escape() {
      if (this.box && (this.pinned || this.box.height !== this.box.width)) this.square();
      else this.go(null);
    }
  };
}
