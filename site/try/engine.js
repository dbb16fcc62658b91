// The one worker of a tab: started with the first request, ended after five idle minutes, begun anew after a failure.
// A request's answers: {says} while it is at work, then what was asked for, {done}, {error} or {cancelled}.
import {offline} from '../offline.js';
import {STALL, load, within} from './fetch.js';

let worker, booting, live, site, kept, timer, idle, threads, works, silent, latest, wanted, requests = 0, fetched = 0;
let ruled = ''; // which rule forbids what the worker needs
addEventListener('securitypolicyviolation', ({effectiveDirective: rule, blockedURI}) => {
  if (rule === 'connect-src' || blockedURI === 'blob') ruled = ` A rule of the server or a filter forbids it: ${rule}.`;
});
const waiting = new Map(); // by request: its message, and the function that takes its answers

export function place(root) { // where the site is
  site = {root: new URL('try/', root).href, files: FILES};
  kept = offline(root);
}

export const file = name => load(site, name);
const tell = says => { for (const {answered} of waiting.values()) answered({says}); };

async function boot() {
  if (location.protocol === 'file:')
    throw new Error('This page was opened as a file, and a browser then lets it fetch nothing. Serve the folder, for ' +
      'example with "python -m http.server", and open http://localhost:8000.');
  try { await WebAssembly.compile(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)); } catch ({message}) {
    throw new Error(`This browser has no WebAssembly, or a rule of the server or a filter forbids it: ${message}`);
  }
  const [program] = await Promise.all([file('worker.js'), kept]); // through the service worker it stays for later
  const address = URL.createObjectURL(new Blob([program], {type: 'text/javascript'})); // whatever its type was
  const begun = worker = new Worker(address, {type: 'module'});
  const alive = new Promise((done, fail) => {
    begun.onmessage = ({data}) => worker === begun && (data.alive ? done() : hear(data));
    begun.onerror = ({message}) => fail(new Error(`The browser did not run the worker: ${message || 'no reason'}.`));
  });
  await within(STALL, alive, 'The browser did not start the worker within 8 seconds: close other tabs, or reload.');
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
  worker = booting = live = silent = undefined;
  clearTimeout(timer);
}

function collapse({message}) { // every request hears why; the next one begins anew
  stop();
  for (const id of waiting.keys()) hear({id, error: message + ruled});
}

function watch() { // the first answers of a worker may not come: threads are then left out, once
  clearTimeout(timer);
  if (live && waiting.size) timer = setTimeout(() => {
    if (threads > 1 && !works) threads = 1, stop(), begin();
    silent = true;
    tell('The model has not answered for 8 seconds: this device is slow, or its browser holds the worker back. ' +
      'Press again to begin anew.');
    watch();
  }, STALL + 1500);
}

function hear({bytes, id, ...answer}) {
  const before = Math.ceil(fetched / 1e5), now = Math.ceil((fetched += bytes ?? 0) / 1e5);
  if (now > before) tell(`Fetching the model, once: ${now / 10} MB`);
  silent = false;
  const entry = waiting.get(id);
  if (entry && !answer.error) works = true;
  if (id === latest && (answer.wave || answer.error)) wanted = undefined;
  if (answer.done || answer.error) waiting.delete(id);
  if (answer.error && !waiting.size) stop();
  watch();
  try { entry?.answered(answer); } catch ({message}) {
    waiting.delete(id);
    entry.answered({error: `The browser does not let this page show its sound: ${message}.`});
  }
}

const begin = () => { booting ??= boot().catch(error => setTimeout(collapse, 100, error)); }; // a rule is told late

export function ask(message, answered) {
  const id = ++requests, whole = {id, ...message};
  waiting.set(id, {message: whole, answered});
  answered({says: 'Starting the model ...'});
  if (live) worker.postMessage(whole); else begin();
  watch();
  clearTimeout(idle);
  idle = setTimeout(() => waiting.size || stop(), 300_000);
  return id;
}

export function make({recording, ...settings}, answered) { // the newest press wins; a double tap is one press
  const asked = JSON.stringify([settings, recording?.length]);
  if (wanted === asked && !silent) return;
  cancel();
  wanted = asked;
  latest = ask({make: {...settings, recording}}, answered);
}

export function cancel() { // the sound that is being made
  const entry = waiting.get(latest);
  wanted = undefined;
  waiting.delete(latest);
  if (!silent) worker?.postMessage({cancel: latest});
  else if (stop(), waiting.size) begin(); // a worker that does not answer hears no message
  entry?.answered({cancelled: true});
}
