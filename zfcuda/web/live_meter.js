'use strict';
// How many answers a second arrive on the screen, and how long each took from the question to the frame that shows it.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const KEPT = 20000, LONG = 1000;  // samples; milliseconds that the rate looks back

  zfcuda.Meter = class {
    constructor(element) {
      this.element = element;
      this.samples = [];  // [when it was shown, milliseconds since it was asked, milliseconds of the server's]
    }

    // An answer is on the screen, in the frame of time `now`.
    shown(now, asked, served) {
      if (this.samples.length >= KEPT) this.samples.splice(0, KEPT / 2);
      this.samples.push([now, now - asked, served]);
    }

    // Writes what the last second was like.
    show(now) {
      let from = this.samples.length;
      while (from && this.samples[from - 1][0] > now - LONG) from -= 1;
      const recent = this.samples.slice(from), data = this.element.dataset;
      const middle = at => recent.map(sample => sample[at]).sort((a, b) => a - b)[recent.length >> 1];
      data.rate = recent.length;
      if (!recent.length) return;
      data.latency = middle(1).toFixed(1);
      this.element.textContent = `${middle(2).toFixed(1)} ms in the network, ${middle(1).toFixed(0)} ms to the screen, `
        + `${recent.length} answers a second`;
    }
  };
}
