/* Page of a served model: a dropped, chosen or recorded sound goes to this machine's own server, nowhere else. */
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const say = (text) => { find("said").textContent = text; };
  let sound = null, recording = null, content = null;

  async function ask(path, body) {
    const answer = await fetch(path, { method: "POST", body, headers: { "Content-Type": "application/octet-stream" } });
    const data = await answer.json();
    if (!answer.ok) throw new Error(data.error);
    return data;
  }

  async function explain(body, name) {
    say(`The model listens to ${name} \u2026`);
    find("muted").hidden = true;
    try {
      content = await ask("/explain", body);
      content.units[0].cells.id = name;
      sound = body;
      await window.respcam.player.show(content);
      find("muted").hidden = false;
      find("without").textContent = "";
      say(`${name}: ${content.facts.duration_s.toFixed(1)} s at ${content.facts.source_rate_hz} Hz.`);
      find("player").dataset.shown = name;
    } catch (error) {
      say(`Not possible: ${error.message}.`);
    }
  }

  /* 32-bit float WAV, one channel. */
  function wav(blocks, rate) {
    const n = blocks.reduce((sum, block) => sum + block.length, 0);
    const view = new DataView(new ArrayBuffer(44 + 4 * n));
    const text = (place, word) => [...word].forEach((sign, number) => view.setUint8(place + number, sign.charCodeAt(0)));
    text(0, "RIFF"); view.setUint32(4, 36 + 4 * n, true); text(8, "WAVEfmt ");
    view.setUint32(16, 16, true); view.setUint16(20, 3, true); view.setUint16(22, 1, true);
    view.setUint32(24, rate, true); view.setUint32(28, 4 * rate, true); view.setUint16(32, 4, true); view.setUint16(34, 32, true);
    text(36, "data"); view.setUint32(40, 4 * n, true);
    let place = 44;
    for (const block of blocks) for (const sample of block) { view.setFloat32(place, sample, true); place += 4; }
    return new Blob([view.buffer], { type: "audio/wav" });
  }

  async function start() {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 },
    });
    const context = new AudioContext();
    await context.audioWorklet.addModule("/recorder.js");
    const node = new AudioWorkletNode(context, "recorder"), blocks = [];
    node.port.onmessage = (message) => blocks.push(message.data);
    context.createMediaStreamSource(stream).connect(node);
    recording = { stream, context, blocks };
    find("record").textContent = "Stop and ask the model";
    say("Recording \u2026 voice filters are off.");
  }

  async function stop() {
    const { stream, context, blocks } = recording;
    recording = null;
    find("record").textContent = "Record";
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
    await explain(wav(blocks, context.sampleRate), "recording");
  }

  find("record").addEventListener("click", () => (recording ? stop() : start()).catch((error) => say(`No microphone: ${error.message}.`)));
  find("file").addEventListener("change", (event) => { const file = event.target.files[0]; if (file) explain(file, file.name); });
  const drop = find("drop");
  for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); const file = event.dataTransfer.files[0]; if (file) explain(file, file.name); });

  window.respcam.onBox = (box) => { find("low").value = Math.round(box.low_hz); find("high").value = Math.round(box.high_hz); };
  find("mute").addEventListener("click", async () => {
    try {
      const low = Number(find("low").value), high = Number(find("high").value);
      const { p, n_bands: n } = await ask(`/muted?low_hz=${low}&high_hz=${high}`, sound);
      const view = content.units[0].views[0], k = view.predicted, percent = (value) => `${(100 * value).toFixed(1)} %`;
      find("without").textContent = `Without ${low} to ${high} Hz (${n} bands): ${content.classes[k]} ${percent(p[k])}, before ${percent(view.p[k])}.`;
    } catch (error) { find("without").textContent = `Not possible: ${error.message}.`; }
  });
})();
