// Reading: what was read is marked, the short path can be chosen, a prediction comes before its answer, paper is light.
import {keep, memory, node} from './try/figure.js';


export function reading() {
  const here = `audioldm-read${location.pathname}`, read = new Set(memory(here) ?? []);
  const sections = [...document.querySelectorAll('.bd-article section section')];
  const link = section => document.querySelector(`.toc-entry a[href="#${CSS.escape(section.id)}"]`);
  const mark = () => {
    for (const section of sections) link(section)?.classList.toggle('was-read', read.has(section.id));
    keep(here, [...read]);
  };
  const seen = new IntersectionObserver(entries => {
    for (const entry of entries) if (!entry.isIntersecting && entry.boundingClientRect.bottom < 0) read.add(entry.target.id);
    mark();
  });
  for (const section of sections) seen.observe(section);
  mark();
  shortPath(sections);
  if (predictions()) choice('predict-first', 'Show all that happened', 'Predict first');
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
  const place = document.getElementById(location.hash.slice(1)); // a link leads to what is not on the short path
  if (!place?.closest('.beyond')) choice('short-path', '★ Show everything', '★ Only the short path');
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
    const choose = node('p', {className: 'predict'}), reveal = said => {
      output.classList.remove('waits');
      choose.replaceChildren(said ? `You said: ${said}` : '');
    };
    const button = (text, said) =>
      node('button', {type: 'button', className: 'pill', textContent: text, onclick: () => reveal(said)});
    const letters = [...quote.querySelectorAll('em')].map(em => em.textContent).filter(text => /^[a-e]$/.test(text));
    const guess = node('input', {placeholder: 'my guess', maxLength: 200, autocomplete: 'off'});
    guess.addEventListener('keydown', event => event.key === 'Enter' && reveal(guess.value));
    guess.setAttribute('aria-label', 'My prediction');
    choose.append(...letters.length ? letters.flatMap(one => [button(one, one), ' ']) : [guess, ' '],
      button('Show what happened', ''));
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
