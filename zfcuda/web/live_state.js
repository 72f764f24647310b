'use strict';
// What is looked at, and how: it stands in the address behind "#", so that a reload, a bookmark and "back" lead to the same
// place. Parts of the page hear of each other here and nowhere else.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const START = {
    picture: '', network: '', target: null, fill: 'grey', side: 32, box: null, pinned: false,
    view: 'probability', stride: 8, under: 55, range: 'own',
    layer: null, unit: null, scale: 'own', strength: 70,
  };
  const known = {
    picture: text => text, network: text => text, layer: text => text || null, fill: text => text, view: text => text,
    range: text => text === 'whole' ? 'whole' : 'own', scale: text => text === 'shared' ? 'shared' : 'own',
    pinned: text => text === 'true',
    box: text => {
      const numbers = text.split(',').map(Number);
      if (numbers.length !== 4 || !numbers.every(Number.isInteger)) return null;
      const [top, left, height, width] = numbers;
      return {top, left, height, width};
    },
  };
  const whole = (text, otherwise) => /^\d{1,6}$/.test(text) ? Number(text) : otherwise;

  const read = () => {
    const state = {...START};
    for (const [key, text] of new URLSearchParams(location.hash.slice(1))) {
      if (key in START) state[key] = key in known ? known[key](text) : whole(text, START[key]);
    }
    return state;
  };

  const written = state => {
    const parameters = new URLSearchParams();
    for (const [key, value] of Object.entries(state)) {
      if (value === null || value === START[key] || (key === 'box' && !state.pinned)) continue;
      parameters.set(key, key === 'box' ? [value.top, value.left, value.height, value.width].join() : value);
    }
    return `#${parameters}`;
  };

  const live = zfcuda.live = {
    state: read(),
    looked: null,     // the answer to "look" that is on the page
    networks: null,   // what the server offers
    listeners: {},

    // hear(detail) is called whenever somebody tells of `name`.
    on(name, hear) { (live.listeners[name] ??= []).push(hear); },
    tell(name, detail) { for (const hear of live.listeners[name] ?? []) hear(detail); },

    // Changes what is looked at; tells of "changed" with the names of what is another value than before.
    set(changes) {
      const names = Object.keys(changes).filter(key => live.state[key] !== changes[key]);
      Object.assign(live.state, changes);
      if (!names.length) return;
      live.write();
      live.tell('changed', names);
    },

    // The address follows a little later: browsers allow only so many changes of it.
    write() {
      live.writing ??= setTimeout(() => {
        live.writing = null;
        const hash = written(live.state);
        if (hash !== location.hash) history.replaceState(null, '', hash === '#' ? location.pathname : hash);
      }, 400);
    },

    // What every question says.
    asked: () => ({picture: live.state.picture, network: live.state.network}),
    covered: () => ({...live.asked(), fill: live.state.fill, target: live.target()}),

    // The class that is asked about: the one that was chosen, or the most probable one of the whole picture.
    target: () => live.state.target ?? live.looked?.classes[0].index ?? null,
    className: index => live.looked?.names[index] ?? `class ${index}`,
    name: () => live.className(live.target()),
  };
}
