// The audit log: details, filters, live updates, verification.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';

const check = suite();
const rows = (stage) => stage.page.getByRole('main').getByRole('table').locator('tbody').getByRole('row');

check('the details of an event', async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'AUDITED', 'Kq-no-such-value-in-the-log');
	await stage.open('/audit', 'Audit log');
	const row = rows(stage).filter({ hasText: 'AUDITED' }).first();
	await row.waitFor();
	await row.getByRole('button').click();
	const dialog = stage.page.getByRole('dialog', { name: /^Event \d+$/ });
	await dialog.waitFor();
	const [made] = await stage.api.audit('secret.create');
	const text = await dialog.innerText();
	for (const part of [made.requestId, made.resourceId, 'secret.create', 'AUDITED', environment]) {
		assert.ok(text.includes(part), `${part} in ${text}`);
	}
	assert.match(await dialog.getByRole('heading').first().innerText(), new RegExp(`^Event ${made.seq}$`));
	await stage.page.keyboard.press('Escape');
	await stage.gone(dialog);
});

check('the URL holds the filters', async (stage) => {
	const environment = await stage.environment();
	const { id } = await stage.api.addSecret(environment, 'FILTERED', 'x');
	await stage.api.patch(`/api/secrets/${id}`, { description: 'y' });
	await stage.api.addVar(environment, 'BESIDE', 'z');
	await stage.open('/audit', 'Audit log');
	const main = stage.page.getByRole('main');
	await stage.choose(stage.select('Environment', main), new RegExp(`^${environment}\\b`));
	await eventually('four events', async () => (await rows(stage).count()) === 4);
	await stage.choose(stage.select('Type', main), /^secret$/i);
	await eventually('two events', async () => (await rows(stage).count()) === 2);
	await stage.choose(stage.select('Action', main), /secret\.update/);
	await eventually('one event', async () => (await rows(stage).count()) === 1);
	const url = new URL(stage.page.url());
	assert.equal(url.pathname, '/audit');
	assert.match(url.search, /action=secret\.update/);
	await stage.page.reload();
	await eventually('the same event after a reload', async () => (await rows(stage).count()) === 1);
	assert.match(await rows(stage).innerText(), /FILTERED/);
	await stage.choose(stage.select('Result', main), /refus|fail|denied/i);
	await eventually(
		'no event of this secret',
		async () => (await rows(stage).filter({ hasText: 'FILTERED' }).count()) === 0,
	);
});

check('filter by time', async (stage) => {
	await stage.open('/audit', 'Audit log');
	await eventually('events are shown', async () => (await rows(stage).count()) > 0);
	const from = stage.page.getByLabel('From', { exact: true });
	const type = await from.getAttribute('type');
	const far = type === 'date' ? '2090-01-01' : '2090-01-01T00:00';
	await from.fill(far);
	await from.press('Enter');
	await eventually(
		'no events from the future',
		async () => (await rows(stage).filter({ hasText: 'server.start' }).count()) === 0,
	);
	await from.fill('');
	await from.press('Enter');
	await eventually('events are shown', async () => (await rows(stage).count()) > 0);
	await stage.page.getByLabel('To', { exact: true }).fill(type === 'date' ? '2020-01-01' : '2020-01-01T00:00');
	await stage.page.getByLabel('To', { exact: true }).press('Enter');
	await eventually(
		'no events before 2020',
		async () => (await rows(stage).filter({ hasText: 'server.start' }).count()) === 0,
	);
});

check('load older events', async (stage) => {
	const environment = await stage.environment();
	for (let n = 0; n < 3; n += 1) {
		const secrets = Array.from({ length: 40 }, (_, at) => ({ key: `K_${n}_${at}`, value: 'x' }));
		await stage.api.post(`/api/environments/${environment}/secrets/import`, { secrets });
	}
	await stage.open('/audit', 'Audit log');
	await eventually('events are shown', async () => (await rows(stage).count()) >= 20);
	const before = await rows(stage).count();
	await stage.button('Load older events').click();
	await eventually('more events', async () => (await rows(stage).count()) > before);
	const times = await rows(stage).evaluateAll((all) => all.map((row) => row.innerText));
	assert.equal(new Set(times.map((text) => text)).size > before / 2, true);
	while (await stage.button('Load older events').count()) {
		const now = await rows(stage).count();
		await stage.button('Load older events').click();
		await eventually(
			'more events, or all are shown',
			async () => (await rows(stage).count()) > now || (await stage.button('Load older events').count()) === 0,
		);
	}
	const { total } = await stage.api.get('/api/audit-logs?limit=1');
	const shown = await rows(stage).count();
	assert.ok(shown >= total - 5 && shown <= total, `${shown} of ${total}`);
});

check('follow live', async (stage) => {
	const environment = await stage.environment();
	await stage.open('/audit', 'Audit log');
	const follow = stage.button('Follow live');
	assert.equal(await follow.getAttribute('aria-pressed'), 'false');
	await follow.click();
	assert.equal(await follow.getAttribute('aria-pressed'), 'true');
	await stage.api.addSecret(environment, 'JUST_NOW', 'x');
	await rows(stage).filter({ hasText: 'JUST_NOW' }).first().waitFor();
	await follow.click();
	assert.equal(await follow.getAttribute('aria-pressed'), 'false');
});

check('verify the log', async (stage) => {
	await stage.open('/audit', 'Audit log');
	await stage.button('Verify log').click();
	await eventually(
		'the result is shown',
		async () =>
			/Verified: \d+ events/.test(await stage.page.getByRole('main').innerText()) ||
			/Verified: \d+ events/.test(await stage.page.locator('#toasts').innerText()),
	);
});

check('rejected requests are marked', { as: 'admin', allow: [403] }, async (stage) => {
	const environment = await stage.environment();
	const { id } = await stage.api.addSecret(environment, 'NEVER', 'x', { neverReveal: true });
	assert.equal(await stage.api.status('GET', `/api/secrets/${id}/value`), 403);
	await stage.open('/audit?action=secret.reveal', 'Audit log');
	const row = rows(stage).filter({ hasText: 'NEVER' }).first();
	await row.waitFor();
	assert.match(await row.innerText(), /refused|failed|denied|write-only|WRITE_ONLY/i);
});
