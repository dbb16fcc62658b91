// The page: what to make, the takes, and everything that is drawn. The work is done in worker.js.
import * as engine from './engine.js';
import {TOGGLES, alive, dress, flip, keep, listing, memory, name, node, picture, read, short, unknown}
  from './figure.js';
import {recorder} from './recording.js';
import {RATE, wav} from './sound.js';
import {video} from './video.js';

const $ = (selector, within = document) => within.querySelector(selector);
const form = $('#form'), fields = form.elements, status = $('#status'), progress = $('#progress');
const IDEAS = ['Techno music with a strong, upbeat tempo and high melodic riffs', 'a dog barking in the rain',
  'a slow, low church bell', 'a fast high piano melody'];
let making = false, recording = null;
try { // light or dark, where that was chosen in the book; else as the system has it
  if (['light', 'dark'].includes(localStorage.mode)) document.documentElement.style.colorScheme = localStorage.mode;
} catch {}

const say = (words, wrong = false) => {
  status.textContent = words;
  status.classList.toggle('wrong', wrong);
};
const fail = words => say(words, true);

// ---- settings, in the form and in the link ----

function settings() {
  const {strength, ...plain} = read(form);
  return recording ? {...plain, strength, recording} : plain;
}

function fill(values) { // only what is a setting, and only within its limits: a link may hold anything
  for (const [key, value] of Object.entries(values)) {
    const field = fields[key], text = String(value).slice(0, 500), number = parseFloat(text);
    if (field?.name !== key) continue;
    if (field.type === 'text' || field.namedItem?.(text)) field.value = text;
    else if (field.max && isFinite(number))
      field.value = Math.max(field.min, Math.min(field.max, key === 'seed' ? Math.round(number) : number));
  }
  describe();
}

function describe() {
  for (const output of form.querySelectorAll('output'))
    output.textContent = short($('input', output.parentElement).value) + (output.dataset.unit ?? '');
  $('#summary').textContent = listing(settings());
  for (const button of form.querySelectorAll('.toggle')) button.ariaPressed = has(button.textContent);
  $('#unknown').textContent = unknown(fields.prompt.value);
}

const has = words => new RegExp(`\\b${words}(?![\\w-])`, 'i').test(fields.prompt.value);

function toggle(words, group) { // adjectives stand before the noun, places behind it; one of a group at a time
  const had = has(words), others = new RegExp(`(^|[ ,]+)(${group.join('|')})(?![\\w-]),?`, 'gi');
  let text = fields.prompt.value.replace(others, ' ').replace(/ +/g, ' ').trim();
  if (!had) text = words.includes(' ') ? `${text} ${words}` : text.replace(/^((?:an?|the) )?/i, (_, article = '') =>
    `${article.replace(/^an /i, 'a ')}${words} `);
  fill({prompt: text.trim()});
}

const link = ({recording: _, ...values}) => location.href.split('#')[0] + '#' + new URLSearchParams(values);

