// The service worker: keeps every file of the site that was fetched whole, for when there is no network, and adds the
// headers under which browsers allow threads. Addresses with a checksum (?v=) are fetched once.
import {crc32, within} from './try/fetch.js';

const CACHE = 'audioldm-checked';
const NOWHERE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>AudioLDM: no network</title>
<h1>No network</h1><p>There is no network, and this page was never opened here before.</p>`;

async function genuine(url, answer) { // a portal's page, a filter's page or half a file is never kept
  if (answer.status !== 200 || answer.redirected) return false;
  const sum = url.searchParams.get('v'), bytes = new Uint8Array(await answer.arrayBuffer());
  if (/^[0-9a-f]{8}$/.test(sum)) // Sphinx leaves out carriage returns
    return [crc32(bytes), crc32(bytes.filter(byte => byte !== 13))].includes(sum);
  if (/(\.html|\/)$/.test(url.pathname)) return /AudioLDM[^]*<\/html>\s*$/.test(new TextDecoder().decode(bytes));
  return !/html/.test(answer.headers.get('content-type'));
}

// a folder's page has two addresses
const named = request => request.url.endsWith('/') ? new Request(`${request.url}index.html`) : request;

async function keep(cache, request, answer) {
  const url = new URL(request.url);
  if (!cache || !await genuine(url, answer.clone()).catch(() => false)) return;
  if (url.searchParams.has('v')) await cache.delete(request, {ignoreSearch: true}); // an older version
  await cache.put(named(request), answer);
}

async function answer(event) {
  const {request} = event, url = new URL(request.url), versioned = url.searchParams.has('v');
  const cache = await within(2000, caches.open(CACHE)).catch(() => {});
  const find = (where, options) => within(2000, Promise.resolve(cache?.match(named(where), options))).catch(() => {});
  const old = await find(request, {ignoreSearch: !versioned});
  if (versioned && old && request.cache !== 'no-store') return isolated(old);
  try {
    let fresh = await (old ? within(4000, fetch(request), 'slow') : fetch(request));
    const bad = versioned && request.destination && !await genuine(url, fresh.clone());
    if (bad) fresh = await fetch(url, {cache: 'reload'});
    event.waitUntil(keep(cache, request, fresh.clone()));
    return isolated(fresh);
  } catch (error) {
    const kept = old ?? await find(request, {ignoreSearch: true});
    if (kept) return isolated(kept);
    if (request.mode !== 'navigate') throw error;
    const link = `<a href="${registration.scope}index.html">The first page</a>`;
    return new Response(NOWHERE + link, {status: 503, headers: {'content-type': 'text/html'}});
  }
}

function isolated(answer) {
  if (answer.status !== 200) return answer;
  const headers = new Headers(answer.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  return new Response(answer.body, {status: answer.status, headers});
}

addEventListener('install', () => skipWaiting());
addEventListener('activate', event => event.waitUntil(clients.claim()));
addEventListener('fetch', event => {
  const {request} = event;
  const ours = request.method === 'GET' && new URL(request.url).origin === location.origin;
  if (ours && !request.headers.has('range')) event.respondWith(answer(event));
});
