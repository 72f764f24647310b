'use strict';
// The connection for work: questions out, answers in. Of each kind only the newest question counts; whatever comes for an
// older one is dropped here. A connection that is lost is opened again, as the same visitor, and what was not answered is
// asked again.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const PATIENCE = [300, 600, 1200, 3000];  // milliseconds before each try; after the last it is said that nobody answers

  const made = () => [...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, '0')).join('');

  // The identity of this tab, which outlives a reload.
  zfcuda.visitor = (() => {
    try {
      const kept = sessionStorage.getItem('zfcuda-visitor') ?? made();
      sessionStorage.setItem('zfcuda-visitor', kept);
      return kept;
    } catch { return made(); }  // a browser that keeps nothing
  })();

  // Tells of "open", "lost" (it is tried again) and "gone" (it has been tried for a while).
  zfcuda.Connection = class extends EventTarget {
    constructor() {
      super();
      this.asked = new Map();  // kind -> {id, text, hear, waiting}
      this.last = 0;
      this.tries = 0;
      this.header = null;      // of the binary frame that comes next
      this.open();
    }

    open() {
      const address = new URL(`work?visitor=${zfcuda.visitor}`, document.baseURI);
      address.protocol = address.protocol.replace('http', 'ws');
      const socket = this.socket = new WebSocket(address);
      socket.binaryType = 'arraybuffer';
      socket.onopen = () => {
        this.tries = 0;
        this.header = null;
        for (const question of this.asked.values()) if (question.waiting) socket.send(question.text);
        this.dispatchEvent(new Event('open'));
      };
      socket.onmessage = event => this.heard(event.data);
      socket.onclose = () => {
        this.tries += 1;
        this.dispatchEvent(new Event(this.tries >= PATIENCE.length ? 'gone' : 'lost'));
        this.again = setTimeout(() => this.open(), PATIENCE[Math.min(this.tries, PATIENCE.length) - 1]);
      };
    }

    // Asks, in place of an older question of that kind. hear(answer, floats) is called for each answer and returns whether
    // more are to come.
    ask(kind, fields, hear) {
      const id = ++this.last, text = JSON.stringify({kind, id, ...fields});
      this.asked.set(kind, {id, text, hear, waiting: true});
      if (this.socket.readyState === WebSocket.OPEN) this.socket.send(text);
      return id;
    }

    // Drops the question of that kind, here and there.
    cancel(kind) {
      const question = this.asked.get(kind);
      this.asked.delete(kind);
      if (!question?.waiting || this.socket.readyState !== WebSocket.OPEN) return;
      this.socket.send(JSON.stringify({kind: 'cancel', id: ++this.last, of: kind}));
    }

    heard(data) {
      if (typeof data === 'string') {
        const answer = JSON.parse(data);
        if (answer.bytes) this.header = answer;
        else this.tell(answer, null);
      } else if (this.header) {
        const answer = this.header;
        this.header = null;
        this.tell(answer, new Float32Array(data));
      }
    }

    tell(answer, floats) {
      const question = this.asked.get(answer.kind);
      if (!question || question.id !== answer.id) return;
      const more = question.hear(answer, floats);
      if (answer.error || !more) question.waiting = false;
    }
  };
}
