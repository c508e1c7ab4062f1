// At 360 CSS pixels and in dark mode: nothing scrolls sideways, every target is large
// enough for a finger, dialogs fit.

import assert from 'node:assert/strict';
import { SEEDED } from './harness/seed.mjs';
import { NARROW } from './harness/stage.mjs';
import { DIALOGS, show, views } from './harness/views.mjs';
import { suite } from './harness.mjs';

const check = suite(SEEDED);
const SMALL = { viewport: NARROW };

/** WCAG 2.5.8, in CSS pixels. Links in a sentence are exempt. */
const SMALLEST = 24;

async function assertFits(stage) {
	const { scroll, client, wide } = await stage.page.evaluate(() => {
		const { scrollWidth, clientWidth } = document.documentElement;
		const beyond = [...document.querySelectorAll('body *')]
			.filter((one) => one.getBoundingClientRect().right > clientWidth + 1)
			.map((one) => `${one.localName}.${one.className} ${one.textContent.trim().slice(0, 30)}`);
		return { scroll: scrollWidth, client: clientWidth, wide: beyond.slice(0, 5) };
	});
	assert.ok(scroll <= client, `${scroll} wide on ${client}: ${wide.join(' | ')}`);
}

async function assertTargets(root) {
	const small = await root.evaluate((element, smallest) => {
		const query = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]';
		const inSentence = (one) =>
			one.localName === 'a' &&
			[...one.parentElement.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
		const target = (one) =>
			['checkbox', 'radio', 'file'].includes(one.type) && one.labels?.[0] ? one.labels[0] : one;
		return [...element.querySelectorAll(query)]
			.filter((one) => {
				if (!one.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) return false;
				const box = target(one).getBoundingClientRect();
				// Visible only while it has focus.
				if (box.width <= 1 || box.right <= 0 || box.bottom <= 0) return false;
				return !inSentence(one) && (box.width < smallest || box.height < smallest);
			})
			.map((one) => {
				const { width, height } = target(one).getBoundingClientRect();
				return `${one.outerHTML.slice(0, 90)} is ${width}x${height}`;
			});
	}, SMALLEST);
	assert.deepEqual(small, [], 'too small for a finger');
}

const NAMES = views().map(({ name }) => name);
for (const name of NAMES) {
	const { as = 'admin', allow } = views().find((one) => one.name === name);
	check(`${name} from 360 px up`, { ...SMALL, as, allow }, async (stage) => {
		await show(
			stage,
			views().find((one) => one.name === name),
		);
		await assertFits(stage);
		await assertTargets(stage.page.locator('body'));
		for (const width of [768, 1024, 1280]) {
			await stage.page.setViewportSize({ width, height: 800 });
			await assertFits(stage);
		}
	});
}

for (const [name, opened] of Object.entries(DIALOGS)) {
	check(`dialog ${name} at 360 px`, { ...SMALL, allow: [400] }, async (stage) => {
		const dialog = await opened(stage);
		await dialog.waitFor();
		await assertFits(stage);
		await assertTargets(dialog);
		const box = await dialog.boundingBox();
		assert.ok(box.x >= 0 && box.x + box.width <= NARROW.width, `the dialog does not fit: ${JSON.stringify(box)}`);
		assert.ok(
			box.y >= 0 && box.y + box.height <= NARROW.height + 1,
			`the dialog does not fit: ${JSON.stringify(box)}`,
		);
		const { inside, available } = await dialog.evaluate((element) => ({
			inside: element.scrollWidth,
			available: element.clientWidth,
		}));
		assert.ok(inside <= available, `${inside} px wide, ${available} px available`);
		// The last button can be scrolled into view.
		const last = dialog.getByRole('button').last();
		await last.scrollIntoViewIfNeeded();
		const foot = await last.boundingBox();
		assert.ok(foot.y + foot.height <= NARROW.height + 1, 'below the bottom edge');
	});
}

check('the menu', SMALL, async (stage) => {
	await show(stage, { path: '/secrets/production', heading: 'Secrets', row: 'DATABASE_URL' });
	const menu = stage.button('Menu');
	assert.equal(await menu.getAttribute('aria-expanded'), 'false');
	assert.equal(await stage.link('Variables').isVisible(), false);
	await menu.click();
	assert.equal(await menu.getAttribute('aria-expanded'), 'true');
	await assertFits(stage);
	await assertTargets(stage.page.locator('body'));
	await stage.link('Variables').click();
	await stage.heading('Variables').waitFor();
	assert.equal(await menu.getAttribute('aria-expanded'), 'false', 'the menu closes after use');
	assert.equal(await stage.link('Variables').isVisible(), false);
});

check('no menu button on a wide screen', async (stage) => {
	await show(stage, { path: '/secrets/production', heading: 'Secrets' });
	assert.equal(await stage.button('Menu').count(), 0);
	await stage.link('Variables').waitFor();
});

check('add a secret on a phone', SMALL, async (stage) => {
	await show(stage, { path: '/secrets/development', heading: 'Secrets' });
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	await stage.field('Key', dialog).fill('FROM_A_PHONE');
	await stage.field('Value', dialog).fill('x');
	await stage.button('Add secret', dialog).click();
	await stage.gone(dialog);
	await stage.link('FROM_A_PHONE').waitFor();
	await assertFits(stage);
	await stage.api.delete(`/api/secrets/${(await stage.api.secret('development', 'FROM_A_PHONE')).id}`);
});

check('colors follow the system', { colorScheme: 'dark' }, async (stage) => {
	await show(stage, { path: '/secrets/production', heading: 'Secrets', row: 'DATABASE_URL' });
	const light = () =>
		stage.page.evaluate(() => {
			const background =
				[document.body, document.documentElement]
					.map((one) => getComputedStyle(one).backgroundColor)
					.find((color) => !/, 0\)$|transparent/.test(color)) ?? 'rgb(255, 255, 255)';
			const context = new OffscreenCanvas(1, 1).getContext('2d');
			context.fillStyle = background;
			context.fillRect(0, 0, 1, 1);
			const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
			return (red + green + blue) / 3;
		});
	assert.ok((await light()) < 80, `dark background is ${await light()}`);
	await stage.page.emulateMedia({ colorScheme: 'light' });
	assert.ok((await light()) > 180, `light background is ${await light()}`);
});
