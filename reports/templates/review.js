"use strict";
(() => { // language, filters and the reviewer's box
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const { codes, texts, words } = JSON.parse(document.getElementById("languages").textContent);
  const say = (name) => words[root.lang][name];
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const id = (name) => document.getElementById(name);
  const findings = all("details.finding");
  const update = [];

  const menu = id("language");
  menu.hidden = false;
  menu.value = root.lang;
  menu.addEventListener("change", () => {
    const column = codes.indexOf(menu.value);
    for (const one of all("[data-t]")) one.textContent = texts[one.dataset.t][column];
    for (const one of all("[data-a]")) {
      for (const label of one.dataset.a.split(" ")) {
        const [name, line] = label.split(":");
        one.setAttribute(name, texts[line][column]);
      }
    }
    root.lang = menu.value;
    update.forEach((one) => one());
  });

  const score = (shown) => {
    const flagged = shown.filter((one) => one.dataset.verdict !== "clear" && !("waived" in one.dataset));
    const spans = flagged.map((one) => [Number(one.dataset.start), Number(one.dataset.end)]).sort((a, b) => a[0] - b[0]);
    let covered = 0, until = 0;
    for (const [start, end] of spans) { covered += Math.max(0, end - Math.max(start, until)); until = Math.max(until, end); }
    const verdict = ["fail", "review"].find((name) => flagged.some((one) => one.dataset.verdict === name)) || "clear";
    const longest = Math.max(0, ...flagged.map((one) => Number(one.dataset.matched)));
    const share = data.duration > 0 ? `${String(Math.round(1000 * covered / data.duration) / 10).replace(".", say("decimal"))} %` : "–";
    return { shown: shown.length, flagged: flagged.length, share, longest: longest || say("none"), verdict: say(verdict) };
  };
  if (id("filters")) {
    const number = (name) => Number(id(name).value) || 0;
    const kept = (one) => {
      const { matched, bars, own } = one.dataset;
      const mine = id("f-own").value.trim().toLowerCase();
      return Number(matched) >= number("f-notes") && Number(bars) >= number("f-bars") &&
        !(mine && own.toLowerCase().includes(mine)) &&
        ["licensed", "common", "waived"].every((name) => !(id("f-" + name).checked && name in one.dataset));
    };
    const filter = () => {
      const shown = findings.filter(kept);
      for (const one of findings) {
        one.hidden = !shown.includes(one);
        document.querySelector(`[data-mark="${one.id.slice(8)}"]`).classList.toggle("left-out", one.hidden);
      }
      const [raw, now] = [score(findings), score(shown)];
      for (const name in raw) {
        document.querySelector(`[data-raw="${name}"]`).textContent = raw[name];
        document.querySelector(`[data-now="${name}"]`).textContent = now[name];
      }
      id("f-said").textContent = `${shown.length} ${say("of")} ${findings.length} ${say("shown")}`;
    };
    id("filters").hidden = false;
    id("filters").addEventListener("input", filter);
    id("f-reset").addEventListener("click", () => {
      for (const one of all("input", id("filters"))) { one.checked = false; if (one.type !== "checkbox") one.value = one.defaultValue; }
      filter();
    });
    update.push(filter);
    filter();
  }

  const HEAD = 'schema = "contraste-waivers/1"\n';
  const toml = (text) => JSON.stringify(text).replace(/\x7f/g, "\\u007f"); // JSON's escapes are those of TOML's basic strings
  const entries = new Map();
  function review(form) {
    const number = form.dataset.review, finding = id("finding-" + number);
    const field = (name) => form.querySelector(`[data-field="${name}"]`).value.trim();
    const decision = form.querySelector("input:checked");
    const wanted = ["who", "expires", "why", "evidence"].filter((name) => !field(name));
    const text = form.querySelector("textarea"), missing = form.querySelector(".missing");
    missing.textContent = "";
    text.value = "";
    entries.delete(number);
    if (decision && decision.value === "waive") {
      missing.textContent = wanted.length ? `${say("missing")} ${wanted.map(say).join(", ")}` : "";
      if (!wanted.length) {
        text.value = `[[waiver]]\nfinding = ${toml(finding.dataset.id)}\ntrack = ${toml(data.track)}\n` +
          `reason = ${toml(field("reason"))}\nwho = ${toml(field("who"))}\nwhy = ${toml(field("why"))}\n` +
          `expires = ${field("expires")}\nevidence = ${toml(field("evidence"))}\n`;
      }
    } else if (decision) { // no waiver: a comment, so that the file keeps who decided what
      text.value = `# ${decision.value}: finding ${finding.dataset.id} of ${toml(data.track)}, ` +
        `who = ${toml(field("who"))}, why = ${toml(field("why"))}\n`;
    }
    if (text.value) entries.set(number, text.value);
    for (const one of all("button", form)) one.disabled = !text.value;
    const whole = [...entries.keys()].sort((a, b) => a - b).map((key) => entries.get(key)).join("\n");
    id("all-waivers").value = HEAD + "\n" + whole;
    id("reviews").hidden = !entries.size;
  }
  for (const form of all("[data-review]")) {
    form.addEventListener("input", () => review(form));
    update.push(() => review(form));
    review(form);
  }
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-do]");
    if (!button) return;
    const box = button.closest("[data-review], .all-reviews"), text = box.querySelector("textarea");
    const said = box.querySelector("[data-said]");
    if (button.dataset.do === "copy") {
      text.select();
      try { await navigator.clipboard.writeText(text.value); } catch { document.execCommand("copy"); }
      said.textContent = say("copied");
    } else {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([box.dataset.review ? HEAD + "\n" + text.value : text.value], { type: "application/toml" }));
      link.download = box.dataset.review ? `waiver-${id("finding-" + box.dataset.review).dataset.id}.toml` : "waivers.toml";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
      said.textContent = `${say("downloaded")} ${link.download}`;
    }
  });
})();
