// Every action on secrets with the keyboard only; the focus is visible at each stop.

import assert from 'node:assert/strict';
import { ADMIN } from './harness/server.mjs';
import { eventually, suite } from './harness.mjs';

const check = suite();

/** More Tab presses than any of these tests needs. */
const FAR = 80;

/** Fails unless the focused element has a visible outline. */
async function assertSeen(page) {
	const stop = await page.evaluate(() => {
		const element = document.activeElement;
		const style = getComputedStyle(element);
		const { width, height } = element.getBoundingClientRect();
		return {
			what: element.outerHTML.slice(0, 120),
			body: element === document.body,
			outline: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1,
			size: width > 0 && height > 0,
		};
	});
	if (stop.body) return;
	assert.ok(stop.outline, `no outline around ${stop.what}`);
	assert.ok(stop.size, `no size: ${stop.what}`);
}

/** Presses Tab until the element has focus. */
async function tabTo(stage, locator, key = 'Tab') {
	await locator.waitFor();
	for (let stops = 0; stops < FAR; stops += 1) {
		if (await locator.evaluate((element) => element === document.activeElement)) {
			await assertSeen(stage.page);
			return;
		}
		await stage.page.keyboard.press(key);
		await assertSeen(stage.page);
	}
	assert.fail(`${locator} is not reached by ${key}`);
}

async function press(stage, locator, key = 'Enter') {
	await tabTo(stage, locator);
	await stage.page.keyboard.press(key);
}

const focused = (locator) =>
	eventually(`the focus is on ${locator}`, () => locator.evaluate((element) => element === document.activeElement));

check('the first Tab stop skips to the content', async (stage) => {
	const environment = await stage.environment();
	await stage.open(`/secrets/${environment}`, 'Secrets');
	await stage.page.keyboard.press('Tab');
	const skip = stage.link('Skip to content');
	await focused(skip);
	await assertSeen(stage.page);
	const box = await skip.boundingBox();
	assert.ok(box.x >= 0 && box.y >= 0, 'the link is visible while it has focus');
	await stage.page.keyboard.press('Enter');
	await stage.page.keyboard.press('Tab');
	assert.ok(
		await stage.page.evaluate(() => document.activeElement.closest('main') !== null),
		'focus is past the navigation',
	);
});

check('log in', { as: null, allow: [401] }, async (stage) => {
	await stage.open('/login', 'Log in');
	await tabTo(stage, stage.field('Email'));
	await stage.page.keyboard.type(ADMIN.email);
	await tabTo(stage, stage.field('Password'));
	await stage.page.keyboard.type(ADMIN.password);
	await stage.page.keyboard.press('Enter');
	await stage.heading('Secrets').waitFor();
});

check('add, filter, open, replace, make write-only, delete', async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'BESIDE', 'x');
	await stage.open(`/secrets/${environment}`, 'Secrets');
	await stage.link('BESIDE').waitFor();
	const { keyboard } = stage.page;

	const add = stage.button('Add secret', stage.page.getByRole('main'));
	await press(stage, add);
	const adding = stage.dialog('Add a secret');
	await focused(stage.field('Key', adding));
	await keyboard.type('BY_KEYBOARD');
	await tabTo(stage, stage.field('Value', adding));
	await keyboard.type('first');
	await press(stage, stage.button('Add secret', adding));
	await stage.gone(adding);
	await focused(add);

	await keyboard.press('/');
	const filter = stage.page.getByRole('searchbox', { name: 'Filter secrets' });
	await focused(filter);
	assert.equal(await filter.inputValue(), '', 'the shortcut is not typed into the field');
	await keyboard.type('keyb');
	await stage.page.locator('#count').filter({ hasText: '1 of 2 secrets' }).waitFor();
	await press(stage, stage.link('BY_KEYBOARD'));
	const about = stage.dialog('BY_KEYBOARD');
	await about.waitFor();

	const replaceButton = stage.button('Replace value', about);
	await press(stage, replaceButton);
	const replace = stage.dialog('Replace the value of BY_KEYBOARD');
	await tabTo(stage, stage.field('Value', replace));
	await keyboard.type('second');
	await press(stage, stage.button('Replace value', replace));
	await stage.gone(replace);
	await focused(replaceButton);
	const { id } = await stage.api.secret(environment, 'BY_KEYBOARD');
	assert.equal(await stage.api.value(id), 'second');

	await press(stage, stage.button('Make write-only', about));
	const latch = stage.dialog('Make BY_KEYBOARD write-only');
	await press(stage, stage.button('Make write-only', latch));
	await stage.gone(latch);
	assert.equal((await stage.api.secret(environment, 'BY_KEYBOARD')).neverReveal, true);
	assert.ok(
		await stage.page.evaluate(() => document.activeElement !== document.body),
		'focus is not lost although the button that had it is gone',
	);

	await keyboard.press('Escape');
	await stage.gone(about);
	await focused(stage.link('BY_KEYBOARD'));
	await keyboard.press('Enter');
	await about.waitFor();
	await press(stage, stage.button('Delete secret', about));
	const sure = stage.dialog('Delete BY_KEYBOARD');
	await tabTo(stage, stage.field('Type BY_KEYBOARD to confirm', sure));
	await keyboard.type('BY_KEYBOARD');
	await press(stage, stage.button('Delete secret', sure));
	await stage.gone(sure);
	await stage.gone(about);
	assert.equal(await stage.api.secret(environment, 'BY_KEYBOARD'), undefined);
	assert.ok(
		await stage.page.evaluate(() => document.activeElement !== document.body),
		'focus is not lost although the row that had it is gone',
	);
});

