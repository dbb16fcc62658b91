// The sound board of the start page: a press plays a stored sound at once, a second press makes a new one.
import * as engine from './try/engine.js';
import {node} from './try/figure.js';
import {wav} from './try/sound.js';

const PLAIN = {negative: '', checkpoint: 'mini-s-v2', steps: 10, seconds: 2.56, guidance: 2.5};

export function board(root) {
  const whole = document.querySelector('.board'), says = document.querySelector('.board-says'), player = new Audio();
  const rest = () => whole.querySelector('.playing')?.classList.remove('playing');
  player.onpause = rest;
  let newest;
  const play = async (button, file) => { // `file`: its address or bytes, which may be on their way
    player.pause();
    newest = file;
    try {
      const found = await file;
      if (newest !== file) return;
      player.src = found instanceof URL ? found : URL.createObjectURL(new Blob([found]));
      await player.play();
      button.classList.add('playing');
    } catch ({name, message}) { // another press ends the one before
      if (newest === file && name !== 'AbortError') says.textContent = name === 'Error' ? message :
        'The browser, or a rule of the server, holds this sound back: allow sound here, and press again.';
    }
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
      return play(button, location.protocol === 'file:' ? new URL(`try/${sound}`, root) : engine.file(sound));
    }
    engine.make(settings, ({says: words, error, wave, took}) => {
      if (words ?? error) says.textContent = words ?? error;
      if (!wave) return;
      says.replaceChildren(`“${prompt}”, new: made here in ${took} s with seed ${seed}. `, link);
      play(button, wav(wave));
    });
  });
}
