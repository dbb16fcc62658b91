// The page: what to make, the takes, and everything that is drawn. The work is done in worker.js.
import {offline} from '../offline.js';
import {RATE, wav} from './sound.js';

const $ = (selector, within = document) => within.querySelector(selector);
const form = $('#form'), fields = form.elements, status = $('#status'), progress = $('#progress');
const FIELDS = ['prompt', 'negative', 'checkpoint', 'steps', 'seconds', 'guidance', 'seed'];
const IDEAS = ['Techno music with a strong, upbeat tempo and high melodic riffs', 'a dog barking in the rain',
  'a slow, low church bell', 'birds singing in a forest', 'a fast high piano melody', 'ocean waves'];
let facts, worker, requests = 0, making = 0;
const waiting = {}; // by request: what to do with its answers
const early = []; // what was asked before the worker was there
const heard = new Audio(); // a step of a film
try { // light or dark, where that was chosen in the book; else as the system has it
  if (['light', 'dark'].includes(localStorage.mode)) document.documentElement.style.colorScheme = localStorage.mode;
} catch {}
document.addEventListener('play', () => heard.pause(), true);

const say = words => { if (status.textContent !== words) status.textContent = words; };
const post = message => worker ? worker.postMessage(message) : early.push(message);
const ask = (message, answered) => {
  waiting[++requests] = answered;
  post({id: requests, ...message});
  return requests;
};
const short = x => String(+x.toFixed(2));

// ---- settings, in the form and in the link ----

function settings() {
  const values = Object.fromEntries(FIELDS.map(name => [name, fields[name].value]));
  for (const name of ['steps', 'seconds', 'guidance', 'seed']) values[name] = +values[name];
  return values;
}

