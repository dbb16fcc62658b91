// Registers the service worker, and fetches once more through it what came to this page before it was at work.
import {within} from './try/fetch.js';

async function register(serviceWorker, root) {
  const late = !serviceWorker.controller;
  const controlled = new Promise(done => serviceWorker.addEventListener('controllerchange', done, {once: true}));
  await serviceWorker.register(new URL('sw.js', root));
  if (!late) return;
  await controlled;
  const again = () => {
    const came = performance.getEntriesByType('resource').map(entry => entry.name);
    for (const address of [location, ...came]) fetch(address).catch(() => {});
  };
  if (document.readyState === 'complete') again(); else addEventListener('load', again);
}

export const offline = async root => { // waits three seconds at most
  const {serviceWorker} = navigator;
  if (!serviceWorker || location.protocol === 'file:') return;
  await within(3000, register(serviceWorker, root)).catch(error => console.warn(`Not offline: ${error.message}`));
};
