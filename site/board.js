// The sound board of the start page: a press plays a stored sound at once, a second press makes a new one.
import * as engine from './try/engine.js';
import {node} from './try/figure.js';
import {wav} from './try/sound.js';

const PLAIN = {negative: '', checkpoint: 'mini-s-v2', steps: 10, seconds: 2.56, guidance: 2.5};

export function board(root) {
  const whole = document.querySelector('.board'), says = document.querySelector('.board-says'), player = new Audio();
  const rest = () => whole.querySelector('.playing')?.classList.remove('playing');
  player.onpause = rest;
  const play = (button, address) => {
    rest();
    player.src = address;
    player.play().then(() => button.classList.add('playing'), error => { // another press ends the one before
      if (error.name !== 'AbortError') says.textContent = 'This sound does not play here: is there a network?';
    });
  };
  whole?.addEventListener('click', event => {
    const button = event.target.closest('button');
    if (!button) return;
    const {sound, prompt, seed = 0} = button.dataset, first = !button.dataset.seed;
    const settings = {...PLAIN, prompt, seed: +seed};
    const href = `${new URL('try/index.html', root)}#${new URLSearchParams(settings)}`;
    const link = node('a', {textContent: 'Change it', href});
    button.dataset.seed = +seed + 1;
    engine.cancel();
    if (first) {
      says.replaceChildren(`“${prompt}”, made by the small model of these lessons. Press again for a new one. `, link);
      return play(button, new URL(sound, root));
    }
    engine.make(settings, ({says: words, error, wave, took}) => {
      if (words ?? error) says.textContent = words ?? error;
      if (!wave) return;
      says.replaceChildren(`“${prompt}”, new: made here in ${took} s with seed ${seed}. `, link);
      play(button, URL.createObjectURL(wav(wave)));
    });
  });
}
