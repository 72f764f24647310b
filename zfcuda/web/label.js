'use strict';
// One picture after the other: a person says what it is, and the server keeps each answer before the next one comes.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const of = id => document.getElementById(id);
  const pause = milliseconds => new Promise(done => setTimeout(done, milliseconds));
  let task, choices, labeller, state, busy = false;

  const tell = (text, wrong = false) => {
    of('said').textContent = text;
    of('said').classList.toggle('wrong', wrong);
  };

  // ---- what the server is asked

  class Refused extends Error {}

  const post = async (what, body) => {
    const answer = await fetch(what, {
      method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({labeller, ...body}),
    });
    if (answer.status === 403 || answer.status === 404) throw new Error('the server has been started anew');
    const found = await answer.json();
    if (answer.status === 400) throw new Refused(found.error);
    if (!answer.ok) throw new Error(found.error);
    return found;
  };

  // Asks until there is an answer: nothing that was said is lost while the server or the disk is away.
  const insist = async (what, body = {}) => {
    for (let wait = 500; ; wait = Math.min(5000, 2 * wait)) {
      try {
        return await post(what, body);
      } catch (error) {
        if (error instanceof Refused) throw error;
        const why = error instanceof TypeError ? 'the server does not answer' : error.message;
        tell(`Not kept yet: ${why}. Trying again; a server that is started anew prints another address.`, true);
        await pause(wait);
      }
    }
  };

  // ---- pictures, fetched ahead

  const fetched = new Map();
  const fetchPicture = position => {
    if (!fetched.has(position)) {
      const url = fetch(`pictures/${position}`).then(async answer => {
        if (!answer.ok) throw new Error(`picture ${position + 1} does not come`);
        return URL.createObjectURL(await answer.blob());
      });
      url.catch(() => fetched.delete(position));
      fetched.set(position, url);
    }
    return fetched.get(position);
  };
  const forget = but => {
    for (const [position, url] of fetched) {
      if (!but.includes(position)) {
        fetched.delete(position);
        url.then(URL.revokeObjectURL, () => {});
      }
    }
  };

  // ---- the time that a picture was to be seen

  const clock = {
    total: 0, since: null,
    start() { this.total = 0; this.since = document.hidden ? null : performance.now(); },
    stop() { if (this.since !== null) this.total += performance.now() - this.since; this.since = null; },
    get seconds() { return (this.total + (this.since === null ? 0 : performance.now() - this.since)) / 1000; },
  };
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) clock.stop();
    else clock.since ??= performance.now();
  });

  // ---- what is seen

  const show = async next => {
    state = next;
    of('bar').max = Math.max(1, state.of);
    of('bar').value = state.answered;
    of('count').textContent = `${state.answered} of ${state.of}`;
    of('undo').disabled = of('back').disabled = !state.undoable;
    of('results').hidden = !state.answered || state.position === null;
    of('join').hidden = true;
    of('progress').hidden = false;
    of('work').hidden = state.position === null;
    of('done').hidden = state.position !== null;
    choices.clear();
    if (state.position === null) return finish();
    const picture = of('picture');
    picture.classList.add('away');
    for (;;) {
      try {
        picture.src = await fetchPicture(state.position);
        await picture.decode();
        break;
      } catch (error) {
        fetched.delete(state.position);
        tell(`The picture does not come: ${error.message}. Trying again.`, true);
        await pause(1000);
      }
    }
    picture.alt = `Picture ${state.position + 1}, the one to label`;
    picture.classList.remove('away');
    picture.dataset.position = state.position;
    clock.start();
    choices.focus();
    const after = [state.position, ...(state.after === null ? [] : [state.after])];
    forget(after);
    after.forEach(position => fetchPicture(position).catch(() => {}));
  };

  const finish = () => {
    const many = state.answered === 1 ? 'One picture is' : `${state.answered} pictures are`;
    of('thanks').textContent = state.answered ? `${many} labelled, and kept. ` +
      'The results tell what they are; then the answers are final.' : 'There is no picture that can be read.';
    of('see').disabled = !state.answered;
    of('all').focus();  // and not the button: Enter may be held down still
  };

  // Does one thing at a time: a key that is pressed meanwhile is dropped, as its picture is not there yet.
  const alone = async work => {
    if (busy) return;
    busy = true;
    document.body.classList.add('busy');
    try {
      await work();
    } catch (error) {
      tell(error.message, true);
    } finally {
      busy = false;
      document.body.classList.remove('busy');
    }
  };

  // ---- what a person does

  const answer = indices => alone(async () => {
    if (state?.position === null || state?.position === undefined) return;
    const said = indices.map(index => task.classes[index].name).join(', ') || 'don’t know';
    const number = state.position + 1;
    const next = await insist('answer', {position: state.position, answers: indices, seconds: clock.seconds});
    tell(`Kept: picture ${number}, ${said}.`);
    await show(next);
  });
  const undo = () => alone(async () => {
    if (!state?.undoable) return tell('There is no answer that can be taken back.');
    const next = await insist('undo');
    tell(next.position === null ? 'Taken back.' : `Taken back: picture ${next.position + 1}. The file keeps that, too.`);
    await show(next);
  });
  const submit = () => {
    const chosen = choices.chosen();
    if (chosen.length) answer(chosen);
    else tell('Choose a class first, or say that you don’t know.');
  };
  const results = () => alone(async () => {
    let found = await insist('show');
    while (found.network && !found.network.error && found.network.done < found.network.of) {
      tell(`The network has answered ${found.network.done} of ${found.network.of} pictures.`);
      await pause(500);
      found = await insist('show');
    }
    location.href = `results?labeller=${encodeURIComponent(labeller)}`;
  });
  const join = name => alone(async () => {
    labeller = name;
    const first = await insist('state');
    labeller = first.labeller;
    sessionStorage.setItem('labeller', labeller);  // of this tab: another person may sit at another
    of('who').textContent = labeller;
    of('who').setAttribute('aria-label', `${labeller}: let somebody else label`);
    of('who').hidden = false;
    of('who').disabled = task.labeller !== null;
    tell('');
    await show(first);
  });
  const examples = () => {
    if (!choices.many && !of('show').hidden) zfcuda.examples.open(of('examples'), task.classes);
  };

  // ---- keys and buttons

  const keys = event => {
    if (!of('join').hidden || document.querySelector('dialog[open]') || event.isComposing) return;
    const taken = event.ctrlKey || event.metaKey || event.altKey;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z' && choices.empty()) {
      event.preventDefault();
      if (!event.repeat) undo();
      return;
    }
    if (taken || event.key === 'Tab') return;
    const onButton = document.activeElement?.matches('button, a, input:not([role=combobox])');
    if (onButton && (event.key === 'Enter' || event.key === ' ')) return;  // it is pressed
    if (of('work').hidden) {  // all are answered
      if (event.key === 'Backspace' && !event.repeat) undo();
      return;
    }
    const held = event.repeat;  // a key that stays down answers one picture, not all of them
    const own = choices.many ? {Backspace: undo, '?': () => answer([])} : {Backspace: undo, x: () => answer([]), s: examples};
    const act = own[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (held && event.key.length === 1 && !choices.many) return event.preventDefault();
    if (act && (event.key !== 'Backspace' || choices.empty())) {
      event.preventDefault();
      if (!held) act();
    } else if (choices.key(event)) {
      event.preventDefault();
    } else if (event.key === 'Enter' && task.answers > 1) {
      event.preventDefault();
      if (!held) submit();
    }
  };

  const wire = () => {
    document.addEventListener('keydown', keys);
    of('unknown').addEventListener('click', () => answer([]));
    of('undo').addEventListener('click', undo);
    of('back').addEventListener('click', undo);
    of('next').addEventListener('click', submit);
    of('show').addEventListener('click', examples);
    of('see').addEventListener('click', results);
    of('who').addEventListener('click', () => { sessionStorage.removeItem('labeller'); ask(); });
    of('results').addEventListener('click', () => of('sure').showModal());
    of('sure').querySelector('[value=yes]').addEventListener('click', () => { of('sure').close(); results(); });
    of('join').addEventListener('submit', event => { event.preventDefault(); join(of('name').value); });
    for (const close of document.querySelectorAll('dialog .close')) {
      close.addEventListener('click', () => close.closest('dialog').close());
    }
    for (const tool of document.querySelectorAll('.tools button')) tool.addEventListener('click', () => tool.blur());
  };

  const described = () => {
    const how = choices.many ? 'type what each is' : 'press the key of what each is, or its button';
    const many = task.count === 1 ? 'One picture' : `${task.count} pictures, one after the other`;
    const after = task.network ? 'What they are, and what the network says of them, you see afterwards.' :
      'What they are you see afterwards.';
    return `${many}: ${how}. ${task.network || task.truth ? after : ''}`;
  };

  const begin = async () => {
    task = await (await fetch('task')).json();
    const any = task.classes.some(each => each.examples);
    choices = zfcuda.choices({
      box: of('choices'), classes: task.classes, most: task.answers, submit: answer, told: tell,
      seen: index => any && zfcuda.examples.beside(of('beside'), task.classes, index),
    });
    of('view').textContent = task.view === 'network' ? 'As the network sees it.' : 'The whole picture.';
    of('asked').textContent = described();
    of('next').hidden = task.answers === 1;
    of('show').hidden = choices.many || !any;
    if (choices.many) of('unknown').querySelector('kbd').textContent = '?';
    document.body.classList.toggle('many', choices.many);
    wire();
    const known = task.labeller ?? sessionStorage.getItem('labeller');
    if (known !== null) await join(known);
    if (!state) ask();
  };

  // Who is there? Asked where the command does not say, and when somebody else sits down.
  const ask = () => {
    if (task.labeller !== null) return;
    for (const each of ['work', 'done']) of(each).hidden = true;
    of('who').hidden = of('results').hidden = of('progress').hidden = true;
    of('join').hidden = false;
    of('known').replaceChildren(of('known').firstElementChild);
    for (const name of new Set([...task.labellers, ...(labeller === undefined ? [] : [labeller])])) {
      const again = zfcuda.element('button', {type: 'button'}, name);
      again.addEventListener('click', () => join(name));
      of('known').append(again);
    }
    of('known').hidden = of('known').childElementCount < 2;
    of('name').value = '';
    of('name').focus();
  };
  begin().catch(error => tell(`The page cannot begin: ${error.message}.`, true));
}
