// What the maker and the book share: pictures, loudness, words the model never read, what differs between two sounds.
import {RATE, wav} from './sound.js';

export const short = x => String(+(+x).toFixed(2));
export const node = (name, properties = {}, ...within) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...within);
  return made;
};
export const alive = () => document.body.append(node('script', {textContent: PLAYER})); // wires new players
export const TOGGLES = [['low', 'high'], ['slow', 'fast'], ['clear', 'muffled', 'noisy'], ['in the rain', 'in the wind',
  'in a forest', 'at the beach']]; // one of a group at a time; each stands in mini/captions.py
export const memory = name => { // what an earlier visit left; nothing where the browser keeps nothing
  try { return JSON.parse(localStorage[name] ?? 'null'); } catch { return null; }
};
export const keep = (name, value) => { try { localStorage[name] = JSON.stringify(value); } catch {} };
export const read = form => Object.fromEntries([...form.elements].filter(field => field.name).map(field =>
  [field.name, /number|range/.test(field.type) ? +field.value : field.value]));
const LOUD = 0.2; // RMS of full scale: what is louder is played turned down

export function picture(mel) { // (frames, 64) natural logarithms, as utils/player.py
  const {db_range: [low, high], colours} = FACTS;
  const frames = mel.length / 64, canvas = node('canvas', {width: frames, height: 64});
  const context = canvas.getContext('2d'), image = context.createImageData(frames, 64);
  for (let f = 0; f < frames; f++) for (let m = 0; m < 64; m++) {
    const level = Math.round((20 / Math.LN10 * mel[f * 64 + m] - low) / (high - low) * (colours.length - 1));
    image.data.set([...colours[Math.max(0, Math.min(colours.length - 1, level))], 255], 4 * ((63 - m) * frames + f));
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

function axes(plot, seconds) {
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10].find(s => seconds / s <= 7);
  const mel = f => f < 1000 ? f * 3 / 200 : 15 + 27 * Math.log(f / 1000) / Math.log(6.4);
  const mark = (className, textContent, side, share) => {
    const b = node('b', {className, textContent});
    b.style[side] = `${100 * share}%`;
    plot.append(b);
  };
  for (const old of plot.querySelectorAll('.t,.f')) old.remove();
  for (let i = 0; i * step <= 1.001 * seconds; i++) mark('t', short(i * step), 'left', i * step / seconds);
  for (const f of [0, 500, 1000, 2000, 4000, 8000]) mark('f', short(f / 1000), 'bottom', mel(f) / mel(8000));
}

export function name(prompt) { // of a file
  return prompt.toLowerCase().match(/[a-z0-9]+/g)?.slice(0, 4).join('_') ?? 'sound';
}

function marks(made) { // inside the file, as `Clip.save` writes them
  const {prompt, negative, checkpoint, steps, seconds, guidance, seed, recording, strength} = made;
  const comment = {digitalSourceType: FACTS.source, checkpoint, prompt, negative_prompt: negative || null,
    num_inference_steps: steps, audio_length_in_s: seconds, guidance_scale: guidance, seed,
    scheduler: FACTS.scheduler_name, dtype: 'float32', ...recording && {recording: true, strength}};
  return {INAM: prompt.slice(0, 80), ISFT: 'AudioLDM', ICMT: JSON.stringify(comment)};
}

export const listing = ({negative, checkpoint, steps, seconds, guidance, seed, recording, strength}) => [
  `${(+seconds).toFixed(2)} s`, ...negative ? [`without "${negative}"`] : [], checkpoint, `${steps} steps`,
  `guidance ${guidance}`, `seed ${seed}`, ...recording ? [`strength ${strength}`] : []].join(', ');

const CAPTION = '<strong><bdi></bdi></strong> <bdi class="words"></bdi> <small><bdi class="facts"></bdi></small>';

export function dress(figure, made, {wave, mel, took}, {label = '', axis = 0} = {}) { // fills a figure
  const $ = selector => figure.querySelector(selector);
  const duration = wave.length / RATE, across = Math.max(axis, duration);
  const peak = wave.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const level = Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length);
  const volume = Math.min(1, LOUD / level, 1 / peak), down = Math.round(-20 * Math.log10(volume));
  const quieter = down ? `, played ${down} dB quieter than it is` : '';
  $('figcaption').innerHTML = CAPTION;
  $('strong bdi').textContent = label;
  $('.words').textContent = made.prompt;
  $('.facts').textContent = `${listing(made)}, peak ${peak.toFixed(2)}, made here in ${took} s${quieter}`;
  Object.assign($('.aldm-plot img'), {src: picture(mel),
    alt: `Log-mel-spectrogram of ${made.prompt}: ${duration.toFixed(2)} s, 0 to 8 kHz`});
  $('.aldm-plot img').setAttribute('width', `${100 * duration / across}%`);
  axes($('.aldm-plot span'), across);
  Object.assign($('.aldm-seek').dataset, {axis: across.toFixed(3), end: duration.toFixed(3)});
  const src = URL.createObjectURL(wav(wave, marks(made)));
  return Object.assign($('audio'), {src, volume, ariaLabel: [label, made.prompt].filter(Boolean).join(', '),
    onerror() { $('.facts').append('. It does not play here: the browser, or a rule of the server, forbids it.'); }});
}

