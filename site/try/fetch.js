// Files of the site, checked: an address holds the CRC-32 of its file (?v=), so a cut or foreign answer is noticed.
const TABLE = Uint32Array.from({length: 256}, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? n >>> 1 ^ 0xedb88320 : n >>> 1;
  return n;
});
export const STALL = 8000; // ms without a byte, or without a sign of life
const ANSWER = 4000; // ms until an answer begins

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

async function attempt({root, files}, name, cache, progress) {
  const stop = new AbortController(), parts = [], [size, sum] = files[name], file = name.split('/').pop();
  try {
    const answer = await within(ANSWER, fetch(`${root}${name}?v=${sum}`, {cache, signal: stop.signal}).catch(() => {
      throw new Error(`${file} could not be fetched: there is no network, no server, or a sign-in page in between.`);
    }), `The server sends nothing: it did not answer for ${file} within ${ANSWER / 1000} seconds, twice.`);
    if (!answer.ok) throw new Error(`The server gave no ${file}: it answered ${answer.status}.`);
    let due = performance.now() + STALL, few = 0; // a trickle is next to nothing
    const reader = answer.body.getReader(), next = () => within(due - performance.now(), reader.read().catch(() => {
      throw new Error(`The connection broke: ${file} arrived cut short, or not packed as the server says.`);
    }), `The server sends nothing more, or next to nothing, of ${file}.`);
    for (let part = await next(); !part.done; part = await next()) {
      parts.push(part.value);
      progress?.(part.value.length);
      if ((few += part.value.length) > 999) [due, few] = [performance.now() + STALL, 0];
    }
  } finally { stop.abort(); }
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  if (crc32(bytes) === sum) return bytes;
  if (/^\s*<(!doctype|html|\?xml)/i.test(new TextDecoder().decode(bytes.subarray(0, 200))))
    throw new Error(`Instead of ${file} a web page came: the server, or a filter on the way, put it there.`);
  if (bytes.length < size) throw new Error(`The server sent ${file} cut short: ${bytes.length} of ${size} bytes.`);
  throw new Error(`The server has another ${file} than this page was made for: reload the page.`);
}

export async function load(site, name, progress) { // the bytes of a file; asked for twice before it is given up
  try {
    return await attempt(site, name, 'default', progress);
  } catch (error) {
    if (/nothing more|no network/.test(error.message)) throw error;
    return attempt(site, name, 'no-store', progress); // a request that hangs would hold up another one in the cache
  }
}
