// The one worker of a tab: started with the first request, ended after five idle minutes, begun anew after a failure.
import {STALL, load, within} from './fetch.js';

let worker, booting, live, site, timer, idle, threads, requests = 0, fetched = 0;
const waiting = new Map(); // by request: its message, and the function that takes its answers
export const say = {progress() {}, slow() {}}; // set by the page

export function place(root) { // where the maker's files are
  site = {root: new URL('try/', root).href, files: FILES};
}

const once = {};
export const facts = () => once.facts ??= (async () => {
  hindrance();
  return JSON.parse(new TextDecoder().decode(await load(site, 'facts.json')));
})().catch(error => { delete once.facts; throw error; });

export function hindrance() { // throws where no sound can be made, and says why
  if (location.protocol === 'file:') {
    throw new Error('This page was opened as a file, and a browser then lets it fetch nothing. Serve the folder, for ' +
      'example with "python -m http.server", and open http://localhost:8000.');
  }
  if (typeof WebAssembly !== 'object' || typeof Worker !== 'function') {
    throw new Error('This browser cannot make sounds here: it has no WebAssembly or no workers.');
  }
}

async function boot() {
  hindrance();
  const program = await load(site, 'worker.js'); // as a blob: whatever type the server gives it, it is a script
  const address = URL.createObjectURL(new Blob([program], {type: 'text/javascript'}));
  const begun = worker = new Worker(address, {type: 'module'});
  const alive = new Promise((done, fail) => {
    begun.onmessage = ({data}) => worker === begun && (data.alive ? done() : hear(data));
    begun.onerror = ({message}) => fail(new Error(`The browser did not run the worker: ${message || 'no reason'}.`));
  });
  await within(STALL, alive, 'The browser did not start the worker within 8 seconds: close other tabs, or reload.');
  URL.revokeObjectURL(address);
  begun.onerror = event => collapse(new Error(`The worker stopped: ${event.message || 'perhaps memory ran out'}.`));
  // threads wait for each other without rest, so a core is left to everything else
  threads ??= self.crossOriginIsolated ? Math.max(1, Math.min(4, navigator.hardwareConcurrency - 1)) : 1;
  begun.postMessage({boot: {...site, threads}});
  live = true;
  watch();
  for (const {message} of waiting.values()) begun.postMessage(message);
}

function stop() {
  worker?.terminate();
  worker = booting = live = undefined;
  clearTimeout(timer);
}

function collapse(error) { // every request hears why; the next one begins anew
  stop();
  const all = [...waiting.values()];
  waiting.clear();
  for (const {answered} of all) answered({error: error.message});
}

function watch() { // the first answers of a worker may not come: threads are then left out, once
  clearTimeout(timer);
  if (live && waiting.size) timer = setTimeout(() => {
    if (threads > 1 && !once.ready) threads = 1, stop(), begin();
    say.slow('The model has not answered for 8 seconds: this device is slow, or its browser holds the worker back.');
    watch();
  }, STALL + 1500);
}

function hear(data) {
  watch();
  if (data.bytes) return say.progress(fetched += data.bytes, data.bytes);
  const entry = waiting.get(data.id);
  if (data.step || data.done) once.ready = true;
  if (data.done || data.error) {
    waiting.delete(data.id);
    watch();
  }
  if (data.error && !waiting.size) stop();
  entry?.answered(data);
}

function begin() {
  booting ??= boot().catch(collapse);
}

export function ask(message, answered) {
  const id = ++requests, whole = {id, ...message};
  waiting.set(id, {message: whole, answered});
  if (live) worker.postMessage(whole); else begin();
  watch();
  clearTimeout(idle);
  idle = setTimeout(() => waiting.size || stop(), 300_000);
  return id;
}

export function cancel(id) {
  const entry = waiting.get(id);
  if (!entry) return;
  waiting.delete(id);
  worker?.postMessage({cancel: id});
  entry.answered({cancelled: true});
}
