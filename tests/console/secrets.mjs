// Secrets: every action once, each checked through the API as well.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';

const check = suite();

/** Opens the page of a new environment with these secrets. */
async function on(stage, secrets = {}, more = {}) {
	const environment = await stage.environment();
	for (const [key, value] of Object.entries(secrets)) {
		await stage.api.addSecret(environment, key, value, more);
	}
	await stage.open(`/secrets/${environment}`, 'Secrets');
	return environment;
}

check('an empty environment explains what to do', async (stage) => {
	const environment = await on(stage);
	await stage.page.getByText(`No secrets in ${environment} yet`).waitFor();
	assert.equal(await stage.page.title(), `Secrets · ${environment} · coffer`);
	await stage.button('Add secret').first().waitFor();
	await stage.button('Import .env').first().waitFor();
});

check('add a revealable secret', async (stage) => {
	const environment = await on(stage);
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	assert.ok(await stage.field('Key', dialog).evaluate((field) => field === document.activeElement));
	await stage.field('Key', dialog).fill('SMTP_PASSWORD');
	const value = 'tr0ub4dor&3 é "quoted" \\ <b> ';
	await stage.field('Value', dialog).fill(value);
	await stage.field('Description (optional)', dialog).fill('for the <i>mailer</i>');
	assert.equal(await stage.checkbox('Write-only', dialog).isChecked(), false);
	await dialog.getByText('Nobody, including admins, can view the value later. This cannot be undone.').waitFor();
	await stage.button('Add secret', dialog).click();
	await stage.gone(dialog);
	await stage.toast('SMTP_PASSWORD');
	const row = stage.row('SMTP_PASSWORD');
	await row.waitFor();
	assert.match(await row.innerText(), /for the <i>mailer<\/i>[\s\S]*Revealable[\s\S]*1/);
	await stage.page
		.locator('#count')
		.filter({ hasText: /^1 of 1 secrets?$/ })
		.waitFor();
	const secret = await stage.api.secret(environment, 'SMTP_PASSWORD');
	assert.equal(secret.neverReveal, false);
	assert.equal(secret.description, 'for the <i>mailer</i>');
	assert.equal(await stage.api.value(secret.id), value);
});

check('add a write-only secret with several lines', async (stage) => {
	const environment = await on(stage);
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	const value = '-----BEGIN KEY-----\nMIIE+/=\n-----END KEY-----\n';
	await stage.field('Key', dialog).fill('TLS_KEY');
	await stage.field('Value', dialog).fill(value);
	await stage.checkbox('Write-only', dialog).check();
	await stage.button('Add secret', dialog).click();
	await stage.gone(dialog);
	assert.match(await stage.row('TLS_KEY').innerText(), /Write-only/);
	const secret = await stage.api.secret(environment, 'TLS_KEY');
	assert.equal(secret.neverReveal, true);
	const about = await stage.follow('TLS_KEY');
	await about.getByText('Nobody can view this value.').waitFor();
	assert.equal(await stage.button('Reveal value', about).count(), 0);
	assert.equal(await stage.button('Make write-only', about).count(), 0);
});

check('the value is masked until the user shows it', async (stage) => {
	await on(stage);
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	const field = stage.field('Value', dialog);
	const masked = () => field.evaluate((element) => getComputedStyle(element).webkitTextSecurity);
	assert.notEqual(await masked(), 'none');
	assert.equal(await field.getAttribute('autocomplete'), 'off');
	assert.equal(await field.getAttribute('spellcheck'), 'false');
	await field.fill('seen for a moment');
	await stage.button('Show value', dialog).click();
	assert.equal(await masked(), 'none');
	await stage.button('Hide value', dialog).click();
	assert.notEqual(await masked(), 'none');
	await stage.button('Cancel', dialog).click();
	await stage.gone(dialog);
	const again = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	assert.equal(await stage.field('Value', again).inputValue(), '', 'the form is empty again');
});

check('generate a value on the server', async (stage) => {
	const environment = await on(stage);
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	await stage.field('Key', dialog).fill('COOKIE_KEY');
	await stage.checkbox('Generate a random value', dialog).check();
	assert.equal(
		await stage
			.field('Value', dialog)
			.isVisible()
			.catch(() => false),
		false,
	);
	await dialog.getByLabel('Length', { exact: true }).fill('40');
	await stage.select('Alphabet', dialog).selectOption('hex');
	await stage.button('Add secret', dialog).click();
	await stage.gone(dialog);
	const secret = await stage.api.secret(environment, 'COOKIE_KEY');
	assert.match(await stage.api.value(secret.id), /^[0-9a-f]{40}$/);
});

check('the form starts with the default of the environment', async (stage) => {
	const environment = await stage.environment();
	await stage.api.set(environment, { neverRevealByDefault: true });
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	await eventually('write-only is checked', () => stage.checkbox('Write-only', dialog).isChecked());
	await stage.field('Key', dialog).fill('QUIET');
	await stage.field('Value', dialog).fill('never seen');
	await stage.button('Add secret', dialog).click();
	await stage.gone(dialog);
	assert.equal((await stage.api.secret(environment, 'QUIET')).neverReveal, true);
});

