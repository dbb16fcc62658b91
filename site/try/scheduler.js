// DDIM as diffusers' DDIMScheduler takes it, from the betas of the checkpoint's scheduler_config.json.
export const even = x => { // rounded, halves to the even side, as Python does
  const low = Math.floor(x);
  return x - low === 0.5 ? low + low % 2 : Math.round(x);
};

// For each step: its time, its share of signal, and next = keep * latents + turn * prediction.
export function schedule(config, steps) {
  const n = config.num_train_timesteps, [from, to] = [Math.sqrt(config.beta_start), Math.sqrt(config.beta_end)];
  let product = 1;
  const roots = Array.from({length: n}, (_, i) => // of the share of the signal
    Math.sqrt(product *= 1 - (from + (to - from) * i / (n - 1)) ** 2));
  const [first, last] = [roots[0], roots[n - 1]];
  const signal = roots.map(root => (root - last) * first / (first - last)); // none is left at the last step
  const ratio = n / steps, jump = Math.floor(ratio), apart = (n - ratio) - n; // as numpy's arange counts
  return Array.from({length: Math.ceil(n / ratio)}, (_, i) => {
    const time = even(n + i * apart) - 1, before = time - jump;
    const a = signal[time], b = Math.sqrt(1 - a * a);
    const p = before >= 0 ? signal[before] : config.set_alpha_to_one ? 1 : first, q = Math.sqrt(1 - p * p);
    return {time, signal: a, keep: p * a + q * b, turn: q * a - p * b};
  });
}
