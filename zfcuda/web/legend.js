'use strict';
// What the colours of a map mean.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const {element} = zfcuda;

  // A colour bar of a scale {colours, low, high}, with the numbers at its ends as `form` writes them.
  zfcuda.ramp = (scale, form) => {
    const ramp = element('div', {class: 'ramp'});
    ramp.style.background = zfcuda.colours.css(scale.colours);
    return element('div', {}, ramp, element('div', {class: 'ends num'},
      element('span', {}, form(scale.low)), element('span', {}, form(scale.high))));
  };

  // Lines of [[red, green, blue], name, number].
  zfcuda.legend = lines => element('ul', {class: 'legend'}, ...lines.map(([colour, name, number]) => {
    const swatch = element('i');
    swatch.style.background = `rgb(${colour.join()})`;
    return element('li', {}, swatch, element('span', {}, name), element('span', {class: 'num'}, number));
  }));
}
