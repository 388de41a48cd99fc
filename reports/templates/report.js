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

  function follow(now, drawing, stretch) { // moves the line over both rolls
    const line = drawing.querySelector(".playhead");
    const x = Number(drawing.dataset.left) + now * stretch * Number(drawing.dataset.scale);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    const view = drawing.parentElement, pixels = drawing.clientWidth || drawing.getBoundingClientRect().width;
    const shown = x * pixels / drawing.viewBox.baseVal.width;
    if (shown > view.scrollLeft + view.clientWidth - 30 || shown < view.scrollLeft) view.scrollLeft = shown - 60;
  }

  function play(button) {
    const { finding, side } = button.dataset;
    const notes = data.findings[finding];
    const box = document.getElementById("finding-" + finding);
    const drawing = box.querySelector(".rolls");
    const sound = document.getElementById("sound-" + finding + "-" + side);
    let clock, silence, length = Infinity;
    if (sound) {
      sound.currentTime = 0;
      sound.play().catch(stop);
      sound.onended = stop;
      clock = () => sound.currentTime;
      silence = () => sound.pause();
    } else {
      context = context || new AudioContext();
      context.resume();
      const at = context.currentTime + 0.06;
      const moved = notes.piece.map(([o, d, p]) => [o * notes.ratio, d * notes.ratio, p + notes.shift]);
      const voices = side === "both" ? [tones(notes.track, -0.75, at), tones(moved, 0.75, at)] : [tones(notes[side], 0, at)];
      const heard = side === "both" ? notes.track.concat(moved) : notes[side];
      length = Math.max(0, ...heard.map(([o, d]) => o + d)) + 0.3;
      clock = () => Math.max(0, context.currentTime - at);
      silence = () => voices.forEach((voice) => voice.disconnect());
    }
    const me = current = { button, silence, box };
    button.setAttribute("aria-pressed", "true");
    box.classList.add("playing");
    const step = () => {
      if (current !== me) return;
      if (clock() > length) return stop();
      follow(clock(), drawing, side === "piece" ? notes.ratio : 1);
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