check('filter and sort', async (stage) => {
	await on(stage, { AWS_KEY: 'a', DATABASE_URL: 'b', REDIS_URL: 'c', SMTP_PASSWORD: 'd' });
	const filter = stage.page.getByRole('searchbox', { name: 'Filter secrets' });
	const keys = () => stage.page.getByRole('main').getByRole('row').getByRole('link').allInnerTexts();
	await stage.link('SMTP_PASSWORD').waitFor();
	assert.deepEqual(await keys(), ['AWS_KEY', 'DATABASE_URL', 'REDIS_URL', 'SMTP_PASSWORD']);
	await filter.fill('url');
	await stage.page.locator('#count').filter({ hasText: '2 of 4 secrets' }).waitFor();
	assert.deepEqual(await keys(), ['DATABASE_URL', 'REDIS_URL']);
	await filter.press('Escape');
	await stage.page.locator('#count').filter({ hasText: '4 of 4 secrets' }).waitFor();
	assert.equal(await filter.inputValue(), '');
	await filter.fill('no such key');
	await stage.page.locator('#count').filter({ hasText: '0 of 4 secrets' }).waitFor();
	await filter.fill('');
	const header = stage.page.getByRole('columnheader', { name: 'Key' });
	const sort = header.getByRole('button', { name: 'Key' });
	const first = await header.getAttribute('aria-sort');
	assert.equal(first, 'ascending');
	await sort.click();
	await eventually('the order is reversed', async () => (await header.getAttribute('aria-sort')) === 'descending');
	assert.deepEqual(await keys(), ['SMTP_PASSWORD', 'REDIS_URL', 'DATABASE_URL', 'AWS_KEY']);
	await stage.page.getByRole('columnheader', { name: 'Version' }).getByRole('button').click();
	await eventually('sorted by version', async () =>
		['ascending', 'descending'].includes(
			await stage.page.getByRole('columnheader', { name: 'Version' }).getAttribute('aria-sort'),
		),
	);
	assert.ok(['none', null].includes(await header.getAttribute('aria-sort')));
});

check('the dialog has its own URL, and going back closes it', async (stage) => {
	const environment = await on(stage, { ONE: 'a', TWO: 'b' }, { description: 'words' });
	const dialog = await stage.follow('TWO');
	await stage.arrive(`/secrets/${environment}/TWO`);
	for (const words of ['Description', 'words', 'Version', 'Created', 'Updated', 'Used by', 'Current']) {
		await dialog.getByText(words, { exact: true }).first().waitFor();
	}
	await stage.page.goBack();
	await stage.gone(dialog);
	await stage.arrive(`/secrets/${environment}`);
	await stage.page.goForward();
	await stage.dialog('TWO').waitFor();
	await stage.page.reload();
	await stage.dialog('TWO').waitFor();
	await stage.button('Close', stage.dialog('TWO')).click();
	await stage.gone(stage.dialog('TWO'));
	await stage.arrive(`/secrets/${environment}`);
	await stage.page.goto(`/secrets/${environment}/NO_SUCH_KEY`);
	await stage.heading('Secrets').waitFor();
	await stage.page
		.getByText(/NO_SUCH_KEY/)
		.first()
		.waitFor();
});

check('replace the value, then restore the previous one', async (stage) => {
	const environment = await on(stage, { ROTATED: 'the first' });
	const dialog = await stage.follow('ROTATED');
	const replace = await stage.press('Replace value', 'Replace the value of ROTATED', dialog);
	await stage.field('Value', replace).fill('the second');
	await stage.button('Replace value', replace).click();
	await stage.gone(replace);
	await stage.toast('ROTATED');
	const { id } = await stage.api.secret(environment, 'ROTATED');
	assert.equal(await stage.api.value(id), 'the second');
	await stage.button('Restore version 1', dialog).click();
	await stage.row('3', dialog).getByText('Current').waitFor();
	assert.equal(await stage.api.value(id), 'the first');
	assert.equal((await stage.api.secret(environment, 'ROTATED')).version, 3);
	await stage.button('Close', dialog).click();
	await eventually('the table shows the version', async () => /\bv?3\b/.test(await stage.row('ROTATED').innerText()));
});

check('replace the value with a generated one', async (stage) => {
	const environment = await on(stage, { ROTATED: 'the first' });
	const dialog = await stage.follow('ROTATED');
	const replace = await stage.press('Replace value', 'Replace the value of ROTATED', dialog);
	await stage.checkbox('Generate a random value', replace).check();
	await stage.button('Replace value', replace).click();
	await stage.gone(replace);
	const { id, version } = await stage.api.secret(environment, 'ROTATED');
	assert.equal(version, 2);
	assert.match(await stage.api.value(id), /^\w{32}$/);
});

