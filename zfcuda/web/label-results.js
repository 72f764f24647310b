'use strict';
// The results: a kind of disagreement, or a cell of a confusion, chooses which pictures are seen; a picture grows.
{
  for (const article of document.querySelectorAll('[data-results]')) {
    const cards = [...article.querySelectorAll('.cards > li')];
    const kinds = article.querySelectorAll('[data-kind]:is(button)');
    const cells = article.querySelectorAll('[data-who]');
    const said = article.querySelector('.chosen');

    const choose = (button, fits, words) => {
      for (const each of [...kinds, ...cells]) each.setAttribute('aria-pressed', String(each === button));
      for (const card of cards) card.hidden = !fits(card.dataset);
      said.textContent = words;
    };
    for (const button of kinds) {
      button.addEventListener('click', () => choose(button, ({kind}) => !button.dataset.kind || kind === button.dataset.kind, ''));
    }
    for (const button of cells) {
      const {who, truth, answer} = button.dataset;
      button.addEventListener('click', () => {
        choose(button, card => card.truth === truth && card[who] === answer, button.getAttribute('aria-label'));
        article.querySelector('.pictures').scrollIntoView();
      });
    }
  }

  const dialog = document.createElement('dialog'), large = document.createElement('img');
  const close = document.createElement('button');
  close.textContent = 'Close';
  close.className = 'close';
  dialog.setAttribute('aria-label', 'the picture, larger');
  dialog.append(large, close);
  dialog.addEventListener('click', () => dialog.close());
  document.body.append(dialog);
  for (const open of document.querySelectorAll('.cards .open')) {
    open.addEventListener('click', () => {
      const small = open.querySelector('img');
      large.src = small.src;
      large.alt = small.alt;
      dialog.showModal();
    });
  }
}
