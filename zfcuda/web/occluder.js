'use strict';
// The square that hides a part of a picture: shown on it. live_hand.js lets people hold it.
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
  };
}
