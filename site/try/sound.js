// Between waveforms and spectrograms, as utils/features.py and utils/vocoder.py do it.
import FFT from 'fft.js';
import {rand} from './noise.js';

export const RATE = 16000, MELS = 64;
const SIZE = 1024, HOP = 160, BINS = 513, EDGE = 4, FLOOR = 1e-5, SOFTNESS = 0.3;
const fft = new FFT(SIZE), bins = fft.createComplexArray(), samples = fft.createComplexArray(), frame = new Array(SIZE);
const WINDOW = Float64Array.from({length: SIZE}, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / SIZE));

function analyse(wave, out) { // the spectra of the windowed frames, as pairs of real and imaginary part
  for (let start = 0, at = 0; at < out.length; start += HOP, at += 2 * BINS) {
    for (let i = 0; i < SIZE; i++) frame[i] = wave[start + i] * WINDOW[i];
    fft.realTransform(bins, frame);
    for (let k = 0; k < 2 * BINS; k++) out[at + k] = bins[k];
  }
}

function synthesise(spectrum, overlap, wave) { // and back: the windowed frames, added up
  wave.fill(0);
  for (let start = 0, at = 0; at < spectrum.length; start += HOP, at += 2 * BINS) {
    for (let k = 0; k < 2 * BINS; k++) bins[k] = spectrum[at + k];
    bins[1] = bins[2 * BINS - 1] = 0; // the first and the last bin have no imaginary part
    fft.completeSpectrum(bins);
    fft.inverseTransform(samples, bins);
    for (let i = 0; i < SIZE; i++) wave[start + i] += samples[2 * i] * WINDOW[i];
  }
  for (let i = 0; i < wave.length; i++) wave[i] /= Math.max(overlap[i], 1e-8);
}

export function griffinLim(magnitude, {n_iter, momentum}) { // magnitude: (frames + 2 EDGE, 513)
  const count = magnitude.length / BINS, length = HOP * (count - 1) + SIZE;
  const wave = new Float32Array(length), overlap = new Float32Array(length);
  for (let f = 0; f < count; f++) for (let i = 0; i < SIZE; i++) overlap[f * HOP + i] += WINDOW[i] ** 2;
  const phase = rand(0, magnitude.length), angle = i => 2 * Math.PI * phase[i >> 1];
  const spectrum = new Float32Array(2 * magnitude.length).map((_, i) =>
    magnitude[i >> 1] * (i % 2 ? Math.sin(angle(i)) : Math.cos(angle(i))));
  const previous = new Float32Array(length);
  for (let round = 0; round < n_iter; round++) {
    synthesise(spectrum, overlap, wave);
    const further = wave.map((now, i) => now + momentum * (now - previous[i]));
    analyse(further, spectrum);
    for (let i = 0; i < magnitude.length; i++) {
      const re = spectrum[2 * i], im = spectrum[2 * i + 1];
      const scale = magnitude[i] / Math.sqrt(re * re + im * im + (SOFTNESS * magnitude[i]) ** 2);
      spectrum[2 * i] *= scale;
      spectrum[2 * i + 1] *= scale;
    }
    previous.set(wave);
  }
  synthesise(spectrum, overlap, wave);
  const start = EDGE * HOP + (SIZE - HOP) / 2;
  return wave.slice(start, start + (count - 2 * EDGE) * HOP);
}

export function logMel(wave, filters) { // (frames, 64), natural logarithm; filters: (64, 513)
  const count = Math.floor(wave.length / HOP), edge = (SIZE - HOP) / 2, last = wave.length - 1;
  const mirrored = i => wave[last - Math.abs(last - Math.abs(i))] ?? 0;
  const spectrum = new Float32Array(2 * count * BINS);
  analyse(Float32Array.from({length: wave.length + 2 * edge}, (_, i) => mirrored(i - edge)), spectrum);
  return Float32Array.from({length: count * MELS}, (_, place) => {
    const at = 2 * BINS * Math.floor(place / MELS), row = BINS * (place % MELS);
    let sum = 0;
    for (let k = 0; k < BINS; k++)
      if (filters[row + k]) sum += filters[row + k] * Math.hypot(spectrum[at + 2 * k], spectrum[at + 2 * k + 1]);
    return Math.log(Math.max(sum, FLOOR));
  });
}

export function wav(wave, tags = {}) { // a file of 16-bit PCM, clipped; behind the sound what made it
  const chunk = (name, ...parts) => {
    const body = new Blob(parts);
    return new Blob([name, Uint32Array.of(body.size), body, '\0'.repeat(body.size % 2)]);
  };
  const format = chunk('fmt ', Uint16Array.of(1, 1, RATE, 0, 2 * RATE, 0, 2, 16));
  const data = chunk('data', Int16Array.from(wave, x => Math.round(Math.max(-1, Math.min(1, x)) * 32767)));
  const marks = Object.entries(tags).map(([name, text]) => chunk(name, `${text}\0`));
  const list = marks.length ? [chunk('LIST', 'INFO', ...marks)] : [];
  return new Blob([chunk('RIFF', 'WAVE', format, data, ...list)], {type: 'audio/wav'});
}
