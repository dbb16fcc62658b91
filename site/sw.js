// The service worker: keeps every file of the site that was fetched whole, for when there is no network, and adds the
// headers under which browsers allow threads. Addresses with a checksum (?v=) are fetched once.
import {CACHE, crc32, replace, within} from './try/fetch.js';

const isPage = url => /(\.html|\/)$/.test(url.pathname);
const store = () => within(2000, caches.open(CACHE)).catch(() => {});

async function genuine(url, answer) { // a portal's page, a filter's page or half a file is never kept
  if (answer.status !== 200 || answer.redirected) return false;
  const html = /html/.test(answer.headers.get('content-type')), sum = url.searchParams.get('v');
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (/^[0-9a-f]{8}$/.test(sum)) { // Sphinx leaves out carriage returns
    return [crc32(bytes), crc32(bytes.filter(byte => byte !== 13))].includes(sum);
  }
  return isPage(url) ? /AudioLDM/.test(new TextDecoder().decode(bytes)) : !html;
}

async function keep(cache, request, answer) {
  const url = new URL(request.url), copy = answer.clone();
  if (!cache || !await genuine(url, answer).catch(() => false)) return false;
  await (url.searchParams.has('v') ? replace(cache, request, copy) : cache.put(request, copy));
  return true;
}

async function answer(event) {
  const {request} = event, url = new URL(request.url), versioned = url.searchParams.has('v'), cache = await store();
  const find = (where, options) => within(2000, Promise.resolve(cache?.match(where, options))).catch(() => {});
  const old = await find(request, {ignoreSearch: !versioned});
  if (versioned && old && request.cache !== 'no-store') return isolated(old);
  try {
    let fresh = await (old ? within(4000, fetch(request), 'slow') : fetch(request));
    const bad = versioned && request.destination && !await genuine(url, fresh.clone());
    if (bad) fresh = await fetch(url, {cache: 'reload'});
    event.waitUntil(keep(cache, request, fresh.clone()));
    return isolated(fresh);
  } catch (error) {
    const index = url.pathname.endsWith('/') && await find(new URL('index.html', url));
    const kept = old ?? (index || await find(request, {ignoreSearch: true}));
    if (kept) return isolated(kept);
    if (request.mode !== 'navigate') throw error;
    const words = 'There is no network, and this page was never opened here before.';
    const link = to => `<p><a href="${new URL(to, registration.scope)}">${to}</a></p>`;
    return new Response(`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport"
content="width=device-width"><title>AudioLDM: no network</title><h1>No network</h1><p>${words}</p>
${link('index.html')}${link('try/index.html')}`,
    {status: 503, headers: {'content-type': 'text/html'}});
  }
}

function isolated(answer) {
  if (!answer.ok) return answer;
  const headers = new Headers(answer.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  return new Response(answer.body, {status: answer.status, statusText: answer.statusText, headers});
}

addEventListener('install', () => skipWaiting());
addEventListener('activate', event => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (name !== CACHE && name.startsWith('audioldm')) await caches.delete(name);
  await clients.claim();
})()));
addEventListener('fetch', event => {
  const {request} = event;
  const ours = request.method === 'GET' && new URL(request.url).origin === location.origin;
  if (ours && !request.headers.has('range')) event.respondWith(answer(event));
});
addEventListener('message', event => event.waitUntil((async () => {
  const cache = await store();
  for (const address of new Set(event.data)) {
    const request = new Request(address.split('#')[0]);
    if (new URL(request.url).origin !== location.origin || await cache?.match(request)) continue;
    await fetch(request).then(answer => keep(cache, request, answer)).catch(() => {});
  }
})()));