function fill(values) { // only what is a setting, and only within its limits: a link may hold anything
  for (const [field, value] of FIELDS.map(name => [fields[name], values[name]])) {
    if (value == null || field.type === 'select-one' && ![...field.options].some(o => o.value === value)) continue;
    if (!['range', 'number'].includes(field.type)) field.value = String(value).slice(0, 500);
    else if (value !== '' && isFinite(value)) field.value = Math.max(field.min, Math.min(field.max, +value));
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
}

const link = values => location.href.split('#')[0] + '#' + new URLSearchParams(values);

function python({checkpoint, prompt, negative, steps, seconds, guidance, seed}) {
  const name = prompt.toLowerCase().match(/[a-z0-9]+/g)?.slice(0, 4).join('_') ?? 'sound';
  return `from utils import generate, load_pipeline

pipe = load_pipeline("${checkpoint}")
clip = generate(
    pipe, ${JSON.stringify(prompt)}, negative_prompt=${negative ? JSON.stringify(negative) : 'None'},
    num_inference_steps=${steps}, audio_length_in_s=${short(seconds)}, guidance_scale=${guidance}, seed=${seed},
)
clip.save("${name}.wav")`;
}

// ---- pictures ----

function picture(mel) { // (frames, 64) natural logarithms, in the colours of the notebooks' player
  const frames = mel.length / 64, [low, high] = facts.db_range, colours = facts.colours;
  const canvas = Object.assign(document.createElement('canvas'), {width: frames, height: 64});
  const context = canvas.getContext('2d'), image = context.createImageData(frames, 64);
  for (let f = 0; f < frames; f++) for (let m = 0; m < 64; m++) {
    const level = Math.round((20 / Math.LN10 * mel[f * 64 + m] - low) / (high - low) * (colours.length - 1));
    image.data.set([...colours[Math.max(0, Math.min(colours.length - 1, level))], 255], 4 * ((63 - m) * frames + f));
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

function axes(plot, seconds) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5].find(s => seconds / s <= 7);
  const mark = (kind, side, share, text) => {
    const b = Object.assign(document.createElement('b'), {className: kind, textContent: text});
    b.style[side] = `${100 * share}%`;
    plot.append(b);
  };
  for (let i = 0; i * step <= 1.001 * seconds; i++) mark('t', 'left', i * step / seconds, short(i * step));
  const mel = f => f < 1000 ? f * 3 / 200 : 15 + 27 * Math.log(f / 1000) / Math.log(6.4);
  for (const f of [0, 500, 1000, 2000, 4000, 8000]) mark('f', 'bottom', mel(f) / mel(8000), short(f / 1000));
}

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
  const words = (p, text, side) => `<text text-anchor="${side}" x="${at(p).replace(' ', '" dy="24" y="')}">${text}</text>`;
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

function show(made, {wave, mel, path, walk: steps}, took) {
  const take = $('#take').content.cloneNode(true).firstElementChild, within = selector => $(selector, take);
  const file = wav(wave), peak = wave.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const without = made.negative ? `without "${made.negative}", ` : '', duration = wave.length / RATE;
  within('.words').textContent = made.prompt;
  within('.facts').textContent = `${duration.toFixed(2)} s, peak ${peak.toFixed(2)}, ${without}${made.checkpoint}, ` +
    `${made.steps} steps, guidance ${made.guidance}, seed ${made.seed}, made in ${took.toFixed(1)} s`;
  Object.assign(within('.aldm-plot img'), {src: picture(mel),
    alt: `Log-mel-spectrogram of ${made.prompt}: ${duration.toFixed(2)} s, 0 to 8 kHz`});
  axes(within('.aldm-plot span'), duration);
  Object.assign(within('.aldm-seek').dataset, {axis: duration.toFixed(3), end: duration.toFixed(3)});
  const audio = within('audio');
  audio.src = URL.createObjectURL(file);
  audio.setAttribute('aria-label', made.prompt);
  Object.assign(within('.wav'), {href: audio.src, download: python(made).match(/"(\w+\.wav)"\)$/)[1]});
  within('code').textContent = python(made);
  const copy = (button, text) => button.addEventListener('click', async () => {
    try { await navigator.clipboard.writeText(text()); say('Copied.'); } catch { prompt('Copy this:', text()); }
  });
  copy(within('.link'), () => link(made));
  copy(within('.copy'), () => python(made));
  within('.again').addEventListener('click', () => { fill(made); fields.prompt.focus(); });
  within('.remove').addEventListener('click', () => {
    take.remove();
    URL.revokeObjectURL(audio.src);
    $('#history').hidden = !$('#takes').children.length;
  });
  screen(take, made, path, wave.length);
  within('.walk').innerHTML = steps ? walk(steps) : '<p>With guidance 1 the words are taken once: no walk to see.</p>';
  $('#history').hidden = false;
  $('#takes').prepend(take);
  document.body.append(Object.assign(document.createElement('script'), {src: 'player.js'})); // brings new players to life
  within('figure').scrollIntoView({block: 'nearest'});
  audio.play().catch(() => {}); // where the browser allows it
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
  film.addEventListener('toggle', () => {
    if (!film.open || frames.filter(Boolean).length === path.length) return;
    ask({film: path}, ({frame, mel}) => {
      frames[frame] = picture(mel);
      if (+scrub.value === frame) turn();
    });
    roll();
  });
  for (const other of document.querySelectorAll('.film[open]')) other.open = false;
  film.open = true;
  scrub.addEventListener('input', () => { clearInterval(timer); turn(); });
  $('.roll', take).addEventListener('click', roll);
  $('.listen', take).addEventListener('click', () => ask({hear: {latents: path[+scrub.value], samples}}, ({wave}) => {
    for (const other of document.querySelectorAll('audio')) other.pause();
    heard.src = URL.createObjectURL(wav(wave));
    heard.play();
  }));
}

// ---- at work ----

function busy(id) {
  const buttons = [$('#make'), $('#cancel')], focused = buttons.includes(document.activeElement);
  making = id;
  buttons[0].hidden = Boolean(id);
  buttons[1].hidden = progress.hidden = !id;
  if (focused) buttons[id ? 1 : 0].focus();
  if (!id) $('#live').hidden = true;
}

