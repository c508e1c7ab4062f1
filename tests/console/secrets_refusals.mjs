// Rejected requests about secrets, and where the page shows the error: under the field,
// which receives focus, or in an alert with the hint and the request ID.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';

// A low limit, so that a test can exceed it.
const check = suite({ variables: { COFFER_LIMITS__VALUE_BYTES: '200' } });

async function adding(stage, environment) {
	await stage.open(`/secrets/${environment}`, 'Secrets');
	const dialog = await stage.press('Add secret', 'Add a secret', stage.page.getByRole('main'));
	return {
		dialog,
		key: stage.field('Key', dialog),
		value: stage.field('Value', dialog),
		submit: () => stage.button('Add secret', dialog).click(),
	};
}

check('an invalid key', { allow: [400] }, async (stage) => {
	const environment = await stage.environment();
	const { key, value, submit } = await adding(stage, environment);
	for (const bad of ['1ST', 'with-dash', 'ÄPFEL', '_FIRST']) {
		await key.fill(bad);
		await value.fill('a value');
		await submit();
		await stage.refused(key, /[A-Z]|letter/i);
		assert.equal(await value.inputValue(), 'a value', 'the input is kept');
	}
	await key.fill('');
	await submit();
	await stage.refused(key, /\w/);
	assert.deepEqual(await stage.api.secrets(environment), []);
	// The error goes after the key is fixed.
	await key.fill('GOOD');
	await submit();
	await stage.link('GOOD').waitFor();
});

check('an existing key', { allow: [409] }, async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'TAKEN', 'the first');
	const { key, value, submit } = await adding(stage, environment);
	await key.fill('TAKEN');
	await value.fill('another');
	await submit();
	await stage.refused(key, /exists/i);
	const { id, version } = await stage.api.secret(environment, 'TAKEN');
	assert.equal(version, 1);
	assert.equal(await stage.api.value(id), 'the first');
});

check('no value, and a value that is too long', { allow: [400] }, async (stage) => {
	const environment = await stage.environment();
	const { key, value, submit } = await adding(stage, environment);
	await key.fill('EMPTY');
	await submit();
	await stage.refused(value, /\w/);
	// Over the limit in bytes, but not in characters.
	await value.fill('é'.repeat(101));
	await submit();
	await stage.refused(value, /200|long/i);
	await value.fill('é'.repeat(100));
	await submit();
	await stage.link('EMPTY').waitFor();
});

check('a description that is too long', { allow: [400] }, async (stage) => {
	const environment = await stage.environment();
	const { dialog, key, value, submit } = await adding(stage, environment);
	await key.fill('WORDY');
	await value.fill('a value');
	const description = stage.field('Description (optional)', dialog);
	await description.fill('w'.repeat(1001));
	if ((await description.inputValue()).length === 1001) {
		await submit();
		await stage.refused(description, /1000/);
	}
	await description.fill('w'.repeat(1000));
	await submit();
	await stage.link('WORDY').waitFor();
});

check('a generated value that is too long', { allow: [400] }, async (stage) => {
	const environment = await stage.environment();
	const { dialog, key, submit } = await adding(stage, environment);
	await key.fill('MADE');
	await stage.checkbox('Generate a random value', dialog).check();
	const length = dialog.getByLabel('Length', { exact: true });
	await length.fill('5000');
	await submit();
	await stage.refused(length, /\d/);
	assert.equal(await stage.api.secret(environment, 'MADE'), undefined);
});

check('revealing is turned off for the environment', { allow: [403] }, async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'SHUT');
	await stage.open(`/secrets/${environment}/SHUT`, 'Secrets');
	const dialog = stage.dialog('SHUT');
	// Change the setting without the page, so that it still offers the button.
	await stage.button('Reveal value', dialog).waitFor();
	await stage.api.set(environment, { allowSecretReveal: false });
	await stage.button('Reveal value', dialog).click();
	await stage.alert(/reveal/i, /req_\w+/);
	const [row] = await stage.api.audit('secret.reveal');
	assert.equal(row.success, false);
});