check('edit and clear the description', async (stage) => {
	const environment = await on(stage, { DESCRIBED: 'x' });
	const dialog = await stage.follow('DESCRIBED');
	for (const words of ['what it is for', '']) {
		const edit = await stage.press('Edit description', 'Edit the description of DESCRIBED', dialog);
		await stage.field('Description', edit).fill(words);
		await stage.button('Save description', edit).click();
		await stage.gone(edit);
		assert.equal((await stage.api.secret(environment, 'DESCRIBED')).description, words || null);
		if (words) await dialog.getByText(words).first().waitFor();
	}
});

check('make a secret write-only', async (stage) => {
	const environment = await on(stage, { LATCHED: 'seen until now' });
	const dialog = await stage.follow('LATCHED');
	const sure = await stage.press('Make write-only', 'Make LATCHED write-only', dialog);
	await stage.button('Make write-only', sure).click();
	await stage.gone(sure);
	await dialog.getByText('Nobody can view this value.').waitFor();
	await stage.gone(stage.button('Reveal value', dialog));
	await stage.gone(stage.button('Make write-only', dialog));
	const { id, neverReveal } = await stage.api.secret(environment, 'LATCHED');
	assert.equal(neverReveal, true);
	assert.equal(await stage.api.status('GET', `/api/secrets/${id}/value`), 403);
});

check('copy a secret to another environment', { allow: [409] }, async (stage) => {
	const environment = await on(stage, { COPIED: 'the same' });
	const target = await stage.environment();
	await stage.page.reload();
	const dialog = await stage.follow('COPIED');
	const copy = await stage.press('Copy to another environment', 'Copy COPIED', dialog);
	const options = await stage.select('To environment', copy).locator('option').allInnerTexts();
	assert.ok(!options.some((one) => one === environment), 'not to the same environment');
	await stage.select('To environment', copy).selectOption(target);
	await stage.button('Copy secret', copy).click();
	await stage.gone(copy);
	await stage.toast(target);
	const there = await stage.api.secret(target, 'COPIED');
	assert.equal(await stage.api.value(there.id), 'the same');
	// The key exists now: rejected unless the user chooses to replace it.
	const again = await stage.press('Copy to another environment', 'Copy COPIED', dialog);
	await stage.select('To environment', again).selectOption(target);
	await stage.select('If the key already exists', again).selectOption({ label: 'Do not copy' });
	await stage.button('Copy secret', again).click();
	await eventually(
		'the error is shown',
		async () => /exists|is there|already/i.test(await again.innerText()) && /req_/.test(await again.innerText()),
	);
	await stage.select('If the key already exists', again).selectOption({ label: 'Replace its value' });
	await stage.button('Copy secret', again).click();
	await stage.gone(again);
	assert.equal((await stage.api.secret(target, 'COPIED')).version, 2);
});

check('delete a secret', async (stage) => {
	const environment = await on(stage, { GONE: 'x', KEPT: 'y' });
	const dialog = await stage.follow('GONE');
	const sure = await stage.press('Delete secret', 'Delete GONE', dialog);
	await stage.field('Type GONE to confirm', sure).fill('GONE');
	await stage.button('Delete secret', sure).click();
	await stage.gone(sure);
	await stage.gone(stage.dialog('GONE'));
	await stage.arrive(`/secrets/${environment}`);
	await stage.toast('GONE');
	await stage.gone(stage.link('GONE'));
	await stage.page
		.locator('#count')
		.filter({ hasText: /^1 of 1 secrets?$/ })
		.waitFor();
	assert.equal(await stage.api.secret(environment, 'GONE'), undefined);
	assert.ok(await stage.api.secret(environment, 'KEPT'));
});

check('switch the environment with the menu', async (stage) => {
	await on(stage, { HERE: 'x' });
	const other = await stage.environment();
	await stage.api.addSecret(other, 'THERE');
	await stage.page.reload();
	await stage.link('HERE').waitFor();
	await stage.select('Environment', stage.page.getByRole('navigation', { name: 'Main' })).selectOption(other);
	await stage.arrive(`/secrets/${other}`);
	await stage.link('THERE').waitFor();
	assert.equal(await stage.link('HERE').count(), 0);
	assert.equal(await stage.page.title(), `Secrets · ${other} · coffer`);
});

check('no layout shift while the page loads', async (stage) => {
	const environment = await stage.environment();
	for (let n = 0; n < 12; n += 1) await stage.api.addSecret(environment, `KEY_${n}`);
	await stage.context.addInitScript(() => {
		globalThis.shifted = 0;
		new PerformanceObserver((list) => {
			for (const entry of list.getEntries()) {
				if (!entry.hadRecentInput) globalThis.shifted += entry.value;
			}
		}).observe({ type: 'layout-shift', buffered: true });
	});
	await stage.open(`/secrets/${environment}`, 'Secrets');
	await stage.link('KEY_9').waitFor();
	await stage.page.waitForLoadState('networkidle');
	const shifted = await stage.page.evaluate(() => globalThis.shifted);
	assert.ok(shifted < 0.1, `layout shift of ${shifted}`);
});