function make() {
  const made = settings();
  let start = performance.now(), unseen = [];
  history.replaceState(null, '', link(made));
  post({cancel: requests}); // a film that is still being decoded
  progress.removeAttribute('value');
  say('Starting the model ...');
  busy(ask({make: {...made, live: fields.live.checked}}, answer => {
    if (answer.error) return fail(answer.error), busy(0);
    if (answer.cancelled) return say('Cancelled.'), busy(0);
    if (answer.ready) start = performance.now(), unseen = answer.unseen, say('Your words are read.');
    if (answer.step) {
      progress.value = answer.step / (answer.steps + 1);
      say(answer.step < answer.steps ? `Step ${answer.step} of ${answer.steps}` : 'From the picture to the sound ...');
      const alt = `The latents after step ${answer.step}`;
      if (answer.mel) Object.assign($('#live'), {src: picture(answer.mel), alt, hidden: false});
    }
    if (!answer.wave) return;
    const took = (performance.now() - start) / 1000;
    busy(0);
    show(made, answer, took);
    const cut = unseen.map(x => ` The text encoder takes ${facts.tokens} tokens: it does not see “${x.slice(0, 40)}”.`);
    say(`Done in ${took.toFixed(1)} s: ${short(answer.wave.length / RATE)} s of sound.${cut.join('')}`);
  }));
}

const fail = reason => say(`This browser cannot make sounds here: ${reason}`);

async function begin() {
  facts = await (await fetch('facts.json')).json();
  $('#known').textContent = facts.sounds.join(', ');
  fields.checkpoint.append(...facts.checkpoints.map(({name, megabytes}) => new Option(`${name} (${megabytes} MB)`, name)));
  $('#size').textContent = facts.megabytes;
  for (const words of IDEAS) {
    const button = Object.assign(document.createElement('button'), {type: 'button', textContent: words.slice(0, 40)});
    button.addEventListener('click', () => { fill({prompt: words}); form.requestSubmit(); });
    $('#ideas').append(button);
  }
  fill({prompt: IDEAS[1], checkpoint: 'mini-s-v2', ...Object.fromEntries(new URLSearchParams(location.hash.slice(1)))});
  addEventListener('hashchange', () => fill(Object.fromEntries(new URLSearchParams(location.hash.slice(1)))));
  form.addEventListener('input', describe);
  form.addEventListener('submit', event => { event.preventDefault(); if (!making && !$('#make').disabled) make(); });
  $('#dice').addEventListener('click', () => fill({seed: Math.floor(Math.random() * 10000)}));
  $('#cancel').addEventListener('click', () => post({cancel: making}));
  if (typeof WebAssembly !== 'object' || typeof Worker !== 'function') {
    $('#make').disabled = true;
    return fail('it has no WebAssembly or no workers.');
  }
  await offline(new URL('..', location.href));
  worker = new Worker(`worker.js?v=${VERSION}`, {type: 'module'});
  worker.onmessage = ({data}) => {
    const share = data.fetched / 1e6 / facts.megabytes;
    const where = share < 0.95 ? `Fetching the model, once: ${10 * Math.round(10 * share)}%` : 'Starting the model ...';
    if (data.fetched) say(where);
    else waiting[data.id]?.(data);
  };
  worker.onerror = event => fail(event.message || 'its worker did not start.');
  addEventListener('keydown', event => { if (event.key === 'Escape' && making) post({cancel: making}); });
  // threads wait for each other without rest, so a core is left to everything else
  const threads = crossOriginIsolated ? Math.max(1, Math.min(4, navigator.hardwareConcurrency - 1)) : 1;
  ask({start: threads}, answer => answer.error ? fail(answer.error) : making || say('Ready.'));
  early.splice(0).forEach(post);
}
begin();
