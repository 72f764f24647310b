'use strict';
// The pointer's question and its answer. At most one question is under way, and the newest box is the next: there is no
// queue. The numbers are always those of the box that is drawn solid.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const {element, byId, numbers} = zfcuda, live = zfcuda.live;
  const ROWS = 6, QUIET = 700;  // classes that are listed; milliseconds of rest before the numbers are read out

  zfcuda.Answer = class {
    constructor(connection, stage) {
      Object.assign(this, {connection, stage, wanted: null, shown: null, busy: false, latest: null});
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
      this.base = this.latest = null;
      this.answered = undefined;  // the box of the last answer; null: nothing covered
      if (!live.looked) return;
      this.tops = new Map(live.looked.classes.map(one => [one.index, one.probability]));
      this.pump();
    }

    // What is to be covered now.
    want(box) {
      this.wanted = box;
      this.pump();
    }

    pump() {
      if (this.busy || !live.looked) return;
      const wanted = this.wanted;
      if (this.base && zfcuda.sameBox(wanted, this.answered)) return;
      if (this.base && !wanted) return this.whole();
      this.busy = true;
      const asked = performance.now();
      const boxes = wanted ? [[wanted.top, wanted.left, wanted.height, wanted.width]] : [];
      this.connection.ask('occlude', {...live.covered(), boxes}, answer => {
        this.busy = false;
        this.answered = wanted;
        if (answer.error) {
          this.base ??= {};  // nothing is asked again and again
          live.tell('failed', answer.error);
        } else {
          this.base = answer.base;
          if (wanted) this.latest = {...answer.answers[0], box: wanted, asked, served: answer.milliseconds};
          else this.whole();
        }
        this.pump();  // the next question goes out before this answer is drawn
        return false;
      });
    }

    // Nothing is covered, which needs no question once the numbers are known.
    whole() {
      this.answered = null;
      this.latest = {classes: live.looked.classes, ...this.base, box: null};
    }

    draw(now) {
      const latest = this.latest;
      this.latest = null;
      if (latest) {
        this.show(latest);
        if (latest.asked) this.meter.shown(now, latest.asked, latest.served);
      }
    }

    show({box, classes, probability, logit, log_odds: odds}) {
      const base = this.base, data = this.panel.dataset;
      this.shown = box;
      Object.assign(data, {probability, logit, logOdds: odds ?? '', target: live.target(), top: classes[0].index,
        box: box ? [box.top, box.left, box.height, box.width].join() : 'none'});
      if (box) this.stage.show(box); else this.stage.hide();
      const large = byId('answer-probability'), text = numbers.percent(probability);
      large.textContent = text;
      large.classList.toggle('long', text.length > 8);
      this.bar.set(probability, box ? base.probability : null);
      const by = (value, whole) => numbers.number(value) + (box ? ` (${numbers.signed(value - whole)})` : '');
      const parts = [['whole picture', numbers.percent(base.probability)],
        ['change', box ? `${numbers.points(probability - base.probability)} points` : '–'],
        ['log-odds', by(odds, base.log_odds)], ['logit', by(logit, base.logit)]];
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
