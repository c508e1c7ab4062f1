// Runs axe on every view and every dialog, in both color schemes.

import assert from 'node:assert/strict';
import { assertAccessible } from './harness/axe.mjs';
import { SEEDED } from './harness/seed.mjs';
import { NARROW } from './harness/stage.mjs';
import { DIALOGS, show, views } from './harness/views.mjs';
import { suite } from './harness.mjs';

const check = suite(SEEDED);

/** Dark mode changes only colors, so only contrast is checked again. */
async function inBothSchemes(stage, root) {
	for (const [colorScheme, rules] of [
		['light', null],
		['dark', ['color-contrast']],
	]) {
		await stage.page.emulateMedia({ colorScheme });
		try {
			await assertAccessible(stage.page, root, rules);
		} catch (error) {
			error.message = `${colorScheme}: ${error.message}`;
			throw error;
		}
	}
}

for (const { name, as = 'admin', allow } of views()) {
	check(`view ${name}`, { as, allow }, async (stage) => {
		await show(
			stage,
			views().find((one) => one.name === name),
		);
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
		assert.ok(await dialog.evaluate((element) => element.contains(document.activeElement)), 'the dialog has focus');
	});
}

check('the open menu on a narrow screen', { viewport: NARROW }, async (stage) => {
	await show(stage, { path: '/secrets/production', heading: 'Secrets', row: 'DATABASE_URL' });
	await stage.button('Menu').click();
	await inBothSchemes(stage);
});

check('larger text fits, and nothing is animated with reduced motion', async (stage) => {
	await show(stage, { path: '/secrets/production', heading: 'Secrets', row: 'DATABASE_URL' });
	// At twice the text size, 1280 px have room for what 640 px show.
	await stage.page.setViewportSize({ width: 640, height: 400 });
	const { scroll, client } = await stage.page.evaluate(() => ({
		scroll: document.documentElement.scrollWidth,
		client: document.documentElement.clientWidth,
	}));
	assert.ok(scroll <= client);
	const moving = await stage.page.evaluate(() => document.getAnimations().length);
	assert.equal(moving, 0, 'no animation with reduced motion');
});

check('success messages use a polite live region', async (stage) => {
	await show(stage, { path: '/secrets/development', heading: 'Secrets' });
	const status = stage.page.locator('#toasts');
	assert.equal(await status.getAttribute('role'), 'status');
	assert.notEqual(await status.getAttribute('aria-live'), 'assertive');
});
