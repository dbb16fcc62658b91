// Records in the page: an AudioWorklet hands over samples, which become a 16-bit WAV file. No codec takes part.
const LONGEST = 30; // seconds: a notebook server refuses larger messages
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process(inputs) { if (inputs[0].length) this.port.postMessage(inputs[0][0].slice()); return true; }
});`;
const REFUSED = {
  NotAllowedError: "The browser does not give the microphone: allow it beside the address, and press Record again.",
  NotFoundError: "There is no microphone: plug one in, and press Record again.",
  NotReadableError: "Another program has the microphone: end that one, and press Record again.",
};

function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const word = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  word(0, "RIFF"), view.setUint32(4, 36 + 2 * samples.length, true), word(8, "WAVEfmt ");
  view.setUint32(16, 16, true), view.setUint16(20, 1, true), view.setUint16(22, 1, true);
  view.setUint32(24, rate, true), view.setUint32(28, 2 * rate, true), view.setUint16(32, 2, true);
  view.setUint16(34, 16, true), word(36, "data"), view.setUint32(40, 2 * samples.length, true);
  samples.forEach((x, i) => view.setInt16(44 + 2 * i, Math.round(32767 * Math.max(-1, Math.min(1, x))), true));
  return view;
}

async function listenIn(onSamples) {
  if (!window.isSecureContext || !navigator.mediaDevices) {
    throw new Error("The browser gives the microphone only to pages from https:// or from this computer (localhost).");
  }
  const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: raw });
  const context = new AudioContext();
  const address = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
  const end = () => { stream.getTracks().forEach(track => track.stop()); return context.close(); };
  try {
    await context.audioWorklet.addModule(address);
    const tap = new AudioWorkletNode(context, "tap");
    tap.port.onmessage = message => onSamples(message.data, context.sampleRate);
    context.createMediaStreamSource(stream).connect(tap);
    await context.resume();
  } catch (error) {
    await end();
    throw error;
  } finally {
    URL.revokeObjectURL(address);
  }
  return { rate: context.sampleRate, end };
}

function render({ model, el }) {
  const box = document.createElement("div");
  const said = document.createElement("p"), player = document.createElement("audio");
  const buttons = {};
  box.setAttribute("role", "group"), box.setAttribute("aria-label", "Microphone");
  for (const [name, label] of Object.entries({ record: "● Record", stop: "■ Stop", listen: "▶ Listen", use: "✓ Use" })) {
    const button = buttons[name] = document.createElement("button");
    button.type = "button", button.textContent = label, button.setAttribute("aria-label", name);
    button.className = "jupyter-button widget-button", button.style.cssText = "width:auto;min-width:84px;margin:2px";
    box.append(button);
  }
  said.setAttribute("role", "status"), said.style.margin = "4px 2px";
  box.append(said, player), el.append(box);
  let source = null, pieces = [], made = null;

  const length = () => pieces.reduce((sum, piece) => sum + piece.length, 0);
  const say = text => { said.textContent = text; };
  const show = () => {
    buttons.record.disabled = Boolean(source), buttons.stop.disabled = !source;
    buttons.listen.disabled = buttons.use.disabled = Boolean(source) || !made;
  };
  const keep = samples => {
    pieces.push(samples);
    if (source) say(`Recording: ${(length() / source.rate).toFixed(1)} s of at most ${LONGEST} s`);
    if (source && length() >= LONGEST * source.rate) stop();
  };
  async function record() {
    player.pause(), pieces = [], made = null;
    buttons.record.disabled = true;
    say("Asking for the microphone …");
    try {
      source = await listenIn(keep);
    } catch (error) {
      say(REFUSED[error.name] || error.message);
    }
    show();
    if (source) buttons.stop.focus();
  }
  async function stop() {
    const ended = source;
    source = null;
    if (!ended) return;
    await ended.end();
    const samples = new Float32Array(length());
    pieces.reduce((at, piece) => (samples.set(piece, at), at + piece.length), 0);
    const peak = samples.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    made = peak > 0 ? wav(samples, ended.rate) : null;
    show();
    if (!made) return say("Only silence came in: the microphone may be muted.");
    URL.revokeObjectURL(player.src);
    player.src = URL.createObjectURL(new Blob([made], { type: "audio/wav" }));
    say(`${(samples.length / ended.rate).toFixed(1)} s, peak ${peak.toFixed(2)}: listen to it, then use it.`);
    buttons.use.focus();
  }
  buttons.record.onclick = record, buttons.stop.onclick = stop;
  buttons.listen.onclick = () => player.play();
  buttons.use.onclick = () => { model.set("wav", made), model.save_changes(), say("Sent to Python …"); };
  model.on("change:message", () => say(model.get("message")));
  say(model.get("message") || `Press Record; at most ${LONGEST} s.`), show();
  return () => { if (source) source.end(); URL.revokeObjectURL(player.src); };
}
export default { render };
