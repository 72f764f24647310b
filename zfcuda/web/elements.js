'use strict';
// Elements of a page. Text is always text: names of pictures and of classes may hold anything.
{
  const zfcuda = globalThis.zfcuda ??= {};

  // An element. Properties are set as they are, `class`, `data-…`, `aria-…` and `for` as attributes; children are nodes or text.
  zfcuda.element = (tag, properties = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (/^(class|for|role|list|data-|aria-)/.test(name)) element.setAttribute(name, value);
      else element[name] = value;
    }
    element.append(...children.filter(child => child !== null));
    return element;
  };

  zfcuda.byId = id => document.getElementById(id);

  // A choice of one, as radio buttons: {name, options: [[value, text]], value, chosen(value)} -> a fieldset.
  zfcuda.choice = ({name, label, options, value, chosen}) => {
    const {element} = zfcuda;
    const field = element('fieldset', {class: 'choice'}, element('legend', {class: 'unseen'}, label));
    for (const [key, text] of options) {
      const id = `${name}-${key}`;
      const radio = element('input', {type: 'radio', name, id, value: key, checked: key === value});
      radio.addEventListener('change', () => chosen(key));
      field.append(radio, element('label', {for: id}, text));
    }
    return field;
  };

  // A bar, 0 ... 1, with a tick where something else was.
  zfcuda.bar = () => {
    const fill = zfcuda.element('i'), tick = zfcuda.element('b', {hidden: true});
    const bar = zfcuda.element('div', {class: 'bar', 'aria-hidden': 'true'}, fill, tick);
    bar.set = (share, mark = null) => {
      fill.style.transform = `scaleX(${share ?? 0})`;
      tick.hidden = mark === null;
      if (mark !== null) tick.style.left = `${100 * mark}%`;
    };
    return bar;
  };
}
