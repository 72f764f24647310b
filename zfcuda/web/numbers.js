'use strict';
// Numbers as people read them, as zfcuda/report/pieces.py writes them, and arrays as a page carries them.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const space = '\u00a0';  // does not break the line between a number and its unit
  const known = value => value !== null && value !== undefined && !Number.isNaN(value);

  const half = bits => {  // a float16
    const sign = bits >> 15 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
  };

  zfcuda.numbers = {
    // 0.123 -> "12.3 %"; what would be rounded to 0 or to 100 is "below 0.1 %" or "above 99.9 %".
    percent(share) {
      if (!known(share)) return 'unknown';
      if (share > 0 && share < 0.0005) return `below${space}0.1${space}%`;
      return share >= 0.9995 && share < 1 ? `above${space}99.9${space}%` : `${(100 * share).toFixed(1)}${space}%`;
    },

    // Three significant digits, without zeros at the end.
    number(value) {
      if (!known(value)) return 'no number';
      if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
      const size = Math.abs(value);
      const long = size !== 0 && (size < 1e-4 || size >= 1e6);
      const text = long ? value.toExponential(2) : String(Number(value.toPrecision(3)));
      return text.replace(/-/g, '−');
    },

    // The same, with a sign.
    signed: value => (value > 0 ? '+' : '') + zfcuda.numbers.number(value),

    // A difference of probabilities in percentage points, with a sign.
    points: value => zfcuda.numbers.signed(100 * value),

    // An array as Python packed it, {kind: 'float16' or 'float32', unit, data: base64}: each number is a multiple of `unit`.
    unpack({kind, unit = 1, data}) {
      const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
      if (kind === 'float32') return new Float32Array(bytes.buffer).map(value => value * unit);
      return Float32Array.from(new Uint16Array(bytes.buffer), bits => half(bits) * unit);
    },
  };
}
