'use strict';
// How many answers a second arrive on the screen, and how long each took from the question to the frame that shows it.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const KEPT = 20000;  // samples
  const LONG = 1000;   // milliseconds that the rate looks back
  const PAUSE = 250;   // milliseconds without a question, which do not count: nobody moved

  zfcuda.Meter = class {
    constructor(element) {
      this.element = element;
      this.samples = [];  // [when it was shown, milliseconds since it was asked, milliseconds in the network]
    }

    // An answer is on the screen, in the frame of time `now`.
    shown(now, asked, served) {
      if (this.samples.length >= KEPT) this.samples.splice(0, KEPT / 2);
      this.samples.push([now, Math.max(0, now - asked), served]);
      this.show();
    }

    // The answers of the last second in which the pointer did not rest.
    recent() {
      const all = this.samples, last = all.length - 1;
      let from = last;
      while (from > 0 && all[from - 1][0] > all[last][0] - LONG && all[from][0] - all[from - 1][0] - all[from][1] < PAUSE) from -= 1;
      return all.slice(Math.max(0, from));
    }

    show() {
      const recent = this.recent(), data = this.element.dataset, [first, last] = [recent[0], recent.at(-1)];
      const middle = at => recent.map(sample => sample[at]).sort((a, b) => a - b)[recent.length >> 1];
      const rate = recent.length > 2 ? 1000 * (recent.length - 1) / (last[0] - first[0]) : 0;
      Object.assign(data, {rate: rate.toFixed(1), latency: middle(1).toFixed(1)});
      this.element.textContent = `${middle(2).toFixed(1)} ms in the network, ${middle(1).toFixed(0)} ms to the screen`
        + (rate ? `, ${rate.toFixed(0)} answers a second` : '');
    }
  };
}
