// The film of a take with its sound, as a video file: recorded from a canvas while it plays.
import {node} from './figure.js';

export function video(pictures, address, title) {
  return new Promise((done, fail) => {
    const canvas = node('canvas', {width: 960, height: 540}), pen = canvas.getContext('2d');
    const images = pictures.map(src => Object.assign(new Image(), {src})), audio = new Audio(address);
    const context = new AudioContext(), out = context.createMediaStreamDestination();
    const source = context.createMediaElementSource(audio);
    source.connect(out);
    source.connect(context.destination);
    const tracks = [...canvas.captureStream(25).getTracks(), ...out.stream.getTracks()], parts = [];
    const kind = ['video/mp4', 'video/webm'].find(type => MediaRecorder.isTypeSupported(type));
    const recorder = new MediaRecorder(new MediaStream(tracks), {mimeType: kind});
    recorder.ondataavailable = event => parts.push(event.data);
    recorder.onstop = () => { context.close(); done(new Blob(parts, {type: kind})); };
    recorder.onerror = event => fail(event.error ?? new Error('the recorder stopped'));
    const draw = () => { // from noise to sound in the first half, then the cursor runs on
      const share = audio.currentTime / (audio.duration || 1);
      const at = Math.min(images.length - 1, Math.floor(2 * share * images.length));
      Object.assign(pen, {fillStyle: '#14101c', imageSmoothingEnabled: false});
      pen.fillRect(0, 0, 960, 540);
      pen.drawImage(images[at], 40, 60, 880, 380);
      Object.assign(pen, {fillStyle: '#fff', font: '26px system-ui, sans-serif'});
      pen.fillRect(40 + 880 * share, 60, 3, 380);
      pen.fillText(title.slice(0, 70), 40, 42);
      pen.fillText(at ? `after step ${at} of ${images.length - 1}` : 'noise', 40, 486);
      pen.fillText('AudioLDM, made in the browser', 540, 486, 380);
      if (audio.ended) recorder.stop(); else requestAnimationFrame(draw);
    };
    audio.onerror = () => fail(new Error('the sound does not play'));
    Promise.all([...images.map(image => image.decode()), context.resume()]).then(() => {
      recorder.start();
      return audio.play();
    }).then(draw).catch(fail);
  });
}
