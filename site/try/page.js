// The page: what to make, the takes, and everything that is drawn. The work is done in worker.js.
import {offline} from '../offline.js';
import * as engine from './engine.js';
import {TOGGLES, alive, dress, flip, keep, memory, name, node, picture, short, unknown} from './figure.js';
import {recorder} from './recording.js';
import {RATE, wav} from './sound.js';
import {video} from './video.js';

const $ = (selector, within = document) => within.querySelector(selector);
const form = $('#form'), fields = form.elements, status = $('#status'), progress = $('#progress');
const FIELDS = ['prompt', 'negative', 'checkpoint', 'steps', 'seconds', 'guidance', 'seed'];
const IDEAS = ['Techno music with a strong, upbeat tempo and high melodic riffs', 'a dog barking in the rain',
  'a slow, low church bell', 'a fast high piano melody'];
const KEPT = 'audioldm-takes', MOST = 50;
let facts, making = 0, current = '', recording = null;
const films = new Set(); // requests for pictures that may be dropped
const heard = new Audio(); // a step of a film
try { // light or dark, where that was chosen in the book; else as the system has it
  if (['light', 'dark'].includes(localStorage.mode)) document.documentElement.style.colorScheme = localStorage.mode;
} catch {}
document.addEventListener('play', () => heard.pause(), true);

const say = (words, wrong = false) => {
  if (status.textContent !== words) status.textContent = words;
  status.classList.toggle('wrong', wrong);
};
const fail = words => say(words, true);

// ---- settings, in the form and in the link ----

function settings() {
  const values = Object.fromEntries(FIELDS.map(field => [field, fields[field].value]));
  for (const field of ['steps', 'seconds', 'guidance', 'seed']) values[field] = +values[field];
  return recording ? {...values, recording, strength: +fields.strength.value} : values;
}

function fill(values) { // only what is a setting, and only within its limits: a link may hold anything
  for (const [field, value] of FIELDS.map(key => [fields[key], values[key]])) {
    if (value == null || field.type === 'select-one' && ![...field.options].some(o => o.value === value)) continue;
    if (!['range', 'number'].includes(field.type)) field.value = String(value).slice(0, 500);
    else if (value !== '' && isFinite(value)) {
      const bounded = Math.max(field.min, Math.min(field.max, +value));
      field.value = field.name === 'seed' ? Math.round(bounded) : bounded;
    }
  }
  describe();
}

function describe() {
  for (const output of form.querySelectorAll('output')) {
    const field = output.parentElement.querySelector('input');
    output.textContent = short(+field.value) + (output.dataset.unit ?? '');
  }
  const {checkpoint, steps, seconds, guidance, seed} = settings();
  $('#summary').textContent = `${checkpoint}, ${steps} steps, ${short(seconds)} s, guidance ${guidance}, seed ${seed}`;
  for (const button of form.querySelectorAll('.toggle')) {
    button.setAttribute('aria-pressed', fields.prompt.value.toLowerCase().includes(button.textContent));
  }
  if (facts) $('#unknown').textContent = unknown(fields.prompt.value, facts);
}

function toggle(words, group) { // adjectives stand before the noun, places behind it; one of a group at a time
  const has = fields.prompt.value.toLowerCase().includes(words);
  let text = group.reduce((all, one) => all.replace(new RegExp(`(^|[ ,]+)${one}\\b,?`, 'gi'), ' '), fields.prompt.value);
  text = text.replace(/ +/g, ' ').trim();
  if (!has) text = words.includes(' ') ? `${text} ${words}` : text.replace(/^((?:an?|the) )?/i, (_, article = '') =>
    `${article.replace(/^an /i, 'a ')}${words} `);
  fill({prompt: text.trim()});
}

const plain = ({recording: _, ...values}) => values;
const link = values => location.href.split('#')[0] + '#' + new URLSearchParams(plain(values));

function python({checkpoint, prompt, negative, steps, seconds, guidance, seed, strength, recording: sound}) {
  const numbers = `num_inference_steps=${steps}, audio_length_in_s=${short(seconds)}`;
  return `from utils import ${sound ? 'Clip, begin_with, ' : ''}generate, load_pipeline

pipe = load_pipeline("${checkpoint}")
${sound ? `start = begin_with(pipe, Clip.load("recording.wav"), ${strength}, ${numbers}, seed=${seed})
` : ''}clip = generate(
    pipe, ${JSON.stringify(prompt)}, negative_prompt=${negative ? JSON.stringify(negative) : 'None'},
    ${numbers}, guidance_scale=${guidance}, seed=${seed},${sound ? ' callback=start,' : ''}
)
clip.save("${name({prompt})}.wav")`;
}

