'use strict';
// Pictures come in: dropped (folders too), pasted, or chosen. They go to the server one after another, so that the first can
// be looked at while the others follow.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const {element, byId} = zfcuda, live = zfcuda.live;
  const PICTURE = /\.(png|jpe?g|gif|webp|bmp|tiff?|ppm|pgm|avif|jp2)$/i;
  const SHOWN = 5;  // refusals

  // The files of what was dropped, those in folders included, in the order of their names.
  const dropped = async transfer => {
    const entries = [...transfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
    if (!entries.some(entry => entry.isDirectory)) return [...transfer.files];
    const files = [];
    const walk = async entry => {
      if (entry.isFile) {
        const file = await new Promise(done => entry.file(done, () => done(null)));
        if (file && PICTURE.test(file.name)) files.push(file);
        return;
      }
      const reader = entry.createReader(), children = [];
      for (;;) {  // a browser gives a hundred at a time
        const some = await new Promise(done => reader.readEntries(done, () => done([])));
        if (!some.length) break;
        children.push(...some);
      }
      children.sort((a, b) => a.name.localeCompare(b.name, 'en', {numeric: true}));
      for (const child of children) if (!child.name.startsWith('.')) await walk(child);
    };
    for (const entry of entries) await walk(entry);
    return files;
  };

  zfcuda.Uploads = class {
    constructor(pictures) {
      this.pictures = pictures;
      this.waiting = [];
      this.running = false;
      const files = byId('files'), folder = byId('folder'), cover = byId('dropping');
      byId('choose-files').addEventListener('click', () => files.click());
      byId('add').addEventListener('click', () => files.click());
      byId('choose-folder').addEventListener('click', () => folder.click());
      for (const input of [files, folder]) {
        input.addEventListener('change', () => {
          const chosen = [...input.files];
          this.take(input === folder ? chosen.filter(file => PICTURE.test(file.name)) : chosen);
          input.value = '';  // the same file may be chosen again
        });
      }
      const carries = event => [...event.dataTransfer?.types ?? []].includes('Files');
      addEventListener('dragenter', event => { if (carries(event)) cover.hidden = false; });
      addEventListener('dragover', event => { if (carries(event)) event.preventDefault(); });
      addEventListener('dragleave', event => { if (!event.relatedTarget) cover.hidden = true; });
      addEventListener('drop', async event => {
        cover.hidden = true;
        if (!carries(event)) return;
        event.preventDefault();
        this.take(await dropped(event.dataTransfer));
      });
      addEventListener('paste', event => {
        const pasted = [...event.clipboardData?.files ?? []].filter(file => file.type.startsWith('image/'));
        if (pasted.length) this.take(pasted);
      });
    }

    // Sends files; the first that is a picture is opened.
    take(files) {
      this.refused = [];
      if (!files.length) this.refuse([{name: '', reason: 'There is no picture in what you gave.'}]);
      const room = Math.max(0, live.networks.limits.pictures - this.pictures.list.length);
      if (files.length > room) {
        this.refuse([{name: '', reason: `Of ${files.length} pictures the first ${room} are taken: there is room for no more.`}]);
      }
      this.waiting.push(...files.slice(0, room));
      this.open = true;
      if (!this.running) this.run();
    }

    async run() {
      this.running = true;
      this.done = 0;
      while (this.waiting.length) {
        const file = this.waiting.shift(), of = this.done + 1 + this.waiting.length;
        this.say(of > 1 ? `Taking ${this.done + 1} of ${of}: ${file.name}` : `Taking ${file.name}`);
        await this.send(file);
        this.done += 1;
      }
      this.running = false;
      this.say('');
    }

    async send(file) {
      const most = live.networks.limits.bytes;
      if (file.size > most) {
        return this.refuse([{name: file.name, reason: `${file.name}: larger than the ${most >> 20} MB that a picture may have`}]);
      }
      const form = new FormData();
      form.append('picture', file, file.name);
      try {
        const response = await fetch('pictures', {method: 'POST', body: form, headers: {'X-Visitor': zfcuda.visitor}});
        const answer = await response.json();
        if (answer.error) return this.refuse([{name: file.name, reason: answer.error}]);
        this.refuse(answer.refused);
        this.pictures.add(answer.pictures, {own: true, open: this.open});
        if (answer.pictures.length) this.open = false;
      } catch {
        this.refuse([{name: file.name, reason: `${file.name}: the server did not take it; does it still run?`}]);
      }
    }

    say(text) {
      const line = byId('uploading');
      line.hidden = !text;
      line.replaceChildren(text);
      if (this.waiting.length) {
        const stop = element('button', {type: 'button', class: 'quiet'}, 'Stop');
        stop.addEventListener('click', () => { this.waiting = []; });
        line.append(' ', stop);
      }
    }

    refuse(some) {
      this.refused.push(...some);
      const line = byId('refusals'), count = this.refused.length;
      line.hidden = !count;
      if (!count) return;
      const close = element('button', {type: 'button', class: 'quiet'}, 'Close');
      close.addEventListener('click', () => { line.hidden = true; });
      line.replaceChildren(...this.refused.slice(0, SHOWN).map(one => element('span', {}, one.reason)),
        ...(count > SHOWN ? [element('span', {}, `… and ${count - SHOWN} more`)] : []), close);
    }
  };
}
