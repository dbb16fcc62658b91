// "Change it": every sound of the book that its settings make again can be made anew on the page, beside its sister.
import * as engine from './try/engine.js';
import {TOGGLES, alive, dress, flip, node, read, teach, unknown} from './try/figure.js';

const FORM = `<div class="line"><input name="prompt" aria-label="Prompt" required pattern=".*\\S.*"
maxlength="500" autocomplete="off">
<label><button type="button" class="dice" aria-label="Another seed">🎲</button>seed
<input type="number" name="seed" min="0" max="4294967295" required></label>
<button class="main">Make it here</button></div>
<div class="line"><label><input type="number" name="steps" min="1" max="100" required>steps</label>
<label><input type="number" name="seconds" aria-label="seconds" min="0.08" max="20.48" step="any" required>s</label>
<label><input type="number" name="guidance" min="0" max="20" step="any" required>guidance</label>
<input name="negative" aria-label="Negative prompt" maxlength="500" autocomplete="off" placeholder="without ..."></div>
<div class="line"><button type="button" class="turn" hidden>⇄ A/B while it plays</button>
<select aria-label="Add a word, and compare"><option value="">＋ a word</option>
${TOGGLES.flat().map(word => `<option>${word}</option>`).join('')}</select>
<button type="button" class="next">＋ next seed</button></div>
<p role="status"></p>`;
let open; // the one form of a page, and the pill that opened it

export function changeable() {
  for (const figure of document.querySelectorAll('.aldm figure[data-settings]')) {
    const stored = JSON.parse(figure.dataset.settings); // what the lesson's cell asked for
    const lesson = {prompt: stored.prompt, negative: stored.negative_prompt ?? '', checkpoint: stored.checkpoint,
      steps: stored.num_inference_steps, seconds: stored.audio_length_in_s, guidance: stored.guidance_scale,
      seed: stored.seed};
    const pill = node('button', {type: 'button', className: 'pill', textContent: '✎ change it', ariaExpanded: false,
      ariaLabel: `change it: ${lesson.prompt.slice(0, 60)}`});
    pill.onclick = () => open?.pill === pill ? close() : show(pill, figure, lesson);
    figure.querySelector('figcaption').append(' ', pill);
  }
}

function close() {
  if (!open) return;
  engine.cancel();
  open.form.remove();
  open.pill.ariaExpanded = false;
  open.pill.focus();
  open = undefined;
}

function show(pill, figure, lesson) {
  close();
  const grid = figure.closest('.aldm'), made = []; // the new figures
  const form = node('form', {className: 'change', ariaLabel: 'Change this sound', innerHTML: FORM});
  const $ = selector => form.querySelector(selector), {prompt, seed} = form.elements;
  open = {pill, form};
  for (const field of form.elements) if (field.name) field.value = lesson[field.name];
  const make = (stay = false) => { // `stay`: the last one stays, and the comparison grows
    if (!form.reportValidity()) return;
    const settings = {...lesson, ...read(form)};
    engine.make(settings, ({says, error, wave, ...answer}) => {
      if (says ?? error) $('[role=status]').textContent = says ?? error;
      $('[role=status]').classList.toggle('wrong', Boolean(error));
      if (!wave) return;
      if (!stay) made.pop()?.remove();
      made.push(sister(figure, grid, settings, {wave, ...answer}, made.at(-1)));
      $('.turn').hidden = false;
      $('[role=status]').replaceChildren(...teach(lesson, settings), ' ', unknown(settings.prompt));
      made.at(-1).querySelector('audio').play().catch(() => {});
    });
  };
  $('.dice').onclick = () => { seed.value = Math.floor(Math.random() * 10000); };
  $('.next').onclick = () => { seed.value = (+seed.value + 1) % 4294967296; make(true); };
  $('.turn').onclick = () => flip(figure.querySelector('audio'), made.at(-1).querySelector('audio'));
  $('select').onchange = ({target}) => {
    prompt.value += ` ${target.value}`;
    target.value = '';
    make(true);
  };
  $('.main').onclick = event => { event.preventDefault(); make(); };
  form.onkeydown = event => { if (event.key === 'Escape') close(); };
  figure.after(form);
  const also = lesson.checkpoint === 'mini-s-v2' ? '' : `, and ${lesson.checkpoint}`;
  $('[role=status]').textContent = `The model runs on this device. The first time brings 8 MB${also}.`;
  pill.ariaExpanded = true;
  prompt.focus();
}

function sister(figure, grid, made, answer, after) { // the new figure, in the same grid, on the same axes
  const yours = figure.cloneNode(true), root = node('div', {className: 'aldm'}, yours);
  yours.classList.add('yours');
  delete yours.dataset.settings;
  yours.querySelector('audio').removeAttribute('src');
  const axis = +figure.querySelector('.aldm-seek').dataset.axis;
  dress(yours, made, answer, {label: 'yours', axis});
  (after ?? figure).after(root);
  alive();
  if (+grid.style.getPropertyValue('--n') < 2) grid.style.setProperty('--n', 2);
  return root;
}