// ---- pictures ----

function walk({guidance, points, pushes}) { // the way from noise to sound, and at each step what the words add
  const [w, h, edge] = [innerWidth < 600 ? 340 : 640, 300, 34], ends = points.slice(1);
  const plain = ends.map((p, i) => p.map((x, k) => x - guidance * pushes[i][k]));
  const worded = plain.map((p, i) => p.map((x, k) => x + pushes[i][k]));
  const every = [...points, ...plain, ...worded];
  const [lo, hi] = [Math.min, Math.max].map(of => [0, 1].map(k => of(...every.map(p => p[k]))));
  const at = ([x, y]) => [edge + (x - lo[0]) / (hi[0] - lo[0] || 1) * (w - 2 * edge),
    h - edge - (y - lo[1]) / (hi[1] - lo[1] || 1) * (h - 2 * edge)].map(x => x.toFixed(1)).join(' ');
  const line = (from, to, kind) => `<path class="${kind}" d="M${at(from)}L${at(to)}"/>`;
  const dot = (p, kind, r) => `<circle class="${kind}" r="${r}" cx="${at(p).replace(' ', '" cy="')}"/>`;
  const words = (p, text, side) =>
    `<text text-anchor="${side}" x="${at(p).replace(' ', '" dy="24" y="')}">${text}</text>`;
  return `<p>The walk of guidance. Each step has two proposals: <b class="plain">without your words</b> and
<b class="worded">with them</b>. The difference is what the words add. Guidance ${guidance} takes it ${guidance} times, so
the <b class="path">way to the sound</b> goes beyond both.</p>
<svg viewBox="0 0 ${w} ${h}" role="img" aria-label="The way of the latents from noise to sound in ${ends.length} steps.
At each step the proposal with the words lies beyond the one without, and the guided one beyond both.">
${ends.map((p, i) => line(points[i], plain[i], 'plain') + line(plain[i], p, 'push')).join('')}
<path class="path" d="M${points.map(at).join('L')}"/>
${ends.map((p, i) => dot(plain[i], 'plain', 4) + dot(worded[i], 'worded', 4)).join('')}
${points.map(p => dot(p, 'path', 5)).join('')}${words(points[0], 'noise', 'start')}${words(points.at(-1), 'sound', 'end')}
<text text-anchor="middle" x="${w / 2}" y="${h - 6}">along the way from the noise to the sound →</text>
<text text-anchor="middle" transform="rotate(-90)" x="${-h / 2}" y="14">where the words push →</text></svg>`;
}

// ---- takes ----

function show(made, answer, took) {
  const take = $('#take').content.cloneNode(true).firstElementChild, within = selector => $(selector, take);
  const {wave, path, walk: steps} = answer, note = `made in ${took.toFixed(1)} s`;
  const audio = dress(within('figure'), made, answer, facts, {note});
  Object.assign(within('.wav'), {href: audio.src, download: `${name(made)}.wav`});
  within('code').textContent = python(made);
  const copy = (button, text) => button.addEventListener('click', async () => {
    try { await navigator.clipboard.writeText(text()); say('Copied.'); } catch { prompt('Copy this:', text()); }
  });
  within('.link').hidden = Boolean(made.recording);
  copy(within('.link'), () => link(made));
  copy(within('.copy'), () => python(made));
  within('.again').addEventListener('click', () => { fill(made); fields.prompt.focus(); });
  within('.remove').addEventListener('click', () => {
    take.remove();
    URL.revokeObjectURL(audio.src);
    listed();
  });
  within('.pick').addEventListener('change', listed);
  const row = within('details.one');
  $('.title', row).textContent = made.prompt;
  for (const other of document.querySelectorAll('details.one')) other.open = false; // older takes are rows
  screen(take, made, path, wave.length);
  within('.walk').innerHTML = steps ? walk(steps) : '<p>With guidance 1 the words are taken once: no walk to see.</p>';
  $('#takes').prepend(take);
  const picks = [...document.querySelectorAll('#takes .pick')]; // the newest two are compared, until others are picked
  if (picked().length !== 2 || picks[1]?.checked) picks.forEach((pick, i) => { pick.checked = i < 2; });
  listed();
  alive();
  within('figure').scrollIntoView({block: 'nearest'});
  audio.play().catch(() => {}); // where the browser allows it
  if (!made.recording) remember(made);
}

