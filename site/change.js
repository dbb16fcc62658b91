// "Change it": every sound of the book that its settings make again can be made anew on the page, beside its sister.
import * as engine from './try/engine.js';
import {TOGGLES, alive, dress, flip, node, short, teach, unknown} from './try/figure.js';

const NUMBERS = {steps: ['steps', 1, 100, 1], seconds: ['s', 0.08, 20.48, 'any'], guidance: ['guidance', 0, 20, 'any']};
const FIELDS = ['prompt', 'negative', 'steps', 'seconds', 'guidance', 'seed'];
let open; // the one form of a page

function stored(figure) { // what the lesson's cell asked for, or nothing
  try {
    const s = JSON.parse(figure.dataset.settings);
    if (typeof s.prompt !== 'string') return null;
    return {prompt: s.prompt, negative: s.negative_prompt ?? '', checkpoint: s.checkpoint, steps: s.num_inference_steps,
      seconds: s.audio_length_in_s, guidance: s.guidance_scale, seed: s.seed};
  } catch { return null; }
}

export function changeable() {
  for (const figure of document.querySelectorAll('.aldm figure[data-settings]')) {
    const lesson = stored(figure);
    if (!lesson) continue;
    const pill = node('button', {type: 'button', className: 'pill', textContent: '✎ change it'});
    pill.setAttribute('aria-expanded', false);
    pill.setAttribute('aria-label', `change it: ${lesson.prompt.slice(0, 60)}`);
    pill.addEventListener('click', () => open?.pill === pill ? close(true) : show(pill, figure, lesson));
    figure.querySelector('figcaption').append(' ', pill);
  }
}

function close(focus) {
  if (!open) return;
  engine.cancel(open.making);
  open.form.remove();
  open.pill.setAttribute('aria-expanded', false);
  if (focus) open.pill.focus();
  open = undefined;
}

function show(pill, figure, lesson) {
  close();
  const grid = figure.closest('.aldm'), form = node('form', {className: 'change'});
  form.setAttribute('aria-label', 'Change this sound');
  const field = (name, type, value, label, more) => {
    const input = node('input', {name, type, value, autocomplete: 'off', ...more});
    input.setAttribute('aria-label', label);
    return input;
  };
  const button = (textContent, onclick) => node('button', {type: 'button', textContent, onclick});
  const prompt = field('prompt', 'text', lesson.prompt, 'Prompt', {maxLength: 500, required: true}), says = node('p');
  says.setAttribute('role', 'status');
  const numbers = Object.entries(NUMBERS).map(([key, [unit, min, max, step]]) =>
    node('label', {}, field(key, 'number', short(lesson[key]), key, {min, max, step, required: true}), unit));
  const seed = field('seed', 'number', lesson.seed, 'Seed', {min: 0, max: 4294967295, step: 1, required: true});
  const dice = button('🎲', () => { seed.value = Math.floor(Math.random() * 10000); });
  dice.setAttribute('aria-label', 'Another seed');
  const negative = field('negative', 'text', lesson.negative, 'Negative prompt', {placeholder: 'without ...'});
  const main = node('button', {className: 'main', textContent: 'Make it here'});
  const more = node('select', {}, new Option('＋ a word', ''), ...TOGGLES.flat().map(word => new Option(word, word)));
  more.setAttribute('aria-label', 'Add a word, and compare');
  const state = open = {pill, form, made: [], making: 0};
  const turn = button('⇄ A/B while it plays', () => {
    const last = state.made.at(-1);
    if (last) flip(figure.querySelector('audio'), last.querySelector('audio'));
  });
  turn.hidden = true;
  const settings = () => {
    const values = Object.fromEntries(FIELDS.map(key => [key, form.elements[key].value]));
    for (const key of FIELDS.slice(2)) {
      values[key] = String(values[key]) === short(lesson[key]) ? lesson[key] : +values[key]; // 2.5 may stand for 2.504
    }
    return {...values, checkpoint: lesson.checkpoint};
  };
  const make = async (stay = false) => { // `stay`: the last one stays, and the comparison grows
    if (!form.reportValidity()) return;
    const made = settings(), wanted = JSON.stringify(made);
    if (state.making && state.wanted === wanted) return;
    engine.cancel(state.making);
    Object.assign(state, {making: -1, wanted});
    const tell = (words, wrong) => {
      says.replaceChildren(...[words].flat());
      says.classList.toggle('wrong', Boolean(wrong));
      if (wrong) state.making = 0;
    };
    tell('Starting the model ...');
    engine.say.progress = all => {
      if (state.making && all < facts.megabytes * 1e6) tell(`Fetching the model, once: ${Math.round(all / 1e5) / 10} MB`);
    };
    engine.say.slow = words => tell(words);
    let facts, start = performance.now();
    try { facts = await engine.facts(); } catch (error) { return tell(error.message, true); }
    if (!facts.checkpoints.some(one => one.name === made.checkpoint)) {
      return tell(`The page has no checkpoint ${made.checkpoint}: this sound was made elsewhere.`, true);
    }
    if (open !== state || state.wanted !== wanted) return;
    state.making = engine.ask({make: made}, answer => {
      if (answer.error) return tell(answer.error, true);
      if (answer.ready) start = performance.now();
      if (answer.step) tell(`Step ${answer.step} of ${answer.steps}`);
      if (!answer.wave) return;
      state.making = 0;
      if (!stay) state.made.pop()?.remove();
      const yours = sister(figure, grid, made, answer, facts, (performance.now() - start) / 1000, state.made.at(-1));
      state.made.push(yours);
      turn.hidden = false;
      tell([...teach(lesson, made), ' ', unknown(made.prompt, facts)]);
      yours.querySelector('audio').play().catch(() => {});
    });
  };
  more.addEventListener('change', () => {
    if (more.value) prompt.value += ` ${more.value}`;
    if (more.value) make(true);
    more.value = '';
  });
  const next = button('＋ next seed', () => { seed.value = (+seed.value + 1) % 4294967296; make(true); });
  const back = button('↺ the lesson’s', () => {
    for (const [i, key] of FIELDS.entries()) form.elements[key].value = i < 2 ? lesson[key] : short(lesson[key]);
  });
  const lines = [[prompt, node('label', {}, dice, 'seed', seed), main], [...numbers, negative], [turn, back, more, next]];
  form.append(...lines.map(parts => node('div', {className: 'line'}, ...parts)), says);
  form.addEventListener('submit', event => { event.preventDefault(); make(); });
  form.addEventListener('keydown', event => { event.stopPropagation(); if (event.key === 'Escape') close(true); });
  grid.after(form);
  const also = lesson.checkpoint === 'mini-s-v2' ? '' : `, and ${lesson.checkpoint}`;
  says.textContent = `The model runs on this device. The first time brings 8 MB${also}.`;
  pill.setAttribute('aria-expanded', true);
  prompt.focus();
}

function sister(figure, grid, made, answer, facts, took, after) { // the new figure, in the same grid, on the same axes
  const yours = figure.cloneNode(true), root = node('div', {className: 'aldm'}, yours);
  delete yours.dataset.settings;
  yours.classList.add('yours');
  yours.querySelector('audio').removeAttribute('src');
  const axis = +figure.querySelector('.aldm-seek').dataset.axis;
  dress(yours, made, answer, facts, {label: 'yours', note: `made here in ${took.toFixed(1)} s`, axis});
  root.style.display = 'none';
  document.body.append(root); // the player wires roots that are new
  alive();
  (after ?? figure).after(yours);
  root.remove();
  if (+grid.style.getPropertyValue('--n') < 2) grid.style.setProperty('--n', 2);
  return yours;
}
