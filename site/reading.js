// Reading: what was read is marked, the short path can be chosen, a prediction comes before its answer, paper is light.
import {node} from './try/figure.js';

const memory = name => {
  try { return JSON.parse(localStorage[name] ?? 'null'); } catch { return null; }
};
const keep = (name, value) => {
  try { localStorage[name] = JSON.stringify(value); } catch {}
};

export function reading() {
  const here = `audioldm-read${location.pathname}`, sections = [...document.querySelectorAll('.bd-article section section')];
  const read = new Set(memory(here) ?? []), link = section => document.querySelector(`.toc-entry a[href="#${CSS.escape(section.id)}"]`);
  const mark = () => {
    for (const section of sections) link(section)?.classList.toggle('was-read', read.has(section.id));
    keep(here, [...read]);
  };
  const seen = new IntersectionObserver(entries => {
    for (const {isIntersecting, boundingClientRect: box, target} of entries) if (!isIntersecting && box.bottom < 0) read.add(target.id);
    mark();
  });
  for (const section of sections) seen.observe(section);
  mark();
  shortPath(sections);
  if (predictions()) choice('predict-first', 'Show all that happened', 'Predict first');
  let dark;
  addEventListener('beforeprint', () => { dark = document.documentElement.dataset.theme; document.documentElement.dataset.theme = 'light'; });
  addEventListener('afterprint', () => { document.documentElement.dataset.theme = dark; });
}

function shortPath(sections) { // ★ in a heading of the second level
  const parts = sections.filter(section => section.querySelector(':scope > h2'));
  const starred = part => part.querySelector('h2').textContent.includes('★'), long = parts.filter(part => !starred(part));
  if (!long.length || long.length === parts.length) return;
  for (const part of long) part.classList.add('beyond');
  if (!long.some(part => part.querySelector(location.hash || 'no-place'))) choice('short-path', '★ Show everything', '★ Only the short path');
}

function predictions() { // by choice, what a code cell put out waits until one has said what one expects
  const found = [];
  for (const quote of document.querySelectorAll('.bd-article blockquote')) {
    if (!/^\s*Predict/.test(quote.textContent)) continue;
    let cell = quote.nextElementSibling;
    while (cell && !cell.querySelector('.cell_output')) cell = cell.nextElementSibling;
    const output = cell?.querySelector('.cell_output');
    if (!output || found.includes(output)) continue;
    found.push(output);
    const choose = node('p', {className: 'predict'}), reveal = () => { output.classList.remove('waits'); choose.remove(); };
    const show = node('button', {type: 'button', className: 'pill', textContent: 'Show what happened', onclick: reveal});
    const guess = node('input', {placeholder: 'my guess', maxLength: 200, autocomplete: 'off', onkeydown: e => e.key === 'Enter' && reveal()});
    guess.setAttribute('aria-label', 'My prediction');
    choose.append(guess, ' ', show);
    output.classList.add('waits');
    output.before(choose);
  }
  return found.length > 0;
}

function choice(name, on, off) { // a button that sets a class of the page, and remembers it
  const button = node('button', {type: 'button', className: 'pill'}), set = now => {
    document.documentElement.classList.toggle(name, now);
    button.textContent = now ? on : off;
    button.setAttribute('aria-pressed', now);
    keep(`audioldm-${name}`, now);
  };
  button.addEventListener('click', () => set(!document.documentElement.classList.contains(name)));
  document.querySelector('.bd-article h1')?.after(button, ' ');
  set(memory(`audioldm-${name}`) === true);
}
