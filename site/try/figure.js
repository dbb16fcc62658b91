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
export const keep = (name, value) => {
  try { localStorage[name] = JSON.stringify(value); } catch {}
};
const LOUD = 0.2; // RMS of full scale: what is louder is played turned down

export function picture(mel, {db_range: [low, high], colours}) { // (frames, 64) natural logarithms, as utils/player.py
  const frames = mel.length / 64, canvas = node('canvas', {width: frames, height: 64});
  const context = canvas.getContext('2d'), image = context.createImageData(frames, 64);
  for (let f = 0; f < frames; f++) for (let m = 0; m < 64; m++) {
    const level = Math.round((20 / Math.LN10 * mel[f * 64 + m] - low) / (high - low) * (colours.length - 1));
    image.data.set([...colours[Math.max(0, Math.min(colours.length - 1, level))], 255], 4 * ((63 - m) * frames + f));
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

export function axes(plot, seconds) {
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10].find(s => seconds / s <= 7);
  const mark = (kind, side, share, text) => {
    const b = node('b', {className: kind, textContent: text});
    b.style[side] = `${100 * share}%`;
    plot.append(b);
  };
  const name = (className, textContent) => node('b', {className, textContent});
  plot.replaceChildren(name('x', 'time (s)'), name('y', 'kHz (mel)'));
  for (let i = 0; i * step <= 1.001 * seconds; i++) mark('t', 'left', i * step / seconds, short(i * step));
  const mel = f => f < 1000 ? f * 3 / 200 : 15 + 27 * Math.log(f / 1000) / Math.log(6.4);
  for (const f of [0, 500, 1000, 2000, 4000, 8000]) mark('f', 'bottom', mel(f) / mel(8000), short(f / 1000));
}

export function name({prompt}) {
  return prompt.toLowerCase().match(/[a-z0-9]+/g)?.slice(0, 4).join('_') ?? 'sound';
}

export function marks(made, {source, scheduler_name: scheduler}) { // inside the file, as `Clip.save` writes them
  const {prompt, negative, checkpoint, steps, seconds, guidance, seed, recording, strength} = made;
  const comment = {digitalSourceType: source, checkpoint, prompt, negative_prompt: negative || null,
    num_inference_steps: steps, audio_length_in_s: seconds, guidance_scale: guidance, seed, scheduler, dtype: 'float32',
    ...recording && {recording: true, strength}};
  return {INAM: prompt.slice(0, 80), ISFT: 'AudioLDM', ICMT: JSON.stringify(comment)};
}

export function dress(figure, made, {wave, mel}, facts, {label = '', note = '', axis = 0} = {}) { // fills a figure
  const $ = selector => figure.querySelector(selector);
  const duration = wave.length / RATE, across = Math.max(axis, duration);
  const peak = wave.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const level = Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length);
  const volume = Math.min(1, LOUD / level, peak > 1 ? 1 / peak : 1), down = Math.round(-20 * Math.log10(volume));
  const parts = [`${duration.toFixed(2)} s`, `peak ${peak.toFixed(2)}`, made.negative && `without "${made.negative}"`,
    made.checkpoint, `${made.steps} steps`, `guidance ${made.guidance}`, `seed ${made.seed}`,
    made.recording && `strength ${made.strength}`, note, down > 0 && `played ${down} dB quieter than it is`];
  const caption = $('figcaption'), strong = label && node('strong', {}, node('bdi', {textContent: label}));
  caption.replaceChildren(...strong ? [strong, ' '] : [], node('bdi', {className: 'words', textContent: made.prompt}), ' ',
    node('small', {}, node('bdi', {className: 'facts', textContent: parts.filter(Boolean).join(', ')})));
  Object.assign($('.aldm-plot img'), {src: picture(mel, facts),
    alt: `Log-mel-spectrogram of ${made.prompt}: ${duration.toFixed(2)} s, 0 to 8 kHz`});
  $('.aldm-plot img').setAttribute('width', `${100 * duration / across}%`);
  axes($('.aldm-plot span'), across);
  Object.assign($('.aldm-seek').dataset, {axis: across.toFixed(3), end: duration.toFixed(3)});
  const audio = $('audio');
  audio.src = URL.createObjectURL(wav(wave, marks(made, facts)));
  audio.volume = volume;
  audio.setAttribute('aria-label', [label, made.prompt].filter(Boolean).join(', '));
  return audio;
}

export function flip(one, other) { // from one sound to the other, at the same moment
  const [from, to] = one.paused && !other.paused ? [other, one] : [one, other];
  to.currentTime = Math.min(from.currentTime, Math.max(0, (to.duration || 0) - 0.01));
  from.pause();
  to.play().catch(() => {});
  return to;
}

export const split = text => text.toLowerCase().split(/[\s,.;:!?"“”()/]+/).filter(Boolean);

export function unknown(text, {words, sounds}) { // a sentence on words that were in no caption of the training, or ''
  const known = new Set(words), every = split(text);
  const strange = every.filter(word => !known.has(word) && !word.split('-').every(part => known.has(part)));
  if (!strange.length) return '';
  const listed = [...new Set(strange)].slice(0, 4).map(word => `“${word.slice(0, 20)}”`).join(', ');
  const glue = new Set('a an the of on in with and by someone person people music playing sound'.split(' '));
  const heard = Object.keys(sounds).filter(sound => sounds[sound].some(way =>
    split(way).some(word => !glue.has(word) && every.includes(word))));
  return `The model never read ${listed}. ${heard.length ? `It goes by “${heard.slice(0, 3).join('”, “')}”.` :
    'It knows no sound in this sentence, and guesses.'}`;
}

const NAMES = {prompt: '', negative: 'without ', checkpoint: 'checkpoint ', steps: 'steps ', seconds: 'length ',
  guidance: 'guidance ', seed: 'seed '};

export function differs(from, to) { // names of the settings that differ
  return Object.keys(NAMES).filter(key => String(from[key] ?? '') !== String(to[key] ?? ''));
}

export function teach(from, to) { // what changed, as nodes, and what can be learned from it
  const changed = differs(from, to), line = [];
  for (const key of changed) {
    let [before, after] = [from[key], to[key]].map(value => String(value ?? '').split(' '));
    while (before.length && after.length && before[0] === after[0]) before.shift(), after.shift();
    while (before.length && after.length && before.at(-1) === after.at(-1)) before.pop(), after.pop();
    const word = (tag, words) => node(tag, {textContent: words.join(' ') || '(nothing)'});
    line.push(NAMES[key], word('s', before), ' → ', word('b', after), '. ');
  }
  if (!changed.length) return ['Nothing differs: the same settings give the same sound.'];
  const noise = changed.includes('seconds') ? 'Another length is another noise (lesson 03). '
    : changed.includes('seed') ? `Another seed is another noise${changed.length > 1 ? '' : ': only luck differs'}. `
      : 'Same seed, so the same noise. ';
  const end = changed.length > 1 ? 'More than one thing differs: you cannot know which did it. ' : '';
  return ['Against the lesson: ', ...line, noise, end, 'The text below speaks of the left one.'];
}
