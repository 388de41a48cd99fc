// Drives one page in headless Chromium and prints, as JSON, what a person would see. Standard input: JSON with the page,
// the options of the browser and the steps, each a list of a name and its values, as in `drive`. The steps "see", "axe"
// and "download" add one value each to the answer.
"use strict";
const fs = require("node:fs");
const path = require("node:path");

const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--autoplay-policy=no-user-gesture-required"];
const launch = (chromium) => chromium.launch({ executablePath: CHROMIUM, args: FLAGS });

async function until(page, expression) { // Playwright's own waiting evaluates in the page, which its policy forbids
  for (let k = 0; k < 200; k++) {
    if (await page.evaluate(expression)) return;
    await new Promise((go) => setTimeout(go, 50));
  }
  throw new Error(`10 s passed, and still not: ${expression}`);
}

async function drive(file, options, steps) {
  const { chromium } = require("playwright-core");
  const browser = await launch(chromium);
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  const told = [], asked = [], seen = [];
  page.on("console", (message) => { if (message.type() === "error" || message.type() === "warning") told.push(message.text()); });
  page.on("pageerror", (error) => told.push(String(error)));
  page.on("dialog", (dialog) => { told.push("dialog: " + dialog.message()); dialog.dismiss(); });
  page.on("request", (request) => asked.push(request.url().slice(0, 100)));
  await page.goto("file://" + path.resolve(file));
  for (const [name, ...values] of steps) {
    if (name === "click") await page.click(values[0]);
    else if (name === "fill") await page.fill(values[0], values[1]);
    else if (name === "check") await page.check(values[0]);
    else if (name === "select") await page.selectOption(values[0], values[1]);
    else if (name === "key") await page.keyboard.press(values[0]);
    else if (name === "media") await page.emulateMedia(values[0]);
    else if (name === "wait") await until(page, values[0]);
    else if (name === "see") seen.push(await page.evaluate(values[0]));
    else if (name === "download") {
      const [download] = await Promise.all([page.waitForEvent("download"), page.click(values[0])]);
      seen.push([download.suggestedFilename(), fs.readFileSync(await download.path(), "utf8")]);
    } else if (name === "axe") { // by the debugger's protocol, which the page's policy does not concern
      await page.evaluate(fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
      const found = await page.evaluate(() => window.axe.run());
      seen.push(found.violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map((n) => n.html.slice(0, 200)).slice(0, 5) })));
    } else throw new Error(`no such step: ${name}`);
  }
  await browser.close();
  return { told, asked: asked.slice(1).filter((url) => !/^(data|blob):/.test(url)), seen };
}

module.exports = { launch };
if (require.main === module) {
  const { file, options, steps } = JSON.parse(fs.readFileSync(0, "utf8"));
  drive(file, options, steps).then((answer) => process.stdout.write(JSON.stringify(answer)), (error) => {
    process.stderr.write(String(error.stack), () => process.exit(1)); // Chromium ends with its parent
  });
}
