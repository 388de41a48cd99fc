"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let context = null;
  let current = null;

  function tones(notes, pan, at) { // plain tones: [onset s, duration s, pitch] each
    const out = context.createGain();
    const side = context.createStereoPanner();
    side.pan.value = pan;
    out.gain.value = 0.16;
    out.connect(side).connect(context.destination);
    for (const [onset, duration, pitch] of notes) {
      const tone = context.createOscillator();
      const level = context.createGain();
      const start = at + onset, end = start + Math.max(duration, 0.06);
      tone.type = "triangle";
      tone.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
      level.gain.setValueAtTime(0, start);
      level.gain.linearRampToValueAtTime(0.7, start + 0.012);
      level.gain.setTargetAtTime(0.35, start + 0.03, 0.15);
      level.gain.setTargetAtTime(0, end, 0.03);
      tone.connect(level).connect(out);
      tone.start(start);
      tone.stop(end + 0.25);
    }
    return out;
  }

  function stop() {
    if (!current) return;
    const { button, silence, box } = current;
    current = null;
    silence();
    button.setAttribute("aria-pressed", "false");
    box.classList.remove("playing");
  }

  function follow(now, drawing) { // moves the line over both rolls
    const line = drawing.querySelector(".playhead");
    const x = Number(drawing.dataset.left) + now * Number(drawing.dataset.scale);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    const view = drawing.parentElement, pixels = drawing.clientWidth || drawing.getBoundingClientRect().width;
    const shown = x * pixels / drawing.viewBox.baseVal.width;
    if (shown > view.scrollLeft + view.clientWidth - 30 || shown < view.scrollLeft) view.scrollLeft = shown - 60;
  }

  async function recorded(finding, side) { // the files in the page, to be started at one moment
    const files = data.sounds[finding];
    if (!files) return null;
    const wanted = { track: [[0, 0]], piece: [[1, 0]], both: [[0, -0.8], [1, 0.8]] }[side];
    return Promise.all(wanted.map(async ([k, pan]) => {
      const bytes = Uint8Array.from(atob(files[k]), (sign) => sign.charCodeAt(0));
      return [await context.decodeAudioData(bytes.buffer), pan];
    }));
  }

  function sounding([buffer, pan], at) {
    const source = context.createBufferSource(), side = context.createStereoPanner();
    source.buffer = buffer;
    side.pan.value = pan;
    source.connect(side).connect(context.destination);
    source.start(at);
    return side;
  }

  async function play(button) {
    const { finding, side } = button.dataset;
    const notes = data.findings[finding];
    const box = document.getElementById("finding-" + finding);
    const drawing = box.querySelector(".rolls");
    context = context || new AudioContext();
    context.resume();
    let voices = [];
    const me = current = { button, box, silence: () => voices.forEach((voice) => voice.disconnect()) };
    button.setAttribute("aria-pressed", "true");
    const files = await recorded(finding, side).catch(() => null);
    if (current !== me) return;
    const at = context.currentTime + 0.06;
    let length;
    if (files) {
      voices = files.map((file) => sounding(file, at));
      length = Math.max(...files.map(([buffer]) => buffer.duration));
    } else {
      const moved = notes.piece.map(([o, d, p]) => [o * notes.ratio, d * notes.ratio, p + notes.shift]);
      const heard = { track: [[notes.track, 0]], piece: [[moved, 0]], both: [[notes.track, -0.75], [moved, 0.75]] }[side];
      voices = heard.map(([one, pan]) => tones(one, pan, at));
      length = Math.max(0, ...heard.flatMap(([one]) => one.map(([o, d]) => o + d))) + 0.3;
    }
    box.classList.add("playing");
    box.dataset.heard = files ? "recorded" : "tones";
    const step = () => {
      if (current !== me) return;
      const now = Math.max(0, context.currentTime - at);
      if (now > length) return stop();
      follow(now, drawing);
      if (calm) setTimeout(step, 250); else requestAnimationFrame(step);
    };
    step();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-side]");
    if (!button) return;
    const again = current && current.button === button;
    stop();
    if (!again) play(button);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); });
  const reveal = () => {
    const target = /^#finding-\d+$/.test(location.hash) && document.querySelector(location.hash);
    if (target) { target.open = true; target.scrollIntoView(); target.querySelector("summary").focus({ preventScroll: true }); }
  };
  addEventListener("hashchange", reveal);
  reveal();
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((d) => { d.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((d) => { d.open = false; }));
})();