check('reveal and hide', async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'SHOWN', 'seen by keyboard');
	await stage.open(`/secrets/${environment}/SHOWN`, 'Secrets');
	const about = stage.dialog('SHOWN');
	await press(stage, stage.button('Reveal value', about));
	const region = about.getByRole('region', { name: 'Value', exact: true });
	await region.getByText('seen by keyboard').waitFor();
	await press(stage, stage.button('Hide value', region));
	await stage.gone(region);
	assert.ok(
		await about.evaluate(
			(element) => element.contains(document.activeElement) && document.activeElement !== document.body,
		),
		'focus stays in the dialog',
	);
});

check('switch the environment', async (stage) => {
	const environment = await stage.environment();
	await stage.environment();
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const select = stage.select('Environment', stage.page.getByRole('navigation', { name: 'Main' }));
	await tabTo(stage, select);
	const options = await select.locator('option').evaluateAll((all) => all.map((one) => one.value));
	await stage.page.keyboard.press('ArrowDown');
	await eventually('the URL has another environment', () => !stage.path().endsWith(`/${environment}`));
	const [, , now] = stage.path().split('/');
	assert.ok(options.length > 1 && now !== environment);
	await stage.heading('Secrets').waitFor();
});

check('a new view receives focus, so that screen readers announce it', async (stage) => {
	const environment = await stage.environment();
	await stage.open(`/secrets/${environment}`, 'Secrets');
	await press(stage, stage.link('Variables'));
	await stage.heading('Variables').waitFor();
	assert.equal(await stage.page.title(), `Variables · ${environment} · coffer`);
	await eventually('focus is in the view or still on the link', () =>
		stage.page.evaluate(() => {
			const { activeElement } = document;
			return activeElement.closest('main') !== null || activeElement.textContent.trim() === 'Variables';
		}),
	);
});

check('keyboard shortcuts, and where they are off', async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'ONE', 'x');
	await stage.open(`/secrets/${environment}`, 'Secrets');
	await stage.link('ONE').waitFor();
	const { keyboard } = stage.page;
	await stage.link('ONE').press('Enter');
	const about = stage.dialog('ONE');
	await about.waitFor();
	await keyboard.press('n');
	await keyboard.press('/');
	assert.equal(await stage.dialog('Add a secret').count(), 0, 'no shortcut in a dialog');
	assert.ok(await about.evaluate((element) => element.contains(document.activeElement)));
	await keyboard.press('Escape');
	await stage.gone(about);
	await keyboard.press('Control+n').catch(() => {});
	assert.equal(await stage.dialog('Add a secret').count(), 0, 'no shortcut with Control');
	await keyboard.press('n');
	const adding = stage.dialog('Add a secret');
	await adding.waitFor();
	assert.equal(await stage.field('Key', adding).inputValue(), '', 'the shortcut is not typed into the field');
	await keyboard.press('Escape');
	await stage.gone(adding);
	const filter = stage.page.getByRole('searchbox', { name: 'Filter secrets' });
	await keyboard.press('/');
	await focused(filter);
	await keyboard.type('n/');
	assert.equal(await filter.inputValue(), 'n/', 'in a field they are ordinary letters');
	assert.equal(await stage.page.getByRole('dialog').count(), 0);
	await keyboard.press('Escape');
	assert.equal(await filter.inputValue(), '');
});

check('Escape does not close a dialog that is saving', async (stage) => {
	const environment = await stage.environment();
	await stage.open(`/secrets/${environment}`, 'Secrets');
	await stage.page.keyboard.press('n');
	const adding = stage.dialog('Add a secret');
	await stage.page.keyboard.type('SLOW');
	await tabTo(stage, stage.field('Value', adding));
	await stage.page.keyboard.type('x');
	let go;
	const held = new Promise((resolve) => {
		go = resolve;
	});
	await stage.context.route('**/secrets', async (route) => {
		if (route.request().method() === 'POST') await held;
		await route.continue();
	});
	await press(stage, stage.button('Add secret', adding));
	await stage.page.keyboard.press('Escape');
	await stage.page.keyboard.press('Escape');
	assert.equal(await adding.count(), 1, 'the dialog stays open until the request is done');
	go();
	await stage.gone(adding);
	await stage.link('SLOW').waitFor();
});

check('Tab stays in a dialog', async (stage) => {
	const environment = await stage.environment();
	await stage.open(`/secrets/${environment}`, 'Secrets');
	await stage.page.keyboard.press('n');
	const adding = stage.dialog('Add a secret');
	await adding.waitFor();
	for (let stops = 0; stops < 20; stops += 1) {
		await stage.page.keyboard.press('Tab');
		// A modal dialog lets focus move to the browser's own controls, which shows as the body.
		assert.ok(
			await adding.evaluate(
				(element) => element.contains(document.activeElement) || document.activeElement === document.body,
			),
			'focus is behind the dialog',
		);
	}
});

check('sort with the column headers', async (stage) => {
	const environment = await stage.environment();
	for (const key of ['A', 'B']) await stage.api.addSecret(environment, key, 'x');
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const header = stage.page.getByRole('columnheader', { name: 'Key' });
	await press(stage, header.getByRole('button'));
	await eventually('the order is reversed', async () => (await header.getAttribute('aria-sort')) === 'descending');
	await focused(header.getByRole('button'));
});
