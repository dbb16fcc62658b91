// The sound board of the start page: a press plays a stored sound at once, a second press makes a new one.
import * as engine from './try/engine.js';
import {marks, node} from './try/figure.js';
import {wav} from './try/sound.js';

export function board(root) {
  const whole = document.querySelector('.board');
  if (!whole) return;
  const says = document.querySelector('.board-says'), player = new Audio(), seeds = new Map();
  const playing = button => {
    for (const one of whole.querySelectorAll('button')) one.classList.toggle('playing', one === button);
  };
  player.onended = player.onpause = () => playing();
  let latest = 0;
  const play = (button, address) => {
    player.src = address;
    player.play().then(() => playing(button)).catch(() => { says.textContent = 'This sound does not play here.'; });
  };
  whole.addEventListener('click', event => {
    const button = event.target.closest('button');
    if (!button) return;
    const {sound, prompt} = button.dataset, seed = seeds.get(button);
    engine.cancel(latest);
    const settings = {prompt, negative: '', checkpoint: 'mini-s-v2', steps: 10, seconds: 2.56, guidance: 2.5,
      seed: seed ?? 0};
    const href = `${new URL('try/index.html', root)}#${new URLSearchParams(settings)}`;
    const link = node('a', {textContent: 'Change it', href});
    seeds.set(button, (seed ?? 0) + 1);
    if (seed === undefined) {
      says.replaceChildren(`“${prompt}”, made by the small model of these lessons. Press again for a new one. `,
        link);
      return play(button, new URL(sound, root));
    }
    says.textContent = 'Making a new one here ... (the first time brings the model, 8 MB)';
    const start = performance.now();
    latest = engine.ask({make: settings}, async ({wave, error}) => {
      if (error) says.textContent = error;
      if (!wave) return;
      const took = ((performance.now() - start) / 1000).toFixed(1);
      says.replaceChildren(`“${prompt}”, new: made here in ${took} s with seed ${settings.seed}. `, link);
      play(button, URL.createObjectURL(wav(wave, marks(settings, await engine.facts()))));
    });
  });
}
