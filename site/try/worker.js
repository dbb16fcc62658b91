// AudioLDM's call, away from the page: words to latents, latents to sound. Messages come in as {boot}, {load}, {make},
// {hear} and {cancel}; every answer names the request it belongs to.
import * as ort from 'onnxruntime-web/wasm';
import {Tokenizer} from '@huggingface/tokenizers';
import {randn} from './noise.js';
import {even, schedule} from './scheduler.js';
import {RATE, griffinLim, logMel} from './sound.js';
import {load} from './fetch.js';
import {XzReadableStream} from 'xz-decompress';

const tensor = (data, dims, type = 'float32') => new ort.Tensor(type, data, dims);
const cancelled = new Set(), kept = {};
let site, turn = Promise.resolve();

async function goOn(id) { // lets a {cancel} in
  await new Promise(done => setTimeout(done));
  if (cancelled.has(id)) throw new Error('cancelled');
}

function once(name, get) { // what is made once; after a failure the next one who asks tries again
  return kept[name] ??= get().catch(error => { delete kept[name]; throw error; });
}

const file = name => load(site, name, bytes => postMessage({bytes}));
const json = async name => JSON.parse(new TextDecoder().decode(await file(name)));
const unpacked = async name => // from XZ, with which the runtime is a third smaller than with gzip
  new Uint8Array(await new Response(new XzReadableStream(new Blob([await file(`${name}.xz`)]).stream())).arrayBuffer()
    .catch(() => { throw new Error(`${name} could not be unpacked: perhaps memory ran out.`); }));

const shared = () => once('shared', async () => {
  const names = ['facts.json', 'tokenizer.json', 'tokenizer_config.json'];
  const [facts, words, config] = await Promise.all(names.map(json));
  const filters = new Float32Array((await file('filters.bin')).buffer);
  return {facts, filters, tokenizer: new Tokenizer(words, config)};
});

const runtime = () => once('runtime', async () => {
  const [script, program] = await Promise.all([file('ort.js'), unpacked('ort.wasm')]);
  ort.env.logLevel = 'error';
  ort.env.wasm.wasmPaths = {mjs: URL.createObjectURL(new Blob([script], {type: 'text/javascript'}))};
  ort.env.wasm.wasmBinary = program;
  ort.env.wasm.numThreads = site.threads;
});

const open = name => once(name, async () => { // an ONNX session
  const [model] = await Promise.all([unpacked(`${name}.onnx`), runtime()]);
  return ort.InferenceSession.create(model, {graphOptimizationLevel: 'basic'}).catch(error => {
    throw new Error(`The model ${name} could not be started in this browser: ${error?.message ?? error}`);
  });
});

async function embed(words) { // as `encode_prompt`: what is beyond the limit is cut off before the last token
  const {facts: {tokens}, tokenizer} = await shared(), every = tokenizer.encode(words).ids;
  const ids = every.length > tokens ? [...every.slice(0, tokens - 1), every.at(-1)] : every;
  const unseen = every.length > tokens ? tokenizer.decode(every.slice(tokens - 1, -1)).trim() : '';
  const text = await open('text');
  const {embedding} = await text.run({ids: tensor(BigInt64Array.from(ids, BigInt), [1, ids.length], 'int64')});
  return {numbers: [...embedding.data], unseen};
}

async function decode(latents) {
  const decoder = await open('decoder');
  const {mel, magnitude} = await decoder.run({latents: tensor(latents, [1, 8, latents.length / 64, 8])});
  return {mel: mel.data, magnitude: magnitude.data};
}

async function sound(latents, samples) {
  const {facts, filters} = await shared();
  const wave = griffinLim((await decode(latents)).magnitude, facts.vocoder).slice(0, samples);
  return {wave, mel: logMel(wave, filters)};
}

async function encode(wave) { // as `encode_audio`: the mode of the VAE's posterior, (8, frames, 8)
  const {filters} = await shared(), mel = logMel(wave, filters), encoder = await open('encoder');
  const {latents} = await encoder.run({mel: tensor(mel, [1, 1, mel.length / 64, 64])});
  return {data: latents.data, frames: latents.dims[2]};
}

async function start(noise, frames, {recording, strength, seconds, steps}, facts) { // as `begin_with`
  const begin = recording ? steps - Math.max(1, even(strength * steps)) : 0;
  if (!begin) return {begin, latents: noise};
  const size = Math.ceil(Math.round((seconds + 1) * RATE) / facts.samples_per_latent) * facts.samples_per_latent;
  const used = Math.round((seconds + 1) * RATE);
  const wave = Float32Array.from({length: size}, (_, i) => i < used ? recording[i % recording.length] : 0);
  const {data, frames: all} = await encode(wave), {signal} = schedule(facts.scheduler, steps)[begin];
  const latents = noise.map((x, i) => {
    const [channel, within] = [Math.floor(i / (8 * frames)), i % (8 * frames)];
    return signal * data[channel * 8 * all + within] + Math.sqrt(1 - signal * signal) * x;
  });
  return {begin, latents};
}