const picked = () => [...document.querySelectorAll('#takes>li')].filter(take => $('.pick', take).checked);

function listed() {
  $('#history').hidden = !$('#takes').children.length;
  $('#flip').hidden = picked().length !== 2;
}

function kept() { // settings of earlier takes: the same settings make the same sound
  const every = memory(KEPT);
  return Array.isArray(every) ? every.filter(one => one && typeof one.prompt === 'string').slice(0, MOST) : [];
}

function remember(made) {
  const same = JSON.stringify(made), others = kept().filter(one => JSON.stringify(one) !== same);
  keep(KEPT, [made, ...others].slice(0, MOST));
}

function earlier() {
  const every = kept();
  $('#earlier').hidden = !every.length;
  $('#earlier ol').replaceChildren(...every.map(made => {
    const {checkpoint, steps, seconds, guidance, seed} = made;
    const words = `${checkpoint}, ${steps} steps, ${short(seconds)} s, guidance ${guidance}, seed ${seed}`;
    const again = node('button', {type: 'button', textContent: 'Make again', onclick() { fill(made); make(); }});
    again.setAttribute('aria-label', `Make again: ${made.prompt.slice(0, 60)}`);
    return node('li', {}, again, ' ', node('bdi', {textContent: made.prompt}), ' ', node('small', {textContent: words}));
  }));
}

function screen(take, made, path, samples) { // the film of a take; its frames are decoded when it is first opened
  const film = $('.film', take), scrub = $('.scrub input', take), image = $('.screen img', take), frames = [];
  scrub.max = path.length - 1;
  const turn = () => {
    const step = +scrub.value, where = step ? `after step ${step} of ${path.length - 1}` : 'the noise, before step 1';
    $('.scrub output', take).textContent = frames[step] ? where : `${where} is being decoded ...`;
    if (frames[step]) Object.assign(image, {src: frames[step], alt: `Log-mel-spectrogram, ${where}`});
  };
  let timer;
  const roll = () => {
    clearInterval(timer);
    scrub.value = 0;
    turn();
    timer = setInterval(() => {
      if (+scrub.value === path.length - 1 || !film.open || !take.isConnected) clearInterval(timer);
      else if (frames[+scrub.value + 1]) scrub.value++, turn();
    }, 150);
  };
  const fetchFrames = done => {
    if (frames.filter(Boolean).length === path.length) return done?.();
    const id = engine.ask({film: path}, ({frame, mel, error, done: last}) => {
      if (error) fail(error);
      if (mel) frames[frame] = picture(mel, facts);
      if (mel && +scrub.value === frame) turn();
      if (last || error) films.delete(id);
      if (last) done?.();
    });
    films.add(id);
  };
  film.addEventListener('toggle', () => film.open && (fetchFrames(), roll()));
  for (const other of document.querySelectorAll('.film[open]')) other.open = false;
  film.open = true;
  scrub.addEventListener('input', () => { clearInterval(timer); turn(); });
  $('.roll', take).addEventListener('click', roll);
  $('.video', take).hidden = !video.possible();
  $('.video', take).addEventListener('click', () => fetchFrames(() => {
    say('The film is recorded while it plays ...');
    video(frames, $('audio', take).src, made.prompt).then(file => {
      const download = `${name(made)}.${/mp4/.test(file.type) ? 'mp4' : 'webm'}`;
      node('a', {href: URL.createObjectURL(file), download}).click();
      say('The video is saved.');
    }).catch(error => fail(`The video could not be recorded: ${error.message}`));
  }));
  const hear = () => ({hear: {latents: path[+scrub.value], samples}});
  $('.listen', take).addEventListener('click', () => engine.ask(hear(), ({wave, error}) => {
    if (error) fail(error);
    if (!wave) return;
    for (const other of document.querySelectorAll('audio')) other.pause();
    heard.src = URL.createObjectURL(wav(wave));
    heard.play();
  }));
}

// ---- at work ----

function busy(id) {
  making = id;
  $('#cancel').hidden = progress.hidden = !id;
  if (!id) $('#live').hidden = true;
}

