// Draws every view and dialog in both schemes and widths, for people to look at:
// screenshots/ below target/browser.

import { mkdirSync } from 'node:fs';
import { PLACE, suite } from './harness.mjs';
import { SEEDED } from './harness/seed.mjs';
import { NARROW, WIDE } from './harness/stage.mjs';
import { DIALOGS, show, views } from './harness/views.mjs';

const check = suite(SEEDED);
const DIRECTORY = `${PLACE}/screenshots`;
mkdirSync(DIRECTORY, { recursive: true });

async function draw(stage, name) {
  for (const viewport of [WIDE, NARROW]) {
    await stage.page.setViewportSize(viewport);
    for (const colorScheme of ['light', 'dark']) {
      await stage.page.emulateMedia({ colorScheme });
      // A caret that is hidden would be a style of the driver's own, against the policy.
      const path = `${DIRECTORY}/${name}-${colorScheme}-${viewport.width}.png`;
      await stage.page.screenshot({ path, caret: 'initial' });
    }
  }
}

for (const { name, as = 'admin', allow } of views({ ids: {} })) {
  check(name, { as, allow }, async (stage) => {
    await show(stage, views(stage.coffer).find((one) => one.name === name));
    await draw(stage, name);
  });
}

for (const name of Object.keys(DIALOGS)) {
  check(`dialog ${name}`, { allow: [400] }, async (stage) => {
    const dialog = await DIALOGS[name](stage);
    await dialog.waitFor();
    await draw(stage, `dialog-${name}`);
  });
}
