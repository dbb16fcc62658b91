// Reading: what was read is marked, the short path can be chosen, a prediction comes before its answer, paper is light.
import {keep, memory, node} from './try/figure.js';

export function reading() {
  const here = `audioldm-read${location.pathname}`, read = new Set([memory(here)].flat().filter(Boolean));
  const sections = [...document.querySelectorAll('.bd-article section section')];
  const mark = id => document.querySelectorAll(`.toc-entry a[href="#${id}"]`).forEach(a => a.classList.add('was-read'));
  read.forEach(mark);
  const seen = new IntersectionObserver(entries => {
    for (const {isIntersecting, boundingClientRect: {bottom}, target: {id}} of entries)
      if (!isIntersecting && bottom < 0) read.add(id), mark(id);
    keep(here, [...read]);
  });
  for (const section of sections) seen.observe(section);
  shortPath(sections);
  predictions();
  const {dataset} = document.documentElement;
  let theme;
  addEventListener('beforeprint', () => { [theme, dataset.theme] = [dataset.theme, 'light']; });
  addEventListener('afterprint', () => { dataset.theme = theme; });
}

function shortPath(sections) { // ★ in a heading of the second level
  const parts = sections.filter(section => section.querySelector(':scope > h2'));
  const long = parts.filter(part => !part.querySelector('h2').textContent.includes('★'));
  if (!long.length || long.length === parts.length) return;
  for (const part of long) part.classList.add('beyond');
  const box = choice('short-path', '★ Only the short path');
  const reach = () => { // a link may lead to what is not on the short path
    const place = document.getElementById(location.hash.slice(1));
    if (box.checked && place?.closest('.beyond')) box.click(), place.scrollIntoView();
  };
  reach();
  addEventListener('hashchange', reach);
}

function predictions() { // by choice, what a code cell put out waits until one has said what one expects
  for (const quote of document.querySelectorAll('.bd-article blockquote')) {
    if (!/^\s*Predict/.test(quote.textContent)) continue;
    let cell = quote.nextElementSibling;
    while (cell && !cell.querySelector('.cell_output')) cell = cell.nextElementSibling;
    const outputs = []; // of this cell and of those that follow without a word between
    for (; cell?.matches('.cell'); cell = cell.nextElementSibling)
      outputs.push(...cell.querySelectorAll('.cell_output:not(.waits)'));
    if (!outputs.length) continue;
    const choose = node('p', {className: 'predict'}), reveal = said => {
      for (const output of outputs) output.classList.remove('waits');
      choose.replaceChildren(said ? `You said: ${said}` : '');
    };
    const button = (textContent, said) =>
      node('button', {type: 'button', className: 'pill', textContent, onclick: () => reveal(said)});
    const letters = [...quote.querySelectorAll('em')].map(em => em.textContent).filter(text => /^[a-e]$/.test(text));
    const guess = node('input', {ariaLabel: 'My prediction', placeholder: 'my guess', maxLength: 200});
    guess.onchange = () => reveal(guess.value);
    choose.append(...letters.length ? letters.map(one => button(one, one)) : [guess], button('Show what happened', ''));
    for (const output of outputs) output.classList.add('waits');
    outputs[0].before(choose);
  }
  if (document.querySelector('.predict')) choice('predict-first', 'Predict first');
}

function choice(id, words) { // a box to tick, which CSS looks at; remembered
  const box = node('input', {type: 'checkbox', id, checked: memory(`audioldm-${id}`) === true});
  box.onchange = () => keep(`audioldm-${id}`, box.checked);
  document.querySelector('.bd-article h1')?.after(node('label', {className: 'pill'}, box, words));
  return box;
}
