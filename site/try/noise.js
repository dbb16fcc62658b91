// The numbers that torch's CPU generator draws for a seed.
import {mersenne} from 'pure-rand/generator/mersenne';

export function rand(seed, size) { // torch.rand: 24 of the 32 random bits, 0 <= x < 1
  const bits = mersenne(seed);
  return Float32Array.from({length: size}, () => (bits.next() & 0xffffff) / 0x1000000);
}

export function randn(seed, size) { // torch.randn of a multiple of 16: Box and Muller's way, eight cosines, eight sines
  const x = rand(seed, size);
  for (let i = 0; i < size; i++) if (i % 16 < 8) {
    const radius = Math.sqrt(-2 * Math.log(1 - x[i])), angle = 2 * Math.PI * x[i + 8];
    [x[i], x[i + 8]] = [radius * Math.cos(angle), radius * Math.sin(angle)];
  }
  return x;
}
