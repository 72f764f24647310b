'use strict';
// Opens each picture of a report when somebody comes near, and all of them to be printed; copies the commands.
{
  const pictures = zfcuda.pictures = new Map();  // article -> its Picture
  const open = article => {
    if (!pictures.has(article)) pictures.set(article, new zfcuda.Picture(article));
    article.dataset.open = '';
  };

  // What somebody looks at stays where it is, though pictures above it grow.
  const standing = change => {
    const root = document.documentElement;
    const seen = [...articles].find(article => article.getBoundingClientRect().bottom > 1);
    const before = seen?.getBoundingClientRect().top;
    root.style.overflowAnchor = 'none';  // or the browser may do the same once more
    change();
    if (seen && before <= 1) scrollBy({top: seen.getBoundingClientRect().top - before, behavior: 'instant'});
    requestAnimationFrame(() => { root.style.overflowAnchor = ''; });
  };

  // Who jumps over many pictures opens none on the way.
  const near = new Set(), articles = document.querySelectorAll('article.picture');
  const watch = new IntersectionObserver(entries => {
    for (const {target, isIntersecting} of entries) isIntersecting ? near.add(target) : near.delete(target);
    setTimeout(() => {
      if (!near.size) return;
      standing(() => near.forEach(article => { open(article); watch.unobserve(article); }));
      near.clear();
    }, 60);
  }, {rootMargin: '600px'});
  for (const article of articles) watch.observe(article);
  addEventListener('beforeprint', () => articles.forEach(open));

  // A scale for all pictures is one switch, wherever it stands.
  addEventListener('input', ({target}) => {
    if (target.dataset.choice !== 'evidence-scale') return;
    zfcuda.evidenceScale = target.value;
    for (const picture of pictures.values()) picture.follow(target.value);
  });

  for (const button of document.querySelectorAll('[data-copy]')) {
    button.addEventListener('click', async () => {
      const text = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(text.textContent);
      } catch {  // not allowed here; the old way
        getSelection().selectAllChildren(text);
        document.execCommand('copy');
      }
      button.textContent = 'Copied';
      setTimeout(() => { button.textContent = 'Copy'; }, 1500);
    });
  }
}
