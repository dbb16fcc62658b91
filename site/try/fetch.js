// Files of the site, checked: an address holds the CRC-32 of its file (?v=), so a cut or foreign answer is noticed.
const TABLE = Uint32Array.from({length: 256}, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? n >>> 1 ^ 0xedb88320 : n >>> 1;
  return n;
});
export const CACHE = 'audioldm-checked'; // what is kept for the time without a network
export const STALL = 8000; // ms without a byte, or without a sign of life

export function crc32(bytes) {
  let sum = -1;
  for (let i = 0; i < bytes.length; i++) sum = sum >>> 8 ^ TABLE[(sum ^ bytes[i]) & 255];
  return (~sum >>> 0).toString(16).padStart(8, '0');
}

export const within = (ms, promise, words) => { // rejects with the words, or resolves without a value
  let timer;
  return Promise.race([promise, new Promise((done, fail) => {
    timer = setTimeout(() => words ? fail(new Error(words)) : done(), ms);
  })]).finally(() => clearTimeout(timer));
};

export async function replace(cache, address, answer) { // keeps a file in place of its older version
  await cache.delete(address, {ignoreSearch: true});
  await cache.put(address, answer);
}

async function shelve(address, bytes) { // a worker that is older than the service worker fetches past it
  const cache = await self.caches?.open(CACHE);
  if (cache && !await cache.match(address)) await replace(cache, address, new Response(bytes));
}

async function attempt({root, files}, name, cache, progress) {
  const stop = new AbortController(), parts = [], [size, sum] = files[name], address = `${root}${name}?v=${sum}`;
  const limited = (promise, limit) => within(limit, promise, `The server sends nothing more of ${name}.`);
  try {
    const answer = await within(STALL / 2, fetch(address, {cache, signal: stop.signal}).catch(() => {
      throw new Error(`${name} could not be fetched: there is no network, or the server does not answer.`);
    }), `The server sends nothing: it did not answer for ${name} within ${STALL / 2000} seconds, twice.`);
    if (!answer.ok) throw new Error(`The server has no ${name}: it answered ${answer.status}.`);
    const reader = answer.body.getReader();
    for (let part, came = 0; !(part = await limited(reader.read().catch(() => {
      throw new Error(`The connection broke: ${name} arrived cut short, ${came} of ${size} bytes.`);
    }), STALL)).done;) {
      parts.push(part.value);
      came += part.value.length;
      progress?.(part.value.length);
    }
  } finally {
    stop.abort();
  }
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  if (crc32(bytes) === sum) {
    shelve(address, bytes).catch(() => {});
    return bytes;
  }
  progress?.(-bytes.length);
  const start = new TextDecoder().decode(bytes.subarray(0, 200)).trimStart();
  if (/^<(!doctype|html|\?xml)/i.test(start)) {
    throw new Error(`Instead of ${name} a web page came: the server, or a filter on the way, put it there.`);
  }
  if (bytes.length < size) throw new Error(`The server sent ${name} cut short: ${bytes.length} of ${size} bytes.`);
  throw new Error(`The server has another ${name} than this page was made for: reload the page.`);
}

export async function load(site, name, progress) { // the bytes of a file; asked for twice before it is given up
  try {
    return await attempt(site, name, 'default', progress);
  } catch (error) {
    if (/nothing more|no network/.test(error.message)) throw error;
    return attempt(site, name, 'no-store', progress); // a request that hangs would hold up another one in the cache
  }
}