function python({checkpoint, prompt, negative, steps, seconds, guidance, seed, strength, recording: sound}) {
  const numbers = `num_inference_steps=${steps}, audio_length_in_s=${short(seconds)}`;
  return `from utils import ${sound ? 'Clip, begin_with, ' : ''}generate, load_pipeline

pipe = load_pipeline("${checkpoint}")
${sound ? `start = begin_with(pipe, Clip.load("recording.wav"), ${strength}, ${numbers}, seed=${seed})
` : ''}clip = generate(
    pipe, ${JSON.stringify(prompt)}, negative_prompt=${negative ? JSON.stringify(negative) : 'None'},
    ${numbers}, guidance_scale=${guidance}, seed=${seed},${sound ? ' callback=start,' : ''}
)
clip.save("${name(prompt)}.wav")`;
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

function show(made, answer) {
  const take = $('#take').content.cloneNode(true).firstElementChild, within = selector => $(selector, take);
  const {wave, path, walk: steps} = answer, audio = dress(within('figure'), made, answer);
  Object.assign(within('.wav'), {href: audio.src, download: `${name(made.prompt)}.wav`});
  within('code').textContent = python(made);
  const copy = async text => {
    try { await navigator.clipboard.writeText(text); say('Copied.'); } catch { prompt('Copy this:', text); }
  };
  within('.link').hidden = Boolean(made.recording);
  within('.link').onclick = () => copy(link(made));
  within('.copy').onclick = () => copy(python(made));
  within('.again').onclick = () => { fill(made); fields.prompt.focus(); };
  within('.remove').onclick = () => { take.remove(); URL.revokeObjectURL(audio.src); listed(); };
  within('.pick').onchange = listed;
  within('.title').append(made.prompt, ' ', node('small', {textContent: listing(made)}));
  for (const other of document.querySelectorAll('#takes details')) other.open = false; // older takes are rows
  within('.walk').innerHTML = steps ? walk(steps) : '<p>With guidance 1 the words are taken once: no walk to see.</p>';
  $('#takes').prepend(take);
  const picks = [...document.querySelectorAll('#takes .pick')]; // the newest two are compared, until others are picked
  if (picked().length !== 2 || picks[1]?.checked) picks.forEach((pick, i) => { pick.checked = i < 2; });
  listed();
  alive();
  within('figure').scrollIntoView({block: 'nearest'});
  audio.play().catch(() => {}); // where the browser allows it
  const others = kept().filter(one => JSON.stringify(one) !== JSON.stringify(made));
  if (!made.recording) keep('audioldm-takes', [made, ...others].slice(0, 50));
  return film(take, made, path, wave.length);
}

const picked = () => [...document.querySelectorAll('#takes>li')].filter(take => $('.pick', take).checked);

function listed() {
  $('#history').hidden = !$('#takes').children.length;
  $('#flip').hidden = picked().length !== 2;
}

// settings of earlier takes: the same settings make the same sound
const kept = () => [memory('audioldm-takes')].flat().filter(one => one?.prompt?.trim);

function earlier() {
  const every = kept();
  $('#earlier').hidden = !every.length;
  $('#earlier ol').replaceChildren(...every.map(made => node('li', {}, node('button', {
    type: 'button', textContent: 'Make again', ariaLabel: `Make again: ${made.prompt.slice(0, 60)}`,
    onclick() { plain(made); },
  }), ' ', node('bdi', {textContent: made.prompt}), ' ', node('small', {textContent: listing(made)}))));
}

function film(take, made, path, samples) { // the film of a take; returns what takes its pictures, as they come
  const within = selector => $(selector, take), scrub = within('.scrub input'), frames = [];
  const turn = () => {
    const step = +scrub.value, where = step ? `after step ${step} of ${path.length - 1}` : 'the noise, before step 1';
    within('.scrub output').textContent = where;
    Object.assign(within('.screen img'), {src: frames[step], alt: `Log-mel-spectrogram, ${where}`});
  };
  let timer;
  const roll = () => {
    clearInterval(timer);
    scrub.value = 0;
    turn();
    timer = setInterval(() => {
      scrub.value++;
      turn();
      if (scrub.value === scrub.max) clearInterval(timer);
    }, 150);
  };
  scrub.oninput = () => { clearInterval(timer); turn(); };
  within('.roll').onclick = roll;
  within('.video').onclick = async () => {
    if (frames.length < path.length) return fail('The film is still being drawn.');
    say('The film is recorded while it plays ...');
    try {
      const file = await video(frames, within('audio').src, made.prompt);
      const download = `${name(made.prompt)}.${/mp4/.test(file.type) ? 'mp4' : 'webm'}`;
      node('a', {href: URL.createObjectURL(file), download}).click();
      say('The video is saved.');
    } catch (error) { fail(`The video could not be recorded: ${error.message}`); }
  };
  within('.listen').onclick = () => engine.ask({hear: {latents: path[+scrub.value], samples}}, ({wave, error}) => {
    if (error) fail(error);
    if (!wave) return;
    for (const other of document.querySelectorAll('audio')) other.pause();
    Object.assign($('#heard'), {src: URL.createObjectURL(wav(wave)), volume: within('audio').volume}).play();
  });
  const more = mel => {
    scrub.value = scrub.max = frames.push(picture(mel)) - 1;
    turn();
    if (frames.length === path.length && !matchMedia('(prefers-reduced-motion: reduce)').matches) roll();
  };
  let rest;
  within('.title').onclick = () => { // an older row is opened, whose pictures a newer press had ended
    if (frames.length < path.length) rest ??= engine.ask({draw: path.slice(frames.length)}, ({mel}) => mel && more(mel));
  };
  return more;
}

// ---- at work ----

function make() { // the newest press wins
  if (!form.reportValidity()) return;
  const made = settings();
  if (!made.recording) history.replaceState(null, '', link(made));
  let more; // takes the pictures of the film
  engine.make({...made, film: true}, ({says, error, cancelled, share, frame, ...answer}) => {
    if (frame >= 0) return more(answer.mel);
    making = Boolean(says);
    $('#cancel').hidden = progress.hidden = !making;
    if (!making) $('#live').hidden = true;
    if (share) progress.value = share; else progress.removeAttribute('value');
    if (says && answer.mel) Object.assign($('#live'), {src: picture(answer.mel), alt: says, hidden: false});
    if (says || error || cancelled) say(says ?? error ?? 'Cancelled.', Boolean(error));
    if (!answer.wave) return;
    more = show(made, answer);
    const cut = answer.unseen.map(words =>
      `The text encoder takes ${FACTS.tokens} tokens: it does not see “${words.slice(0, 40)}”. `).join('');
    say(`Done in ${answer.took} s: ${short(answer.wave.length / RATE)} s of sound. ${cut}${unknown(made.prompt)}`);
  });
}

const plain = made => { $('#recording .forget').onclick(); fill(made); make(); }; // without a recording

function follow() { // the link, and the card of a sound that was not made here
  const linked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  fill(linked);
  $('#shared').hidden = !linked.prompt?.trim() || kept().some(made => link(made) === location.href);
  $('#shared bdi').textContent = fields.prompt.value;
  $('#play-shared').onclick = () => plain(linked);
}

// ---- the beginning ----

engine.place(new URL('..', location.href));
const chip = (textContent, onclick, className = '') =>
  node('button', {type: 'button', textContent, className: `pill ${className}`, onclick});
$('#ideas').append(...IDEAS.map(prompt => chip(prompt.slice(0, 40), () => { fill({prompt}); make(); })));
const toggles = TOGGLES.map(group => group.map(words => chip(words, () => toggle(words, group), 'toggle')));
$('#toggles').append(...toggles.flat());
$('#known').textContent = Object.keys(FACTS.sounds).join(', ');
$('#size').textContent = Math.round(FACTS.megabytes);
fields.checkpoint.append(...FACTS.checkpoints.map(({name: id, megabytes}) =>
  node('option', {text: `${id} (${megabytes} MB)`, value: id, id})));
fill({prompt: IDEAS[1]});
follow();
addEventListener('hashchange', follow);
form.oninput = describe;
$('#make').onclick = event => { event.preventDefault(); make(); }; // a frame may forbid to submit
form.addEventListener('invalid', event => { // a field that is folded away could not be shown
  for (const fold of form.querySelectorAll('details:has(:invalid)')) fold.open = true;
  fail(`${event.target.dataset.name ?? 'The prompt'}: ${event.target.validationMessage}`);
}, true);
$('#another').onclick = () => { fill({seed: Math.floor(Math.random() * 10000)}); make(); };
$('#cancel').onclick = engine.cancel;
$('#flip').onclick = () => flip(...picked().map(take => $('audio', take)));
addEventListener('keydown', event => { if (event.key === 'Escape' && making) engine.cancel(); });
recorder($('#recording'), found => {
  recording = found;
  describe();
  say(found ? `A recording of ${short(found.length / RATE)} s: say what it should become.` : '');
}, fail);
earlier();
engine.ask({load: fields.checkpoint.value}, ({says, error, done}) => {
  if (error) fail(error); else if (!making && !recording) say(done ? 'Ready.' : says);
});
document.documentElement.dataset.alive = 'yes'; // late.js looks for it
