'use strict';
// Pictures of each class to learn from: of all classes in a dialog, or of the one that is looked at, beside the list.
{
  const zfcuda = globalThis.zfcuda ??= {};

  const pictures = (index, {name, examples}) => Array.from({length: examples}, (_, which) => zfcuda.element('img', {
    src: `examples/${index}/${which}`, alt: `${name}, example ${which + 1}`, loading: 'lazy',
  }));

  zfcuda.examples = {
    // Opens the dialog, whose pictures are asked for when they scroll in.
    open(dialog, classes) {
      const list = dialog.querySelector('.list');
      if (!list.childElementCount) {
        list.append(...classes.map((each, index) => zfcuda.element('section', {},
          zfcuda.element('h3', {}, each.name), zfcuda.element('div', {class: 'strip'}, ...pictures(index, each)))));
      }
      dialog.showModal();
    },

    // Shows those of one class.
    beside(box, classes, index) {
      const each = classes[index];
      box.hidden = !each?.examples;
      if (box.hidden) return box.replaceChildren();
      box.replaceChildren(zfcuda.element('h3', {}, each.name),
        zfcuda.element('div', {class: 'strip'}, ...pictures(index, each)));
    },
  };
}
