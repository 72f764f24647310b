'use strict';
// The pictures that are here: a strip of thumbnails, walked through by arrow keys.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const {element, byId} = zfcuda, live = zfcuda.live;
  const KEPT = 'zfcuda-pictures';

  // Where a picture lies on the server.
  zfcuda.pictureAddress = id => `pictures/${encodeURIComponent(id)}?visitor=${zfcuda.visitor}`;

  zfcuda.Pictures = class {
    constructor(strip) {
      this.strip = strip;
      this.list = [];    // {id, name, width, height, own}: `own` are uploads of this visitor
      try { this.list = JSON.parse(sessionStorage.getItem(KEPT)) ?? []; } catch { /* nothing was kept */ }
      strip.addEventListener('keydown', event => this.key(event));
      live.on('changed', names => { if (names.includes('picture')) this.mark(); });
    }

    // Adds pictures that are not here yet, and shows the first of them where it is asked for.
    add(pictures, {own = false, open = false} = {}) {
      for (const one of pictures) if (!this.find(one.id)) this.list.push({...one, own});
      this.list.sort((a, b) => b.own - a.own);  // one's own come first
      this.keep();
      this.draw();
      if (open && pictures.length) live.set({picture: pictures[0].id});
    }

    find(id) { return this.list.find(one => one.id === id); }

    keep() {
      try { sessionStorage.setItem(KEPT, JSON.stringify(this.list.filter(one => one.own))); } catch { /* a reload forgets */ }
    }

    // Forgets a picture, here and on the server; what was shown gives way to its neighbour.
    remove(id, {asked = true} = {}) {
      const at = this.list.findIndex(one => one.id === id);
      if (at < 0) return;
      const [gone] = this.list.splice(at, 1);
      if (gone.own && asked) fetch(zfcuda.pictureAddress(id), {method: 'DELETE'}).catch(() => {});
      this.keep();
      this.draw();
      if (live.state.picture === id) live.set({picture: this.list[Math.min(at, this.list.length - 1)]?.id ?? ''});
    }

    // The next picture, or the one before.
    step(by) {
      const at = this.list.findIndex(one => one.id === live.state.picture), count = this.list.length;
      if (count > 1) live.set({picture: this.list[(Math.max(at, 0) + by + count) % count].id});
    }

    draw() {
      this.strip.hidden = this.list.length < 2;
      this.strip.replaceChildren(...this.list.map(one => {
        const image = element('img', {loading: 'lazy', alt: '', draggable: false, src: zfcuda.pictureAddress(one.id)});
        const item = element('li', {role: 'option', tabIndex: -1, title: one.name, 'aria-label': one.name, 'data-id': one.id},
          image);
        item.addEventListener('click', () => live.set({picture: one.id}));
        return item;
      }));
      this.mark();
    }

    mark() {
      for (const item of this.strip.children) {
        const chosen = item.dataset.id === live.state.picture;
        item.setAttribute('aria-selected', chosen);
        item.tabIndex = chosen ? 0 : -1;
        if (chosen) {  // not scrollIntoView, which would move the page
          const middle = item.offsetLeft - this.strip.offsetLeft - (this.strip.clientWidth - item.offsetWidth) / 2;
          this.strip.scrollLeft = middle;
          if (this.strip.contains(document.activeElement)) item.focus({preventScroll: true});
        }
      }
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const by = {ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1}[event.key];
      if (by) this.step(by);
      else if (event.key === 'Home' && this.list.length) live.set({picture: this.list[0].id});
      else if (event.key === 'End' && this.list.length) live.set({picture: this.list.at(-1).id});
      else if (event.key === 'Delete' || event.key === 'Backspace') this.remove(live.state.picture);
      else return;
      event.preventDefault();
    }
  };
}
