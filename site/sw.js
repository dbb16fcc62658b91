// The service worker: keeps every file of the site that was fetched, for when there is no network, and adds the headers
// under which browsers allow threads. Files whose address holds a version (?v=) are fetched once.
const CACHE = 'audioldm-site';

async function keep(request, answer) {
  const cache = await caches.open(CACHE), url = new URL(request.url);
  if (url.searchParams.has('v')) await cache.delete(request, {ignoreSearch: true}); // an older version
  await cache.put(request, answer);
}

async function answer(request) {
  const url = new URL(request.url), cache = await caches.open(CACHE);
  const kept = url.searchParams.has('v') && await cache.match(request);
  try {
    const fresh = kept || await fetch(request);
    if (!kept && fresh.status === 200) keep(request, fresh.clone());
    return isolated(fresh);
  } catch (error) {
    const old = await cache.match(request, {ignoreSearch: true}) ?? await cache.match(new URL('index.html', url));
    if (old) return isolated(old);
    throw error;
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
addEventListener('activate', event => event.waitUntil(clients.claim()));
addEventListener('fetch', event => {
  const {request} = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== location.origin || request.headers.has('range')) return;
  event.respondWith(answer(request));
});
addEventListener('message', event => event.waitUntil((async () => {
  const cache = await caches.open(CACHE);
  for (const address of new Set(event.data)) {
    const {origin, href} = new URL(address);
    if (origin === location.origin && !await cache.match(href)) await cache.add(href).catch(() => {});
  }
})()));
