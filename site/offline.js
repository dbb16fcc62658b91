// Registers the service worker, and has it keep what this page has already fetched; waits three seconds at most.
import {within} from './try/fetch.js';

async function register(root) {
  const {serviceWorker} = navigator;
  const controlled = new Promise(done => serviceWorker.addEventListener('controllerchange', done, {once: true}));
  await serviceWorker.register(new URL('sw.js', root));
  if (!serviceWorker.controller) await controlled;
  const {active} = await serviceWorker.ready;
  const keep = () => active.postMessage([location.href, ...performance.getEntriesByType('resource').map(e => e.name)]);
  if (document.readyState === 'complete') keep(); else addEventListener('load', keep);
}

export const offline = async root => {
  if (!navigator.serviceWorker || location.protocol === 'file:') return;
  await within(3000, register(root)).catch(error => console.warn(`The site will not work offline: ${error.message}`));
};
