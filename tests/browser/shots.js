// Pictures of a page, to look at: node shots.js PAGE.html FOLDER
"use strict";
const { chromium } = require("playwright-core");
const { launch } = require("./drive.js");
(async () => {
  const [file, out] = process.argv.slice(2);
  const browser = await launch(chromium);
  for (const width of [1280, 390]) {
    for (const scheme of ["light", "dark"]) {
      const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: scheme });
      await page.goto("file://" + file);
      await page.screenshot({ path: `${out}/${width}-${scheme}.png`, fullPage: true });
      await page.close();
    }
  }
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto("file://" + file);
  await page.click("#language");
  await page.screenshot({ path: `${out}/es.png`, fullPage: true });
  await page.emulateMedia({ media: "print" });
  await page.pdf({ path: `${out}/print.pdf`, format: "A4" });
  await browser.close();
})();
