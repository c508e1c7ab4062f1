// axe on every view and every dialog, in both colour schemes.

import assert from 'node:assert/strict';
import { suite } from './harness.mjs';
import { assertAccessible } from './harness/axe.mjs';
import { SEEDED } from './harness/seed.mjs';
import { NARROW } from './harness/stage.mjs';
import { DIALOGS, show, views } from './harness/views.mjs';

const check = suite(SEEDED);

/** In the dark only colours differ. */
async function inBothSchemes(stage, root) {
  for (const [colorScheme, rules] of [['light', null], ['dark', ['color-contrast']]]) {
    await stage.page.emulateMedia({ colorScheme });
    try {
      await assertAccessible(stage.page, root, rules);
    } catch (error) {
      error.message = `${colorScheme}: ${error.message}`;
      throw error;
    }
  }
}

for (const { name, as = 'admin', allow } of views({ ids: {} })) {
  check(`view ${name}`, { as, allow }, async (stage) => {
    await show(stage, views(stage.coffer).find((one) => one.name === name));
    await inBothSchemes(stage);
    assert.equal(await stage.page.getByRole('heading', { level: 1 }).count(), 1);
    assert.match(await stage.page.title(), / · coffer$/);
  });
}

for (const [name, opened] of Object.entries(DIALOGS)) {
  check(`dialog ${name}`, { allow: [400] }, async (stage) => {
    const dialog = await opened(stage);
    await dialog.waitFor();
    await inBothSchemes(stage, 'dialog[open]:last-of-type');
    const native = await dialog.evaluate((element) => [element.localName, element.matches(':modal')]);
    assert.deepEqual(native, ['dialog', true]);
    assert.ok(await dialog.evaluate((element) => element.contains(document.activeElement)), 'the focus is in it');
  });
}

check('the open menu of a narrow page', { viewport: NARROW }, async (stage) => {
  await show(stage, { path: '/secrets/production', heading: 'Secrets', row: 'DATABASE_URL' });
  await stage.button('Menu').click();
  await inBothSchemes(stage);
});

check('larger text and no motion lose nothing', async (stage) => {
  await show(stage, { path: '/secrets/production', heading: 'Secrets', row: 'DATABASE_URL' });
  // As a browser does it whose text is twice as large: 640 px are left of 1280.
  await stage.page.setViewportSize({ width: 640, height: 400 });
  const { scroll, client } = await stage.page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth,
  }));
  assert.ok(scroll <= client);
  const moving = await stage.page.evaluate(() => document.getAnimations().length);
  assert.equal(moving, 0, 'reduced motion is asked for');
});

check('success is told once and politely', async (stage) => {
  await show(stage, { path: '/secrets/development', heading: 'Secrets' });
  const status = stage.page.locator('#toasts');
  assert.equal(await status.getAttribute('role'), 'status');
  assert.notEqual(await status.getAttribute('aria-live'), 'assertive');
});
