'use strict';
// What the colours of a map mean.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const {element} = zfcuda;

  // A colour bar of a scale {colours, low, high}, with the numbers at its ends as `form` writes them, a tick at the value
  // `mark`, if there is one on it, and below what all this is, in words.
  zfcuda.ramp = (scale, form, {mark = null, words = ''} = {}) => {
    const ramp = element('div', {class: 'ramp'});
    ramp.style.background = zfcuda.colours.css(scale.colours);
    if (mark !== null && mark >= scale.low && mark <= scale.high && scale.low < scale.high) {
      const tick = element('b');
      tick.style.left = `${100 * zfcuda.colours.share(mark, scale)}%`;
      ramp.append(tick);
    }
    return element('div', {}, ramp, element('div', {class: 'ends num'},
      element('span', {}, form(scale.low)), element('span', {}, form(scale.high))), words && element('p', {class: 'words'}, words));
  };

  // Lines of [[red, green, blue], name, number].
  zfcuda.legend = lines => element('ul', {class: 'legend'}, ...lines.map(([colour, name, number]) => {
    const swatch = element('i');
    swatch.style.background = `rgb(${colour.join()})`;
    return element('li', {}, swatch, element('span', {}, name), element('span', {class: 'num'}, number));
  }));
}
