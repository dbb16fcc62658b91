// Registers the service worker, and has it keep what this page has already fetched.
export async function offline(root) {
  if (!navigator.serviceWorker) return;
  const controlled = new Promise(done => navigator.serviceWorker.addEventListener('controllerchange', done, {once: true}));
  try {
    await navigator.serviceWorker.register(new URL('sw.js', root));
    if (!navigator.serviceWorker.controller) await Promise.race([controlled, new Promise(done => setTimeout(done, 3000))]);
    const {active} = await navigator.serviceWorker.ready;
    const keep = () => active.postMessage([location.href, ...performance.getEntriesByType('resource').map(e => e.name)]);
    if (document.readyState === 'complete') keep(); else addEventListener('load', keep);
  } catch (error) {
    console.warn(`The site will not work offline: ${error.message}`);
  }
}
const root = document.documentElement.dataset.content_root; // on the pages of the book
if (root) offline(new URL(root, location.href));