check("it was made write-only behind the page's back", { allow: [403] }, async (stage) => {
	const environment = await stage.environment();
	const { id } = await stage.api.addSecret(environment, 'LATCHED');
	await stage.open(`/secrets/${environment}/LATCHED`, 'Secrets');
	const dialog = stage.dialog('LATCHED');
	await stage.button('Reveal value', dialog).waitFor();
	await stage.api.patch(`/api/secrets/${id}`, { neverReveal: true });
	await stage.button('Reveal value', dialog).click();
	await stage.alert(/write-only/i, 'Its value can be replaced', /req_\w+/);
	assert.equal(await dialog.getByRole('region', { name: 'Value', exact: true }).count(), 0);
});

check('someone else changed the secret first', { allow: [409] }, async (stage) => {
	const environment = await stage.environment();
	const { id } = await stage.api.addSecret(environment, 'RACED', 'one');
	await stage.open(`/secrets/${environment}/RACED`, 'Secrets');
	const dialog = stage.dialog('RACED');
	const replace = await stage.press('Replace value', 'Replace the value of RACED', dialog);
	await stage.field('Value', replace).fill('three');
	await stage.api.patch(`/api/secrets/${id}`, { value: 'two' });
	await stage.button('Replace value', replace).click();
	await stage.alert(/version|changed|meanwhile/i, /req_\w+/);
	assert.equal(await stage.api.value(id), 'two', 'the change of the other user is kept');
});

check('the secret was deleted in the meantime', { allow: [404] }, async (stage) => {
	const environment = await stage.environment();
	const { id } = await stage.api.addSecret(environment, 'LOST');
	await stage.open(`/secrets/${environment}/LOST`, 'Secrets');
	const edit = await stage.press('Edit description', 'Edit the description of LOST', stage.dialog('LOST'));
	await stage.api.delete(`/api/secrets/${id}`);
	await stage.field('Description', edit).fill('too late');
	await stage.button('Save description', edit).click();
	await stage.alert(/not found|no such|does not exist|gone/i, /req_\w+/);
});

check('a mistyped name deletes nothing', async (stage) => {
	const environment = await stage.environment();
	await stage.api.addSecret(environment, 'KEPT');
	await stage.open(`/secrets/${environment}/KEPT`, 'Secrets');
	const sure = await stage.press('Delete secret', 'Delete KEPT', stage.dialog('KEPT'));
	const typed = stage.field('Type KEPT to confirm', sure);
	const submit = stage.button('Delete secret', sure);
	for (const wrong of ['', 'kept', 'KEPT2']) {
		await typed.fill(wrong);
		if (await submit.isEnabled()) {
			await submit.click();
			await stage.refused(typed, wrong ? /KEPT/ : /\w/);
		}
	}
	assert.ok(await stage.api.secret(environment, 'KEPT'));
	await stage.page.keyboard.press('Escape');
	await stage.gone(sure);
	await stage.dialog('KEPT').waitFor();
});

check('a double click creates one secret', async (stage) => {
	const environment = await stage.environment();
	const { dialog, key, value } = await adding(stage, environment);
	await key.fill('ONCE');
	await value.fill('a value');
	await stage.button('Add secret', dialog).dblclick();
	await stage.link('ONCE').waitFor();
	const posts = stage.watch.requests.filter((one) => one.method() === 'POST');
	assert.equal(posts.length, 1);
});

const MAIN = ['Secrets', 'Variables', 'Workloads', 'Environments', 'Audit log'];
const ADMINS = ['Users', 'Service accounts', 'Tokens', 'Status'];

const OFFERED = {
	viewer: [],
	operator: ['Replace value', 'Edit description', 'Make write-only', 'Delete secret'],
};

