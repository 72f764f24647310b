'use strict';
// Methods side by side: each says of every pixel how much it has to do with the class.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const {element, byId, numbers} = zfcuda, live = zfcuda.live;
  const LEFT_OUT = ['centre'];  // a control of measurements, not a method to look at

  zfcuda.Methods = class {
    constructor(connection) {
      Object.assign(this, {connection, cards: new Map(), seen: false, running: false, asked: null});
      byId('methods-scale').append(zfcuda.choice({name: 'scale', label: 'Scale of the methods', value: live.state.scale,
        options: [['own', 'each its own scale'], ['shared', 'one scale']], chosen: scale => live.set({scale})}));
      const strength = byId('methods-strength');
      strength.value = live.state.strength;
      strength.addEventListener('input', () => live.set({strength: Number(strength.value)}));
      byId('methods-run').addEventListener('click', () => {
        if (this.running) this.stop();
        else { this.asked = null; this.ask(); }
      });
      new IntersectionObserver(entries => {
        this.seen = entries.at(-1).isIntersecting;
        if (this.seen) this.ask();
      }).observe(byId('methods-section'));
    }

    // Another picture, network or class.
    reset() {
      if (this.running) this.stop();
      this.asked = null;
      byId('methods-section').hidden = false;
      byId('methods-of').textContent = live.name();
      for (const card of this.cards.values()) card.stale();
      if (this.seen) this.ask();
    }

    stop() {
      this.connection.cancel('methods');
      this.running = false;
      this.asked = null;
      byId('methods-run').textContent = 'Run';
      for (const card of this.cards.values()) card.stopped();
    }

    ask() {
      const names = live.networks.methods.map(one => one.name).filter(name => !LEFT_OUT.includes(name));
      const question = JSON.stringify([live.asked(), live.target()]);
      if (!live.looked || this.asked === question) return;
      this.asked = question;
      this.running = true;
      byId('methods-run').textContent = 'Cancel';
      if (!this.cards.size) {
        for (const name of names) this.cards.set(name, new Card(live.networks.methods.find(one => one.name === name)));
        byId('methods').append(...[...this.cards.values()].map(card => card.figure));
      }
      for (const card of this.cards.values()) card.wait();
      this.connection.ask('methods', {...live.asked(), names, target: live.target()}, (answer, floats) => {
        if (answer.error || answer.complete) {
          this.running = false;
          byId('methods-run').textContent = 'Run again';
          for (const card of this.cards.values()) card.stopped(answer.error);
          return false;
        }
        this.cards.get(answer.name)?.take(answer, floats);
        this.draw();
        return true;
      });
    }

    // All of them on the scale that was chosen: each its own, or that of the largest number among them.
    draw() {
      const cards = [...this.cards.values()].filter(card => card.values);
      const most = Math.max(0, ...cards.map(card => card.largest));
      for (const card of cards) card.draw(live.state.scale === 'shared' ? most : card.largest);
    }
  };

  // One method: its map over the greyed picture, its colours, and what they mean.
  const Card = class {
    constructor(method) {
      this.method = method;
      this.frame = element('div', {class: 'frame empty'});
      this.note = element('p', {class: 'note'});
      this.read = element('span', {class: 'num soft'});  // the number under the pointer
      this.ramp = element('div', {class: 'scale'});
      this.save = element('button', {type: 'button', class: 'quiet', disabled: true}, 'PNG');
      this.save.addEventListener('click', () =>
        zfcuda.save(this.map.enlarged(), `${zfcuda.stem()}-method-${method.name}.png`));
      this.figure = element('figure', {class: 'method', 'data-name': method.name}, this.frame, this.ramp,
        element('figcaption', {}, element('span', {class: 'row'}, element('b', {}, method.title), this.read, this.save),
          element('span', {title: method.source}, method.reading), this.note));
    }

    wait() { this.stale(); this.note.textContent = 'Waiting …'; this.figure.dataset.state = 'waiting'; }
    stale() { this.values = null; this.frame.classList.add('stale'); this.figure.dataset.state = 'stale'; }
    stopped(reason = 'Not computed.') { if (!this.values && this.figure.dataset.state !== 'refused') this.note.textContent = reason; }

    take(answer, floats) {
      if (answer.refused) {
        this.note.textContent = answer.refused;
        this.figure.dataset.state = 'refused';
        this.frame.classList.add('empty');
        this.ramp.replaceChildren();
        this.save.disabled = true;
        return;
      }
      Object.assign(this, {values: floats, largest: answer.largest ?? 0, rows: answer.rows, columns: answer.columns});
      this.note.textContent = [`${answer.seconds < 0.1 ? (1000 * answer.seconds).toFixed(0) + ' ms'
        : answer.seconds.toFixed(1) + ' s'}`, ...answer.warnings].join(' · ');
      this.figure.dataset.state = 'complete';
    }

    draw(most) {
      const {signed} = this.method;
      const scale = {colours: signed ? 'diverging' : 'inferno', low: signed ? -most : 0, high: most, root: true};
      const options = {rows: this.rows, columns: this.columns, values: this.values, scale, under: zfcuda.greyPicture(),
        strength: live.state.strength / 100,
        move: (row, column, value) => { this.read.textContent = numbers.number(value); },
        leave: () => { this.read.textContent = ''; }, alt: `What ${this.method.title} says of each pixel, for ${live.name()}`};
      if (this.map) this.map.set(options);
      else this.map = new zfcuda.Map(this.frame, options);
      this.frame.classList.remove('empty', 'stale');
      this.figure.dataset.most = most;
      this.save.disabled = false;
      this.ramp.replaceChildren(zfcuda.ramp(scale, numbers.number));
    }
  };
}