export function flip(one, other) { // from one sound to the other, at the same moment
  const [from, to] = one.paused && (!other.paused || other.ended) ? [other, one] : [one, other];
  to.currentTime = from.ended ? 0 : Math.max(0, Math.min(from.currentTime, (to.duration || Infinity) - 0.01));
  if (from.ended) from.currentTime = 0; // else the next press could not tell whose turn it is
  from.pause();
  to.play().catch(() => {});
}

const split = text => text.toLowerCase().split(/[\s,.;:!?"“”()/]+/).filter(Boolean);
const GLUE = new Set(split('a an the of on in with and by someone person people music playing sound'));

export function unknown(text) { // a sentence on words that were in no caption of the training, or ''
  const {words, sounds} = FACTS, known = new Set(words), every = split(text);
  const strange = every.filter(word => !known.has(word) && !word.split('-').every(part => known.has(part)));
  if (!strange.length) return '';
  const listed = [...new Set(strange)].slice(0, 4).map(word => `“${word.slice(0, 20)}”`).join(', ');
  const heard = Object.keys(sounds).filter(sound =>
    split(sounds[sound].join(' ')).some(word => !GLUE.has(word) && every.includes(word)));
  return `The model never read ${listed}. ${heard.length ? `It goes by “${heard.slice(0, 3).join('”, “')}”.` :
    'It knows no sound in this sentence, and guesses.'}`;
}

const NAMES = {prompt: '', negative: 'without', steps: 'steps', seconds: 'length', guidance: 'guidance', seed: 'seed'};

export function teach(from, to) { // what changed, as nodes, and what can be learned from it
  const changed = Object.keys(NAMES).filter(key => from[key] !== to[key]);
  if (!changed.length) return ['Nothing differs: the same settings give the same sound.'];
  const line = changed.flatMap(key => {
    const [before, after] = [from, to].map(settings => String(settings[key]).split(' '));
    while (before.length && after.length && before[0] === after[0]) before.shift(), after.shift();
    while (before.length && after.length && before.at(-1) === after.at(-1)) before.pop(), after.pop();
    const word = (tag, words) => node(tag, {textContent: words.join(' ') || '(nothing)'});
    return [NAMES[key], ' ', word('s', before), ' → ', word('b', after), '. '];
  });
  const noise = changed.includes('seconds') ? 'Another length is another noise (lesson 03). '
    : changed.includes('seed') ? `Another seed is another noise${changed.length > 1 ? '' : ': only luck differs'}. `
      : 'Same seed, so the same noise. ';
  const end = changed.length > 1 ? 'More than one thing differs: you cannot know which did it. ' : '';
  return ['Against the lesson: ', ...line, noise, end, 'The text below speaks of the left one.'];
}