for (const [role, offered] of Object.entries(OFFERED)) {
	check(`actions that the role ${role} does not allow are not offered`, { as: role }, async (stage) => {
		const environment = await stage.environment();
		await stage.api.addSecret(environment, 'LOOKED_AT');
		const { id } = await stage.api.secret(environment, 'LOOKED_AT');
		await stage.api.patch(`/api/secrets/${id}`, { value: 'second' });
		await stage.api.addVar(environment, 'PORT', '8080');
		await stage.open(`/secrets/${environment}`, 'Secrets');
		const main = stage.page.getByRole('navigation', { name: 'Main' });
		for (const name of MAIN) await stage.link(name, main).waitFor();
		for (const name of ADMINS) assert.equal(await stage.link(name, main).count(), 0, name);
		const writes = offered.length > 0;
		assert.equal((await stage.button('Add secret').count()) > 0, writes);
		assert.equal((await stage.button('Import .env').count()) > 0, writes);
		const dialog = await stage.follow('LOOKED_AT');
		await stage.row('2', dialog).getByText('Current').waitFor();
		const buttons = await dialog
			.getByRole('button')
			.evaluateAll((all) => all.map((one) => one.getAttribute('aria-label') ?? one.innerText.trim()));
		const expected = ['Close', ...offered, ...(writes ? ['Restore version 1'] : [])];
		assert.deepEqual(buttons.sort(), expected.sort());
		await stage.button('Close', dialog).click();
		await stage.page.keyboard.press('n');
		assert.equal((await stage.dialog('Add a secret').count()) > 0, writes, 'not with the keyboard either');
		await stage.page.goto(`/vars/${environment}/PORT`);
		const about = stage.dialog('PORT');
		await about.waitFor();
		assert.equal((await stage.button('Edit variable', about).count()) > 0, writes);
		assert.equal((await stage.button('Delete variable', about).count()) > 0, writes);
		await stage.open('/environments', 'Environments');
		assert.equal(await stage.button('New environment').count(), 0);
		await stage.open('/audit', 'Audit log');
		assert.equal(await stage.button('Verify log').count(), 0);
	});

	check(`pages that the role ${role} does not allow`, { as: role, allow: [403] }, async (stage) => {
		const environment = await stage.environment();
		for (const path of ['/users', '/service-accounts', '/tokens', '/status', `/environments/${environment}`]) {
			await stage.page.goto(path);
			await stage.heading().waitFor();
			const words = await eventually(`${path} says so`, async () => {
				const text = await stage.page.getByRole('main').innerText();
				return /admin|may not|role|not allowed/i.test(text) && text;
			});
			assert.ok(!/undefined|\[object/.test(words), words);
			const changing = /^(New|Create|Delete|Save|Restore|Run)/;
			const buttons = await stage.page.getByRole('main').getByRole('button').allInnerTexts();
			assert.deepEqual(
				buttons.filter((text) => changing.test(text)),
				[],
			);
		}
	});
}

check(
	'an environment outside the scope, and one that does not exist',
	{ as: null, allow: [403, 404] },
	async (stage) => {
		const mine = await stage.environment();
		const other = await stage.environment();
		const { environments } = await stage.api.get('/api/environments');
		const { id } = environments.find((one) => one.name === mine);
		const scope = { allEnvironments: false, environmentIds: [id] };
		await stage.become(await stage.coffer.user('narrow', 'operator', scope));
		await stage.page.goto('/');
		await stage.arrive(`/secrets/${mine}`);
		await stage.heading('Secrets').waitFor();
		const select = stage.select('Environment', stage.page.getByRole('navigation', { name: 'Main' }));
		assert.deepEqual(
			(await select.locator('option').allInnerTexts()).filter((one) => one.includes(other)),
			[],
		);
		for (const name of [other, 'no-such-environment']) {
			await stage.page.goto(`/secrets/${name}`);
			await stage.heading().waitFor();
			await eventually(
				'the page says so',
				async () =>
					(await stage.page.getByRole('main').innerText()).includes(name) ||
					(await stage.page.getByRole('alert').filter({ visible: true }).count()) > 0,
			);
		}
	},
);

check('an unknown URL says so and links back', { allow: [404] }, async (stage) => {
	await stage.page.goto('/no/such/page');
	await stage.heading().waitFor();
	assert.match(await stage.page.getByRole('main').innerText(), /no (such )?page|not (found|here|there)/i);
	await stage.link('Secrets', stage.page.getByRole('navigation', { name: 'Main' })).click();
	await stage.heading('Secrets').waitFor();
});
