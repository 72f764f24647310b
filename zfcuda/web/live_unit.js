'use strict';
// One unit: where it is active, what it sees there, what of that excites it, and what excites it most in a data set.
{
  const zfcuda = globalThis.zfcuda ??= {};
  const {element, byId, numbers} = zfcuda, live = zfcuda.live;
  const FORMS = {deconvnet: 'deconvnet', guided: 'guided backpropagation', filter: 'the filter itself'};

  zfcuda.Unit = class {
    constructor(connection, onMap) {
      Object.assign(this, {connection, onMap});
      this.panel = byId('unit');
    }

    reset() {
      const {layer, unit} = live.state;
      this.connection.cancel('unit');
      if (unit === null || !live.looked?.layers.length) { this.panel.hidden = true; return; }
      this.panel.hidden = false;
      this.panel.classList.add('waiting');
      if (!this.panel.firstChild) this.panel.append(element('p', {class: 'note'}, 'Looking …'));
      this.connection.ask('unit', {...live.asked(), layer, unit}, answer => {
        this.panel.classList.remove('waiting');
        if (answer.error) this.panel.replaceChildren(this.head(layer, unit), element('p', {class: 'refused'}, answer.error));
        else this.show(answer);
        return false;
      });
    }

    head(layer, unit, strength) {
      const close = element('button', {type: 'button', class: 'quiet round', 'aria-label': 'Close'}, '×');
      close.addEventListener('click', () => {
        live.set({unit: null});
        byId('units').querySelector(`[data-unit="${unit}"]`)?.focus();
      });
      return element('header', {}, element('h3', {}, `Unit ${unit}`), element('span', {class: 'soft'}, layer),
        strength === undefined ? null : element('span', {class: 'num soft'}, `strongest ${numbers.number(strength)}`), close);
    }

    figure(src, alt, caption, hard = false) {
      const image = element('img', {src, alt, class: hard ? 'hard' : ''});
      const save = element('button', {type: 'button', class: 'quiet'}, 'PNG');
      save.addEventListener('click', () => {
        const canvas = Object.assign(document.createElement('canvas'), {width: image.naturalWidth, height: image.naturalHeight});
        canvas.getContext('2d').drawImage(image, 0, 0);
        zfcuda.save(canvas, `${zfcuda.stem()}-${live.state.layer}-${live.state.unit}-${caption.split(' ')[0].toLowerCase()}.png`);
      });
      return element('figure', {}, element('div', {class: 'frame'}, image),
        element('figcaption', {}, element('span', {}, caption), save));
    }

    show(answer) {
      const {layer, unit, strength, place, field, activity, rows, columns, patch, form, refused, strongest} = answer;
      const projection = answer.projected_patch ?? answer.projection;  // of what the patch beside it shows
      const what = `${layer}, unit ${unit}`;
      const where = this.figure(activity, `Where ${what} is active`, 'Activity', true), ring = element('i', {class: 'ring'});
      ring.style.top = `${100 * (place[0] + 0.5) / rows}%`;
      ring.style.left = `${100 * (place[1] + 0.5) / columns}%`;
      where.querySelector('.frame').append(ring);
      where.querySelector('img').style.aspectRatio = `${columns} / ${rows}`;
      const figures = [where,
        projection && this.figure(projection, `What of the picture excites ${what}`, `Projection${form ? `, ${FORMS[form]}` : ''}`),
        patch && this.figure(patch, `The part of the picture that ${what} sees`, field ? 'Patch that it sees' : 'The whole picture')];
      const map = element('button', {type: 'button'}, 'Occlude against this unit');
      map.addEventListener('click', () => this.onMap());
      this.panel.replaceChildren(this.head(layer, unit, strength),
        element('div', {class: 'figures'}, ...figures.filter(Boolean)),
        ...(refused ? [element('p', {class: 'refused'}, element('b', {}, 'No projection. '), refused)] : []),
        element('p', {class: 'controls'}, map), this.strongest(strongest, what));
    }

    // The strongest patches of a data set.
    strongest(found, what) {
      if (!found) {
        return element('p', {class: 'note'}, 'To see here what excites it most in pictures of yours: ',
          element('code', {}, 'zfcuda patches FOLDER --units all --out patches'), ', and then ',
          element('code', {}, 'zfcuda serve --patches patches'), ', with the same --model.');
      }
      const pictures = `${found.patches.length} strongest patches of ${what}`;
      const image = found.image === null ? null : element('img', {src: found.image, class: 'nine',
        alt: `The ${pictures}, with their projections on the left where there are any`});
      return element('section', {}, element('h4', {}, `Strongest of ${found.pictures.toLocaleString('en')} pictures`),
        image ?? element('p', {class: 'note'}, 'Their patches were not drawn; ', element('code', {}, 'zfcuda patches --units all'),
          ' draws those of every unit.'),
        element('ol', {class: 'names'}, ...found.patches.map(one => element('li', {title: one.name},
          element('span', {class: 'num'}, numbers.number(one.value)), one.name))));
    }
  };
}
