'use strict';
// The pointer's question and its answer. At most one question is under way, and the newest box is the next: there is no
// queue. The numbers are always those of the box that is drawn solid.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const {element, byId, numbers} = zfcuda, live = zfcuda.live;
  const ROWS = 6, QUIET = 700;  // classes that are listed; milliseconds of rest before the numbers are read out

  zfcuda.Answer = class {
    constructor(connection, stage) {
      Object.assign(this, {connection, stage, wanted: null, shown: null, busy: false, next: null, latest: null});
      this.panel = byId('answer');
      this.bar = zfcuda.bar();
      byId('answer-bar').append(this.bar);
      this.meter = new zfcuda.Meter(byId('meter'));
      this.rows = Array.from({length: ROWS}, () => this.row());
      byId('answer-classes').append(...this.rows.map(row => row.item));
      const frame = now => { this.draw(now); requestAnimationFrame(frame); };
      requestAnimationFrame(frame);
    }

    row() {
      const name = element('span', {class: 'name'}), share = element('span', {class: 'num'}), bar = zfcuda.bar();
      const button = element('button', {type: 'button'}, element('span', {class: 'row'}, name, share), bar);
      const row = {item: element('li', {hidden: true}, button), name, share, bar, index: null};
      button.addEventListener('click', () => live.set({target: row.index}));
      return row;
    }

    // Another picture, network, class or fill: what was known of boxes holds no longer.
    reset() {
      this.connection.cancel('occlude');
      this.busy = false;
      this.base = null;
      this.answered = undefined;  // the box of the last answer; null: nothing covered
      if (!live.looked) return;
      this.tops = new Map(live.looked.classes.map(one => [one.index, one.probability]));
      this.known();
      this.pump();
    }

    // What is known of the whole picture without a question.
    known() {
      const found = live.looked.classes.find(one => one.index === live.target());
      this.base ??= found ? {probability: found.probability, logit: found.logit, log_odds: found.log_odds ?? null} : null;
    }

    // What is to be covered now.
    want(box) {
      this.wanted = box;
      this.pump();
    }

    pump() {
      if (this.busy || !live.looked) return;
      if (this.wanted === null && this.base) {
        if (this.answered !== null) this.whole();
        return;
      }
      // Of a class that is not among the first ten, the whole picture's numbers come with those of any box.
      const box = this.wanted ?? {top: 0, left: 0, height: 1, width: 1};
      if (this.wanted && zfcuda.sameBox(this.wanted, this.answered ?? null)) return;
      this.busy = true;
      const asked = performance.now(), wanted = this.wanted;
      this.connection.ask('occlude', {...live.covered(), boxes: [[box.top, box.left, box.height, box.width]]}, answer => {
        this.busy = false;
        if (answer.error) {
          this.answered = wanted;
          live.tell('failed', answer.error);
        } else {
          this.base = answer.base;
          this.answered = wanted;
          const one = answer.answers[0];
          if (wanted) this.latest = {box: wanted, ...one, asked, served: answer.milliseconds};
          else this.answered = undefined;
        }
        this.pump();  // the next question goes out before this answer is drawn
        return false;
      });
    }

    whole() {
      this.answered = null;
      this.latest = {box: null, classes: live.looked.classes, ...this.base};
    }

    draw(now) {
      const latest = this.latest;
      this.latest = null;
      if (latest) {
        this.show(latest);
        if (latest.asked) this.meter.shown(now, latest.asked, latest.served);
      }
      if (latest || now - (this.metered ?? 0) > 500) {
        this.metered = now;
        this.meter.show(now);
      }
    }

    show({box, classes, probability, logit, log_odds: odds}) {
      const base = this.base, data = this.panel.dataset;
      this.shown = box;
      Object.assign(data, {probability, logit, logOdds: odds ?? '', target: live.target(), top: classes[0].index,
        box: box ? [box.top, box.left, box.height, box.width].join() : 'none'});
      if (box) this.stage.show(box); else this.stage.hide();
      byId('answer-probability').textContent = numbers.percent(probability);
      this.bar.set(probability, box ? base.probability : null);
      const parts = box
        ? [['change', `${numbers.points(probability - base.probability)} points`], ['whole picture', numbers.percent(base.probability)]]
        : [['change', 'nothing covered'], ['whole picture', numbers.percent(base.probability)]];
      if (odds !== null && odds !== undefined) {
        const by = box && base.log_odds !== null ? ` (${numbers.signed(odds - base.log_odds)})` : '';
        parts.push(['log-odds', numbers.number(odds) + by]);
      } else parts.push(['logit', numbers.number(logit) + (box ? ` (${numbers.signed(logit - base.logit)})` : '')]);
      byId('answer-facts').replaceChildren(...parts.map(([term, value]) =>
        element('div', {}, element('dt', {}, term), element('dd', {class: 'num'}, value))));
      byId('answer-place').textContent = box ? zfcuda.placed(box) : 'The whole picture';
      this.list(classes, box);
      live.tell('shown', box);
      this.say(box, classes, probability);
    }

    list(classes, box) {
      const target = live.target();
      this.rows.forEach((row, i) => {
        const one = classes[i];
        row.item.hidden = !one;
        if (!one) return;
        row.item.classList.toggle('target', one.index === target);
        if (row.index !== one.index) {
          row.index = one.index;
          row.name.textContent = one.name;
          row.item.firstChild.title = `ask about ${one.name}`;
        }
        row.share.textContent = numbers.percent(one.probability);
        row.bar.set(one.probability, box ? this.tops.get(one.index) ?? null : null);
      });
    }

    // Reads the numbers out, once they rest.
    say(box, classes, probability) {
      clearTimeout(this.saying);
      this.saying = setTimeout(() => {
        byId('spoken').textContent = `${box ? zfcuda.placed(box) : 'Nothing covered'}: ${live.name()} `
          + `${numbers.percent(probability)}; most probable ${classes[0].name}.`;
      }, QUIET);
    }
  };

  // Where a box lies, in words.
  zfcuda.placed = ({top, left, height, width}) =>
    `Rows ${top}–${top + height - 1}, columns ${left}–${left + width - 1}`;
}
