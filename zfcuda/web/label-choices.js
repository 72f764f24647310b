'use strict';
// The classes to choose from: a button with a key for each of up to 20, else a list that typing narrows.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const KEYS = '1234567890qwertyuiop';
  const plain = text => text.toLowerCase().normalize('NFKD').replace(/\p{M}/gu, '').replace(/[-_]/g, ' ');

  const element = (name, words = {}, ...inside) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(words)) made.setAttribute(key, value);
    made.append(...inside);
    return made;
  };

  // What is chosen: `most` classes in their order; with one alone a choice is the answer.
  class Chosen {
    constructor(box, classes, most, submit, told) {
      Object.assign(this, {classes, most, submit, told, indices: []});
      if (most > 1) {
        this.list = element('ol', {class: 'chosen', 'aria-label': 'chosen, the likeliest first'});
        box.append(this.list);
        this.draw();
      }
    }

    toggle(index) {
      if (this.most === 1) return this.submit([index]);
      const at = this.indices.indexOf(index);
      if (at >= 0) this.indices.splice(at, 1);
      else if (this.indices.length < this.most) this.indices.push(index);
      else return this.told(`No more than ${this.most} answers; take one away, or go on with Enter.`);
      this.draw();
    }

    draw() {
      if (!this.list) return;
      this.list.replaceChildren(...this.indices.map(index => {
        const away = element('button', {type: 'button', 'aria-label': `take ${this.classes[index].name} away`}, '×');
        away.addEventListener('click', () => this.toggle(index));
        return element('li', {}, this.classes[index].name, ' ', away);
      }));
      if (!this.indices.length) {
        this.list.replaceChildren(element('li', {class: 'soft'}, `Up to ${this.most} answers, the likeliest first.`));
      }
      this.drawn?.();
    }

    clear() { this.indices = []; this.draw(); }
  }

  // Up to 20 classes: buttons, which keys press.
  const buttons = (box, classes, chosen) => {
    const all = classes.map(({name}, index) => {
      const made = element('button', {type: 'button', class: 'class'}, element('kbd', {}, KEYS[index]), ` ${name}`);
      if (chosen.most > 1) made.setAttribute('aria-pressed', 'false');
      made.addEventListener('click', () => { made.blur(); chosen.toggle(index); });
      return made;
    });
    box.append(element('div', {class: 'classes', role: 'group', 'aria-label': 'classes'}, ...all));
    chosen.drawn = () => all.forEach((each, i) => each.setAttribute('aria-pressed', chosen.indices.includes(i)));
    return {
      key(event) {
        const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];  // a French keyboard writes & for 1
        let index = KEYS.indexOf(event.key.toLowerCase());
        if (event.key.length !== 1 || index < 0) index = digit ? KEYS.indexOf(digit) : -1;
        if (index < 0 || index >= classes.length) return false;
        chosen.toggle(index);
        return true;
      },
      focus() {},
      empty: () => true,
      clear: () => chosen.clear(),
    };
  };

  // More: a list that what is typed narrows, in names and synonyms.
  const filter = (box, classes, chosen, seen) => {
    const input = element('input', {
      type: 'text', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'options', 'aria-label': 'class',
      'aria-autocomplete': 'list', autocomplete: 'off', spellcheck: 'false', placeholder: 'Type a class: Enter takes it',
    });
    const list = element('ul', {id: 'options', role: 'listbox', 'aria-label': 'classes'});
    const count = element('p', {class: 'soft num', 'aria-live': 'polite'});
    const items = classes.map(({name, synonyms}, index) => {
      const made = element('li', {role: 'option', id: `option-${index}`}, element('span', {class: 'name'}, name));
      if (synonyms.length) made.append(' ', element('span', {class: 'soft'}, synonyms.join(', ')));
      made.addEventListener('click', () => take(index));
      made.addEventListener('pointerenter', event => { if (event.pointerType === 'mouse') activate(index, false); });
      return made;
    });
    const words = classes.map(({name, synonyms}) => [name, ...synonyms].map(plain));
    const order = classes.map((_, index) => index).sort((a, b) => words[a][0].localeCompare(words[b][0]));
    let found = order, active = -1;

    // 0: it is a name; 1: the name begins so; 2: a synonym does; 3: words of one name do; null: nothing fits.
    const fit = (names, typed) => {
      if (names.includes(typed)) return 0;
      if (names[0].startsWith(typed)) return 1;
      if (names.some(name => name.startsWith(typed))) return 2;
      const parts = typed.split(/\s+/);
      const fits = name => parts.every(part => name.split(/[^\p{L}\p{N}']+/u).some(word => word.startsWith(part)));
      return names.some(fits) ? 3 : null;
    };
    const activate = (index, scroll = true) => {
      items[active]?.removeAttribute('aria-selected');
      active = index;
      if (index < 0) return input.removeAttribute('aria-activedescendant');
      items[index].setAttribute('aria-selected', 'true');
      input.setAttribute('aria-activedescendant', items[index].id);
      if (scroll) items[index].scrollIntoView({block: 'nearest'});
      seen(index);
    };
    const narrow = () => {
      const typed = plain(input.value.trim());
      found = !typed ? order : order.map(index => [fit(words[index], typed), index])
        .filter(([rank]) => rank !== null).sort((a, b) => a[0] - b[0]).map(([, index]) => index);
      list.replaceChildren(...found.map(index => items[index]));
      count.textContent = typed ? `${found.length} of ${classes.length} classes` : `${classes.length} classes`;
      list.scrollTop = 0;
      activate(typed && found.length ? found[0] : -1);
    };
    const take = index => { input.value = ''; narrow(); input.focus(); chosen.toggle(index); };

    input.addEventListener('input', narrow);
    chosen.drawn = () => items.forEach((each, i) => each.classList.toggle('taken', chosen.indices.includes(i)));
    box.append(input, count, list);
    narrow();
    return {
      key(event) {
        const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
        if (step && found.length) {
          const at = found.indexOf(active);
          activate(found[at < 0 ? (step > 0 ? 0 : found.length - 1) : (at + step + found.length) % found.length]);
          return true;
        }
        if (event.key === 'Enter' && active >= 0) { take(active); return true; }
        if (event.key === 'Escape' && input.value) { input.value = ''; narrow(); return true; }
        if (event.key.length === 1 && document.activeElement !== input) input.focus();  // and the letter goes there
        return false;
      },
      focus: () => input.focus({preventScroll: true}),
      empty: () => !input.value,
      clear() { input.value = ''; narrow(); chosen.clear(); },
    };
  };

  // box: where they go; most: how many may be chosen; submit(indices): an answer; seen(index): one is looked at;
  // told(text): something to say.
  zfcuda.choices = ({box, classes, most, submit, seen, told}) => {
    const chosen = new Chosen(box, classes, most, submit, told);
    const many = classes.length > KEYS.length;
    const shown = many ? filter(box, classes, chosen, seen) : buttons(box, classes, chosen);
    return {...shown, many, chosen: () => [...chosen.indices]};
  };
  zfcuda.element = element;
}
