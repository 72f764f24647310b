'use strict';
// The microscope: puts its parts together.
{
  const {byId, element} = zfcuda, live = zfcuda.live, {state} = live;
  const REST = 120;  // milliseconds that the occluder's shape rests before its cover is asked for
  const stage = byId('stage'), picture = byId('picture');
  const connection = new zfcuda.Connection();
  const pictures = new zfcuda.Pictures(byId('strip'));
  const occluder = new zfcuda.Occluder(stage, {size: [1, 1], fill: '#808080'});
  const answer = zfcuda.answer = new zfcuda.Answer(connection, occluder);
  let covering = null, named = null;  // `named`: the network whose classes are offered

  const hand = zfcuda.hand = new zfcuda.Hand(stage, {side: state.side, changed(box) {
    answer.want(box);
    if (box) byId('hint').hidden = true;
    following();
    tools();
    live.set({box: hand.kept, pinned: hand.pinned, side: hand.side});
  }});
  live.window = () => hand.sides();

  // Whether the numbers are still those of another box than the one that is held, which then is drawn dashed.
  const following = () => stage.classList.toggle('following', !zfcuda.sameBox(answer.shown, hand.box));

  const map = zfcuda.map = new zfcuda.LiveMap(connection, box => {
    // The same place on both: a place of the map is one of the occluder, until the pointer leaves it.
    map.before ??= {box: hand.box, pinned: hand.pinned, kept: hand.kept};
    if (box) return hand.go(box, false);
    const {before} = map;
    map.before = null;
    hand.go(before.box, before.pinned);
    hand.kept = before.kept;
    tools();
  });
  const units = new zfcuda.Units(connection), methods = new zfcuda.Methods(connection);
  const unit = new zfcuda.Unit(connection, () => {
    live.set({view: 'activity'});
    map.run();
    byId('map-section').scrollIntoView({block: 'nearest'});
  });
  let uploads = null;

  // ---- what is looked at

  const look = () => {
    const known = pictures.list.length > 0;
    byId('welcome').hidden = Boolean(state.picture);
    byId('add').hidden = !known;
    if (!state.picture) return bare();
    byId('bench').classList.add('waiting');
    loadingNote();
    fail('');
    connection.ask('look', live.asked(), found => {
      byId('bench').classList.remove('waiting');
      said('connected', 'good');
      if (!found.error) return void show(found);
      // A picture that the server has let go of; what it says of the network stays to be read.
      if (/^picture:/.test(found.error)) pictures.remove(state.picture, {asked: false});
      if (!pictures.find(state.picture)) live.set({picture: ''});
      fail(found.error);
    });
  };

  const bare = () => {
    live.looked = null;
    for (const id of ['bench', 'units-section', 'methods-section', 'jumps']) byId(id).hidden = true;
    document.title = 'zfcuda microscope';
  };

  const show = async found => {
    const facts = live.networks.networks.find(one => one.name === found.network);
    if (!facts.classes.length) Object.assign(facts, await (await fetch(`networks/${encodeURIComponent(found.network)}`)).json());
    if (found.picture !== state.picture || found.network !== state.network) return;
    const changed = named !== found.network, size = found.size;
    named = found.network;
    live.looked = {...found, names: facts.classes};
    if (state.target !== null && state.target >= facts.classes.length) state.target = null;
    picture.src = found.image;
    picture.alt = `${found.name}, as the network sees it`;
    await picture.decode().catch(() => {});
    live.grey = zfcuda.grey(picture);
    document.title = `${found.name} · zfcuda microscope`;
    document.documentElement.style.setProperty('--ratio', size[1] / size[0]);
    for (const id of ['bench', 'jumps']) byId(id).hidden = false;
    byId('seen').replaceChildren(element('b', {}, found.name), ` as the network sees it: ${size[0]} × ${size[1]} pixels`
      + (found.preprocess ? ` (${found.preprocess})` : ''));
    if (changed) byId('classes').replaceChildren(...facts.classes.map(name => element('option', {value: name})));
    occluder.size = size;
    for (const id of ['height', 'width']) byId(id).max = size[id === 'height' ? 0 : 1];
    map.before = null;
    hand.take(size, state.pinned ? state.box : hand.box, state.pinned);  // held still, or not any more
    cover();
    question();
    units.reset();
    unit.reset();
  };

  // Another class, fill or picture: all numbers are asked for anew.
  const question = () => {
    byId('target').value = byId('target').title = live.name();
    byId('most').hidden = state.target === null;
    answer.reset();
    map.run();
    methods.reset();
  };

  // What the occluder looks like; that of "blur" goes with its size.
  const cover = () => connection.ask('cover', {...live.asked(), fill: state.fill, window: live.window()}, found => {
    if (found.error) fail(found.error);
    else occluder.paint(found.fill);
  });

  zfcuda.greyPicture = () => live.grey;
  zfcuda.stem = () => live.looked.name.replace(/\.[^.]*$/, '').replace(/[^\w-]+/g, '-') || 'picture';

  const fail = text => {
    byId('failure').hidden = !text;
    byId('failure').textContent = text;
  };

  live.on('failed', fail);
  live.on('shown', box => {
    following();
    map.mark(box);
  });
  live.on('changed', names => {
    const has = (...some) => some.some(name => names.includes(name));
    if (has('picture', 'network')) {
      if (has('network')) { state.target = null; byId('network').value = state.network; }
      state.unit = null;
      live.looked = null;  // whatever is asked before the picture has been looked at would be of the old one
      answer.reset();
      map.reset();
      look();
    } else if (has('target', 'fill') && live.looked) {
      if (has('fill')) cover();
      question();
    }
    if (has('box') && state.fill === 'blur') {
      clearTimeout(covering);
      covering = setTimeout(cover, REST);
    }
    if (has('view', 'range', 'under') && live.looked) map.draw();
    if (has('box', 'stride') && live.looked && !map.running) map.progress(null);
    if (has('scale', 'strength') && live.looked) methods.draw();
    if (has('layer')) units.ask();
    if (has('unit', 'layer')) { units.mark(); unit.reset(); }
  });

  // ---- controls

  const tools = () => {
    const [height, width] = hand.sides();
    for (const [id, value] of [['height', height], ['width', width]]) {
      if (document.activeElement !== byId(id)) byId(id).value = value;
    }
    byId('pin').setAttribute('aria-pressed', hand.pinned);
    byId('square').disabled = height === width;
  };
  byId('smaller').addEventListener('click', () => hand.grow(-2));
  byId('larger').addEventListener('click', () => hand.grow(2));
  byId('square').addEventListener('click', () => hand.square());
  byId('pin').addEventListener('click', () => hand.place(...hand.middle(), ...hand.sides(), !hand.pinned));
  for (const id of ['height', 'width']) {
    byId(id).addEventListener('change', () => {
      const value = byId(id).valueAsNumber, [height, width] = hand.sides();
      if (value >= 1) hand.place(...hand.middle(), id === 'height' ? value : height, id === 'width' ? value : width, true);
      tools();
    });
  }
  const fill = byId('fill'), colour = byId('colour');
  if (state.fill.startsWith('#')) { colour.value = state.fill; fill.value = 'colour'; } else fill.value = state.fill;
  colour.hidden = fill.value !== 'colour';
  fill.addEventListener('change', () => {
    colour.hidden = fill.value !== 'colour';
    live.set({fill: fill.value === 'colour' ? colour.value : fill.value});
  });
  colour.addEventListener('input', () => live.set({fill: colour.value}));

  const target = byId('target');
  target.addEventListener('focus', () => target.select());
  target.addEventListener('change', () => {
    const index = live.looked.names.indexOf(target.value);
    if (index >= 0) live.set({target: index});
    else target.value = live.name();
  });
  byId('most').addEventListener('click', () => live.set({target: null}));

  for (const link of document.querySelectorAll('#jumps a')) {
    link.addEventListener('click', event => {  // the address keeps what is looked at
      event.preventDefault();
      byId(link.dataset.to).scrollIntoView({block: 'start'});
    });
  }
  byId('help-open').addEventListener('click', () => byId('help').showModal());
  addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('input, select, textarea')) return;
    if (event.key === '?' && !byId('help').open) byId('help').showModal();
    else if (event.key === 'n') pictures.step(1);
    else if (event.key === 'p') pictures.step(-1);
  });

  // ---- the server

  const said = (text, kind) => {
    byId('connection').textContent = text;
    byId('connection').className = kind;
  };
  connection.addEventListener('open', () => said('connected', 'good'));
  connection.addEventListener('lost', () => said('connection lost, trying again …', 'bad'));
  connection.addEventListener('gone', () => said('the server has ended; start zfcuda serve and open the address that it prints', 'bad'));

  const loadingNote = () => {
    const one = live.networks.networks.find(each => each.name === state.network);
    if (one && one.loaded === false) said(`loading ${one.name} …`, 'busy');
  };

  const begin = async () => {
    const found = live.networks = await (await fetch('networks')).json();
    const names = found.networks.map(one => one.name);
    const select = byId('network');
    select.replaceChildren(...found.networks.map(one => element('option', {value: one.name}, one.title)));
    if (!names.includes(state.network)) state.network = names[0];
    select.value = state.network;
    byId('network-field').hidden = false;
    select.addEventListener('change', () => live.set({network: select.value, layer: null, unit: null}));
    byId('about').textContent = `zfcuda ${found.version}. Every number is the network’s own answer to the picture as it is shown.`;
    pictures.add(found.offered);
    byId('offers').hidden = !found.offered.length;
    byId('offered').replaceChildren(...found.offered.map(one => {
      const button = element('button', {type: 'button'}, element('img', {src: zfcuda.pictureAddress(one.id), alt: '', loading: 'lazy'}),
        element('span', {}, one.name));
      button.addEventListener('click', () => live.set({picture: one.id, ...(one.network ? {network: one.network} : {})}));
      return element('li', {}, button);
    }));
    uploads = new zfcuda.Uploads(pictures);
    tools();
    if (state.picture && !pictures.find(state.picture)) state.picture = '';
    if (!pictures.list.some(one => one.own) && found.offered.length === 1) state.picture ||= found.offered[0].id;  // zfcuda serve PICTURE
    look();
  };
  begin().catch(() => said('the server does not answer', 'bad'));
}
