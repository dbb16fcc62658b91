// A recording, from a file or the microphone, at 16 kHz and in one channel.
import {RATE} from './sound.js';

const LONGEST = 60; // seconds

async function decoded(data) {
  const context = new OfflineAudioContext(1, 1, RATE); // decodes to its own rate
  const sound = await context.decodeAudioData(data).catch(() => {
    throw new Error('This is no sound that the browser can read, or hardly one: try WAV, MP3, M4A or OGG.');
  });
  const channels = Array.from({length: sound.numberOfChannels}, (_, i) => sound.getChannelData(i));
  const mean = i => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length;
  const wave = channels[0].slice(0, LONGEST * RATE).map((_, i) => mean(i));
  if (wave.length < 1024) throw new Error('The recording is shorter than 64 ms.');
  const heard = wave.every(isFinite) && wave.some(x => Math.abs(x) >= 1e-4);
  if (!heard) throw new Error('The recording is silent, or damaged: is the microphone off?');
  return wave;
}

export function recorder(within, found, fail) { // wires the file field, the microphone's button, the one that forgets
  const [file, button, forget] = ['[type=file]', '.record', '.forget'].map(selector => within.querySelector(selector));
  const take = blob => blob.arrayBuffer().then(decoded).then(wave => {
    forget.hidden = false;
    found(wave);
  }).catch(error => { forget.onclick(); fail(error.message); });
  file.onchange = () => file.files[0] && take(file.files[0]);
  forget.onclick = () => { forget.hidden = true; file.value = ''; found(null); };
  button.hidden = !navigator.mediaDevices?.getUserMedia || typeof MediaRecorder !== 'function';
  let running;
  button.onclick = async () => {
    if (running) return running.stop();
    button.disabled = true; // a second press would begin a second recording
    try {
      const audio = {echoCancellation: false, noiseSuppression: false, autoGainControl: false}, parts = [];
      const stream = await navigator.mediaDevices.getUserMedia({audio});
      running = new MediaRecorder(stream);
      running.ondataavailable = event => parts.push(event.data);
      running.onstop = () => {
        running = undefined;
        button.textContent = '● Record';
        for (const track of stream.getTracks()) track.stop();
        take(new Blob(parts));
      };
      running.start();
      button.textContent = '■ Stop';
    } catch (error) { fail(`The microphone cannot be used: ${error.message}`); } finally { button.disabled = false; }
  };
}
