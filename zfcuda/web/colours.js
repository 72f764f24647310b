'use strict';
// Colours of numbers. The scales are those of zfcuda.render, which the page hands over as JSON (zfcuda.web.colours), so
// that no colour is typed twice and a map looks the same whether Python draws it or the browser.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const tables = JSON.parse(document.getElementById('zfcuda-colours').textContent);
  const rgb = hex => [0, 2, 4].map(i => parseInt(hex.slice(i, i + 2), 16));
  const scales = Object.fromEntries(Object.entries(tables.scales).map(([name, stops]) => [name, stops.map(rgb)]));

  zfcuda.colours = {
    rgb,  // "c9512f" -> [201, 81, 47]
    categories: tables.categories.map(rgb),  // for classes; the most important one takes the first
    other: rgb(tables.other),                // for classes that get no colour of their own
    nan: rgb(tables.nan),                    // where there is no number

    // The CSS background of a horizontal colour bar.
    css: name => `linear-gradient(90deg, ${tables.scales[name].map(stop => '#' + stop).join(', ')})`,

    // Where a value lies between the ends of a scale {colours, low, high, root}, 0 ... 1. NaN stays NaN, infinities take an
    // end. With `root` it goes with the square root of the magnitude: otherwise a fine map shows nothing but its few
    // largest pixels. Of a map of zeros the ends are equal; then all is the low end, or the middle of "diverging".
    share(value, {colours, low, high, root}) {
      if (Number.isNaN(value)) return NaN;
      if (!(high > low)) return Number.isFinite(value) ? (colours === 'diverging' ? 0.5 : 0) : (value > 0 ? 1 : 0);
      if (!root) return Math.min(1, Math.max(0, (value - low) / (high - low)));
      const bent = Math.sign(value) * Math.sqrt(Math.min(1, Math.abs(value) / high));
      return colours === 'diverging' ? (bent + 1) / 2 : Math.max(0, bent);
    },

    // The colour of a share, [red, green, blue].
    at(name, share) {
      if (Number.isNaN(share)) return zfcuda.colours.nan;
      const stops = scales[name], at = share * (stops.length - 1);
      const whole = Math.min(Math.floor(at), stops.length - 2), part = at - whole;
      return [0, 1, 2].map(i => Math.round(stops[whole][i] * (1 - part) + stops[whole + 1][i] * part));
    },
  };
}
