// AudioLDM's call, away from the page: words to latents, latents to sound. Messages come in as {start}, {make}, {film},
// {hear} and {cancel}; every answer names the request it belongs to.
import * as ort from 'onnxruntime-web/wasm';
import {Tokenizer} from '@huggingface/tokenizers';
import {randn} from './noise.js';
import {schedule} from './scheduler.js';
import {RATE, griffinLim, logMel} from './sound.js';

const here = name => new URL(`${name}?v=${VERSION}`, self.location.href).href; // a version is fetched once
const tensor = (data, dims, type = 'float32') => new ort.Tensor(type, data, dims);
const breathe = () => new Promise(done => setTimeout(done)); // lets a {cancel} in
const sessions = {};
let fetched = 0; // bytes
let cancelled = 0; // requests up to this one are no longer wanted

async function bytes(name) {
  const answer = await fetch(here(name)), parts = [];
  if (!answer.ok) throw new Error(`${name} could not be fetched (${answer.status}).`);
  const reader = answer.body.getReader();
  for (let part; !(part = await reader.read()).done;) {
    parts.push(part.value);
    postMessage({fetched: fetched += part.value.length});
  }
  return new Blob(parts).arrayBuffer();
}

ort.env.logLevel = 'error';
ort.env.wasm.wasmPaths = {mjs: here('ort-wasm-simd-threaded.mjs')};
const program = bytes('ort-wasm-simd-threaded.wasm');
const loaded = load();

async function load() {
  const names = ['facts.json', 'tokenizer.json', 'tokenizer_config.json', 'filters.bin'];
  const [facts, words, config, filters] = await Promise.all(names.map(async (name, i) =>
    i < 3 ? (await fetch(here(name))).json() : new Float32Array(await bytes(name))));
  return {facts, filters, tokenizer: new Tokenizer(words, config)};
}

function open(name) { // an ONNX session, made once
  return sessions[name] ??= Promise.all([bytes(`${name}.onnx`), program]).then(([model, runtime]) => {
    ort.env.wasm.wasmBinary ??= runtime;
    return ort.InferenceSession.create(new Uint8Array(model), {graphOptimizationLevel: 'basic'});
  }).catch(error => {
    delete sessions[name]; // the next one who asks tries again
    throw error;
  });
}

async function embed(words) { // as `encode_prompt`: what is beyond the limit is cut off before the last token
  const {facts: {tokens}, tokenizer} = await loaded, every = tokenizer.encode(words).ids;
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
  const {facts, filters} = await loaded;
  const wave = griffinLim((await decode(latents)).magnitude, facts.vocoder).slice(0, samples);
  return {wave, mel: logMel(wave, filters)};
}

async function make(id, {checkpoint, prompt, negative, steps, seconds, guidance, seed, live}) {
  const {facts} = await loaded, guided = guidance > 1, batch = guided ? 2 : 1;
  const [unet] = await Promise.all([open(checkpoint), open('decoder')]);
  const told = [...guided ? [await embed(negative)] : [], await embed(prompt)];
  const embedding = tensor(Float32Array.from(told.flatMap(({numbers}) => numbers)), [batch, 64]);
  postMessage({id, ready: true, unseen: told.map(({unseen}) => unseen).filter(Boolean)});
  const samples = Math.round(seconds * RATE), frames = Math.ceil(samples / facts.samples_per_latent), size = 64 * frames;
  const path = [randn(seed, size)], pushes = [], plan = schedule(facts.scheduler, steps);
  for (const [step, {time, keep, turn}] of plan.entries()) {
    await breathe();
    if (id <= cancelled) return postMessage({id, cancelled: true});
    const latents = path.at(-1), twice = Float32Array.from({length: batch * size}, (_, i) => latents[i % size]);
    const {prediction: {data}} = await unet.run({embedding, latents: tensor(twice, [batch, 8, frames, 8]),
      timestep: tensor(BigInt64Array.of(BigInt(time)), [], 'int64')});
    const push = latents.map((_, i) => guided ? turn * (data[size + i] - data[i]) : 0); // what the words add
    pushes.push(push);
    path.push(latents.map((x, i) => keep * x + turn * data[i] + guidance * push[i]));
    postMessage({id, step: step + 1, steps: plan.length, mel: live ? (await decode(path.at(-1))).mel : null});
  }
  await breathe();
  if (id <= cancelled) return postMessage({id, cancelled: true});
  postMessage({id, ...await sound(path.at(-1), samples), path, walk: guided ? walk(path, pushes, guidance) : null});
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

async function film(id, path) {
  for (const [frame, latents] of path.entries()) {
    await breathe();
    if (id <= cancelled) return;
    postMessage({id, frame, mel: (await decode(latents)).mel});
  }
}

onmessage = async ({data: {id, start: threads, make: settings, film: path, hear, cancel}}) => {
  try {
    if (cancel) cancelled = Math.max(cancelled, cancel);
    else if (settings) await make(id, settings);
    else if (path) await film(id, path);
    else if (hear) postMessage({id, ...await sound(hear.latents, hear.samples)});
    else {
      ort.env.wasm.numThreads = threads;
      await Promise.all(['text', 'decoder', 'mini-s-v2'].map(open));
      postMessage({id, threads});
    }
  } catch (error) {
    postMessage({id, error: String(error?.message ?? error)});
  }
};