function make() { // the newest press wins
  if (!form.reportValidity()) return;
  const made = settings(), wanted = JSON.stringify(plain(made));
  if (making && wanted === current) return; // a double tap
  engine.cancel(making);
  for (const id of films) engine.cancel(id);
  films.clear();
  current = wanted;
  let start = performance.now(), unseen = [];
  if (!made.recording) history.replaceState(null, '', link(made));
  progress.removeAttribute('value');
  say('Starting the model ...');
  const id = engine.ask({make: {...made, live: true}}, answer => {
    if (answer.error) return fail(answer.error), making === id && busy(0);
    if (making !== id) return;
    if (answer.cancelled) return say('Cancelled.'), busy(0);
    if (answer.ready) start = performance.now(), unseen = answer.unseen, say('Your words are read.');
    if (answer.step) {
      progress.value = answer.step / (answer.steps + 1);
      say(answer.step < answer.steps ? `Step ${answer.step} of ${answer.steps}` : 'From the picture to the sound ...');
      const alt = `The latents after step ${answer.step}`;
      if (answer.mel) Object.assign($('#live'), {src: picture(answer.mel, facts), alt, hidden: false});
    }
    if (!answer.wave) return;
    const took = (performance.now() - start) / 1000;
    busy(0);
    show(made, answer, took);
    const cut = unseen.map(x => ` The text encoder takes ${facts.tokens} tokens: it does not see “${x.slice(0, 40)}”.`);
    const done = `Done in ${took.toFixed(1)} s: ${short(answer.wave.length / RATE)} s of sound.${cut.join('')}`;
    say(`${done} ${unknown(made.prompt, facts)}`.trim());
  });
  busy(id);
}

async function ready() { // the facts, without which there is no form; a press tries again
  if (facts) return true;
  try {
    facts = await engine.facts();
  } catch (error) {
    fail(error.message);
    return false;
  }
  $('#known').textContent = Object.keys(facts.sounds).join(', ');
  fields.checkpoint.append(...facts.checkpoints.map(one => new Option(`${one.name} (${one.megabytes} MB)`, one.name)));
  $('#size').textContent = Math.round(facts.megabytes);
  const asked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  fill({prompt: IDEAS[1], checkpoint: 'mini-s-v2', ...asked});
  if (asked.prompt) {
    $('#shared').hidden = false;
    $('#shared bdi').textContent = fields.prompt.value;
  }
  return true;
}

async function submit() {
  if (await ready()) make();
}

function begin() {
  engine.place(new URL('..', location.href));
  const chip = (text, act, className = '') => node('button', {type: 'button', textContent: text, className, onclick: act});
  for (const words of IDEAS) $('#ideas').append(chip(words.slice(0, 40), () => { fill({prompt: words}); submit(); }));
  for (const group of TOGGLES) {
    $('#toggles').append(...group.map(words => chip(words, () => toggle(words, group), 'toggle')));
  }
  addEventListener('hashchange', () => fill(Object.fromEntries(new URLSearchParams(location.hash.slice(1)))));
  form.addEventListener('input', describe);
  form.addEventListener('submit', event => { event.preventDefault(); submit(); });
  form.addEventListener('invalid', event => { // a field that is folded away could not be shown
    for (let fold = event.target.closest('details'); fold; fold = fold.parentElement.closest('details')) fold.open = true;
    fail(`${event.target.dataset.name ?? 'The prompt'}: ${event.target.validationMessage}`);
  }, true);
  $('#make').addEventListener('click', event => { if (!facts) event.preventDefault(), submit(); });
  $('#play-shared').addEventListener('click', submit);
  $('#dice').addEventListener('click', () => fill({seed: Math.floor(Math.random() * 10000)}));
  $('#another').addEventListener('click', () => { fill({seed: Math.floor(Math.random() * 10000)}); submit(); });
  $('#cancel').addEventListener('click', () => engine.cancel(making));
  $('#flip').addEventListener('click', () => flip(...picked().map(take => $('audio', take))));
  addEventListener('keydown', event => { if (event.key === 'Escape' && making) engine.cancel(making); });
  recorder($('#recording'), found => {
    recording = found;
    if (found) say(`A recording of ${short(found.length / RATE)} s: say what it should become.`);
  }, fail);
  engine.say.progress = all => {
    const size = 1e6 * (facts?.megabytes ?? 8);
    if (status.classList.contains('wrong') || all >= size) return; // an error stays
    say(`Fetching the model, once: ${10 * Math.floor(10 * all / size)}%`);
  };
  engine.say.slow = fail;
  earlier();
  Promise.all([ready(), offline(new URL('..', location.href))]).then(([fine]) => {
    if (!fine) return;
    say('Starting the model ...');
    engine.ask({load: fields.checkpoint.value}, ({error}) => error ? fail(error) : making || say('Ready.'));
  });
}
begin();