async function make(id, settings) {
  const {checkpoint, prompt, negative, steps, seconds, guidance, seed, film} = settings;
  const {facts} = await shared(), guided = guidance > 1, batch = guided ? 2 : 1;
  if (!facts.checkpoints.some(({name}) => name === checkpoint)) throw new Error(`The page has no model ${checkpoint}.`);
  const [unet] = await Promise.all([open(checkpoint), open('text'), open('decoder')]);
  const told = [...guided ? [await embed(negative)] : [], await embed(prompt)];
  const embedding = tensor(Float32Array.from(told.flatMap(({numbers}) => numbers)), [batch, 64]);
  const samples = Math.round(seconds * RATE), frames = Math.ceil(samples / facts.samples_per_latent);
  const size = 64 * frames;
  const {begin, latents: first} = await start(randn(seed, size), frames, settings, facts);
  postMessage({id, says: 'Your words are read.'});
  const begun = performance.now();
  const path = [first], pushes = [], plan = schedule(facts.scheduler, steps).slice(begin);
  let cost = 0, last = 0; // of a picture, ms: at most a quarter of the time goes into pictures
  for (const [step, {time, keep, turn}] of plan.entries()) {
    await goOn(id);
    const latents = path.at(-1), twice = Float32Array.from({length: batch * size}, (_, i) => latents[i % size]);
    const {prediction: {data}} = await unet.run({embedding, latents: tensor(twice, [batch, 8, frames, 8]),
      timestep: tensor(BigInt64Array.of(BigInt(time)), [], 'int64')});
    const push = latents.map((_, i) => guided ? turn * (data[size + i] - data[i]) : 0); // what the words add
    pushes.push(push);
    path.push(latents.map((x, i) => keep * x + turn * data[i] + guidance * push[i]));
    const now = performance.now(), picture = film && now - last > 3 * cost;
    const mel = picture ? (await decode(path.at(-1))).mel : null;
    if (picture) [cost, last] = [performance.now() - now, performance.now()];
    const says = step + 1 < plan.length ? `Step ${step + 1} of ${plan.length}` : 'From the picture to the sound ...';
    postMessage({id, says, share: (step + 1) / (plan.length + 1), mel});
  }
  await goOn(id);
  const made = await sound(path.at(-1), samples), took = ((performance.now() - begun) / 1000).toFixed(1);
  const unseen = told.map(part => part.unseen).filter(Boolean);
  postMessage({id, ...made, took, unseen, path, walk: guided ? walk(path, pushes, guidance) : null});
  if (film) for (const [frame, latents] of path.entries()) {
    await goOn(id);
    postMessage({id, frame, mel: (await decode(latents)).mel});
  }
}

// The way from the noise to the sound, seen in a plane: to the right along the straight line from one to the other,
// upwards where the words push. For each step: where it starts, and what the words' push adds to it.
function walk(path, pushes, guidance) {
  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const less = (a, b, share = 1) => a.map((x, i) => x - share * b[i]);
  const unit = v => { const length = Math.sqrt(dot(v, v)) || 1; return v.map(x => x / length); };
  const along = unit(less(path.at(-1), path[0])), sum = pushes.reduce((all, push) => less(all, push, -1));
  const up = unit(less(sum, along, dot(sum, along))), place = v => [dot(v, along), dot(v, up)];
  return {guidance, points: path.map(x => place(less(x, path[0]))), pushes: pushes.map(place)};
}

async function work({id, make: settings, hear, draw, load: name}) {
  try {
    await goOn(id);
    if (settings) await make(id, settings);
    else if (hear) postMessage({id, ...await sound(hear.latents, hear.samples)});
    else if (draw) for (const latents of draw) postMessage({id, mel: (await decode(latents)).mel});
    else await Promise.all([shared(), ...['text', 'decoder', name].map(open)]);
    postMessage({id, done: true});
  } catch (error) {
    if (!cancelled.has(id)) postMessage({id, error: String(error?.message ?? error)});
  }
}

onmessage = ({data}) => { // one after the other; to cancel is at once
  if (data.boot) site = data.boot;
  else if (data.cancel) cancelled.add(data.cancel);
  else turn = turn.then(() => work(data));
};
postMessage({alive: true});
